//! Where the struct pages are: SPARSEMEM's sections, with a virtual memory map or without.
//!
//! Facts: include/linux/mmzone.h, mm/sparse.c, 5.10 to 7.2. `SYMBOL(mem_section)` is the address of
//! the root array itself; with SPARSEMEM_EXTREME its entries point to pages of sections. The flags
//! in the low bits of `section_mem_map` grew from five to six bits in 7.x; memmaps are aligned to 64
//! bytes at least, so six bits are masked always.

use super::classify::Heads;
use super::error::WalkError;
use crate::addr::{PAGE_SIZE, VirtAddr};
use crate::kernel::{Kernel, Memory};
use std::num::NonZeroU64;

const HAS_MEM_MAP: u64 = 1 << 1;
const IS_ONLINE: u64 = 1 << 2;
/// Since 5.12; earlier kernels leave the bit clear.
const TAINT_ZONE_DEVICE: u64 = 1 << 4;
const FLAGS: u64 = 0x3f;

/// The memory map of a kernel.
#[derive(Clone, Copy)]
pub(super) struct Memmap<'k> {
    memory: &'k Memory,
    geometry: Geometry,
}

/// Where a memory map is and how its parts are laid out.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    root: VirtAddr,
    /// Sections behind one root entry; `None` when the root array holds the sections themselves.
    per_root: Option<NonZeroU64>,
    sections: u64,
    entry_size: u64,
    entry_map: u64,
    /// Bytes of a struct page.
    page_size: u64,
    /// log2 of the kernel's pages in a section.
    shift: u32,
}

/// The struct pages of one section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    /// There are none.
    Absent,
    /// Device memory that the page allocator never had.
    Device,
    /// Hotplugged memory that is not online: its struct pages say nothing yet.
    Offline,
    /// Address of the struct page of page frame 0, were it in this memmap (modulo 2^64).
    Base(u64),
}

impl Geometry {
    pub(super) fn of(kernel: &Kernel, page_size: usize) -> Result<Self, WalkError> {
        let (memory, info) = (kernel.memory(), kernel.vmcoreinfo());
        let missing = |key: &str| WalkError::NoMemmap {
            why: format!("{key} is not in VMCOREINFO"),
        };
        let root = info
            .symbol("mem_section")
            .ok_or_else(|| missing("SYMBOL(mem_section)"))?;
        let length = info
            .length("mem_section")
            .ok_or_else(|| missing("LENGTH(mem_section)"))?;
        let entry_size = info
            .size("mem_section")
            .ok_or_else(|| missing("SIZE(mem_section)"))?;
        let entry_map = info
            .offset("mem_section.section_mem_map")
            .ok_or_else(|| missing("OFFSET(mem_section.section_mem_map)"))?;
        let bits = |name: &str| info.number(name).and_then(|n| u32::try_from(n).ok());
        let (section_default, phys_default) = (kernel.arch().sparse_bits)(memory.layout());
        let section_bits = bits("SECTION_SIZE_BITS").unwrap_or(section_default);
        let phys_bits = bits("MAX_PHYSMEM_BITS").unwrap_or(phys_default);
        let sane = (20..=40).contains(&section_bits)
            && (section_bits..=56).contains(&phys_bits)
            && (8..=memory.page_size()).contains(&entry_size)
            && entry_map.saturating_add(8) <= entry_size
            && page_size > 0;
        if !sane {
            return Err(WalkError::NoMemmap {
                why: "its section sizes make no sense".into(),
            });
        }
        let sections = 1u64 << (phys_bits - section_bits);
        Ok(Self {
            root,
            per_root: NonZeroU64::new(memory.page_size() / entry_size)
                .filter(|_| length < sections),
            sections,
            entry_size,
            entry_map,
            page_size: page_size as u64,
            shift: section_bits - memory.page_shift(),
        })
    }

    /// The memory map as it is in `memory`.
    pub(super) fn within(self, memory: &Memory) -> Memmap<'_> {
        Memmap {
            memory,
            geometry: self,
        }
    }
}

impl<'k> Memmap<'k> {
    pub(super) fn of(kernel: &'k Kernel, page_size: usize) -> Result<Self, WalkError> {
        Ok(Geometry::of(kernel, page_size)?.within(kernel.memory()))
    }

    /// log2 of the kernel's pages in a section.
    pub(super) fn section_shift(&self) -> u32 {
        self.geometry.shift
    }

    /// The section with this number. One that cannot be read is absent.
    pub(super) fn section(&self, number: u64) -> Section {
        self.section_entry(number).unwrap_or(Section::Absent)
    }

    fn section_entry(&self, number: u64) -> Option<Section> {
        if number >= self.geometry.sections {
            return None;
        }
        let entry = match self.geometry.per_root {
            None => self
                .geometry
                .root
                .checked_add(number * self.geometry.entry_size)?,
            Some(per_root) => {
                let slot = self.geometry.root.checked_add(number / per_root * 8)?;
                let roots = self.memory.read_ptr(slot).ok().filter(|p| p.0 != 0)?;
                roots.checked_add(number % per_root * self.geometry.entry_size)?
            }
        };
        let word = self
            .memory
            .read_u64(entry.checked_add(self.geometry.entry_map)?)
            .ok()?;
        if word & HAS_MEM_MAP == 0 {
            return None;
        }
        if word & IS_ONLINE == 0 {
            return Some(match word & TAINT_ZONE_DEVICE {
                0 => Section::Offline,
                _ => Section::Device,
            });
        }
        Some(Section::Base(word & !FLAGS))
    }

    /// Address of the struct page of a kernel's page, in the section whose base is `base`.
    pub(super) fn struct_page(&self, base: u64, pfn: u64) -> VirtAddr {
        VirtAddr(base.wrapping_add(pfn.wrapping_mul(self.geometry.page_size)))
    }

    /// Reads struct pages from `va`; what is not mapped is left as it was, and `f` is told the first
    /// and the number of struct pages in each stretch that could not be read.
    pub(super) fn read(&self, va: VirtAddr, buf: &mut [u8], f: &mut dyn FnMut(usize, usize)) {
        if self.memory.read(va, buf).is_ok() {
            return;
        }
        // A memmap has holes of whole pages: struct pages go with the page they begin in.
        let size = usize::try_from(self.geometry.page_size).unwrap_or(64);
        let mut at = 0usize;
        while at < buf.len() {
            let here = va.wrapping_add(at as u64);
            let in_page = usize::try_from(PAGE_SIZE - here.page_offset()).unwrap_or(size);
            let len = in_page.div_ceil(size).saturating_mul(size);
            let end = at.saturating_add(len).min(buf.len());
            let Some(stretch) = buf.get_mut(at..end) else {
                break;
            };
            if self.memory.read(here, stretch).is_err() {
                f(at / size, stretch.len() / size);
            }
            at = end;
        }
    }
}

impl Heads for Memmap<'_> {
    fn read(&self, va: u64, buf: &mut [u8]) -> bool {
        self.memory.read(VirtAddr(va), buf).is_ok()
    }
}
