//! ppc64le (Book3S): radix and hash MMU, pages of 4 and 64 KiB, the linear map, saved registers.
//!
//! Facts: arch/powerpc/kexec/vmcore_info.c (core.c before 6.11), arch/powerpc/include/asm/{page.h,sparsemem.h},
//! arch/powerpc/include/asm/book3s/64/{pgtable.h,hash*.h,radix*.h}, arch/powerpc/mm/init_64.c, 5.2 to 7.2; Power
//! ISA 3.0B, "Radix Tree Translation". The kernel image lies in the linear map, whose addresses differ from
//! physical ones in their top bits alone. Entries of page tables are big-endian on either byte order. With the
//! hash MMU the tables hold what vmalloc maps; the linear map is in none, and the memory map is in a list.

mod backing;
pub mod regs;

use super::paging::{Entry, Paging, shifts};
use super::{Arch, Facts, ImageMap, Layout, MissingKey, Registers};
use crate::addr::PhysAddr;
use crate::order::Order;

/// e_machine.
pub const MACHINE: u16 = goblin::elf::header::EM_PPC64;

/// ppc64le.
pub static ARCH: Arch = Arch {
    machine: MACHINE,
    order: Order::Little,
    name: "ppc64le",
    prstatus_bytes: regs::PRSTATUS_BYTES,
    prstatus: |desc| {
        let (pid, registers) = regs::from_prstatus(desc)?;
        Some((pid, Registers::Table(registers)))
    },
    swapped_prstatus: Some(regs::swap_prstatus),
    layout,
    segments,
    marker: "SYMBOL(vmemmap_list)",
    tag_mask: 0,
    least_pointer: PAGE_OFFSET,
    // 2 MiB of 64 KiB pages (radix).
    least_hugetlb_order: 5,
    // SECTION_SIZE_BITS, MAX_PHYSMEM_BITS; VMCOREINFO says both.
    sparse_bits: |_| (24, 51),
};

/// PAGE_OFFSET of every Book3S kernel.
const PAGE_OFFSET: u64 = 0xc000_0000_0000_0000;
/// Bytes of the linear map: up to vmalloc's part at the least (hash with 4 KiB pages).
const LINEAR: u64 = 1 << 44;

fn layout(facts: &dyn Facts) -> Result<Layout, MissingKey> {
    let page_shift = match facts.page_size() {
        Some(0x1000) => 12,
        Some(0x1_0000) | None => 16,
        Some(_) => return Err(MissingKey("PAGESIZE")),
    };
    let root = facts.symbol("swapper_pg_dir");
    let root = root.map(|root| PhysAddr(root.0.wrapping_sub(PAGE_OFFSET)));
    let radix = match facts.number("RADIX_MMU") {
        Some(number) => number == 1,
        // Older kernels do not say it.
        None => root.is_some_and(|root| maps_linear(facts, root)),
    };
    let mut layout = bare(page_shift, radix);
    layout.paging = root.map(|root| Paging {
        root,
        levels: 4,
        page_shift,
        shifts: shifts(
            page_shift,
            match (radix, page_shift) {
                (true, 12) => [9, 9, 9, 13, 0],
                (true, _) => [5, 9, 9, 13, 0],
                (false, 12) => [9, 7, 9, 9, 0],
                (false, _) => [8, 10, 10, 8, 0],
            },
        ),
        sign_bit: 52,
        kernel: PAGE_OFFSET,
        order: Order::Big,
        encryption_mask: 0,
        decode,
    });
    if !radix {
        // No page table tells whether this is its kernel: its name does.
        if names_another(facts, layout.image) == Some(true) {
            return Err(MissingKey("SYMBOL(init_uts_ns)"));
        }
        layout.regions = backing::regions(facts, layout.image);
    }
    Ok(layout)
}

/// Whether the kernel's own name in memory is not that of VMCOREINFO.
fn names_another(facts: &dyn Facts, image: ImageMap) -> Option<bool> {
    // release is the third of the fields of 65 bytes (include/uapi/linux/utsname.h).
    let field = facts.offset("uts_namespace.name")?.checked_add(2 * 65)?;
    let at = image
        .phys(facts.symbol("init_uts_ns")?)
        .checked_add(field)?;
    let mut bytes = [0; 65];
    let name = facts.read(at, &mut bytes).then_some(&bytes)?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some(facts.release()?.as_bytes() != name)
}

/// Whether the tables map the linear map, whose first entry is the top table's first: the radix MMU's do.
fn maps_linear(facts: &dyn Facts, root: PhysAddr) -> bool {
    let mut entry = [0; 8];
    facts.read(root, &mut entry) && entry != [0; 8]
}

/// The linear map alone.
fn segments(_: &dyn Facts) -> Option<Layout> {
    Some(bare(16, true))
}

fn bare(page_shift: u32, radix: bool) -> Layout {
    // RADIX_KERN_VIRT_START, H_KERN_VIRT_START.
    let vmalloc = match (radix, page_shift) {
        (false, 12) => PAGE_OFFSET + LINEAR,
        _ => 0xc008_0000_0000_0000,
    };
    Layout {
        order: Order::Little,
        paging: None,
        page_shift,
        image: ImageMap {
            start: PAGE_OFFSET,
            len: vmalloc - PAGE_OFFSET,
            offset: PAGE_OFFSET.wrapping_neg(),
        },
        image_in_tables: radix,
        regions: Vec::new(),
        direct_base: Some(PAGE_OFFSET),
        code_start: PAGE_OFFSET,
        generated_start: vmalloc,
        generated_end: vmalloc.saturating_add(LINEAR),
        tag_mask: 0,
        pac_mask: 0,
    }
}

/// The top bit says that an entry is valid, the next one that it maps a page; the hash MMU's software bits
/// are above and below the address.
fn decode(entry: u64, level: u32, _: u64) -> Entry {
    const VALID: u64 = 1 << 63;
    const LEAF: u64 = 1 << 62;
    /// PTE_RPN_MASK: bits 52:12.
    const PAGE: u64 = 0x001f_ffff_ffff_f000;
    /// Without PMD_MASKED_BITS.
    const TABLE: u64 = 0x1fff_ffff_ffff_ff00;
    match (entry & VALID, entry & LEAF, level) {
        (0, ..) | (_, 0, 1) => Entry::None,
        (_, 0, _) => Entry::Table(PhysAddr(entry & TABLE)),
        _ => Entry::Page(PhysAddr(entry & PAGE)),
    }
}
