//! ELF cores: /proc/vmcore, makedumpfile -E, QEMU's dump-guest-memory, ours (in any container).
//!
//! Facts: fs/proc/vmcore.c (5.10 to 7.2) for the order of notes and segments; makedumpfile -E ends
//! a segment early (p_filesz < p_memsz) where pages were excluded; QEMU may put section headers
//! before program headers and, with paging, lists one page under many virtual addresses.
//! Only the physical side is read here: virtual addresses are resolved through page tables.
//!
//! A page that the segments hold only in part is a page of the dump. The bytes that no segment
//! holds read as zeros, as makedumpfile reads them, and a warning says how many such pages there are.
//!
//! What is held is bounded by the size of a plain file, and by constants for a compressed one, which
//! may say anything in a few bytes.

mod mappings;
mod table;

use self::mappings::{direct_map_base, kernel_image};
use self::table::{Limits, Table, read_notes};
use super::extents::{Extent, Extents, PageRuns};
use super::map::{Lookup, MapReader};
use super::registers::put_in_order;
use super::source::{ByteSource, read_error, read_up_to};
use super::verify::Damage;
use super::{
    Absence, Attachment, Completeness, DumpInfo, Format, MemoryDump, ReadError, Segment, in_pieces,
};
use crate::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr};
use crate::layout::elf::{self, Header};
use crate::layout::{FormatError, own};
use crate::order::Order;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

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
    /// What is wrong and where.
    pub(super) fn open(
        source: Arc<dyn ByteSource>,
        options: ElfOptions,
    ) -> Result<Self, FormatError> {
        let head = read_up_to(&*source, 0, elf::EHDR_LEN as u64)?;
        let header = Header::parse(&head)?;
        let mut warnings = Vec::new();
        let limits = Limits::of(&*source);
        let table = Table::read(&*source, header, limits, &mut warnings)?;
        let mut notes = read_notes(&*source, &table.notes, header.order, limits, &mut warnings)?;
        if header.order == Order::Big {
            put_in_order(&mut notes, header.machine);
        }
        // Now, when all of what it says has been put to use.
        let facts = source.facts();
        warnings.splice(0..0, facts.warnings);
        let vmcoreinfo = elf::vmcoreinfo(&notes);
        let machine = header.machine;
        let direct_map_base = direct_map_base(machine, &table.loads);
        let kernel_image = kernel_image(machine, &table.loads, vmcoreinfo.as_deref());
        let segments = table.loads.len() as u64;
        let memory = Memory::of(table.loads, source.len(), options.widened);
        if let Some((pages, first)) = memory.present.pages_in_part() {
            warnings.push(format!(
                "the segments hold only a part of {pages} pages, the first of them {first}; the \
                 rest of each reads as zeros"
            ));
        }
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
            utsname: None,
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

    /// How many bytes from `at`, which lies in no segment, belong to a page that is held in part.
    fn rest_of_page(&self, at: u64) -> Result<u64, ReadError> {
        let addr = PhysAddr(at);
        let pfn = addr.pfn();
        if !self.runs.contains(pfn) {
            let why = self.absence(pfn);
            return Err(ReadError::Absent { pfn, why });
        }
        let in_page = PAGE_SIZE - addr.page_offset();
        Ok(self.present.gap(at).unwrap_or(in_page).min(in_page))
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
        in_pieces(addr, buf, |at, rest| {
            let (offset, left) = match self.present.find(at.0) {
                Some((offset, left)) => (Some(offset), left),
                None => (None, self.rest_of_page(at.0)?),
            };
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let now = rest.get_mut(..n).unwrap_or_default();
            match offset {
                Some(offset) => (self.source.read_at(offset, now))
                    .map_err(|error| read_error(at.pfn(), error))?,
                None => now.fill(0),
            }
            Ok(n)
        })
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
        let held = |load: &Segment| {
            let here = file_len.saturating_sub(load.offset);
            if here >= load.filesz {
                return load.filesz;
            }
            // The page in which the file was cut off is lost.
            let end = load.paddr.saturating_add(here);
            (end - end % PAGE_SIZE).saturating_sub(load.paddr)
        };
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

#[cfg(test)]
mod tests;
