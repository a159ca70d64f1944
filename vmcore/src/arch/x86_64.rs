//! x86_64: where the kernel image and the direct map lie, page tables of 4 and 5 levels, saved registers.
//!
//! Facts: Documentation/arch/x86/x86_64/mm.rst, arch/x86/include/asm/page_64_types.h and
//! pgtable_types.h, arch/x86/kernel/vmcore_info_64.c (machine_kexec_64.c before 4.19), 4.x to 7.2; Intel
//! SDM volume 3 chapter 4.

pub mod regs;

use super::paging::{Entry, Paging};
use super::{Arch, Facts, ImageMap, Layout, MissingKey, Registers, UPPER};
use crate::addr::PhysAddr;
use crate::order::Order;

/// e_machine.
pub const MACHINE: u16 = goblin::elf::header::EM_X86_64;

/// x86_64.
pub static ARCH: Arch = Arch {
    machine: MACHINE,
    order: Order::Little,
    name: "x86_64",
    prstatus_bytes: regs::PRSTATUS_BYTES,
    prstatus: |desc| {
        let (pid, registers) = regs::Registers::from_prstatus(desc)?;
        Some((pid, Registers::X86_64(registers)))
    },
    swapped_prstatus: None,
    layout,
    segments,
    marker: "NUMBER(phys_base)",
    tag_mask: 0,
    least_pointer: UPPER,
    // 2 MiB.
    least_hugetlb_order: 9,
    sparse_bits,
};

/// Where the kernel image is mapped (`__START_KERNEL_map`), the same in every kernel since 2.6.
pub const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

/// KERNEL_IMAGE_SIZE where VMCOREINFO does not tell it: the smaller value, without KASLR.
const IMAGE_SIZE: u64 = 0x2000_0000;
/// The larger value, with KASLR: where modules may begin at the latest.
const IMAGE_SIZE_KASLR: u64 = 1 << 30;
/// MODULES_END, 4.x to 7.x (0xffffffffff000000 with fixmap below it; the highest it can be).
const MODULES_END: u64 = 0xffff_ffff_ff00_0000;
/// Bits 51:12 of an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const PAGE_SHIFT: u32 = 12;

/// Without the key of the top page table the kernel image and the direct map are left.
fn layout(facts: &dyn Facts) -> Result<Layout, MissingKey> {
    let by_segments = facts.image_segment().map(|(vaddr, paddr, _)| {
        let offset = vaddr.0.wrapping_sub(KERNEL_MAP);
        paddr.0.wrapping_sub(offset)
    });
    let phys_base = facts
        .number("phys_base")
        .map(i64::cast_unsigned)
        .or(by_segments)
        .ok_or(MissingKey("NUMBER(phys_base)"))?;
    let size = facts.number("KERNEL_IMAGE_SIZE").map(i64::cast_unsigned);
    let image = ImageMap {
        start: KERNEL_MAP,
        len: size.unwrap_or(IMAGE_SIZE),
        offset: phys_base.wrapping_sub(KERNEL_MAP),
    };
    let names = ["swapper_pg_dir", "init_top_pgt", "init_level4_pgt"];
    let root = names.iter().find_map(|name| facts.symbol(name));
    let five = facts.number("pgtable_l5_enabled") == Some(1);
    Ok(Layout {
        paging: root.map(|root| Paging {
            root: image.phys(root),
            levels: if five { 5 } else { 4 },
            page_shift: PAGE_SHIFT,
            shifts: [12, 21, 30, 39, 48, 57],
            sign_bit: if five { 56 } else { 47 },
            kernel: u64::MAX << if five { 56 } else { 47 },
            order: Order::Little,
            encryption_mask: facts.number("sme_mask").unwrap_or(0).cast_unsigned(),
            decode,
        }),
        direct_base: facts.direct_segment(),
        ..bare(image, size)
    })
}

fn segments(facts: &dyn Facts) -> Option<Layout> {
    let image = facts.image_segment();
    let direct_base = facts.direct_segment();
    if image.is_none() && direct_base.is_none() {
        return None;
    }
    let (start, phys, len) = image.map_or((KERNEL_MAP, 0, 0), |(vaddr, paddr, size)| {
        (vaddr.0, paddr.0, size)
    });
    let image = ImageMap {
        start,
        len,
        offset: phys.wrapping_sub(start),
    };
    Some(Layout {
        direct_base,
        ..bare(image, None)
    })
}

fn bare(image: ImageMap, size: Option<u64>) -> Layout {
    Layout {
        order: Order::Little,
        paging: None,
        page_shift: PAGE_SHIFT,
        image,
        image_in_tables: true,
        regions: Vec::new(),
        direct_base: None,
        code_start: KERNEL_MAP,
        generated_start: KERNEL_MAP.saturating_add(size.unwrap_or(IMAGE_SIZE_KASLR)),
        generated_end: MODULES_END,
        tag_mask: 0,
        pac_mask: 0,
    }
}

fn decode(entry: u64, level: u32, _: u64) -> Entry {
    const PRESENT: u64 = 1;
    const LARGE: u64 = 1 << 7;
    let phys = PhysAddr(entry & ADDRESS);
    if entry & PRESENT == 0 {
        Entry::None
    } else if level == 1 || (entry & LARGE != 0 && level <= 3) {
        Entry::Page(phys)
    } else {
        Entry::Table(phys)
    }
}

/// arch/x86/include/asm/sparsemem.h: 27 and 46 (2.6.25 and 2.6.32 to 7.2), 52 with 5-level page tables
/// (4.13 on). VMCOREINFO says both since 5.13 and 5.9.
fn sparse_bits(layout: &Layout) -> (u32, u32) {
    match layout.paging {
        Some(paging) if paging.levels == 5 => (27, 52),
        _ => (27, 46),
    }
}
