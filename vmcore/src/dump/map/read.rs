//! Reading `pages.map`, whole or cut off, as often as wanted. Format: [`super`].

use super::index::Index;
use crate::addr::{PAGE_SHIFT, Pfn, PfnRange};
use crate::dump::Runs;
use crate::layout::page_kind::{Kind, KindCounts, KindRun};
use crate::layout::pages_map::{
    BLOCK_LEN, Block, BlockHeader, HEADER_LEN, Mark, TAIL_LEN, Tokens, VERSION, parse_file_header,
    parse_file_tail, u64_at,
};
use std::io;
use std::sync::{Mutex, PoisonError};

/// Unpacked blocks kept for look-ups.
const CACHED: usize = 4;

/// Where the bytes of a map lie: a file of its own, or a frame inside a core.
pub trait Bytes: Send + Sync {
    /// How many there are.
    ///
    /// # Errors
    /// What the system said.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// What the system said; `UnexpectedEof` past the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Whether there are none.
    ///
    /// # Errors
    /// As [`Bytes::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl Bytes for std::fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buf, offset)
    }
}

impl Bytes for Vec<u8> {
    fn len(&self) -> io::Result<u64> {
        Ok(Vec::len(self) as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buf.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(from);
        Ok(())
    }
}

/// A map that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The bytes could not be read.
    #[error("Cannot read the page map")]
    Io(#[from] io::Error),
    /// It is something else, or its first bytes are damaged.
    #[error("This is no page map: its first 16 bytes are not those of one")]
    NotAMap,
    /// Written by another version.
    #[error(
        "The page map has version {version} and page shift {shift}; \
         this afterpanic reads version 1 and shift 12"
    )]
    Version {
        /// Its version.
        version: u16,
        /// Its page shift.
        shift: u8,
    },
}

/// What a map says of one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// It is RAM of this kind.
    Kind(Kind),
    /// It is not RAM.
    NotRam,
    /// The map was cut off, or is damaged, before it.
    Lost,
}

/// A `pages.map`, opened.
pub struct MapReader {
    bytes: Box<dyn Bytes>,
    index: Index,
    /// Where the blocks with runs end.
    blocks_end: u64,
    complete: bool,
    counts: KindCounts,
    runs: u64,
    /// The page after the last one described.
    end: Pfn,
    cache: Mutex<Vec<Unpacked>>,
}

struct Unpacked {
    offset: u64,
    pages: PfnRange,
    plain: Vec<u8>,
    /// Every so many runs, where to go on from: ascending.
    marks: Vec<Mark>,
}

/// Runs between two marks.
const MARK_RUNS: usize = 256;

impl Unpacked {
    fn new(offset: u64, pages: PfnRange, plain: Vec<u8>) -> Self {
        let mut marks = Vec::new();
        let mut tokens = Tokens::new(&plain, pages);
        loop {
            marks.push(tokens.mark());
            if tokens.nth(MARK_RUNS - 1).is_none() {
                break;
            }
        }
        Self {
            offset,
            pages,
            plain,
            marks,
        }
    }

    fn run_at(&self, pfn: Pfn) -> Option<KindRun> {
        let after = self.marks.partition_point(|mark| mark.at <= pfn);
        let mark = self.marks.get(after.checked_sub(1)?)?;
        Tokens::resume(&self.plain, self.pages, *mark)
            .take(MARK_RUNS + 1)
            .take_while(|run| run.pages.start <= pfn)
            .find(|run| run.pages.contains(pfn))
    }
}

impl MapReader {
    /// Opens a map. One that was cut off opens as well and is good up to the cut; its blocks are
    /// then gone through once.
    ///
    /// # Errors
    /// When the beginning cannot be read or is not that of a map.
    pub fn open(bytes: Box<dyn Bytes>) -> Result<Self, MapError> {
        let len = bytes.len()?;
        let mut header = [0u8; HEADER_LEN];
        if len < HEADER_LEN as u64 {
            return Err(MapError::NotAMap);
        }
        bytes.read_at(0, &mut header)?;
        let (version, shift) = parse_file_header(&header).ok_or(MapError::NotAMap)?;
        if version != VERSION || u32::from(shift) != PAGE_SHIFT {
            return Err(MapError::Version { version, shift });
        }
        let mut map = Self {
            bytes,
            index: Index::default(),
            blocks_end: HEADER_LEN as u64,
            complete: false,
            counts: KindCounts::default(),
            runs: 0,
            end: Pfn(0),
            cache: Mutex::new(Vec::new()),
        };
        if map.read_end(len).is_none() {
            map.salvage(len)?;
        }
        Ok(map)
    }

    /// Takes counts and index from the end block, if there is a whole one.
    fn read_end(&mut self, len: u64) -> Option<()> {
        let tail_at = len.checked_sub(TAIL_LEN as u64)?;
        let mut tail = [0u8; TAIL_LEN];
        self.bytes.read_at(tail_at, &mut tail).ok()?;
        let offset = parse_file_tail(&tail)?;
        let header = self.header(offset).ok()?.filter(|h| h.what == Block::End)?;
        let plain = self.unpack(offset, &header).ok().flatten()?;
        let kinds = u64_at(&plain, 16)?;
        let index_at = usize::try_from(kinds)
            .ok()?
            .checked_mul(8)?
            .checked_add(24)?;
        for (number, count) in plain.get(24..index_at)?.chunks_exact(8).enumerate() {
            let kind = u8::try_from(number).map_or(Kind::Unknown, Kind::from_u8);
            self.counts.add(kind, u64_at(count, 0)?);
        }
        self.runs = u64_at(&plain, 0)?;
        self.index = Index::parse(plain.get(index_at..)?, u64_at(&plain, 8)?);
        self.blocks_end = offset;
        self.complete = true;
        Some(())
    }

    /// Goes through the blocks of a file without an end block.
    fn salvage(&mut self, len: u64) -> Result<(), MapError> {
        self.counts = KindCounts::default();
        self.runs = 0;
        self.index = Index::default();
        let mut at = HEADER_LEN as u64;
        let mut pages = PfnRange::new(Pfn(0), Pfn(0));
        // What the disk does not give ends it as what is damaged does.
        let runs = |header: &BlockHeader| header.what == Block::Runs;
        while let Some(header) = self.header(at).ok().flatten().filter(runs) {
            let next = at + BLOCK_LEN as u64 + u64::from(header.payload);
            if next > len || header.pages.start < pages.end {
                break;
            }
            let Some(plain) = self.unpack(at, &header)? else {
                break;
            };
            for run in Tokens::new(&plain, header.pages) {
                self.counts.add(run.kind, run.pages.len());
                self.runs += 1;
            }
            pages = header.pages;
            self.index.push(header.pages.start, at);
            at = next;
        }
        self.blocks_end = at;
        self.end = pages.end;
        Ok(())
    }

    /// The header of the block at `offset`, or `None` when it is damaged or not there.
    fn header(&self, offset: u64) -> io::Result<Option<BlockHeader>> {
        let mut bytes = [0u8; BLOCK_LEN];
        match self.bytes.read_at(offset, &mut bytes) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            other => other.map(|()| BlockHeader::parse(&bytes)),
        }
    }

    /// The tokens of a block, or `None` when they are damaged.
    fn unpack(&self, offset: u64, header: &BlockHeader) -> io::Result<Option<Vec<u8>>> {
        let mut packed = vec![0; usize::try_from(header.payload).map_err(io::Error::other)?];
        let at = offset.saturating_add(BLOCK_LEN as u64);
        match self.bytes.read_at(at, &mut packed) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        if crc32fast::hash(&packed) != header.crc {
            return Ok(None);
        }
        let plain = usize::try_from(header.plain).map_err(io::Error::other)?;
        Ok(zstd::bulk::decompress(&packed, plain)
            .ok()
            .filter(|bytes| bytes.len() == plain))
    }

    /// Whether the whole map is there, so that what no run covers is known not to be RAM.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Pages by kind, as far as the map goes.
    #[must_use]
    pub fn counts(&self) -> &KindCounts {
        &self.counts
    }

    /// Number of runs.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Calls `f` for each run in ascending order, from the run that holds or follows `from`; stops
    /// at its first error.
    ///
    /// # Errors
    /// What `f` said, and `InvalidData` for a block that is damaged.
    pub(crate) fn for_each_from(
        &self,
        from: Pfn,
        f: &mut dyn FnMut(KindRun) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut at = self.index.seek(from).unwrap_or(HEADER_LEN as u64);
        while at < self.blocks_end {
            let header = self.header(at)?.ok_or_else(|| damaged(at))?;
            if header.pages.end > from {
                let plain = self.unpack(at, &header)?.ok_or_else(|| damaged(at))?;
                let runs = Tokens::new(&plain, header.pages);
                for run in runs.filter(|run| run.pages.end > from) {
                    f(run)?;
                }
            }
            at += BLOCK_LEN as u64 + u64::from(header.payload);
        }
        Ok(())
    }

    /// Calls `f` for each run in ascending order; stops at its first error.
    ///
    /// # Errors
    /// As [`MapReader::for_each_from`].
    pub fn for_each(&self, f: &mut dyn FnMut(KindRun) -> io::Result<()>) -> io::Result<()> {
        self.for_each_from(Pfn(0), f)
    }

    /// The pages whose kind `keeps` answers for, as [`Runs`]: ascending, maximal, disjoint.
    pub fn kept<F: Fn(Kind) -> bool>(&self, keeps: F) -> Kept<'_, F> {
        self.kept_with(keeps, &[])
    }

    /// [`MapReader::kept`], and the pages in `also` whatever their kind; those are ascending and
    /// disjoint.
    pub(crate) fn kept_with<'a, F: Fn(Kind) -> bool>(
        &'a self,
        keeps: F,
        also: &'a [KindRun],
    ) -> Kept<'a, F> {
        Kept {
            map: self,
            keeps,
            also,
        }
    }

    /// What the map says of one page. Neighbouring pages are cheap: a few blocks are kept unpacked.
    ///
    /// # Errors
    /// What the system said.
    pub fn kind_of(&self, pfn: Pfn) -> io::Result<Lookup> {
        self.run_at(pfn)
            .map(|found| found.map_or_else(|outside| outside, |run| Lookup::Kind(run.kind)))
    }

    /// The run that holds a page, or why there is none.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn run_at(&self, pfn: Pfn) -> io::Result<Result<KindRun, Lookup>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let position = match cache.iter().position(|b| b.pages.contains(pfn)) {
            Some(position) => position,
            None => match self.load(pfn)? {
                Ok(block) => {
                    cache.truncate(CACHED - 1);
                    cache.insert(0, block);
                    0
                }
                Err(outside) => return Ok(Err(outside)),
            },
        };
        if let Some(recent) = cache.get_mut(..=position) {
            recent.rotate_right(1);
        }
        let run = cache.first().and_then(|block| block.run_at(pfn));
        Ok(run.ok_or(Lookup::NotRam))
    }

    fn load(&self, pfn: Pfn) -> io::Result<Result<Unpacked, Lookup>> {
        let outside = if !self.complete && pfn >= self.end {
            Lookup::Lost
        } else {
            Lookup::NotRam
        };
        let mut offset = self.index.seek(pfn).unwrap_or(HEADER_LEN as u64);
        while offset < self.blocks_end {
            let Some(header) = self.header(offset)? else {
                return Ok(Err(Lookup::Lost));
            };
            if header.pages.start > pfn {
                break;
            }
            if header.pages.contains(pfn) {
                return Ok(match self.unpack(offset, &header)? {
                    Some(plain) => Ok(Unpacked::new(offset, header.pages, plain)),
                    None => Err(Lookup::Lost),
                });
            }
            offset += BLOCK_LEN as u64 + u64::from(header.payload);
        }
        Ok(Err(outside))
    }
}

impl std::fmt::Debug for MapReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("MapReader")
            .field("complete", &self.complete)
            .field("runs", &self.runs)
            .field(
                "cached",
                &cached.iter().map(|b| b.offset).collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

/// The kept pages of a map; made by [`MapReader::kept`].
pub struct Kept<'a, F> {
    map: &'a MapReader,
    keeps: F,
    also: &'a [KindRun],
}

impl<F: Fn(Kind) -> bool> Runs for Kept<'_, F> {
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
        let mut open: Option<PfnRange> = None;
        let mut also = self.also;
        self.map.for_each(&mut |run| {
            let mut keep = |pages: PfnRange| match &mut open {
                Some(last) if last.end == pages.start => {
                    last.end = pages.end;
                    Ok(())
                }
                other => other.replace(pages).map_or(Ok(()), &mut *f),
            };
            if (self.keeps)(run.kind) {
                return keep(run.pages);
            }
            while let Some((next, later)) = also.split_first() {
                if next.pages.start >= run.pages.end {
                    break;
                }
                if let Some(part) = next.pages.intersect(run.pages) {
                    keep(part)?;
                }
                if next.pages.end > run.pages.end {
                    break;
                }
                also = later;
            }
            Ok(())
        })?;
        open.map_or(Ok(()), f)
    }
}

fn damaged(offset: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("The page map is damaged in the block at byte {offset:#x}"),
    )
}
