//! riscv64: page tables of 3, 4 and 5 levels (Sv39, Sv48, Sv57), the kernel image and the linear map, saved
//! registers.
//!
//! Facts: arch/riscv/kernel/vmcore_info.c (crash_core.c before 6.9), arch/riscv/mm/init.c,
//! arch/riscv/include/asm/{page.h,pgtable.h,pgtable-64.h,pgtable-bits.h,sparsemem.h}, 6.5 to 7.2 (and stable
//! kernels since, which have `va_kernel_pa_offset`); RISC-V Privileged Architecture, "Supervisor", with
//! Svnapot. Modules and generated code lie right below the image, within 2 GiB of its end. A kernel that
//! runs from flash (XIP) has no single distance for its image and is not known here.

pub mod regs;

use super::paging::{Entry, Paging};
use super::{Arch, Facts, ImageMap, Layout, MissingKey, Registers, UPPER};
use crate::addr::PhysAddr;
use crate::order::Order;

/// e_machine.
pub const MACHINE: u16 = goblin::elf::header::EM_RISCV;

/// riscv64.
pub static ARCH: Arch = Arch {
    machine: MACHINE,
    order: Order::Little,
    name: "riscv64",
    prstatus_bytes: regs::PRSTATUS_BYTES,
    prstatus: |desc| {
        let (pid, registers) = regs::from_prstatus(desc)?;
        Some((pid, Registers::Table(registers)))
    },
    swapped_prstatus: None,
    layout,
    segments,
    marker: "NUMBER(phys_ram_base)",
    tag_mask: 0,
    least_pointer: UPPER,
    // 64 KiB, by Svnapot.
    least_hugetlb_order: 4,
    // SECTION_SIZE_BITS, MAX_PHYSMEM_BITS; VMCOREINFO says both.
    sparse_bits: |_| (27, 56),
};

const PAGE_SHIFT: u32 = 12;
/// KASLR places the image within so much of KERNEL_LINK_ADDR.
const IMAGE_SPAN: u64 = 1 << 30;
/// KERNEL_LINK_ADDR, 5.13 to 7.2.
const LINK_ADDR: u64 = 0xffff_ffff_8000_0000;
/// How far below the image modules may begin.
const REACH: u64 = 2 << 30;

fn layout(facts: &dyn Facts) -> Result<Layout, MissingKey> {
    let number = |name| facts.number(name).map(i64::cast_unsigned);
    let offset = number("va_kernel_pa_offset").ok_or(MissingKey("NUMBER(va_kernel_pa_offset)"))?;
    let (levels, va_bits) = match number("VA_BITS") {
        Some(39) => (3, 39),
        Some(48) => (4, 48),
        Some(57) => (5, 57),
        _ => return Err(MissingKey("NUMBER(VA_BITS)")),
    };
    let linked = number("KERNEL_LINK_ADDR").unwrap_or(LINK_ADDR);
    // Modules end where the image begins.
    let start = number("MODULES_END").unwrap_or(linked);
    let image = ImageMap {
        start,
        len: linked.saturating_add(IMAGE_SPAN).saturating_sub(start),
        offset: offset.wrapping_neg(),
    };
    let paging = facts.symbol("swapper_pg_dir").map(|root| Paging {
        root: image.phys(root),
        levels,
        page_shift: PAGE_SHIFT,
        shifts: [12, 21, 30, 39, 48, 57],
        sign_bit: va_bits - 1,
        kernel: u64::MAX << (va_bits - 1),
        order: Order::Little,
        encryption_mask: 0,
        decode,
    });
    let direct = match (number("PAGE_OFFSET"), number("phys_ram_base")) {
        (Some(start), Some(base)) => Some(start.wrapping_sub(base)),
        _ => None,
    };
    let modules = number("MODULES_VADDR").unwrap_or(start.saturating_sub(REACH));
    Ok(Layout {
        paging,
        direct_base: direct.or_else(|| facts.direct_segment()),
        ..bare(image, modules)
    })
}

/// The linear map alone.
fn segments(facts: &dyn Facts) -> Option<Layout> {
    let image = ImageMap {
        start: 0,
        len: 0,
        offset: 0,
    };
    Some(Layout {
        direct_base: Some(facts.direct_segment()?),
        ..bare(image, LINK_ADDR - REACH)
    })
}

fn bare(image: ImageMap, modules: u64) -> Layout {
    Layout {
        order: Order::Little,
        paging: None,
        page_shift: PAGE_SHIFT,
        image,
        image_in_tables: true,
        regions: Vec::new(),
        direct_base: None,
        code_start: modules,
        generated_start: modules,
        generated_end: image.start,
        tag_mask: 0,
        pac_mask: 0,
    }
}

/// The page number is in bits 53:10; a leaf at any level has one of R, W and X.
fn decode(entry: u64, level: u32, index: u64) -> Entry {
    const VALID: u64 = 1;
    const LEAF: u64 = 0b1110;
    /// Svnapot: 16 entries alike map 64 KiB together; bits 3:0 of the page number are 8.
    const NAPOT: u64 = 1 << 63;
    let number = entry >> 10 & ((1 << 44) - 1);
    let phys = |number: u64| PhysAddr(number << PAGE_SHIFT);
    match (entry & VALID, entry & LEAF, level) {
        (0, ..) | (_, 0, 1) => Entry::None,
        (_, 0, _) => Entry::Table(phys(number)),
        _ if entry & NAPOT == 0 => Entry::Page(phys(number)),
        (_, _, 1) if number & 0xf == 8 => Entry::Page(phys(number & !0xf | index & 0xf)),
        _ => Entry::None,
    }
}
