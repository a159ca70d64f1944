//! x86_64: where the kernel image and the direct map lie, the page walk, saved registers.
//!
//! Facts: Documentation/arch/x86/x86_64/mm.rst, arch/x86/include/asm/page_64_types.h (4.x to 7.x).

pub mod paging;
pub mod regs;

/// Where the kernel image is mapped (`__START_KERNEL_map`), the same in every kernel since 2.6.
pub const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
