//! aarch64: pages of 4, 16 and 64 KiB, addresses of 36 to 52 bits, the kernel image and the linear map,
//! saved registers.
//!
//! Facts: arch/arm64/include/asm/{memory.h,pgtable.h,pgtable-hwdef.h,pgtable-prot.h,sparsemem.h},
//! arch/arm64/kernel/vmcore_info.c (crash_core.c before 6.9), arch/arm64/mm/{init.c,mmu.c}, 5.4 to 7.2;
//! Arm ARM, chapter D8. The linear map is the lower half of the kernel's addresses since 5.4; before, it
//! was the upper one, and such a kernel is not known here. The kernel image lies among the modules and
//! vmalloc's areas, so only its own symbols are translated without the page tables.

pub mod regs;

use super::paging::{Entry, LEVELS, Paging};
use super::{Arch, Facts, ImageMap, Layout, MissingKey, Registers, UPPER};
use crate::addr::{PhysAddr, VirtAddr};
use crate::order::Order;

/// e_machine.
pub const MACHINE: u16 = goblin::elf::header::EM_AARCH64;

/// aarch64.
pub static ARCH: Arch = Arch {
    machine: MACHINE,
    order: Order::Little,
    name: "aarch64",
    prstatus_bytes: regs::PRSTATUS_BYTES,
    prstatus: |desc| {
        let (pid, registers) = regs::Registers::from_prstatus(desc)?;
        Some((pid, Registers::Aarch64(registers)))
    },
    swapped_prstatus: None,
    layout,
    segments,
    marker: "NUMBER(kimage_voffset)",
    tag_mask: TAGS,
    least_pointer: UPPER,
    // 16 contiguous entries of 4 KiB; with 16 KiB pages it is order 7, with 64 KiB order 5.
    least_hugetlb_order: 4,
    sparse_bits,
};

/// The top byte of a pointer, which the CPU ignores (TBI) and KASAN and MTE use for tags.
const TAGS: u64 = 0xff << 56;

fn layout(facts: &dyn Facts) -> Result<Layout, MissingKey> {
    let number = |name| facts.number(name).map(i64::cast_unsigned);
    let voffset = number("kimage_voffset").ok_or(MissingKey("NUMBER(kimage_voffset)"))?;
    let va_bits = number("VA_BITS")
        .and_then(|bits| u32::try_from(bits).ok())
        .filter(|bits| (36..=52).contains(bits))
        .ok_or(MissingKey("NUMBER(VA_BITS)"))?;
    let page_shift = match facts.page_size() {
        Some(0x1000) | None => 12,
        Some(0x4000) => 14,
        Some(0x1_0000) => 16,
        Some(_) => return Err(MissingKey("PAGESIZE")),
    };
    // What the CPU does, where the kernel could do more: a 52-bit kernel on a CPU with 48.
    let actual = number("TCR_EL1_T1SZ")
        .and_then(|size| 64_u32.checked_sub(u32::try_from(size).ok()?))
        .filter(|bits| (36..=va_bits).contains(bits))
        .unwrap_or(va_bits);
    let image = ImageMap {
        start: 0,
        len: 0,
        offset: voffset.wrapping_neg(),
    };
    let paging = facts.symbol("swapper_pg_dir").map(|root| {
        // The tables of a 64 KiB kernel are laid out for all its bits whatever the CPU has
        // (TTBR1_BADDR_4852_OFFSET); with the smaller pages levels are folded instead.
        let walked = if page_shift == 16 { va_bits } else { actual };
        let levels = (walked - page_shift).div_ceil(page_shift - 3);
        Paging {
            root: image.phys(root),
            levels,
            page_shift,
            shifts: table_shifts(page_shift, levels, walked),
            sign_bit: walked,
            kernel: u64::MAX << walked,
            order: Order::Little,
            encryption_mask: 0,
            decode: match (page_shift, actual) {
                (16, _) => decode_64k,
                (_, 52) => decode_lpa2,
                _ => decode,
            },
        }
    });
    let page_offset = u64::MAX << va_bits;
    let direct_base = number("PHYS_OFFSET").map(|start| page_offset.wrapping_sub(start));
    // The upper half of the smallest space that this kernel may run in (VA_BITS_MIN).
    let least = match (va_bits, page_shift) {
        (49.., 14) => 47,
        (bits, _) => bits.min(48),
    };
    let upper = u64::MAX << (least - 1);
    let modules = number("MODULES_VADDR").unwrap_or(upper);
    Ok(Layout {
        order: Order::Little,
        paging,
        page_shift,
        image,
        image_in_tables: true,
        regions: Vec::new(),
        direct_base: direct_base.or_else(|| facts.direct_segment()),
        code_start: modules,
        generated_start: modules,
        generated_end: number("VMALLOC_END").unwrap_or(u64::MAX),
        tag_mask: TAGS,
        pac_mask: number("KERNELPACMASK").unwrap_or(0),
    })
}

/// Tables are a page large, but the top one, which has as many entries as translate `va_bits`.
fn table_shifts(page_shift: u32, levels: u32, va_bits: u32) -> [u8; LEVELS + 1] {
    // Up to 16 + 13 * 4.
    [0, 1, 2, 3, 4, 5].map(|level: u32| match level >= levels {
        true => va_bits as u8,
        false => (page_shift + (page_shift - 3) * level) as u8,
    })
}

/// The linear map alone.
fn segments(facts: &dyn Facts) -> Option<Layout> {
    Some(Layout {
        order: Order::Little,
        paging: None,
        page_shift: 12,
        image: ImageMap {
            start: 0,
            len: 0,
            offset: 0,
        },
        image_in_tables: true,
        regions: Vec::new(),
        direct_base: Some(facts.direct_segment()?),
        code_start: u64::MAX << 47,
        generated_start: u64::MAX << 47,
        generated_end: u64::MAX,
        tag_mask: TAGS,
        pac_mask: 0,
    })
}

/// What an entry is, and the bits of its address above those of the smallest page's.
fn kind(entry: u64, level: u32, address: u64) -> Entry {
    let phys = PhysAddr(address);
    match (entry & 3, level) {
        (3, 1) => Entry::Page(phys),
        (3, _) => Entry::Table(phys),
        // A block; level 1 has none.
        (1, 2..=4) => Entry::Page(phys),
        _ => Entry::None,
    }
}

/// Addresses of 48 bits, in pages of 4 or 16 KiB. Below bit 12 are attributes; with 16 KiB pages bits 13:12
/// of an address are 0.
fn decode(entry: u64, level: u32, _: u64) -> Entry {
    kind(entry, level, entry & 0x0000_ffff_ffff_f000)
}

/// 52 bits in pages of 4 or 16 KiB (LPA2): bits 49:12 in place, 51:50 in 9:8.
fn decode_lpa2(entry: u64, level: u32, _: u64) -> Entry {
    let high = (entry >> 8 & 3) << 50;
    kind(entry, level, (entry & 0x0003_ffff_ffff_f000) | high)
}

/// 52 bits in pages of 64 KiB (LPA): bits 47:16 in place, 51:48 in 15:12, which are 0 without it.
fn decode_64k(entry: u64, level: u32, _: u64) -> Entry {
    let high = (entry >> 12 & 0xf) << 48;
    kind(entry, level, (entry & 0x0000_ffff_ffff_0000) | high)
}

/// arch/arm64/include/asm/sparsemem.h: sections of 128 MiB (512 MiB with 64 KiB pages) since 5.12, of
/// 1 GiB before; VMCOREINFO says it since 5.13, MAX_PHYSMEM_BITS since 5.9.
fn sparse_bits(layout: &Layout) -> (u32, u32) {
    let section = if layout.page_shift == 16 { 29 } else { 27 };
    (section, 48)
}

/// A return address of the kernel without its authentication code.
#[must_use]
pub fn strip_pac(va: VirtAddr, mask: u64) -> VirtAddr {
    match va.0 >> 55 & 1 {
        1 => VirtAddr(va.0 | mask),
        _ => VirtAddr(va.0 & !mask),
    }
}

#[cfg(test)]
mod tests;
