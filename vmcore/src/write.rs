//! Encoding of cores: pages given in ascending physical order become a file.
//!
//! Nothing here decides what is written, reads memory or starts threads. The pipeline (crate
//! `capture`) cuts the kept pages into [`Batch`]es, lets one [`Encoder`] per worker turn each into
//! bytes, and hands the results back in order to the [`Writer`], which alone touches the output.

mod codec;
mod effort;
mod elf;
mod flat;
mod frames;
mod header;
pub(crate) mod kdump;
mod meta;
mod page;
mod spool;

pub use crate::dump::{Attachment, KernelImage, PresentRuns, RamRuns, Runs};
pub use codec::zero_pages;
pub use effort::Effort;
pub use flat::Flattened;
pub use meta::{CoreMeta, OutputFormat, Utsname};
pub use spool::{Spool, SpoolFile};

use crate::addr::{Pfn, PfnRange};
use crate::layout::frames::Codec;
use kdump::KdumpWriter;
use page::Method;
use std::io;

/// Pages in a full batch: 64 pages are one 256 KiB frame of the compressed ELF formats.
pub const BATCH_PAGES: usize = 64;

/// Consecutive kept pages (consecutive among the kept, not in address), at most [`BATCH_PAGES`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The runs of the batch in ascending order; their lengths add up to `data.len() / 4096`.
    pub runs: Vec<PfnRange>,
    /// The pages' bytes, one after another.
    pub data: Vec<u8>,
    /// Pages of the batch that could not be read; `data` holds the missing-page pattern there.
    pub missing: Vec<Pfn>,
}

/// A batch made ready for the file by an [`Encoder`].
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// The bytes for the file.
    pub bytes: Vec<u8>,
    /// Per page (kdump) or one for the whole batch (frames): encoded length, and the flags of the
    /// format (kdump: page_desc.flags).
    pub pieces: Vec<Piece>,
    /// Plaintext bytes.
    pub plain_len: usize,
    /// Pages in the batch that hold only zeros.
    pub zero_pages: u64,
    /// Checksum the format keeps per batch (seekable zstd: low 32 bits of XXH64), if any.
    pub checksum: Option<u32>,
    /// Pages of the batch that could not be read.
    pub missing: Vec<Pfn>,
}

/// One encoded unit inside [`Encoded::bytes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Bytes; 0 means the shared zero page (kdump).
    pub len: u32,
    /// Flags of the format.
    pub flags: u32,
}

/// Turns batches into bytes. One per worker; holds that worker's compression context and nothing
/// that depends on other batches, so the same input gives the same bytes with any thread count.
pub trait Encoder: Send {
    /// Encodes `batch` into `out` (cleared first; its buffers are reused).
    ///
    /// # Errors
    /// When the codec refuses, which only a lack of memory can cause.
    fn encode(&mut self, batch: &Batch, out: &mut Encoded) -> io::Result<()>;

    /// Gives the batches from now on this much time. Formats that know no steps ignore it.
    ///
    /// # Errors
    /// When the codec refuses, which only a lack of memory can cause.
    fn set_effort(&mut self, effort: Effort) -> io::Result<()> {
        let _ = effort;
        Ok(())
    }
}

/// Where bytes go. Mostly appends; kdump-compressed rewrites its descriptor table as it goes.
pub trait Output {
    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    /// What the target said (ENOSPC, EIO, a deadline).
    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()>;

    /// Called once, before the first byte of the seek table is written at `offset`, so that an
    /// output that hashes the table (it holds every frame's checksum) need not read it back.
    fn table_begins(&mut self, offset: u64) {
        let _ = offset;
    }

    /// Whether what was written waits for the device.
    fn lags(&self) -> bool {
        false
    }
}

/// What a [`Writer`] made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Finished {
    /// The file's length in bytes.
    pub len: u64,
    /// Offset and length in bytes of the seek table, from its frame's magic to the end of its footer.
    pub table: Option<(u64, u64)>,
}

/// Puts encoded batches into a file, in order.
pub trait Writer: Send {
    /// A fresh encoder for one worker.
    ///
    /// # Errors
    /// When the codec's context cannot be allocated.
    fn encoder(&self) -> io::Result<Box<dyn Encoder>>;

    /// Writes what stands before the pages: headers, notes, bitmaps. `kept` are the pages that
    /// will be appended; `ram` are those that existed (a kdump file's first bitmap; the ELF
    /// formats do not look at it) and must contain `kept`.
    ///
    /// # Errors
    /// Those of the output and of the runs; [`io::ErrorKind::Unsupported`] when an ELF format would
    /// need more than [`meta::MAX_ELF_RUNS`] program headers (write kdump instead).
    fn begin(&mut self, kept: &dyn Runs, ram: &dyn Runs, out: &mut dyn Output) -> io::Result<()>;

    /// Writes the next batch.
    ///
    /// # Errors
    /// Those of the output.
    fn append(&mut self, batch: &Encoded, out: &mut dyn Output) -> io::Result<()>;

    /// Puts `len` bytes of `body` into the file beside the pages, after the last batch: `pages.map`
    /// first, the trailer after it. Answers false, and reads nothing, when the format has no place
    /// for it.
    ///
    /// # Errors
    /// Those of `body` and of the output; a body shorter than `len`.
    fn attach(
        &mut self,
        what: Attachment,
        len: u64,
        body: &mut dyn io::Read,
        out: &mut dyn Output,
    ) -> io::Result<bool>;

    /// Writes what stands after the pages (the seek table).
    ///
    /// # Errors
    /// Those of the output; pages announced to `begin` and not appended.
    fn finish(&mut self, out: &mut dyn Output) -> io::Result<Finished>;
}

/// The writer of a format.
///
/// `level` is the codec's (zstd 1 to 19, zlib 1 to 9); `None` is the format's default. `spool`
/// holds the seek table while it grows: 12 bytes for 256 KiB of pages.
///
/// # Errors
/// When the codec's context cannot be allocated.
pub fn writer(
    format: OutputFormat,
    meta: CoreMeta,
    level: Option<i32>,
    spool: Spool,
) -> io::Result<Box<dyn Writer>> {
    let elf = |meta, codec, spool| -> io::Result<Box<dyn Writer>> {
        Ok(Box::new(elf::ElfWriter::new(meta, codec, level, spool)?))
    };
    match format {
        OutputFormat::ElfZst => elf(meta, Some(Codec::Zstd), spool),
        OutputFormat::ElfLz4 => elf(meta, Some(Codec::Lz4), spool),
        OutputFormat::Elf => elf(meta, None, spool),
        OutputFormat::KdumpZstd => Ok(Box::new(KdumpWriter::new(meta, Method::Zstd, level))),
        OutputFormat::KdumpZlib => Ok(Box::new(KdumpWriter::new(meta, Method::Zlib, level))),
    }
}

#[cfg(test)]
mod tests;
