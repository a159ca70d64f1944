//! What the segments say of the kernel's virtual addresses: the direct map, the kernel image.

use crate::addr::{PhysAddr, VirtAddr};
use crate::dump::KernelImage;
use crate::layout::elf::{EM_X86_64, Segment};

/// x86_64: where the kernel image mapping begins, and how far it reaches.
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
const KERNEL_IMAGE_SIZE: u64 = 1 << 30;
/// RecordedAddresses between p_vaddr and p_paddr that are compared while looking for page_offset_base.
const CANDIDATES: usize = 16;

fn in_image_map(machine: u16, vaddr: u64) -> bool {
    machine == EM_X86_64
        && vaddr
            .checked_sub(START_KERNEL_MAP)
            .is_some_and(|inside| inside < KERNEL_IMAGE_SIZE)
}

/// page_offset_base: the distance between p_vaddr and p_paddr that covers most bytes, if it is one
/// that the kernel could have chosen (a multiple of 1 GiB in the upper half).
pub(super) fn direct_map_base(machine: u16, loads: &[Segment]) -> Option<u64> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for load in loads {
        let base = load.vaddr.wrapping_sub(load.paddr);
        let plausible = load.vaddr >> 55 == 0x1ff
            && base >> 55 == 0x1ff
            && base % (1 << 30) == 0
            && !in_image_map(machine, load.vaddr);
        if !plausible {
            continue;
        }
        if let Some((_, bytes)) = found.iter_mut().find(|(b, _)| *b == base) {
            *bytes = bytes.saturating_add(load.memsz);
        } else if found.len() < CANDIDATES {
            found.push((base, load.memsz));
        }
    }
    let best = found
        .into_iter()
        .max_by_key(|(base, bytes)| (*bytes, std::cmp::Reverse(*base)));
    best.map(|(base, _)| base)
}

/// The kernel image mapping: the span of all segments in it that lie phys_base away (or as far as
/// the first does, when VMCOREINFO does not say).
pub(super) fn kernel_image(
    machine: u16,
    loads: &[Segment],
    vmcoreinfo: Option<&[u8]>,
) -> Option<KernelImage> {
    let phys_base = vmcoreinfo
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("NUMBER(phys_base)="))
        })
        .and_then(|number| number.trim().parse::<i64>().ok());
    let mut delta = phys_base.map(|base| START_KERNEL_MAP.wrapping_sub(base.cast_unsigned()));
    let mut span: Option<(u64, u64)> = None;
    for load in loads {
        let this = load.vaddr.wrapping_sub(load.paddr);
        let Some(end) = load.vaddr.checked_add(load.memsz) else {
            continue;
        };
        if !in_image_map(machine, load.vaddr) || *delta.get_or_insert(this) != this {
            continue;
        }
        let (from, to) = span.unwrap_or((load.vaddr, end));
        span = Some((from.min(load.vaddr), to.max(end)));
    }
    let ((start, end), delta) = (span?, delta?);
    Some(KernelImage {
        vaddr: VirtAddr(start),
        paddr: PhysAddr(start.wrapping_sub(delta)),
        size: end - start,
    })
}
