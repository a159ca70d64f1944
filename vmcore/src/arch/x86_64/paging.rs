//! The x86_64 page walk, 4 and 5 levels.
//!
//! Facts: Intel SDM volume 3 chapter 4; arch/x86/include/asm/pgtable_types.h. It reads page tables
//! from the dump and believes none of them: a table outside the dump is an error of its own, so
//! that "not mapped" and "the table was filtered out" are told apart. It does not look at access
//! rights, and it knows nothing of Xen PV.

use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::PageTables;

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Bits 51:12 of an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Entries in a table.
pub const ENTRIES: u64 = 512;

/// A set of page tables: where they begin and how deep they go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paging {
    /// Physical address of the top table.
    pub root: PhysAddr,
    /// 4, or 5 with LA57.
    pub levels: u32,
    /// The memory-encryption bits of an entry (`sme_mask`), which are no part of the address.
    pub encryption_mask: u64,
}

/// Where one address leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The physical address of that very byte.
    pub phys: PhysAddr,
    /// log2 of the page that maps it: 12, 21 or 30.
    pub shift: u32,
    /// The last entry, with its flags.
    pub entry: u64,
}

/// Why an address leads nowhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError<E: std::error::Error + 'static> {
    /// Bits 63 down to the top of the address space differ.
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
        let bits = if self.levels >= 5 { 57 } else { 48 };
        let top = va.0 >> (bits - 1);
        top == 0 || top == u64::MAX >> (bits - 1)
    }

    /// The physical address in an entry, the encryption bits taken out.
    #[must_use]
    pub fn address(&self, entry: u64) -> PhysAddr {
        PhysAddr(entry & ADDRESS & !self.encryption_mask)
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
            let shift = 12 + 9 * (level - 1);
            let index = (va.0 >> shift) & (ENTRIES - 1);
            let entry = tables
                .entry(table, index)
                .map_err(|source| WalkError::Table { va, level, source })?;
            if entry & PRESENT == 0 {
                return Err(WalkError::NotMapped { va, level, entry });
            }
            let next = self.address(entry);
            if level == 1 || (entry & LARGE != 0 && (level == 2 || level == 3)) {
                let low = (1u64 << shift) - 1;
                return Ok(Reached::Page(Mapping {
                    phys: PhysAddr((next.0 & !low) | (va.0 & low)),
                    shift,
                    entry,
                }));
            }
            table = next;
        }
        Ok(Reached::Table(table))
    }

    /// The table that maps 2 MiB around `va` by 4 KiB pages, or the 2 MiB or 1 GiB page itself:
    /// what a translation cache wants to keep.
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
            Reached::Page(mapping) => Pmd::Page(PhysAddr(mapping.phys.0 & !((1u64 << 21) - 1))),
        })
    }
}

/// Where following the entries ended.
enum Reached {
    Page(Mapping),
    Table(PhysAddr),
}

/// What stands one level above the 4 KiB pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pmd {
    /// The 2 MiB that hold the address are contiguous from here.
    Page(PhysAddr),
    /// A table of 512 entries.
    Table(PhysAddr),
}
