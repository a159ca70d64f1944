//! s390x: region, segment and page tables, the identity mapping, the kernel image, saved registers.
//!
//! Facts: arch/s390/kernel/vmcore_info.c (machine_kexec.c before 6.11), arch/s390/include/asm/{page.h,pgtable.h,
//! sparsemem.h}, arch/s390/boot/{startup.c,vmem.c}, 5.10 to 7.2; z/Architecture Principles of Operation,
//! "Dynamic Address Translation". A dump holds absolute addresses, so the prefix of a CPU moves nothing in it.
//! Kernel and user mode have address spaces of their own: the kernel's begins at 0. Up to 6.9 its addresses are
//! physical ones; since 6.10 image and identity mapping lie where VMCOREINFO says.

pub mod regs;

use super::paging::{Entry, Paging};
use super::{Arch, Facts, ImageMap, Layout, MissingKey, Registers};
use crate::addr::PhysAddr;
use crate::order::Order;

/// e_machine.
pub const MACHINE: u16 = goblin::elf::header::EM_S390;

/// s390x.
pub static ARCH: Arch = Arch {
    machine: MACHINE,
    order: Order::Big,
    name: "s390x",
    prstatus_bytes: regs::PRSTATUS_BYTES,
    prstatus: |desc| {
        let (pid, registers) = regs::from_prstatus(desc)?;
        Some((pid, Registers::Table(registers)))
    },
    swapped_prstatus: None,
    layout,
    segments: |_| None,
    marker: "SYMBOL(lowcore_ptr)",
    tag_mask: 0,
    // Behind the first page, which is the lowcore.
    least_pointer: 0x1000,
    // 1 MiB.
    least_hugetlb_order: 8,
    // SECTION_SIZE_BITS, MAX_PHYSMEM_BITS; VMCOREINFO says both.
    sparse_bits: |_| (28, 46),
};

const PAGE_SHIFT: u32 = 12;
/// Modules lie within so much below the image (MODULES_LEN).
const REACH: u64 = 2 << 30;
/// How much the image may take, since 6.10.
const IMAGE: u64 = 512 << 20;

fn layout(facts: &dyn Facts) -> Result<Layout, MissingKey> {
    let (image, code_start) = match (facts.hex("KERNELOFFSET"), facts.hex("KERNELOFFPHYS")) {
        (Some(offset), Some(phys)) => (
            ImageMap {
                start: offset,
                len: IMAGE,
                offset: phys.wrapping_sub(offset),
            },
            offset.saturating_sub(REACH),
        ),
        // Everything is where it is.
        _ => (
            ImageMap {
                start: 0,
                len: 0,
                offset: 0,
            },
            0x10_0000,
        ),
    };
    let root = facts
        .symbol("swapper_pg_dir")
        .map(|root| image.phys(root))
        .ok_or(MissingKey("SYMBOL(swapper_pg_dir)"))?;
    let levels = levels(facts, root).ok_or(MissingKey("SYMBOL(swapper_pg_dir)"))?;
    let paging = Paging {
        root,
        levels,
        page_shift: PAGE_SHIFT,
        shifts: [12, 20, 31, 42, 53, 63],
        sign_bit: (PAGE_SHIFT + 8 + 11 * (levels - 1)).min(63),
        kernel: 0,
        order: Order::Big,
        encryption_mask: 0,
        decode,
    };
    Ok(Layout {
        order: Order::Big,
        paging: Some(paging),
        page_shift: PAGE_SHIFT,
        image,
        image_in_tables: true,
        regions: Vec::new(),
        direct_base: Some(facts.hex("IDENTITYBASE").unwrap_or(0)),
        code_start,
        generated_start: code_start,
        generated_end: image.start,
        tag_mask: 0,
        pac_mask: 0,
    })
}

/// How deep the tables are: every entry of the top one names the table's type, those that map nothing, too.
fn levels(facts: &dyn Facts, root: PhysAddr) -> Option<u32> {
    let mut entry = [0; 8];
    facts
        .read(root, &mut entry)
        .then(|| 2 + of_type(u64::from_be_bytes(entry)))
}

/// The type of the table that a region or segment entry stands in: 0 for segments, 3 for the first regions.
fn of_type(entry: u64) -> u32 {
    (entry >> 2 & 3) as u32
}

/// An entry of another table than the level's is refused: a task's tables may be less deep than the kernel's.
fn decode(entry: u64, level: u32, _: u64) -> Entry {
    /// The I bit of a page table's entry, and of the others.
    const PAGE_INVALID: u64 = 0x400;
    const INVALID: u64 = 0x20;
    /// The FC bit: the entry maps memory.
    const LARGE: u64 = 0x400;
    let page = |low: u64| Entry::Page(PhysAddr(entry & !low));
    if level == 1 {
        return match entry & PAGE_INVALID {
            0 => page(0xfff),
            _ => Entry::None,
        };
    }
    if entry & INVALID != 0 || of_type(entry) + 2 != level {
        return Entry::None;
    }
    match (level, entry & LARGE) {
        (2, 0) => Entry::Table(PhysAddr(entry & !0x7ff)),
        (2, _) => page(0xf_ffff),
        (3, LARGE) => page(0x7fff_ffff),
        _ => Entry::Table(PhysAddr(entry & !0xfff)),
    }
}
