//! ELF cores: /proc/vmcore, makedumpfile -E, QEMU's dump-guest-memory, ours (in any container).
//!
//! Facts: fs/proc/vmcore.c (5.10 to 7.2) for the order of notes and segments; makedumpfile -E ends
//! a segment early (p_filesz < p_memsz) where pages were excluded; QEMU may put section headers
//! before program headers and, with paging, lists one page under many virtual addresses.
//! Only the physical side is read here: virtual addresses are resolved through page tables.

use super::extents::{Extent, Extents, PageRuns};
use super::map::{Lookup, MapReader};
use super::source::{self, ByteSource, SourceError};
use super::verify::Damage;
use super::{
    Absence, Attachment, Completeness, DumpInfo, Format, KernelImage, MemoryDump, Note, ReadError,
    Segment,
};
use crate::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr, VirtAddr};
use crate::layout::elf::{
    self, EM_X86_64, Header, PHDR_LEN, PN_XNUM, PT_LOAD, PT_NOTE, SHDR_LEN, parse_notes, parse_phdr,
};
use crate::layout::own;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

/// Program headers read at a time.
const PHDR_STEP: u64 = 1024;
/// Bytes of notes that are taken into memory; device dumps (VMCOREDD) can be large.
const NOTES_MAX: u64 = 256 << 20;
/// x86_64: where the kernel image mapping begins, and how far it reaches.
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
const KERNEL_IMAGE_SIZE: u64 = 1 << 30;
/// RecordedAddresses between p_vaddr and p_paddr that are compared while looking for page_offset_base.
const CANDIDATES: usize = 16;

/// An ELF core in whatever container.
pub(super) struct ElfCore {
    source: Arc<dyn ByteSource>,
    present: Extents,
    runs: PageRuns,
    /// What the segments claim, where that is more than `runs`.
    claimed: Option<PageRuns>,
    /// p_memsz, where that is more than p_filesz somewhere.
    ram: Option<PageRuns>,
    /// The `pages.map` inside the file, opened when somebody asks what is not there.
    map: OnceLock<Option<MapReader>>,
    info: DumpInfo,
}

/// How the caller found the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct ElfOptions {
    /// What to call the format.
    pub format: Format,
    /// Bytes on disk.
    pub file_size: u64,
    /// The file is /proc/vmcore: segments that begin or end inside a page are stored widened to
    /// whole pages.
    pub widened: bool,
}

impl ElfCore {
    /// Reads header, program headers and notes; no page.
    ///
    /// # Errors
    /// A sentence that says what is wrong and where.
    pub(super) fn open(source: Arc<dyn ByteSource>, options: ElfOptions) -> Result<Self, String> {
        let head = read_up_to(&*source, 0, elf::EHDR_LEN as u64)?;
        let header = Header::parse(&head)?;
        let mut warnings = Vec::new();
        let table = Table::read(&*source, header, &mut warnings)?;
        let notes = read_notes(&*source, &table.notes, &mut warnings)?;
        // Now, when all of what it says has been put to use.
        let facts = source.facts();
        warnings.splice(0..0, facts.warnings);
        let vmcoreinfo = elf::vmcoreinfo(&notes);
        let machine = header.machine;
        let direct_map_base = direct_map_base(machine, &table.loads);
        let kernel_image = kernel_image(machine, &table.loads, vmcoreinfo.as_deref());
        let segments = table.loads.len() as u64;
        let memory = Memory::of(table.loads, source.len(), options.widened);
        let completeness = match (facts.cut_off, &memory.claimed) {
            (Some(why), _) => Completeness::Incomplete(why),
            (None, Some(_)) => Completeness::Incomplete(format!(
                "segments reach past the end of the file at {:#x}",
                source.len()
            )),
            (None, None) if source.attachment(Attachment::Trailer).is_some() => {
                Completeness::Complete
            }
            (None, None) => Completeness::Unknown,
        };
        let info = DumpInfo {
            format: options.format,
            compression: facts.compression.unwrap_or("none").to_owned(),
            machine,
            dump_level: own::level(&notes),
            notes,
            vmcoreinfo,
            direct_map_base,
            kernel_image,
            segments: Some(segments),
            completeness,
            checksums: facts.checksums,
            file_size: options.file_size,
            warnings,
        };
        Ok(Self {
            source,
            present: memory.present,
            runs: memory.runs,
            claimed: memory.claimed,
            ram: memory.ram,
            map: OnceLock::new(),
            info,
        })
    }

    fn map(&self) -> Option<&MapReader> {
        let open = || {
            let bytes = self.source.attachment(Attachment::PagesMap)?;
            let opened = MapReader::open(Box::new(bytes));
            opened
                .inspect_err(|why| log::warn!("the pages.map inside the core is of no use: {why}"))
                .ok()
        };
        self.map.get_or_init(open).as_ref()
    }
}

/// The first run of RAM at or after `from` that a map tells of: its runs of kinds, joined.
fn next_in_map(map: &MapReader, from: Pfn) -> Option<PfnRange> {
    let mut found: Option<PfnRange> = None;
    // An error from here only ends the walk.
    let _ = map.for_each_from(from, &mut |run| match &mut found {
        None => {
            found = Some(PfnRange::new(run.pages.start.max(from), run.pages.end));
            Ok(())
        }
        Some(ram) if ram.end == run.pages.start => {
            ram.end = run.pages.end;
            Ok(())
        }
        Some(_) => Err(io::ErrorKind::Interrupted.into()),
    });
    found.filter(|run| !run.is_empty())
}

impl MemoryDump for ElfCore {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let overflow = ReadError::Overflow {
            addr,
            len: buf.len() as u64,
        };
        if addr.checked_add(buf.len() as u64).is_none() {
            return Err(overflow);
        }
        let mut at = addr.0;
        let mut rest = buf;
        while !rest.is_empty() {
            let pfn = PhysAddr(at).pfn();
            let Some((offset, left)) = self.present.find(at) else {
                let why = self.absence(pfn);
                return Err(ReadError::Absent { pfn, why });
            };
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let Some((now, later)) = rest.split_at_mut_checked(n) else {
                return Err(overflow);
            };
            self.source
                .read_at(offset, now)
                .map_err(|error| read_error(pfn, error))?;
            rest = later;
            at = at.saturating_add(n as u64);
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.runs.next(from)
    }

    fn next_claimed(&self, from: Pfn) -> Option<PfnRange> {
        self.claimed.as_ref().unwrap_or(&self.runs).next(from)
    }

    fn next_ram(&self, from: Pfn) -> Option<PfnRange> {
        if let Some(ram) = &self.ram {
            return ram.next(from);
        }
        // A map that was cut off does not know all of RAM.
        match self.map().filter(|map| map.is_complete()) {
            Some(map) => next_in_map(map, from),
            None => self.next_claimed(from),
        }
    }

    fn absence(&self, pfn: Pfn) -> Absence {
        let has = |runs: &Option<PageRuns>| runs.as_ref().is_some_and(|runs| runs.contains(pfn));
        if self.runs.contains(pfn) {
            Absence::Corrupt
        } else if has(&self.claimed) {
            Absence::Truncated
        } else if has(&self.ram) {
            Absence::Excluded
        } else {
            match self.map().map(|map| map.kind_of(pfn)) {
                Some(Ok(Lookup::Kind(_))) => Absence::Excluded,
                Some(Ok(Lookup::NotRam)) => Absence::NotRam,
                _ => Absence::NotInDump,
            }
        }
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }

    fn check(
        &self,
        progress: &mut dyn FnMut(u64),
        found: &mut dyn FnMut(Damage),
    ) -> io::Result<bool> {
        self.source.check(progress, found)
    }

    fn attachment(&self, what: Attachment) -> Option<Box<dyn Read + Send + '_>> {
        let stretch = self.source.attachment(what)?;
        Some(Box::new(stretch))
    }
}

/// What a reader of memory is told about a failure of the bytes below it.
pub(crate) fn read_error(pfn: Pfn, error: SourceError) -> ReadError {
    let absent = |why| ReadError::Absent { pfn, why };
    match error {
        SourceError::PastEnd { .. } => absent(Absence::Truncated),
        SourceError::Corrupt { offset, why } => {
            log::debug!("page {pfn} at {offset:#x}: {why}");
            absent(Absence::Corrupt)
        }
        SourceError::Io { offset, source } => ReadError::Io {
            pfn,
            offset,
            source,
        },
    }
}

fn read_up_to(source: &dyn ByteSource, offset: u64, len: u64) -> Result<Vec<u8>, String> {
    source::read_up_to(source, offset, len).map_err(in_words)
}

/// A source's error with what the system said, for errors that are only text.
pub(crate) fn in_words(error: SourceError) -> String {
    match error {
        SourceError::Io { offset, source } => format!("cannot read at {offset:#x}: {source}"),
        other => other.to_string(),
    }
}

/// The program headers, sorted by what they are.
#[derive(Default)]
struct Table {
    loads: Vec<Segment>,
    notes: Vec<Segment>,
}

impl Table {
    fn read(
        source: &dyn ByteSource,
        header: Header,
        warnings: &mut Vec<String>,
    ) -> Result<Self, String> {
        let mut count = u64::from(header.phnum);
        if header.phnum == PN_XNUM && header.shoff != 0 {
            let section = read_up_to(source, header.shoff, SHDR_LEN as u64)?;
            count = elf::section_info(&section).map(u64::from).ok_or_else(|| {
                format!(
                    "e_phnum says that section header 0 at {:#x} holds the number of program \
                     headers, but the file ends before it",
                    header.shoff
                )
            })?;
        }
        let room = source.len().saturating_sub(header.phoff) / PHDR_LEN as u64;
        if count > room {
            warnings.push(format!(
                "{count} program headers are announced at {:#x} and the file has room for {room}",
                header.phoff
            ));
            count = room;
        }
        if count == 0 {
            return Err(format!(
                "there are no program headers at {:#x}",
                header.phoff
            ));
        }
        let mut table = Self::default();
        let mut done = 0;
        while done < count {
            let n = PHDR_STEP.min(count - done);
            let at = header.phoff.saturating_add(done * PHDR_LEN as u64);
            let bytes = read_up_to(source, at, n * PHDR_LEN as u64)?;
            for (p_type, segment) in bytes.chunks_exact(PHDR_LEN).filter_map(parse_phdr) {
                match p_type {
                    PT_LOAD => table.loads.push(segment),
                    PT_NOTE => table.notes.push(segment),
                    _ => {}
                }
            }
            done += n;
        }
        Ok(table)
    }
}

fn read_notes(
    source: &dyn ByteSource,
    segments: &[Segment],
    warnings: &mut Vec<String>,
) -> Result<Vec<Note>, String> {
    let mut notes = Vec::new();
    let mut budget = NOTES_MAX.min(source.len());
    for segment in segments {
        let here = segment
            .filesz
            .min(source.len().saturating_sub(segment.offset));
        if here < segment.filesz {
            warnings.push(format!(
                "the notes at {:#x} are cut off: {here:#x} of {:#x} bytes",
                segment.offset, segment.filesz
            ));
        }
        if here > budget {
            warnings.push(format!(
                "notes at {:#x} are left out: there are more than {NOTES_MAX:#x} bytes of notes",
                segment.offset
            ));
            continue;
        }
        budget -= here;
        let bytes = match read_up_to(source, segment.offset, here) {
            Ok(bytes) => bytes,
            Err(why) => {
                warnings.push(format!("the notes at {:#x}: {why}", segment.offset));
                continue;
            }
        };
        let (more, wrong) = parse_notes(&bytes);
        notes.extend(more);
        if let Some(why) = wrong {
            warnings.push(format!("in the notes at {:#x}: {why}", segment.offset));
        }
    }
    Ok(notes)
}

/// Where memory lies, out of the PT_LOADs.
struct Memory {
    present: Extents,
    runs: PageRuns,
    claimed: Option<PageRuns>,
    ram: Option<PageRuns>,
}

impl Memory {
    fn of(mut loads: Vec<Segment>, file_len: u64, widened: bool) -> Self {
        // /proc/kcore's virtual areas have no physical address.
        loads.retain(|load| load.paddr != u64::MAX);
        for load in &mut loads {
            let room = u64::MAX - load.paddr;
            load.memsz = load.memsz.max(load.filesz).min(room);
            load.filesz = load.filesz.min(room);
            if widened {
                widen(load);
            }
        }
        let extents = |len: &dyn Fn(&Segment) -> u64| {
            let list = loads.iter().map(|load| Extent {
                paddr: load.paddr,
                len: len(load),
                offset: load.offset,
            });
            Extents::new(list.collect())
        };
        let held = |load: &Segment| load.filesz.min(file_len.saturating_sub(load.offset));
        let cut = loads.iter().any(|load| held(load) < load.filesz);
        let gaps = loads.iter().any(|load| load.filesz < load.memsz);
        let present = extents(&held);
        Self {
            runs: present.page_runs(),
            claimed: cut.then(|| extents(&|load| load.filesz).page_runs()),
            ram: gaps.then(|| extents(&|load| load.memsz).page_runs()),
            present,
        }
    }
}

/// /proc/vmcore keeps p_offset and p_paddr equal modulo the page size and stores whole pages.
fn widen(load: &mut Segment) {
    let before = load.paddr % PAGE_SIZE;
    if before != load.offset % PAGE_SIZE || load.filesz == 0 {
        return;
    }
    load.paddr -= before;
    load.vaddr = load.vaddr.saturating_sub(before);
    load.offset -= before;
    for size in [&mut load.filesz, &mut load.memsz] {
        let whole = size
            .checked_add(before)
            .and_then(|n| n.checked_next_multiple_of(PAGE_SIZE));
        *size = whole.unwrap_or(*size);
    }
}

fn in_image_map(machine: u16, vaddr: u64) -> bool {
    machine == EM_X86_64
        && vaddr
            .checked_sub(START_KERNEL_MAP)
            .is_some_and(|inside| inside < KERNEL_IMAGE_SIZE)
}

/// page_offset_base: the distance between p_vaddr and p_paddr that covers most bytes, if it is one
/// that the kernel could have chosen (a multiple of 1 GiB in the upper half).
fn direct_map_base(machine: u16, loads: &[Segment]) -> Option<u64> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for load in loads {
        let base = load.vaddr.wrapping_sub(load.paddr);
        let plausible = load.vaddr >> 55 == 0x1ff
            && base >> 55 == 0x1ff
            && base % (1 << 30) == 0
            && !in_image_map(machine, load.vaddr);
        if !plausible {
            continue;
        }
        if let Some((_, bytes)) = found.iter_mut().find(|(b, _)| *b == base) {
            *bytes = bytes.saturating_add(load.memsz);
        } else if found.len() < CANDIDATES {
            found.push((base, load.memsz));
        }
    }
    let best = found
        .into_iter()
        .max_by_key(|(base, bytes)| (*bytes, std::cmp::Reverse(*base)));
    best.map(|(base, _)| base)
}

/// The kernel image mapping: the span of all segments in it that lie phys_base away (or as far as
/// the first does, when VMCOREINFO does not say).
fn kernel_image(machine: u16, loads: &[Segment], vmcoreinfo: Option<&[u8]>) -> Option<KernelImage> {
    let phys_base = vmcoreinfo
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("NUMBER(phys_base)="))
        })
        .and_then(|number| number.trim().parse::<i64>().ok());
    let mut delta = phys_base.map(|base| START_KERNEL_MAP.wrapping_sub(base.cast_unsigned()));
    let mut span: Option<(u64, u64)> = None;
    for load in loads {
        let this = load.vaddr.wrapping_sub(load.paddr);
        let Some(end) = load.vaddr.checked_add(load.memsz) else {
            continue;
        };
        if !in_image_map(machine, load.vaddr) || *delta.get_or_insert(this) != this {
            continue;
        }
        let (from, to) = span.unwrap_or((load.vaddr, end));
        span = Some((from.min(load.vaddr), to.max(end)));
    }
    let ((start, end), delta) = (span?, delta?);
    Some(KernelImage {
        vaddr: VirtAddr(start),
        paddr: PhysAddr(start.wrapping_sub(delta)),
        size: end - start,
    })
}

#[cfg(test)]
mod tests;
