//! Pages that must not be read, put out of reach of those who follow the kernel's pointers: poisoned
//! ones, whose reading can kill the capture kernel too, offline and ballooned ones, and memory that
//! was never accepted from the hypervisor.
//!
//! Facts: include/linux/page-flags.h (PG_hwpoison 2.6.31 and newer, PG_offline 5.0 and newer),
//! mm/page_alloc.c (`__free_unaccepted`, 6.16 and newer in VMCOREINFO), mm/memory-failure.c.
//! A page is looked up when it is read: its own struct page, that of its compound head, and for
//! unaccepted memory that of its largest block. Nothing is scanned. Which pages a dump keeps is
//! decided elsewhere.
//!
//! A page of the memory map is looked up before it is read as well. Only the page tables that lead to
//! the memory map are read unseen: without them nothing could be looked up. Where such a page must not
//! be read, or the file fails there, nobody knows what the pages are that it describes: they are not
//! read either. What the dump does not hold is a hole in the memory map, and no reason to refuse.

use super::classify::Classifier;
use super::memmap::{Geometry, Section};
use super::rules::TypeTest;
use super::{Kind, Rules};
use crate::addr::{PAGE_SHIFT, PAGE_SIZE, Pfn, PfnRange, PhysAddr, VirtAddr};
use crate::dump::{Absence, DumpInfo, MemoryDump, ReadError};
use crate::kernel::{Kernel, KernelError, Memory};
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

/// Answers remembered: those of 16 MiB.
const REMEMBERED: usize = 4096;
/// How often a struct page may lie in a page whose own struct page is to be looked up first. Each
/// time there are 64 times fewer: 52 bits of address need no more.
const DEPTH: u32 = 8;

/// The same kernel. Pages of its memory that must not be read cannot be read through it.
///
/// # Errors
/// None that the kernel did not have before: where struct pages cannot be looked up nothing changes.
pub fn guarded(kernel: Kernel) -> Result<Kernel, KernelError> {
    let rules = Rules::from_vmcoreinfo(kernel.vmcoreinfo());
    let decoder = rules.decoder();
    let tells = decoder.hwpoison != 0
        || decoder.offline != TypeTest::NEVER
        || decoder.unaccepted != TypeTest::NEVER;
    let geometry = Geometry::of(&kernel, decoder.size);
    let Some(geometry) = geometry.ok().filter(|_| tells) else {
        return Ok(kernel);
    };
    let guard = Guarded {
        dump: Arc::clone(kernel.dump()),
        memory: Arc::clone(kernel.memory()),
        rules,
        geometry,
        known: Mutex::new(vec![None; REMEMBERED]),
    };
    kernel.on(Arc::new(guard))
}

/// A page that was looked up, and whether it may be read.
type Known = Option<(Pfn, bool)>;

/// A dump without the pages that must not be read.
struct Guarded {
    dump: Arc<dyn MemoryDump>,
    /// The kernel's memory, not guarded.
    memory: Arc<Memory>,
    rules: Rules,
    geometry: Geometry,
    /// Pages looked up, each in the one slot that it may take, and whether they may be read.
    known: Mutex<Vec<Known>>,
}

impl Guarded {
    /// The first page in a range that must not be read.
    fn first_in(&self, pages: PfnRange) -> Option<Pfn> {
        (pages.start.0..pages.end.0)
            .map(Pfn)
            .find(|pfn| !self.may_read(*pfn, DEPTH))
    }

    fn may_read(&self, pfn: Pfn, depth: u32) -> bool {
        let slot = usize::try_from(pfn.0 % REMEMBERED as u64).unwrap_or(0);
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, may)) = lock().get(slot).copied().flatten()
            && known == pfn
        {
            return may;
        }
        let may = match self.kind_of(pfn, depth) {
            Ok(kind) => !kind.never_read(),
            Err(unknown) => unknown == Unknown::Hole,
        };
        if let Some(known) = lock().get_mut(slot) {
            *known = Some((pfn, may));
        }
        may
    }

    /// What a page is, as far as it takes to know whether it may be read.
    fn kind_of(&self, pfn: Pfn, depth: u32) -> Result<Kind, Unknown> {
        let depth = depth.checked_sub(1).ok_or(Unknown::Hole)?;
        let map = self.geometry.within(&self.memory);
        // The kernel's page that holds the frame.
        let pfn = Pfn(pfn.0 >> (self.memory.page_shift() - PAGE_SHIFT));
        let base = match map.section(pfn.0 >> map.section_shift()) {
            Section::Base(base) => base,
            Section::Offline => return Ok(Kind::Offline),
            Section::Device | Section::Absent => return Err(Unknown::Hole),
        };
        let decoder = self.rules.decoder();
        let read = |pfn: u64, pages: usize| {
            let va = map.struct_page(base, pfn);
            let len = decoder.size.checked_mul(pages).ok_or(Unknown::Hole)?;
            let mut bytes = vec![0; len];
            self.read(va, &mut bytes, depth)?;
            Ok((va, bytes))
        };
        // With the one behind it, which a compound page's head needs.
        let (va, pair) = read(pfn.0, 2).or_else(|_| read(pfn.0, 1))?;
        let heads = Heads {
            guard: self,
            depth,
            refused: Cell::new(false),
        };
        let mut kinds = [Kind::Unknown as u8];
        Classifier::new(decoder, &heads).run(&pair, pfn.0, va.0, &mut kinds);
        let [kind] = kinds;
        let kind = Kind::from_u8(kind);
        if kind.never_read() {
            return Ok(kind);
        }
        if heads.refused.get() {
            return Err(Unknown::Refused);
        }
        if decoder.unaccepted == TypeTest::NEVER {
            return Ok(kind);
        }
        // Of unaccepted memory only the first page of each largest block says what it is.
        let order = decoder.orders.checked_sub(1);
        let order = order.and_then(|order| u32::try_from(order).ok());
        let first = pfn.0 >> order.unwrap_or(0) << order.unwrap_or(0);
        let (_, block) = read(first, 1)?;
        let page_type = block
            .get(decoder.mapcount..)
            .and_then(|rest| rest.first_chunk::<4>())
            .ok_or(Unknown::Hole)?;
        let unaccepted = decoder.unaccepted.matches(decoder.words.u32(*page_type));
        Ok(if unaccepted { Kind::Unaccepted } else { kind })
    }

    /// Reads struct pages, page by page of the memory map, if those may be read.
    fn read(&self, va: VirtAddr, buf: &mut [u8], depth: u32) -> Result<(), Unknown> {
        let mut at = va;
        let mut rest = buf;
        while !rest.is_empty() {
            let in_page = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(1);
            let n = in_page.min(rest.len());
            let (now, later) = rest.split_at_mut_checked(n).ok_or(Unknown::Hole)?;
            let pa = (self.memory.translate(at)).map_err(|error| unknown(&error))?;
            if depth > 0 && !self.may_read(pa.pfn(), depth) {
                return Err(Unknown::Refused);
            }
            (self.dump.read_phys(pa, now)).map_err(|error| unknown(&error))?;
            at = at.wrapping_add(n as u64);
            rest = later;
        }
        Ok(())
    }
}

/// Why nobody knows what a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unknown {
    /// It has no struct page in the dump: memory that the kernel does not manage, a page that the dump
    /// lacks.
    Hole,
    /// Its struct page is in a page that must not be read, or that failed while it was read.
    Refused,
}

/// Why a struct page could not be read.
fn unknown(error: &(dyn std::error::Error + 'static)) -> Unknown {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ReadError::Io { .. }) = error.downcast_ref() {
            return Unknown::Refused;
        }
        next = error.source();
    }
    Unknown::Hole
}

/// Struct pages of compound heads, for the classifier.
struct Heads<'a> {
    guard: &'a Guarded,
    depth: u32,
    /// Whether one of them is in a page that must not be read.
    refused: Cell<bool>,
}

impl super::classify::Heads for Heads<'_> {
    fn read(&self, va: u64, buf: &mut [u8]) -> bool {
        let read = self.guard.read(VirtAddr(va), buf, self.depth);
        if read == Err(Unknown::Refused) {
            self.refused.set(true);
        }
        read.is_ok()
    }
}

impl MemoryDump for Guarded {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let end = addr.0.saturating_add(buf.len() as u64);
        let pages = PfnRange::new(addr.pfn(), Pfn(end.div_ceil(1 << PAGE_SHIFT)));
        match self.first_in(pages) {
            Some(pfn) => Err(ReadError::Absent {
                pfn,
                why: Absence::Missing,
            }),
            None => self.dump.read_phys(addr, buf),
        }
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.dump.next_present(from)
    }

    fn next_ram(&self, from: Pfn) -> Option<PfnRange> {
        self.dump.next_ram(from)
    }

    fn ram_end(&self) -> Pfn {
        self.dump.ram_end()
    }

    fn absence(&self, pfn: Pfn) -> Absence {
        match self.may_read(pfn, DEPTH) {
            false => Absence::Missing,
            true => self.dump.absence(pfn),
        }
    }

    fn info(&self) -> &DumpInfo {
        self.dump.info()
    }
}

#[cfg(test)]
mod tests;
