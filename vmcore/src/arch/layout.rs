//! Where the crashed kernel's memory lies.

use super::paging::Paging;
use crate::addr::{PhysAddr, VirtAddr};
use crate::order::Order;

/// What a dump says of its kernel: VMCOREINFO's keys, the segments' mappings.
pub trait Facts {
    /// `NUMBER(name)`.
    fn number(&self, name: &str) -> Option<i64>;
    /// `SYMBOL(name)`.
    fn symbol(&self, name: &str) -> Option<VirtAddr>;
    /// The value of a key that stands by itself, in hex without 0x.
    fn hex(&self, key: &str) -> Option<u64>;
    /// `OFFSET(struct.member)`, in bytes.
    fn offset(&self, name: &str) -> Option<u64>;
    /// `SIZE(struct)`, in bytes.
    fn size(&self, name: &str) -> Option<u64>;
    /// `OSRELEASE`.
    fn release(&self) -> Option<&str>;
    /// `PAGESIZE`, in bytes.
    fn page_size(&self) -> Option<u64>;
    /// What the segments show of the kernel image: first address, its physical address, bytes.
    fn image_segment(&self) -> Option<(VirtAddr, PhysAddr, u64)>;
    /// The distance between virtual and physical addresses that the segments show of the direct map.
    fn direct_segment(&self) -> Option<u64>;
    /// Copies physical memory, all or nothing.
    fn read(&self, at: PhysAddr, buf: &mut [u8]) -> bool;
}

/// The mapping of the kernel image: virtual and physical addresses in it differ by a constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageMap {
    /// First address for which this holds without a look at the page tables.
    pub start: u64,
    /// Bytes from there. 0: only the symbols of the image itself are known to be mapped like this.
    pub len: u64,
    /// What to add to an address of the image for its physical address, modulo 2^64.
    pub offset: u64,
}

impl ImageMap {
    /// The physical address of a symbol of the kernel image.
    #[must_use]
    pub fn phys(&self, va: VirtAddr) -> PhysAddr {
        PhysAddr(va.0.wrapping_add(self.offset))
    }
}

/// Memory that the kernel's page tables do not tell of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// Its first address.
    pub start: u64,
    /// Its bytes.
    pub len: u64,
    /// Where its first byte lies.
    pub phys: PhysAddr,
}

/// Where the kernel's memory lies.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The order of the bytes in a word.
    pub order: Order,
    /// The kernel's own page tables, if it is known where they are.
    pub paging: Option<Paging>,
    /// log2 of the kernel's page size in bytes: 12, 14 or 16.
    pub page_shift: u32,
    /// The kernel image.
    pub image: ImageMap,
    /// Whether the page tables map the image, too.
    pub image_in_tables: bool,
    /// What is mapped by nothing else, in ascending order.
    pub regions: Vec<Region>,
    /// Virtual minus physical address of the direct (linear) map, modulo 2^64, if it is known.
    pub direct_base: Option<u64>,
    /// The lowest address that code of the kernel or of a module can have.
    pub code_start: u64,
    /// Code that is made while the kernel runs (BPF programs, trampolines) lies from here …
    pub generated_start: u64,
    /// … up to here.
    pub generated_end: u64,
    /// Bits of a kernel pointer that hold a tag and are all ones in the address itself.
    pub tag_mask: u64,
    /// Bits of a kernel's return address that hold an authentication code and are all ones in the
    /// address itself.
    pub pac_mask: u64,
}

impl Layout {
    /// The lowest address of the kernel's half of the address space.
    #[must_use]
    pub fn kernel_half(&self) -> u64 {
        self.paging.map_or(u64::MAX << 47, |paging| paging.kernel)
    }

    /// The address in a tagged pointer of the kernel. Pointers of user mode are left as they are.
    #[must_use]
    pub fn untagged(&self, va: VirtAddr) -> VirtAddr {
        match va.0 >> 55 & 1 {
            1 => VirtAddr(va.0 | self.tag_mask),
            _ => va,
        }
    }
}
