//! kdump-compressed files, whole, split into several, incomplete or cut short.
//!
//! Facts: see [`crate::layout::kdump`]. A split file has the bitmaps of the whole dump and
//! descriptors for its own pages only. A page that exists and is not in the second bitmap was
//! excluded; one that is in it may still have no data (descriptor 0) where the disk was full.
//! QEMU writes the same format with both bitmaps equal. The file counts in pages of its machine, of 4, 16 or
//! 64 KiB, which are turned into page frames of 4 KiB where [`MemoryDump`] asks.

mod bitmap;
mod blocks;
mod part;
mod unpack;

use self::part::Part;
use super::source::{ByteSource, read_error};
use super::verify::Damage;
use super::{
    Absence, Completeness, DumpInfo, Format, MemoryDump, ReadError, Utsname, in_page, in_pieces,
};
use crate::addr::{PAGE_SHIFT, Pfn, PfnRange, PhysAddr};
use crate::arch;
use crate::layout::FormatError;
use crate::layout::elf::{machine_number, vmcoreinfo};
use crate::layout::kdump;
use std::io;
use std::sync::Arc;

/// A kdump-compressed dump of one file or several.
pub(super) struct KdumpFile {
    /// By their first page; disjoint.
    parts: Vec<Part>,
    /// log2 of the page frames in a page of the file.
    shift: u32,
    info: DumpInfo,
}

impl KdumpFile {
    /// One dump out of one file, or out of the files of a split dump in any order.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(super) fn open(
        files: Vec<Arc<dyn ByteSource>>,
        format: Format,
        file_size: u64,
    ) -> Result<Self, FormatError> {
        let mut warnings = Vec::new();
        let mut parts = Vec::new();
        for file in files {
            warnings.extend(file.facts().warnings);
            parts.push(Part::open(file, &mut warnings)?);
        }
        parts.sort_by_key(|part| part.own);
        let incomplete = join(&parts)?;
        let first = parts.first().ok_or_else(no_file)?;
        let notes = first.notes(&mut warnings);
        let cut_off = parts.iter().find_map(|part| part.cut_off());
        let completeness = match incomplete.or(cut_off) {
            Some(why) => Completeness::Incomplete(why),
            None => Completeness::Complete,
        };
        let vmcoreinfo = vmcoreinfo(&notes).or_else(|| first.vmcoreinfo());
        let info = DumpInfo {
            format,
            compression: kdump::methods(parts.iter().fold(0, |all, p| all | p.header.status)),
            machine: machine(&first.header.uts.machine, vmcoreinfo.as_deref()),
            utsname: utsname(&first.header.uts),
            notes,
            vmcoreinfo,
            direct_map_base: None,
            kernel_image: None,
            segments: None,
            dump_level: first.sub.dump_level,
            completeness,
            checksums: false,
            file_size,
            warnings,
        };
        let shift = first
            .header
            .block
            .trailing_zeros()
            .saturating_sub(PAGE_SHIFT);
        Ok(Self { parts, shift, info })
    }

    fn part(&self, pfn: Pfn) -> Option<&Part> {
        let after = self.parts.partition_point(|part| part.own.start <= pfn);
        let part = self.parts.get(after.checked_sub(1)?)?;
        part.own.contains(pfn).then_some(part)
    }

    /// Reads from inside one page of the file.
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let pfn = addr.pfn();
        let page = self.page_of(pfn);
        let absent = |why| ReadError::Absent { pfn, why };
        let part = self.part(page).ok_or_else(|| absent(self.absence(pfn)))?;
        if !part.held.contains(&*part.file, page) {
            return Err(absent(self.absence(pfn)));
        }
        let inside = addr.0 & (u64::from(part.header.block) - 1);
        part.read(page, inside, buf)
            .map_err(|error| read_error(pfn, error))
    }

    /// The page of the file that holds a page frame.
    fn page_of(&self, frame: Pfn) -> Pfn {
        Pfn(frame.0 >> self.shift)
    }

    /// Pages of the file as page frames, from `from` on.
    fn frames(&self, pages: PfnRange, from: Pfn) -> PfnRange {
        let frame = |page: Pfn| Pfn(page.0.saturating_mul(1 << self.shift));
        PfnRange::new(frame(pages.start).max(from), frame(pages.end))
    }

    /// The first run of pages of the file that are held, from page `from` on.
    fn next_held(&self, from: Pfn) -> Option<PfnRange> {
        let mut found: Option<PfnRange> = None;
        for part in &self.parts {
            let at = found.map_or(from, |run| run.end).max(part.own.start);
            if at >= part.own.end {
                continue;
            }
            let here = part
                .held
                .next(&*part.file, at)
                .and_then(|run| run.intersect(part.own));
            found = match (found, here) {
                (None, here) => here,
                (Some(run), Some(more)) if more.start == run.end => {
                    Some(PfnRange::new(run.start, more.end))
                }
                (Some(run), _) => return Some(run),
            };
            if found.is_some_and(|run| run.end < part.own.end) {
                return found;
            }
        }
        found
    }
}

/// e_machine by name, or by what only one architecture has in VMCOREINFO: QEMU 11 leaves the name
/// empty.
fn machine(name: &str, vmcoreinfo: Option<&[u8]>) -> u16 {
    let has = |key: &[u8]| {
        vmcoreinfo.is_some_and(|text| {
            text.split(|b| *b == b'\n')
                .any(|line| line.starts_with(key))
        })
    };
    match machine_number(name) {
        0 => {
            let mut known = arch::known().iter();
            known
                .find(|arch| has(arch.marker.as_bytes()))
                .map_or(0, |arch| arch.machine)
        }
        known => known,
    }
}

/// utsname where it says something: QEMU leaves it empty, and a release that is not known is `(none)`.
fn utsname(uts: &Utsname) -> Option<Utsname> {
    let told = !uts.release.is_empty() && uts.release != "(none)";
    told.then(|| uts.clone())
}

fn no_file() -> FormatError {
    FormatError::unsupported("no file was given")
}

/// Whether the parts are one dump; what is missing of it.
fn join(parts: &[Part]) -> Result<Option<String>, FormatError> {
    let first = parts.first().ok_or_else(no_file)?;
    let mut missing = None;
    let mut end = Pfn(0);
    for part in parts {
        let same = part.header.max_mapnr == first.header.max_mapnr
            && part.header.uts.machine == first.header.uts.machine
            && part.header.time == first.header.time
            && part.header.block == first.header.block
            && part.sub.phys_base == first.sub.phys_base;
        if !same {
            return Err(FormatError::unsupported("the files are of different dumps"));
        }
        if part.own.start < end {
            return Err(FormatError::unsupported(format!(
                "two of the files hold page {}: they are not the parts of one split dump",
                part.own.start
            )));
        }
        if part.sub.split && part.own.start > end {
            missing = Some((end, part.own.start));
        }
        end = part.own.end;
    }
    if first.sub.split && end.0 < first.header.max_mapnr {
        missing = missing.or(Some((end, Pfn(first.header.max_mapnr))));
    }
    Ok(missing.map(|(from, to)| {
        format!("it is a split dump and the file with pages {from} to {to} was not given")
    }))
}

impl MemoryDump for KdumpFile {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        in_pieces(addr, buf, |at, rest| {
            let now = in_page(at, rest);
            self.read(at, now)?;
            Ok(now.len())
        })
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        let run = self.next_held(self.page_of(from))?;
        Some(self.frames(run, from))
    }

    fn next_ram(&self, from: Pfn) -> Option<PfnRange> {
        let part = self.parts.first()?;
        let run = part.ram.next(&*part.file, self.page_of(from))?;
        Some(self.frames(run, from))
    }

    fn ram_end(&self) -> Pfn {
        // max_mapnr: the bitmap may be half a gigabyte of nothing.
        let end = Pfn(self.parts.first().map_or(0, |part| part.header.max_mapnr));
        self.frames(PfnRange::new(end, end), Pfn(0)).end
    }

    fn absence(&self, pfn: Pfn) -> Absence {
        let page = self.page_of(pfn);
        let Some(any) = self.parts.first() else {
            return Absence::NotInDump;
        };
        if !any.ram.contains(&*any.file, page) {
            return Absence::NotRam;
        }
        if !any.held.contains(&*any.file, page) {
            return Absence::Excluded;
        }
        let Some(part) = self.part(page) else {
            return Absence::NotInDump;
        };
        match part.page_desc(page) {
            Ok(desc) if desc.offset != 0 => Absence::Corrupt,
            _ => Absence::Truncated,
        }
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }

    fn check(
        &self,
        _progress: &mut dyn FnMut(u64),
        found: &mut dyn FnMut(Damage),
    ) -> io::Result<bool> {
        for why in &self.info.warnings {
            found(Damage::Structure {
                offset: None,
                why: why.clone(),
            });
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
