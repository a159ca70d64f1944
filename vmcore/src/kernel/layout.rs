//! Where the crashed kernel's memory lies, by VMCOREINFO and the dump's segments.
//!
//! Facts: arch/x86/kernel/vmcore_info_64.c (machine_kexec_64.c before 4.19), 4.x to 7.2.

use super::{KernelError, Layout, Vmcoreinfo};
use crate::addr::PhysAddr;
use crate::arch::x86_64::KERNEL_MAP;
use crate::arch::x86_64::paging::Paging;
use crate::dump::DumpInfo;

/// KERNEL_IMAGE_SIZE where VMCOREINFO does not tell it: the smaller value, without KASLR.
const IMAGE_SIZE: u64 = 0x2000_0000;

/// The layout. Without the key of the top page table the kernel image and the direct map are left.
///
/// # Errors
/// When neither VMCOREINFO nor a segment of the kernel image tells phys_base.
pub(super) fn of(vmcoreinfo: &Vmcoreinfo, dump: &DumpInfo) -> Result<Layout, KernelError> {
    let by_segments = dump.kernel_image.map(|image| {
        let offset = image.vaddr.0.wrapping_sub(KERNEL_MAP);
        image.paddr.0.wrapping_sub(offset)
    });
    let phys_base = vmcoreinfo
        .number("phys_base")
        .map(i64::cast_unsigned)
        .or(by_segments)
        .ok_or_else(|| KernelError::MissingKey {
            key: "NUMBER(phys_base)".to_owned(),
        })?;
    let names = ["swapper_pg_dir", "init_top_pgt", "init_level4_pgt"];
    let root = names.iter().find_map(|name| vmcoreinfo.symbol(name));
    let five = vmcoreinfo.number("pgtable_l5_enabled") == Some(1);
    Ok(Layout {
        paging: root.map(|root| Paging {
            root: PhysAddr(root.0.wrapping_sub(KERNEL_MAP).wrapping_add(phys_base)),
            levels: if five { 5 } else { 4 },
            encryption_mask: vmcoreinfo.number("sme_mask").unwrap_or(0).cast_unsigned(),
        }),
        image_base: KERNEL_MAP,
        image_len: vmcoreinfo
            .number("KERNEL_IMAGE_SIZE")
            .map_or(IMAGE_SIZE, i64::cast_unsigned),
        phys_base,
        direct_base: dump.direct_map_base,
    })
}
