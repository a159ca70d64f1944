//! The kdump-compressed format, version 6.
//!
//! Facts: [`crate::layout::kdump`]. Both bitmaps are streamed from the runs; descriptors are written
//! behind them as the pages come, 2,700 at a time; all zero pages share one uncompressed page, as
//! makedumpfile has it. The file counts in pages of the machine, of 4, 16 or 64 KiB. [`super::page`] says how pages are compressed.

use super::header::Count;
use super::page::{Method, PageEncoder};
use super::{Attachment, CoreMeta, Encoded, Encoder, Finished, Output, Runs, Writer};
use crate::addr::{PAGE_BYTES, PAGE_SIZE, Pfn, PfnRange};
use crate::layout::elf::{encode_notes, machine_name};
use crate::layout::kdump::{DESC_LEN, Header, PageDesc, SUB_LEN, SubHeader, VERSION};
use crate::order::Order;
use std::io::{self, Read};

/// Bytes of bitmap or descriptors that are collected before they go to the output.
const CHUNK: usize = 64 << 10;

/// Writes `kdump-zstd` and `kdump-zlib`.
pub(super) struct KdumpWriter {
    meta: CoreMeta,
    method: Method,
    level: Option<i32>,
    announced: u64,
    appended: u64,
    descs: Vec<u8>,
    descs_at: u64,
    data_at: u64,
    zero: Option<PageDesc>,
}

impl KdumpWriter {
    pub(super) fn new(meta: CoreMeta, method: Method, level: Option<i32>) -> Self {
        Self {
            meta,
            method,
            level,
            announced: 0,
            appended: 0,
            descs: Vec::new(),
            descs_at: 0,
            data_at: 0,
            zero: None,
        }
    }

    /// Bytes of a page of the machine.
    fn page(&self) -> u64 {
        PAGE_SIZE << self.meta.frames_shift()
    }

    fn flush_descs(&mut self, out: &mut dyn Output) -> io::Result<()> {
        out.write_at(self.descs_at, &self.descs)?;
        self.descs_at += self.descs.len() as u64;
        self.descs.clear();
        Ok(())
    }

    /// The descriptor of the page that all zero pages share, which is written when the first comes.
    fn zero_page(&mut self, out: &mut dyn Output) -> io::Result<PageDesc> {
        if let Some(desc) = self.zero {
            return Ok(desc);
        }
        let desc = PageDesc {
            offset: self.data_at,
            size: u32::try_from(self.page()).map_err(io::Error::other)?,
            flags: 0,
        };
        out.write_at(
            self.data_at,
            &vec![0; PAGE_BYTES << self.meta.frames_shift()],
        )?;
        self.data_at += self.page();
        self.zero = Some(desc);
        Ok(desc)
    }
}

/// Runs of page frames as runs of pages of the machine. What begins or ends inside one is widened where
/// `widen` allows, and refused where not.
pub(crate) struct InPages<'a> {
    pub runs: &'a dyn Runs,
    pub shift: u32,
    pub widen: bool,
}

impl Runs for InPages<'_> {
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
        if self.shift == 0 {
            return self.runs.for_each(f);
        }
        let mask = (1 << self.shift) - 1;
        let mut pending: Option<PfnRange> = None;
        self.runs.for_each(&mut |run| {
            if !self.widen && (run.start.0 | run.end.0) & mask != 0 {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "The run of page frames {} to {} is not of whole pages of the machine; write \
                         an ELF format instead",
                        run.start, run.end
                    ),
                ));
            }
            let pages = PfnRange::new(
                Pfn(run.start.0 >> self.shift),
                Pfn(run.end.0.saturating_add(mask) >> self.shift),
            );
            match &mut pending {
                Some(last) if pages.start <= last.end => last.end = last.end.max(pages.end),
                last => {
                    if let Some(done) = last.replace(pages) {
                        return f(done);
                    }
                }
            }
            Ok(())
        })?;
        pending.map_or(Ok(()), f)
    }
}

/// Header, sub header and notes of a file whose pages are compressed by `status`, for a machine of
/// `max_mapnr` pages: whole blocks. And the bytes of each of the two bitmaps that follow.
///
/// # Errors
/// [`io::Error`] when the machine is too large for the format.
pub(crate) fn head(meta: &CoreMeta, status: u32, max_mapnr: u64) -> io::Result<(Vec<u8>, u64)> {
    let too_large = || io::Error::other("The machine has more memory than a kdump file can hold");
    let notes = meta.all_notes();
    let blob = encode_notes(&notes);
    let page = PAGE_SIZE << meta.frames_shift();
    let page_bytes = PAGE_BYTES << meta.frames_shift();
    let notes_at = page + SUB_LEN as u64;
    let sub_blocks = (SUB_LEN as u64 + blob.len() as u64).div_ceil(page);
    let bitmap_blocks = 2 * max_mapnr.div_ceil(8).div_ceil(page);
    let mut uts = meta.utsname.clone();
    if uts.machine.is_empty() {
        uts.machine = machine_name(meta.machine).unwrap_or_default().to_owned();
    }
    let header = Header {
        order: Order::Little,
        version: VERSION,
        uts,
        time: meta.crash_time.unwrap_or(0),
        status,
        block: u32::try_from(page).map_err(io::Error::other)?,
        sub_blocks: u32::try_from(sub_blocks).map_err(|_| too_large())?,
        bitmap_blocks: u32::try_from(bitmap_blocks).map_err(|_| too_large())?,
        max_mapnr,
        nr_cpus: meta.nr_cpus,
    };
    let mut bytes = header.encode().to_vec();
    bytes.resize(page_bytes, 0);
    let vmcoreinfo = notes.iter().position(|note| note.name == b"VMCOREINFO");
    let vmcoreinfo = vmcoreinfo.and_then(|at| {
        // The text comes after the notes before it, its own header and padded name.
        let before = encode_notes(notes.get(..at)?).len() as u64;
        let desc = notes.get(at)?.desc.len() as u64;
        Some((notes_at + before + 12 + 12, desc))
    });
    let sub = SubHeader {
        phys_base: meta.phys_base,
        dump_level: Some(meta.dump_level),
        split: false,
        start_pfn: 0,
        end_pfn: 0,
        vmcoreinfo: vmcoreinfo.unwrap_or((0, 0)),
        notes: (notes_at, blob.len() as u64),
        max_mapnr,
    };
    bytes.extend_from_slice(&sub.encode());
    bytes.extend_from_slice(&blob);
    bytes.resize(bytes.len().next_multiple_of(page_bytes), 0);
    Ok((bytes, bitmap_blocks / 2 * page))
}

impl Writer for KdumpWriter {
    fn encoder(&self) -> io::Result<Box<dyn Encoder>> {
        let bytes = PAGE_BYTES << self.meta.frames_shift();
        Ok(Box::new(PageEncoder::new(self.method, self.level, bytes)?))
    }

    fn begin(&mut self, kept: &dyn Runs, ram: &dyn Runs, out: &mut dyn Output) -> io::Result<()> {
        let in_pages = |runs, widen| InPages {
            runs,
            shift: self.meta.frames_shift(),
            widen,
        };
        let (kept, ram) = (&in_pages(kept, false), &in_pages(ram, true));
        let count = Count::of(kept, None)?;
        let all = Count::of(ram, None)?;
        self.announced = count.pages;
        let max_mapnr = all.end.max(count.end).0;
        let (head, each) = head(&self.meta, self.method.flag(), max_mapnr)?;
        out.write_at(0, &head)?;
        let first_at = head.len() as u64;
        Bits::write(ram, first_at, each, out)?;
        Bits::write(kept, first_at + each, each, out)?;
        self.descs_at = first_at + 2 * each;
        self.data_at = self.descs_at + count.pages * DESC_LEN as u64;
        Ok(())
    }

    fn append(&mut self, batch: &Encoded, out: &mut dyn Output) -> io::Result<()> {
        let sum: u64 = batch.pieces.iter().map(|piece| u64::from(piece.len)).sum();
        if sum != batch.bytes.len() as u64 {
            return Err(io::Error::other(
                "A batch came from another format's encoder",
            ));
        }
        self.appended += batch.pieces.len() as u64;
        if self.appended > self.announced {
            return Err(io::Error::other(format!(
                "{} pages were announced and more are written",
                self.announced
            )));
        }
        let zero = match batch.pieces.iter().any(|piece| piece.len == 0) {
            true => Some(self.zero_page(out)?),
            false => None,
        };
        out.write_at(self.data_at, &batch.bytes)?;
        for piece in &batch.pieces {
            let desc = match zero {
                Some(zero) if piece.len == 0 => zero,
                _ => PageDesc {
                    offset: self.data_at,
                    size: piece.len,
                    flags: piece.flags,
                },
            };
            self.data_at += u64::from(piece.len);
            self.descs.extend_from_slice(&desc.encode());
        }
        if self.descs.len() >= CHUNK {
            self.flush_descs(out)?;
        }
        Ok(())
    }

    fn attach(
        &mut self,
        _what: Attachment,
        _len: u64,
        _body: &mut dyn Read,
        _out: &mut dyn Output,
    ) -> io::Result<bool> {
        Ok(false)
    }

    fn finish(&mut self, out: &mut dyn Output) -> io::Result<Finished> {
        self.flush_descs(out)?;
        if self.appended != self.announced {
            return Err(io::Error::other(format!(
                "{} pages were announced and {} written",
                self.announced, self.appended
            )));
        }
        Ok(Finished {
            len: self.data_at,
            table: None,
        })
    }
}

/// Sets `n` bits of `bits` from number `from` on; those past its end are left out.
pub(crate) fn set_bits(bits: &mut [u8], from: u64, n: u64) {
    let end = from.saturating_add(n);
    let place = |bit: u64| usize::try_from(bit / 8).unwrap_or(usize::MAX);
    let whole = place(from.saturating_add(7))..place(end);
    if let Some(bytes) = bits.get_mut(whole.start..whole.end.max(whole.start)) {
        bytes.fill(0xff);
    }
    // What is left: the bits before the first whole byte and after the last.
    let edges = [
        (from, end.min(from.next_multiple_of(8))),
        ((end & !7).max(from), end),
    ];
    for (from, end) in edges {
        if let (1.., Some(byte)) = (end.saturating_sub(from), bits.get_mut(place(from))) {
            let mask = ((1_u16 << (end - from)) - 1) << (from % 8);
            *byte |= u8::try_from(mask & 0xff).unwrap_or(0);
        }
    }
}

/// A bitmap on its way out: never held whole.
struct Bits<'a> {
    out: &'a mut dyn Output,
    /// Where `buf` goes.
    at: u64,
    end: u64,
    /// The page of the first bit in `buf`.
    first: u64,
    buf: Vec<u8>,
}

impl<'a> Bits<'a> {
    /// Writes the bitmap of `runs` into the `len` bytes at `at`.
    fn write(runs: &dyn Runs, at: u64, len: u64, out: &'a mut dyn Output) -> io::Result<()> {
        let mut bits = Self {
            out,
            at,
            end: at + len,
            first: 0,
            buf: vec![0; CHUNK],
        };
        runs.for_each(&mut |run| bits.set(run.start.0, run.end.0))?;
        while bits.at < bits.end {
            bits.flush()?;
        }
        Ok(())
    }

    fn set(&mut self, start: u64, end: u64) -> io::Result<()> {
        let mut pfn = start;
        while pfn < end {
            let inside = pfn.saturating_sub(self.first);
            let room = (CHUNK as u64 * 8).saturating_sub(inside);
            if room == 0 {
                self.flush()?;
                continue;
            }
            let n = room.min(end - pfn);
            set_bits(&mut self.buf, inside, n);
            pfn += n;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let part = self.buf.get(..left.min(CHUNK)).unwrap_or_default();
        if part.is_empty() {
            return Err(io::Error::other("A page lies past the end of the bitmap"));
        }
        self.out.write_at(self.at, part)?;
        self.at += part.len() as u64;
        self.first += CHUNK as u64 * 8;
        self.buf.fill(0);
        Ok(())
    }
}
