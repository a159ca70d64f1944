//! A dump as physical memory: every format answers the same few questions.
//!
//! A [`MemoryDump`] knows which pages it holds and hands out copies of them; it knows nothing of
//! the kernel inside. Reads copy out and never lend a slice, because the memory behind
//! /proc/vmcore may change while it is read (DMA still in flight) and a poisoned page must be an
//! error, not a signal.

mod elf;
mod extents;
mod file;
pub mod flattened;
mod foreign;
pub mod frames;
mod kdump;
pub mod layered;
pub mod map;
mod mapping;
mod open;
mod registers;
mod runs;
pub mod source;
mod stand_alone;
pub mod verify;

pub use crate::layout::FormatError;
pub use crate::layout::elf::{Note, Segment, machine_name};
pub use crate::layout::kdump::Utsname;
pub use file::open_regular;
pub use open::{open, open_set, open_source, read_all};
pub use runs::{PresentRuns, RamRuns, Runs};

use crate::addr::{PAGE_BYTES, PAGE_SHIFT, PAGE_SIZE, Pfn, PfnRange, PhysAddr, VirtAddr};
use crate::arch::PageTables;
use std::io::{self, Read};
use std::path::PathBuf;

/// A dump, whatever its format.
pub trait MemoryDump: Send + Sync {
    /// Copies exactly `buf.len()` bytes from `addr`, across page and segment borders.
    ///
    /// # Errors
    /// [`ReadError`] names the first page that could not be read and why; `buf` is then undefined.
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// The first maximal run of pages held by this dump that ends after `from`, cut to begin no
    /// earlier than `from`. Runs are found by binary search or bitmap look-up, never listed in memory.
    fn next_present(&self, from: Pfn) -> Option<PfnRange>;

    /// The same for pages that were RAM when the kernel died, held or not (a kdump file's first
    /// bitmap, `pages.map`, a segment's p_memsz). Formats that do not say answer as `next_present`.
    fn next_ram(&self, from: Pfn) -> Option<PfnRange> {
        self.next_present(from)
    }

    /// A page frame that no page of RAM reaches: the one after the last, or one further up where the
    /// format only gives a bound. Found by halving, because no runs are listed backwards.
    fn ram_end(&self) -> Pfn {
        let (mut low, mut high) = (0_u64, 1_u64 << (52 - PAGE_SHIFT));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.next_ram(Pfn(middle)) {
                Some(run) => low = run.end.0.max(middle + 1),
                None => high = middle,
            }
        }
        Pfn(low)
    }

    /// Why a page is not held. Only asked for pages that cannot be read.
    fn absence(&self, pfn: Pfn) -> Absence {
        let _ = pfn;
        Absence::NotInDump
    }

    /// What the file says of itself.
    fn info(&self) -> &DumpInfo;

    /// The same as [`MemoryDump::next_present`] for the pages that the file says it holds, whether
    /// it can still give them (a file cut off cannot) or not.
    fn next_claimed(&self, from: Pfn) -> Option<PfnRange> {
        self.next_present(from)
    }

    /// Checks the container itself: its structure and every checksum in it, not the pages' presence.
    /// True when that read all the content, so that without damages every page is good. For
    /// [`verify::verify`].
    ///
    /// # Errors
    /// Only when the file cannot be read at all; damages go to `found`.
    fn check(
        &self,
        progress: &mut dyn FnMut(u64),
        found: &mut dyn FnMut(verify::Damage),
    ) -> io::Result<bool> {
        let _ = (progress, found);
        Ok(false)
    }

    /// A piece that travels inside the file beside the pages, from its first byte; `None` when the
    /// file has none.
    fn attachment(&self, what: Attachment) -> Option<Box<dyn Read + Send + '_>> {
        let _ = what;
        None
    }
}

/// Fills `buf` from `addr` piece by piece: `read` fills the beginning of what is left, and answers how
/// many bytes.
fn in_pieces(
    addr: PhysAddr,
    buf: &mut [u8],
    mut read: impl FnMut(PhysAddr, &mut [u8]) -> Result<usize, ReadError>,
) -> Result<(), ReadError> {
    let len = buf.len() as u64;
    if addr.checked_add(len).is_none() {
        return Err(ReadError::Overflow { addr, len });
    }
    let (mut at, mut rest) = (addr, buf);
    while !rest.is_empty() {
        let n = read(at, rest)?.max(1);
        rest = rest.get_mut(n..).unwrap_or_default();
        at = PhysAddr(at.0.saturating_add(n as u64));
    }
    Ok(())
}

/// The beginning of `rest`, as far as it is in the page of `at`.
fn in_page(at: PhysAddr, rest: &mut [u8]) -> &mut [u8] {
    let left = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(PAGE_BYTES);
    let n = left.min(rest.len());
    rest.get_mut(..n).unwrap_or_default()
}

impl<D: MemoryDump + ?Sized> PageTables for D {
    type Error = ReadError;

    fn entry(&self, table: PhysAddr, index: u64) -> Result<[u8; 8], ReadError> {
        let offset = index.saturating_mul(8);
        let addr = table.checked_add(offset).ok_or(ReadError::Overflow {
            addr: table,
            len: offset,
        })?;
        let mut bytes = [0; 8];
        self.read_phys(addr, &mut bytes)?;
        Ok(bytes)
    }
}

/// What our own formats carry beside the pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Attachment {
    /// `pages.map`: every page's kind.
    PagesMap,
    /// What actually happened while the core was made, as JSON.
    Trailer,
}

/// Why a page cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absence {
    /// The format does not tell more than that the page is not there.
    NotInDump,
    /// The filter left it out on purpose.
    Excluded,
    /// It was wanted and could not be read from the crashed machine's memory.
    Missing,
    /// It is in a file that was cut off before it.
    Truncated,
    /// It is stored, but its checksum or its compressed form is wrong.
    Corrupt,
    /// There was no RAM at this address.
    NotRam,
}

impl Absence {
    /// The reason in words that complete "page 0x1234 …".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotInDump => "is not in the dump",
            Self::Excluded => "was excluded by the filter",
            Self::Missing => "could not be read when the dump was made",
            Self::Truncated => "lies past the point where the file was cut off",
            Self::Corrupt => "is damaged in the file",
            Self::NotRam => "is not RAM",
        }
    }
}

/// A read that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A page of the range is not to be had.
    #[error("Page {pfn} {}", why.words())]
    Absent {
        /// The first such page.
        pfn: Pfn,
        /// Why.
        why: Absence,
    },
    /// The file itself failed.
    #[error("Cannot read page {pfn} at file offset {offset:#x}")]
    Io {
        /// The page wanted.
        pfn: Pfn,
        /// Where in the file.
        offset: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// The range passes the end of the address space.
    #[error("The range {addr} + {len:#x} passes the end of the address space")]
    Overflow {
        /// Where the range starts.
        addr: PhysAddr,
        /// Its length in bytes.
        len: u64,
    },
}

/// A dump that could not be opened at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file could not be opened or read.
    #[error("Cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No format claims it.
    #[error("{path} is no dump that afterpanic knows: {why}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was looked at.
        why: String,
    },
    /// A known format, but unusable.
    #[error("{path}: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        why: FormatError,
    },
}

/// The container a dump came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Format {
    /// A plain ELF64 core, /proc/vmcore among them.
    Elf,
    /// An ELF core inside the Zstandard seekable format.
    ElfZst,
    /// An ELF core inside LZ4 frames with our index.
    ElfLz4,
    /// kdump-compressed (diskdump version 6 and older).
    Kdump,
    /// A kdump-compressed or ELF file inside makedumpfile's flattened stream.
    Flattened,
    /// /proc/kcore of the running kernel.
    Kcore,
    /// A stand-alone dump of s390x, as zipl's dump programs write it.
    StandAlone,
}

impl Format {
    /// The name used on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Elf => "elf",
            Self::ElfZst => "elf-zst",
            Self::ElfLz4 => "elf-lz4",
            Self::Kdump => "kdump",
            Self::Flattened => "flattened",
            Self::Kcore => "kcore",
            Self::StandAlone => "s390",
        }
    }
}

/// The kernel image mapping: `vaddr..vaddr + size` shows `paddr..paddr + size`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelImage {
    /// Where the kernel's text begins, virtual.
    pub vaddr: VirtAddr,
    /// The same byte, physical.
    pub paddr: PhysAddr,
    /// Length in bytes.
    pub size: u64,
}

/// Whether the file says that all of it is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// It says so (our manifest or trailer, a kdump status without the incomplete bit).
    Complete,
    /// It does not hold all that it should; the words say what.
    Incomplete(String),
    /// The format has no way to say.
    Unknown,
}

/// What a dump says of itself, apart from memory.
#[derive(Clone, Debug)]
pub struct DumpInfo {
    /// The container.
    pub format: Format,
    /// What compresses the pages: "none", "zstd", "lz4", "zlib", "lzo", "snappy", or a list.
    pub compression: String,
    /// e_machine (62 for x86_64). kdump files say it by their uts machine string.
    pub machine: u16,
    /// All notes, in file order.
    pub notes: Vec<Note>,
    /// The text of the VMCOREINFO note.
    pub vmcoreinfo: Option<Vec<u8>>,
    /// utsname out of a kdump header, where at least the release is told.
    pub utsname: Option<Utsname>,
    /// page_offset_base as the segments imply it (p_vaddr − p_paddr of a direct-map segment).
    pub direct_map_base: Option<u64>,
    /// The kernel image mapping, if a segment shows it.
    pub kernel_image: Option<KernelImage>,
    /// Number of PT_LOADs, for ELF formats.
    pub segments: Option<u64>,
    /// The level the file says it was filtered at.
    pub dump_level: Option<u32>,
    /// Whether it is all there.
    pub completeness: Completeness,
    /// Whether stored checksums protect the pages.
    pub checksums: bool,
    /// Bytes of the file on disk.
    pub file_size: u64,
    /// Soft errors met while opening.
    pub warnings: Vec<String>,
}

impl DumpInfo {
    /// An uncompressed x86_64 dump; nothing else is known of it.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            format,
            compression: "none".into(),
            machine: crate::layout::elf::EM_X86_64,
            notes: Vec::new(),
            vmcoreinfo: None,
            utsname: None,
            direct_map_base: None,
            kernel_image: None,
            segments: None,
            dump_level: None,
            completeness: Completeness::Unknown,
            checksums: false,
            file_size: 0,
            warnings: Vec::new(),
        }
    }
}
