//! Writing `pages.map` as a stream: runs in, bytes out, one block held. Format: [`super`].

use super::index::Index;
use crate::addr::{Pfn, PfnRange};
use crate::layout::page_kind::{KindCounts, KindRun};
use crate::layout::pages_map::{
    BLOCK_LEN, Block, BlockHeader, HEADER_LEN, PLAIN_MAX, TAIL_LEN, TOKEN_MAX, file_header,
    file_tail, push_token,
};
use std::io::{self, Write};

/// Speed is what counts: the tokens are already short and regular.
const LEVEL: i32 = 1;

/// What a finished file holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MapSummary {
    /// Bytes of the file.
    pub bytes: u64,
    /// Runs written, after neighbours of the same kind were joined.
    pub runs: u64,
    /// Pages by kind.
    pub counts: KindCounts,
}

/// Writes the kinds of pages while they are found.
pub struct MapWriter<W: Write> {
    out: W,
    codec: zstd::bulk::Compressor<'static>,
    /// The run that may still grow.
    pending: Option<KindRun>,
    plain: Vec<u8>,
    packed: Vec<u8>,
    /// Pages covered by the tokens in `plain`.
    open: Option<PfnRange>,
    open_runs: u32,
    at: u64,
    index: Index,
    summary: MapSummary,
}

impl<W: Write> MapWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of `out`, and a lack of memory for the codec.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&file_header())?;
        Ok(Self {
            out,
            codec: zstd::bulk::Compressor::new(LEVEL)?,
            pending: None,
            plain: Vec::with_capacity(PLAIN_MAX),
            packed: Vec::with_capacity(zstd::zstd_safe::compress_bound(PLAIN_MAX)),
            open: None,
            open_runs: 0,
            at: HEADER_LEN as u64,
            index: Index::default(),
            summary: MapSummary::default(),
        })
    }

    /// Takes the next run. Neighbours of the same kind are joined.
    ///
    /// # Errors
    /// Those of the output; `InvalidInput` when the run does not lie after the one before.
    pub fn push(&mut self, run: KindRun) -> io::Result<()> {
        if run.pages.is_empty() {
            return Ok(());
        }
        match &mut self.pending {
            Some(last) if run.pages.start < last.pages.end => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "The run of pages at {} does not lie after the one that ends at {}",
                    run.pages.start, last.pages.end
                ),
            )),
            Some(last) if last.kind == run.kind && last.pages.end == run.pages.start => {
                last.pages.end = run.pages.end;
                Ok(())
            }
            pending => {
                if let Some(last) = pending.replace(run) {
                    self.token(last)?;
                }
                Ok(())
            }
        }
    }

    fn token(&mut self, run: KindRun) -> io::Result<()> {
        if self.plain.len() + 2 * TOKEN_MAX > PLAIN_MAX {
            self.flush_block()?;
        }
        match &mut self.open {
            Some(open) => {
                if open.end < run.pages.start {
                    push_token(&mut self.plain, None, run.pages.start.0 - open.end.0);
                }
                open.end = run.pages.end;
            }
            None => self.open = Some(run.pages),
        }
        push_token(&mut self.plain, Some(run.kind), run.pages.len());
        self.open_runs += 1;
        self.summary.runs += 1;
        self.summary.counts.add(run.kind, run.pages.len());
        Ok(())
    }

    fn flush_block(&mut self) -> io::Result<()> {
        let Some(pages) = self.open.take() else {
            return Ok(());
        };
        self.index.push(pages.start, self.at);
        self.emit(Block::Runs, pages)?;
        self.open_runs = 0;
        Ok(())
    }

    fn emit(&mut self, what: Block, pages: PfnRange) -> io::Result<()> {
        self.packed.clear();
        self.codec
            .compress_to_buffer(&self.plain, &mut self.packed)?;
        let header = BlockHeader {
            what,
            payload: length(self.packed.len())?,
            plain: length(self.plain.len())?,
            crc: crc32fast::hash(&self.packed),
            pages,
            runs: self.open_runs,
        };
        self.out.write_all(&header.encode())?;
        self.out.write_all(&self.packed)?;
        self.plain.clear();
        self.at += (BLOCK_LEN + self.packed.len()) as u64;
        Ok(())
    }

    /// Writes what is left and the end block; hands back the output, flushed.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<(W, MapSummary)> {
        if let Some(last) = self.pending.take() {
            self.token(last)?;
        }
        self.flush_block()?;
        let end_block = self.at;
        self.plain
            .extend_from_slice(&self.summary.runs.to_le_bytes());
        self.plain
            .extend_from_slice(&self.index.blocks().to_le_bytes());
        let kinds = self.summary.counts.iter().count() as u64;
        self.plain.extend_from_slice(&kinds.to_le_bytes());
        for (_, pages) in self.summary.counts.iter() {
            self.plain.extend_from_slice(&pages.to_le_bytes());
        }
        self.index.encode(&mut self.plain);
        self.emit(Block::End, PfnRange::new(Pfn(0), Pfn(0)))?;
        self.out.write_all(&file_tail(end_block))?;
        self.at += TAIL_LEN as u64;
        self.out.flush()?;
        self.summary.bytes = self.at;
        Ok((self.out, self.summary))
    }
}

fn length(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(io::Error::other)
}
