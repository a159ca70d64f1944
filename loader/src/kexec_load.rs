//! Loading by kexec_load(2), where we lay out the segments ourselves. Only this call needs what is in
//! this folder: `machine` (facts of the running machine), `elfcorehdr` (the memory map for /proc/vmcore),
//! `purgatory` (the code that runs between the kernels), `place` (where everything goes), and one folder an
//! architecture, which [`crate::arch`] names.

mod aarch64;
mod elfcorehdr;
mod machine;
mod place;
mod purgatory;
mod x86_64;

use std::path::Path;

use crate::access::{self, Lockdown};
use crate::diagnosis;
use crate::files::Files;
use crate::iomem::Range;
use crate::kernel::{Kernel, Segment, SegmentLoad, Slot, Syscall, patiently};
use crate::refusal::Refusal;

use place::Layout;
pub use place::Purgatory;

/// Lays out a capture kernel.
type Crash = fn(&Path, Range, &Files, &Purgatory) -> Result<Layout, Refusal>;
/// Lays out a kernel that takes over the machine.
type Boot = fn(&Path, &Files, &Purgatory) -> Result<Layout, Refusal>;

/// Those of the architecture that this program is built for; on others [`crate::arch::check`] refuses first.
const HOST: (Crash, Boot) = match cfg!(target_arch = "aarch64") {
    true => (aarch64::load, aarch64::load_boot),
    false => (x86_64::load, x86_64::load_boot),
};

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
    let layout = (HOST.0)(root, region, files, options)?;
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
    let layout = (HOST.1)(root, files, options)?;
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
