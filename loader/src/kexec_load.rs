//! Loading by kexec_load(2), where we lay out the segments ourselves. Only this call needs what is in
//! this folder: `machine` (facts of the running machine), `elfcorehdr` (the memory map for /proc/vmcore),
//! `purgatory` (the code that runs between the kernels), `place` (where everything goes), and one folder an
//! architecture, which [`crate::arch`] names.

pub(crate) mod aarch64;
mod elfcorehdr;
mod machine;
mod place;
mod purgatory;
pub(crate) mod x86_64;

use std::path::Path;

use crate::access::{self, Lockdown};
use crate::arch::HOST;
use crate::diagnosis;
use crate::files::Files;
use crate::iomem::Range;
use crate::kernel::{Kernel, Segment, SegmentLoad, Slot, Syscall, patiently};
use crate::refusal::Refusal;

pub(crate) use place::Layout;
pub use place::Purgatory;

/// Loads a capture kernel into the region.
pub(crate) fn load(
    kernel: &dyn Kernel,
    root: &Path,
    files: &Files,
    region: Option<Range>,
    options: &Purgatory,
) -> Result<(), Refusal> {
    refuse_locked(root)?;
    let region = region.ok_or_else(|| Refusal::Needs {
        what: "the place of the reserved memory from /proc/iomem".to_owned(),
        next: "run it as root with CAP_SYS_ADMIN, or use --syscall file",
    })?;
    let layout = (HOST.crash)(root, region, files, options)?;
    call(kernel, root, files, &layout, Slot::Crash, Some(region))
}

/// Loads a kernel that takes over the whole machine.
pub(crate) fn load_boot(
    kernel: &dyn Kernel,
    root: &Path,
    files: &Files,
    options: &Purgatory,
) -> Result<(), Refusal> {
    refuse_locked(root)?;
    let layout = (HOST.boot)(root, files, options)?;
    call(kernel, root, files, &layout, Slot::Boot, None)
}

fn refuse_locked(root: &Path) -> Result<(), Refusal> {
    let mode = match access::lockdown(root) {
        Lockdown::Integrity => "integrity",
        Lockdown::Confidentiality => "confidentiality",
        Lockdown::None | Lockdown::Unknown => return Ok(()),
    };
    let next = "use --syscall file with a signed vmlinuz";
    Err(Refusal::Lockdown {
        mode,
        call: "kexec_load",
        next,
    })
}

fn call(
    kernel: &dyn Kernel,
    root: &Path,
    files: &Files,
    layout: &Layout,
    slot: Slot,
    region: Option<Range>,
) -> Result<(), Refusal> {
    let segments: Vec<Segment<'_>> = (layout.pieces.iter())
        .map(|p| Segment {
            data: &p.data,
            address: p.range.start,
            size: p.range.len(),
        })
        .collect();
    let load = SegmentLoad {
        entry: layout.entry,
        segments: &segments,
        slot,
        update_elfcorehdr: layout.update_elfcorehdr,
    };
    patiently(|| kernel.kexec_load(&load))
        .map_err(|errno| diagnosis::of_load(root, Syscall::Load, errno, files, region))
}
