//! The page walk of any architecture: tables of 8-byte entries.
//!
//! An architecture brings the depth and how one entry is read. The walk reads page tables from the dump
//! and believes none of them: a table outside the dump is an error of its own, so that "not mapped" and
//! "the table was filtered out" are told apart. Access rights are ignored. Xen PV is not supported.

use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::PageTables;
use crate::order::Order;

/// Most levels of tables.
pub const LEVELS: usize = 5;

/// What entries map, by log2 of the page size and of the entries in a table of each level, the lowest first.
pub(crate) fn shifts(page_shift: u32, bits: [u8; LEVELS]) -> [u8; LEVELS + 1] {
    let mut shift = page_shift as u8;
    let mut all = [shift; LEVELS + 1];
    for (to, bits) in all.iter_mut().skip(1).zip(bits) {
        shift += bits;
        *to = shift;
    }
    all
}

/// What an entry of a page table says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// It is not present.
    None,
    /// The next table lies there.
    Table(PhysAddr),
    /// It maps a page of its level, whose address may have bits below the page's size.
    Page(PhysAddr),
}

/// A set of page tables: where they begin, how deep they go, how an entry is read.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    /// Physical address of the top table.
    pub root: PhysAddr,
    /// Levels of tables: 2 to 5.
    pub levels: u32,
    /// log2 of the bytes of the smallest page: 12, 14 or 16.
    pub page_shift: u32,
    /// log2 of the bytes that one entry of each level maps, the lowest first, and of what they map together.
    pub shifts: [u8; LEVELS + 1],
    /// From this one up the bits of an address are 0, or those of `kernel`.
    pub sign_bit: u32,
    /// The lowest address of the kernel.
    pub kernel: u64,
    /// The order of the bytes in an entry.
    pub order: Order,
    /// The memory-encryption bits of an entry (`sme_mask`), which are no part of the address.
    pub encryption_mask: u64,
    /// Reads an entry of a level, 1 for the lowest, and its number in the table. Encryption bits are taken
    /// out before.
    pub(crate) decode: fn(entry: u64, level: u32, index: u64) -> Entry,
}

/// Where one address leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The physical address of that very byte.
    pub phys: PhysAddr,
    /// log2 of the page that maps it.
    pub shift: u32,
    /// The last entry, with its flags.
    pub entry: u64,
}

/// Why an address leads nowhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError<E: std::error::Error + 'static> {
    /// The bits above the address space differ.
    #[error("Address {va} is not canonical")]
    NonCanonical {
        /// The address.
        va: VirtAddr,
    },
    /// Where the page tables lie is not known.
    #[error(
        "Address {va} is neither in the kernel image nor in the direct map, and the dump does not \
         say where the page tables are"
    )]
    NoTables {
        /// The address.
        va: VirtAddr,
    },
    /// An entry is not present.
    #[error("Address {va} is not mapped: its level-{level} entry is {entry:#x}")]
    NotMapped {
        /// The address.
        va: VirtAddr,
        /// 5 (PGD) down to 1 (PTE).
        level: u32,
        /// The entry as it stands.
        entry: u64,
    },
    /// A table is not in the dump.
    #[error("The level-{level} page table of address {va} cannot be read")]
    Table {
        /// The address.
        va: VirtAddr,
        /// 5 (PGD) down to 1 (PTE).
        level: u32,
        /// Why.
        source: E,
    },
}

impl Paging {
    /// Whether `va` may be used at all with this depth.
    #[must_use]
    pub(crate) fn is_canonical(&self, va: VirtAddr) -> bool {
        let top = va.0 >> self.sign_bit;
        top == 0 || top == self.kernel >> self.sign_bit
    }

    /// log2 of the bytes that one entry of a level maps.
    #[must_use]
    pub(crate) fn shift(&self, level: u32) -> u32 {
        let place = level.saturating_sub(1) as usize;
        self.shifts.get(place).copied().unwrap_or(63).into()
    }

    /// Entries in a table of a level.
    #[must_use]
    pub(crate) fn entries(&self, level: u32) -> u64 {
        1 << self.shift(level + 1).saturating_sub(self.shift(level))
    }

    /// What an entry of a level says, which is number `index` of its table.
    #[must_use]
    pub(crate) fn read(&self, entry: u64, level: u32, index: u64) -> Entry {
        (self.decode)(entry & !self.encryption_mask, level, index)
    }

    /// The first entry of the top table that is the kernel's: tables that user mode shares have it in
    /// their upper half.
    #[must_use]
    pub(crate) fn first_of_kernel(&self) -> u64 {
        self.kernel >> self.shift(self.levels) & (self.entries(self.levels) - 1)
    }

    /// The address that the first entry of the top table maps, where the table is the kernel's.
    #[must_use]
    pub(crate) fn base(&self) -> u64 {
        let translated = self.shift(self.levels + 1);
        self.kernel >> translated << translated
    }

    /// Walks from the top.
    ///
    /// # Errors
    /// See [`WalkError`].
    pub fn walk<T: PageTables + ?Sized>(
        &self,
        tables: &T,
        va: VirtAddr,
    ) -> Result<Mapping, WalkError<T::Error>> {
        if !self.is_canonical(va) {
            return Err(WalkError::NonCanonical { va });
        }
        self.walk_from(tables, va, self.root, self.levels)
    }

    /// Walks from a table of a known level down.
    ///
    /// # Errors
    /// See [`WalkError`].
    pub(crate) fn walk_from<T: PageTables + ?Sized>(
        &self,
        tables: &T,
        va: VirtAddr,
        table: PhysAddr,
        level: u32,
    ) -> Result<Mapping, WalkError<T::Error>> {
        match self.descend(tables, va, table, level, 1)? {
            Reached::Page(mapping) => Ok(mapping),
            Reached::Table(_) => Err(WalkError::NotMapped {
                va,
                level: 0,
                entry: 0,
            }),
        }
    }

    /// Follows the entries of levels `from` down to `to`, or to the page that maps `va`.
    fn descend<T: PageTables + ?Sized>(
        &self,
        tables: &T,
        va: VirtAddr,
        mut table: PhysAddr,
        from: u32,
        to: u32,
    ) -> Result<Reached, WalkError<T::Error>> {
        for level in (to..=from).rev() {
            let shift = self.shift(level);
            let index = (va.0 >> shift) & (self.entries(level) - 1);
            let entry = tables
                .entry(table, index)
                .map(|bytes| self.order.u64(bytes))
                .map_err(|source| WalkError::Table { va, level, source })?;
            match self.read(entry, level, index) {
                Entry::None => return Err(WalkError::NotMapped { va, level, entry }),
                Entry::Page(page) => {
                    let low = (1u64 << shift) - 1;
                    return Ok(Reached::Page(Mapping {
                        phys: PhysAddr((page.0 & !low) | (va.0 & low)),
                        shift,
                        entry,
                    }));
                }
                Entry::Table(next) => table = next,
            }
        }
        Ok(Reached::Table(table))
    }

    /// The lowest table on the way to `va`, or the larger page itself that maps it: what a translation
    /// cache wants to keep.
    ///
    /// # Errors
    /// See [`WalkError`].
    pub(crate) fn walk_to_pmd<T: PageTables + ?Sized>(
        &self,
        tables: &T,
        va: VirtAddr,
    ) -> Result<Pmd, WalkError<T::Error>> {
        if !self.is_canonical(va) {
            return Err(WalkError::NonCanonical { va });
        }
        Ok(match self.descend(tables, va, self.root, self.levels, 2)? {
            Reached::Table(table) => Pmd::Table(table),
            Reached::Page(mapping) => {
                let low = (1u64 << self.shift(2)) - 1;
                Pmd::Page(PhysAddr(mapping.phys.0 & !low))
            }
        })
    }
}

/// Where following the entries ended.
enum Reached {
    Page(Mapping),
    Table(PhysAddr),
}

/// What stands one level above the smallest pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pmd {
    /// What one entry of level 2 maps is contiguous from here.
    Page(PhysAddr),
    /// A table of level 1.
    Table(PhysAddr),
}
