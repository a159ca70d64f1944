//! The crashed kernel's virtual memory: translation and reads.
//!
//! Three ways lead from an address to memory, tried in this order: the kernel image (where all of its
//! mapping is at one known distance), the direct map (when its base is known and agrees with the page
//! tables), the page tables. A small cache remembers what the page walk found; it is of fixed size and
//! holds no data.

use super::layout::Known;
use crate::addr::{PAGE_SIZE, PhysAddr, VirtAddr};
use crate::arch::paging::{Paging, Pmd};
use crate::arch::{self, Layout};
use crate::dump::MemoryDump;
use crate::kernel::error::{MemError, WalkError};
use crate::order::Order;
use std::sync::{Arc, Mutex, PoisonError};

const CACHE_SLOTS: usize = 256;

/// A dump seen through the crashed kernel's page tables.
pub struct Memory {
    dump: Arc<dyn MemoryDump>,
    layout: Layout,
    direct: Option<Direct>,
    cache: Mutex<Cache>,
}

/// The direct map: how far its addresses are from physical ones, and how much RAM it can map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Direct {
    /// The address of physical address 0, were it mapped (x86_64: `page_offset_base`), modulo 2^64.
    pub base: u64,
    /// Bytes from there.
    pub len: u64,
}

struct Cache {
    pmds: Box<[Option<(u64, Pmd)>]>,
    pages: Box<[Option<(u64, PhysAddr)>]>,
}

impl Memory {
    /// Puts `layout` over `dump`. A direct-map base that the page tables contradict is dropped.
    #[must_use]
    pub fn new(dump: Arc<dyn MemoryDump>, layout: Layout) -> Self {
        let mut memory = Self {
            dump,
            layout,
            direct: None,
            cache: Mutex::new(Cache {
                pmds: vec![None; CACHE_SLOTS].into_boxed_slice(),
                pages: vec![None; CACHE_SLOTS].into_boxed_slice(),
            }),
        };
        if let Some(base) = memory.layout.direct_base {
            memory.set_direct_base(base);
        }
        memory
    }

    /// What the segments of a core alone show, without VMCOREINFO: the kernel image and the direct map.
    /// `None` when they show neither, or dumps of the machine are not read.
    #[must_use]
    pub fn of_segments(dump: Arc<dyn MemoryDump>) -> Option<Self> {
        let info = dump.info();
        let known = Known {
            vmcoreinfo: None,
            dump: &*dump,
        };
        let layout = (arch::of(info.machine)?.segments)(&known)?;
        Some(Self::new(dump, layout))
    }

    fn set_direct_base(&mut self, base: u64) {
        // The top page table is RAM for certain: its alias in the direct map must lead back to it.
        let agrees = self.layout.paging.is_none_or(|paging| {
            let alias = VirtAddr(base.wrapping_add(paging.root.0));
            match paging.walk(&*self.dump, alias) {
                Ok(mapping) => mapping.phys == paging.root,
                // A filtered dump may lack the tables of the direct map; that is no contradiction.
                Err(WalkError::Table { .. }) => true,
                Err(_) => false,
            }
        });
        if agrees {
            let len = self.dump.ram_end().0.saturating_mul(PAGE_SIZE);
            self.direct = Some(Direct { base, len });
        }
    }

    /// The dump.
    #[must_use]
    pub fn dump(&self) -> &Arc<dyn MemoryDump> {
        &self.dump
    }

    /// The order of the bytes in its words.
    #[must_use]
    pub fn order(&self) -> Order {
        self.layout.order
    }

    /// The kernel's page tables, if it is known where they are.
    #[must_use]
    pub fn paging(&self) -> Option<&Paging> {
        self.layout.paging.as_ref()
    }

    /// Where the kernel's memory lies, as the dump says it.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// log2 of the kernel's page size in bytes. Page frames of a dump ([`crate::addr::Pfn`]) are 4 KiB
    /// whatever this is.
    #[must_use]
    pub fn page_shift(&self) -> u32 {
        self.layout.page_shift
    }

    /// The kernel's page size in bytes.
    #[must_use]
    pub fn page_size(&self) -> u64 {
        1 << self.layout.page_shift
    }

    /// The direct map, when the dump's format gave a base that the page tables bear out.
    #[must_use]
    pub fn direct(&self) -> Option<Direct> {
        self.direct
    }

    /// So many pages of the kernel, in page frames of 4 KiB.
    #[must_use]
    pub fn frames(&self, pages: u64) -> u64 {
        pages.saturating_mul(self.page_size() / PAGE_SIZE)
    }

    /// Where `va` lies in physical memory.
    ///
    /// # Errors
    /// When it is not mapped, or the page tables that map it are not in the dump.
    pub fn translate(&self, va: VirtAddr) -> Result<PhysAddr, MemError> {
        self.translate_run(va).map(|(pa, _)| pa)
    }

    /// Where `va` lies, and how many bytes from there are physically contiguous for certain.
    ///
    /// # Errors
    /// As [`Self::translate`].
    pub fn translate_run(&self, va: VirtAddr) -> Result<(PhysAddr, u64), MemError> {
        let va = self.layout.untagged(va);
        let image = self.layout.image;
        if let Some(within) = va.0.checked_sub(image.start)
            && let Some(left) = image.len.checked_sub(within).filter(|left| *left > 0)
        {
            return Ok((image.phys(va), left));
        }
        if let Some(direct) = self.direct {
            let pa = va.0.wrapping_sub(direct.base);
            if pa < direct.len {
                return Ok((PhysAddr(pa), direct.len - pa));
            }
        }
        if let Some(found) = self.in_region(va) {
            return Ok(found);
        }
        self.walk_cached(va)
            .map_err(|source| MemError::Translate { va, source })
    }

    fn in_region(&self, va: VirtAddr) -> Option<(PhysAddr, u64)> {
        let regions = &self.layout.regions;
        let after = regions.partition_point(|region| region.start <= va.0);
        let region = regions.get(after.checked_sub(1)?)?;
        let within = va.0.checked_sub(region.start)?;
        let left = region.len.checked_sub(within).filter(|left| *left > 0)?;
        Some((region.phys.checked_add(within)?, left))
    }

    fn walk_cached(&self, va: VirtAddr) -> Result<(PhysAddr, u64), WalkError> {
        let paging = self.layout.paging.ok_or(WalkError::NoTables { va })?;
        let page_low = self.page_size() - 1;
        let low = va.0 & page_low;
        let vpn = va.0 >> paging.page_shift;
        let pmd_shift = paging.shift(2);
        let vpmd = va.0 >> pmd_shift;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pa)) = slot(&mut cache.pages, vpn).filter(|(key, _)| *key == vpn) {
            return Ok((PhysAddr(pa.0 | low), page_low + 1 - low));
        }
        let hit = slot(&mut cache.pmds, vpmd).filter(|(key, _)| *key == vpmd);
        let pmd = match hit {
            Some((_, pmd)) => pmd,
            None => {
                let pmd = paging.walk_to_pmd(&*self.dump, va)?;
                if let Some(slot) = slot_mut(&mut cache.pmds, vpmd) {
                    *slot = Some((vpmd, pmd));
                }
                pmd
            }
        };
        match pmd {
            Pmd::Page(base) => {
                let within = va.0 & ((1 << pmd_shift) - 1);
                Ok((PhysAddr(base.0 | within), (1 << pmd_shift) - within))
            }
            Pmd::Table(table) => {
                let mapping = paging.walk_from(&*self.dump, va, table, 1)?;
                let base = PhysAddr(mapping.phys.0 & !page_low);
                if let Some(slot) = slot_mut(&mut cache.pages, vpn) {
                    *slot = Some((vpn, base));
                }
                Ok((mapping.phys, page_low + 1 - low))
            }
        }
    }

    /// Copies `buf.len()` bytes from `va`, across pages.
    ///
    /// # Errors
    /// When any of it is not mapped or not in the dump; `buf` is then undefined.
    pub fn read(&self, va: VirtAddr, buf: &mut [u8]) -> Result<(), MemError> {
        let overflow = MemError::Overflow {
            va,
            len: buf.len() as u64,
        };
        if va.0.checked_add(buf.len() as u64).is_none() {
            // The last byte of the address space may be read, nothing past it.
            let last = (buf.len() as u64).saturating_sub(1);
            if va.0.checked_add(last).is_none() {
                return Err(overflow);
            }
        }
        let mut at = va;
        let mut rest = buf;
        while !rest.is_empty() {
            let (pa, run) = self.translate_run(at)?;
            let n = usize::try_from(run).map_or(rest.len(), |run| run.min(rest.len()));
            let Some((now, later)) = rest.split_at_mut_checked(n) else {
                return Err(overflow);
            };
            self.dump
                .read_phys(pa, now)
                .map_err(|source| MemError::Read { va: at, pa, source })?;
            at = at.wrapping_add(n as u64);
            rest = later;
        }
        Ok(())
    }

    /// Where `va` lies in an address space of a task, whose top table lies at `pgd`.
    ///
    /// # Errors
    /// As [`Self::translate`].
    pub fn translate_user(&self, pgd: PhysAddr, va: VirtAddr) -> Result<PhysAddr, MemError> {
        let walk = || {
            let kernels = self.layout.paging.ok_or(WalkError::NoTables { va })?;
            let paging = Paging {
                root: pgd,
                ..kernels
            };
            paging.walk(&*self.dump, va)
        };
        walk()
            .map(|mapping| mapping.phys)
            .map_err(|source| MemError::Translate { va, source })
    }

    /// Copies bytes from an address space of a task, whose top table lies at `pgd`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_user(&self, pgd: PhysAddr, va: VirtAddr, buf: &mut [u8]) -> Result<(), MemError> {
        let kernels = self.layout.paging.ok_or(WalkError::NoTables { va });
        let kernels = kernels.map_err(|source| MemError::Translate { va, source })?;
        let paging = Paging {
            root: pgd,
            ..kernels
        };
        let mut at = va;
        let mut rest = buf;
        while !rest.is_empty() {
            let mapping = paging
                .walk(&*self.dump, at)
                .map_err(|source| MemError::Translate { va: at, source })?;
            let run = PAGE_SIZE - at.page_offset();
            let n = usize::try_from(run).map_or(rest.len(), |run| run.min(rest.len()));
            let Some((now, later)) = rest.split_at_mut_checked(n) else {
                break;
            };
            let pa = mapping.phys;
            self.dump
                .read_phys(pa, now)
                .map_err(|source| MemError::Read { va: at, pa, source })?;
            at = at
                .checked_add(n as u64)
                .ok_or(MemError::Overflow { va, len: n as u64 })?;
            rest = later;
        }
        Ok(())
    }

    /// A string that ends at a NUL or after `max` bytes, without the NUL.
    ///
    /// # Errors
    /// When a page is reached that cannot be read before the string's end.
    pub fn read_cstr(&self, va: VirtAddr, max: usize) -> Result<Vec<u8>, MemError> {
        let mut out = Vec::new();
        let mut at = va;
        let mut chunk = [0u8; 128];
        while out.len() < max {
            let in_page = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(1);
            let n = in_page.min(chunk.len()).min(max - out.len());
            let now = chunk.get_mut(..n).unwrap_or_default();
            self.read(at, now)?;
            if let Some(nul) = now.iter().position(|&b| b == 0) {
                out.extend(now.iter().take(nul));
                return Ok(out);
            }
            out.extend_from_slice(now);
            at = at.checked_add(n as u64).ok_or(MemError::Overflow {
                va,
                len: max as u64,
            })?;
        }
        Ok(out)
    }

    /// Copies an array of known size.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_bytes<const N: usize>(&self, va: VirtAddr) -> Result<[u8; N], MemError> {
        let mut bytes = [0; N];
        self.read(va, &mut bytes)?;
        Ok(bytes)
    }

    /// One byte.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_u8(&self, va: VirtAddr) -> Result<u8, MemError> {
        self.read_bytes(va).map(|[byte]| byte)
    }

    /// A 16-bit word.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_u16(&self, va: VirtAddr) -> Result<u16, MemError> {
        self.read_bytes(va).map(|bytes| self.order().u16(bytes))
    }

    /// A 32-bit word.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_u32(&self, va: VirtAddr) -> Result<u32, MemError> {
        self.read_bytes(va).map(|bytes| self.order().u32(bytes))
    }

    /// A signed 32-bit word.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_i32(&self, va: VirtAddr) -> Result<i32, MemError> {
        self.read_u32(va).map(u32::cast_signed)
    }

    /// A 64-bit word.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_u64(&self, va: VirtAddr) -> Result<u64, MemError> {
        self.read_bytes(va).map(|bytes| self.order().u64(bytes))
    }

    /// A pointer.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_ptr(&self, va: VirtAddr) -> Result<VirtAddr, MemError> {
        self.read_u64(va).map(VirtAddr)
    }
}

fn index(key: u64) -> usize {
    usize::try_from(key % CACHE_SLOTS as u64).unwrap_or(0)
}

fn slot<T: Copy>(slots: &mut [Option<T>], key: u64) -> Option<T> {
    slots.get(index(key)).copied().flatten()
}

fn slot_mut<T>(slots: &mut [Option<T>], key: u64) -> Option<&mut Option<T>> {
    slots.get_mut(index(key))
}

#[cfg(test)]
mod tests;
