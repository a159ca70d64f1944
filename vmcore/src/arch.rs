//! What depends on the machine: where the kernel's memory lies, page tables, saved registers.
//!
//! One folder an architecture, one table ([`Arch`]) of what differs; nobody outside this module asks which
//! architecture a dump is of to decide how bytes are read. It names nothing but [`crate::addr`]. Page
//! tables are read through [`PageTables`], so that it does not matter which dump format they come from, and
//! VMCOREINFO through [`Facts`].
//!
//! A program reads dumps of the machine that it runs on. [`read_all`] adds the other architectures: a
//! program that never calls it (the capture kernel's) does not contain them.

pub mod aarch64;
mod layout;
pub mod paging;
pub mod ppc64le;
mod regs;
pub mod riscv64;
pub mod s390x;
mod table;
pub mod x86_64;

pub use layout::{Facts, ImageMap, Layout, Region};
pub use regs::Registers;
pub use table::Registers as TableRegisters;

use crate::addr::PhysAddr;
use crate::order::Order;
use std::sync::OnceLock;

/// The part of the address space that most kernels are in: with 5 levels of tables the upper 2^56 bytes.
pub(crate) const UPPER: u64 = 0xff00_0000_0000_0000;

/// What differs from one architecture to the next.
#[derive(Debug)]
pub struct Arch {
    /// e_machine.
    pub machine: u16,
    /// The order of the bytes in a word of memory.
    pub order: Order,
    /// What `uname -m` calls it.
    pub name: &'static str,
    /// Bytes of an NT_PRSTATUS descriptor.
    pub(crate) prstatus_bytes: usize,
    /// An NT_PRSTATUS descriptor: the pid it names and the registers.
    pub(crate) prstatus: fn(&[u8]) -> Option<(i32, Registers)>,
    /// Swaps the words of an NT_PRSTATUS descriptor that stands in a file of the other byte order.
    pub(crate) swapped_prstatus: Option<fn(&mut [u8])>,
    /// Where the kernel's memory lies, by VMCOREINFO and the dump's segments.
    pub(crate) layout: fn(&dyn Facts) -> Result<Layout, MissingKey>,
    /// The same by the segments alone, of a dump without VMCOREINFO.
    pub(crate) segments: fn(&dyn Facts) -> Option<Layout>,
    /// The key of VMCOREINFO that no other architecture has.
    pub(crate) marker: &'static str,
    /// Bits of a kernel pointer that may hold a tag.
    pub(crate) tag_mask: u64,
    /// No pointer of the kernel is below this.
    pub(crate) least_pointer: u64,
    /// The least order of a hugetlb page.
    pub(crate) least_hugetlb_order: u32,
    /// SECTION_SIZE_BITS and MAX_PHYSMEM_BITS where VMCOREINFO lacks them.
    pub(crate) sparse_bits: fn(&Layout) -> (u32, u32),
}

/// A key of VMCOREINFO that the layout rests on, and that is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingKey(pub &'static str);

/// Physical memory, as far as a page walk reads it.
pub trait PageTables {
    /// Why an entry cannot be read.
    type Error: std::error::Error + 'static;

    /// Entry number `index` (8 bytes each) of the table at `table`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn entry(&self, table: PhysAddr, index: u64) -> Result<[u8; 8], Self::Error>;
}

/// The architecture that this program was compiled for.
#[cfg(target_arch = "aarch64")]
static HOST: &[&Arch] = &[&aarch64::ARCH];
#[cfg(not(target_arch = "aarch64"))]
static HOST: &[&Arch] = &[&x86_64::ARCH];

/// Set by [`read_all`] alone, so that the linker drops what is not the host's where nobody calls it.
static KNOWN: OnceLock<&[&Arch]> = OnceLock::new();

/// From now on dumps of every architecture are read, not only of the host's.
pub fn read_all() {
    static ALL: &[&Arch] = &[
        &x86_64::ARCH,
        &aarch64::ARCH,
        &riscv64::ARCH,
        &ppc64le::ARCH,
        &s390x::ARCH,
    ];
    KNOWN.get_or_init(|| ALL);
}

/// The architectures whose dumps are read.
#[must_use]
pub fn known() -> &'static [&'static Arch] {
    #[cfg(test)]
    read_all();
    KNOWN.get().copied().unwrap_or(HOST)
}

/// The architecture of an e_machine, if its dumps are read.
#[must_use]
pub fn of(machine: u16) -> Option<&'static Arch> {
    known().iter().find(|arch| arch.machine == machine).copied()
}
