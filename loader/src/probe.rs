//! Facts of the running machine from /sys and /proc: what is loaded, what is reserved, which kernel
//! runs. Most of them can be read without root.
//!
//! Facts: Documentation/ABI/testing/sysfs-kernel-kexec-kdump; the files have their old names
//! (`/sys/kernel/kexec_crash_loaded`) up to 6.18 and both names from 6.19 on.

use std::path::Path;

use serde::Serialize;

use crate::iomem::{Iomem, Range};
use crate::kernel::Slot;
use crate::{crashkernel, root};

/// The memory that is reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reservation {
    /// Where the capture kernel is loaded. `None` when nothing is reserved, or without root.
    pub main: Option<Range>,
    /// The part below 4 GiB beside a high `main`.
    pub low: Option<Range>,
    /// Memory of `crashkernel=…,cma`, used by the capture kernel but not for loading.
    pub cma: Vec<Range>,
    /// Bytes reserved, as sysfs says (main and low; before 6.12 only main). Known without root.
    pub bytes: Option<u64>,
    /// The values of `crashkernel=` that this kernel was booted with.
    pub asked: Vec<String>,
}

/// Reads the old or the new name of a file of `/sys/kernel/kexec`.
fn sysfs(root: &Path, new: &str, old: &str) -> Option<u64> {
    root::number(root, format!("/sys/kernel/kexec/{new}"))
        .or_else(|| root::number(root, format!("/sys/kernel/{old}")))
}

/// Whether an image is loaded in a slot; `None` when the kernel has no kexec or /sys is not there.
#[must_use]
pub fn is_loaded(root: &Path, slot: Slot) -> Option<bool> {
    let value = match slot {
        Slot::Crash => sysfs(root, "crash_loaded", "kexec_crash_loaded"),
        Slot::Boot => sysfs(root, "loaded", "kexec_loaded"),
    };
    value.map(|n| n != 0)
}

/// Bytes reserved for the capture kernel, as sysfs says.
#[must_use]
pub fn crash_size(root: &Path) -> Option<u64> {
    sysfs(root, "crash_size", "kexec_crash_size")
}

/// The running kernel's release.
#[must_use]
pub fn running_release(root: &Path) -> Option<String> {
    root::text(root, "/proc/sys/kernel/osrelease")
        .ok()
        .filter(|s| !s.is_empty())
}

/// The running kernel's boot, a new one each time.
#[must_use]
pub fn boot_id(root: &Path) -> String {
    root::text(root, "/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// `/sys/kernel/kexec/crash_cma_ranges`: `start-end` in hexadecimal, one a line, the end included.
pub(crate) fn cma_ranges(root: &Path) -> Vec<Range> {
    let text = root::text(root, "/sys/kernel/kexec/crash_cma_ranges").unwrap_or_default();
    let hex = |s: &str| u64::from_str_radix(s.trim().trim_start_matches("0x"), 16).ok();
    text.lines()
        .filter_map(|line| {
            let (start, last) = line.split_once('-')?;
            let range = Range {
                start: hex(start)?,
                end: hex(last)?.checked_add(1)?,
            };
            (!range.is_empty()).then_some(range)
        })
        .collect()
}

/// Reads the machine's memory reservation.
#[must_use]
pub fn reservation(root: &Path) -> Reservation {
    let (main, low) = Iomem::read(root).unwrap_or_default().crash_kernel();
    let cmdline = root::text(root, "/proc/cmdline").unwrap_or_default();
    Reservation {
        main,
        low,
        cma: cma_ranges(root),
        bytes: crash_size(root).or_else(|| main.map(Range::len)),
        asked: crashkernel::parameters(&cmdline),
    }
}

/// Bytes of RAM that the kernel manages.
#[must_use]
pub fn ram(root: &Path) -> Option<u64> {
    meminfo(root, "MemTotal")
}

/// A line of /proc/meminfo in bytes.
pub(crate) fn meminfo(root: &Path, name: &str) -> Option<u64> {
    let text = root::text(root, "/proc/meminfo").ok()?;
    let rest = text
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}
