//! What real devices add: drivers that need memory, and the least to reserve on hardware.
//!
//! Nothing here was measured by this project. The least is what RHEL 9 reserves by default
//! (kdump-utils, by architecture: [`crate::arch`]): it covers controllers and firmware that
//! no VM shows. A driver's figure is its source's, or an allowance where the source only limits its
//! commands in a capture kernel.

use std::path::Path;

use super::{MIB, Part, part};
use crate::arch::HOST;
use crate::crashkernel::Value;
use crate::iomem::{Iomem, Range};
use crate::{platform, probe};

/// Drivers that need more than their module's size: name, MiB, source.
const DRIVERS: [(&str, u64, &str); 7] = [
    ("mlx5_core", 150, "what kdump-utils 1.0.61 adds for it"),
    (
        "megaraid_sas",
        16,
        "allowance: 100 commands with reset_devices (megaraid_sas.h)",
    ),
    (
        "mpt3sas",
        16,
        "allowance: 200 commands with reset_devices (mpt3sas_base.h)",
    ),
    ("hpsa", 16, "allowance, not measured"),
    ("smartpqi", 16, "allowance, not measured"),
    ("lpfc", 32, "allowance, not measured"),
    ("qla2xxx", 32, "allowance, not measured"),
];

/// The parts for the drivers in the image.
pub(super) fn drivers(names: &[String]) -> impl Iterator<Item = Part> {
    DRIVERS
        .iter()
        .filter(|(name, ..)| names.iter().any(|module| module == name))
        .map(|(name, mib, why)| part(&format!("driver {name}"), mib * MIB, why))
}

/// RAM of the machine under `root` as the kernel counts it for `crashkernel=`; `None` in a guest. Without
/// root /proc/iomem hides it, and MemTotal lacks what the kernel took for itself: it is rounded up to GiB.
pub(super) fn ram(root: &Path) -> Option<u64> {
    if platform::is_guest(root) {
        return None;
    }
    let ranges = Iomem::read(root).ok().filter(|iomem| !iomem.is_hidden());
    let seen: u64 = ranges.map_or(0, |iomem| {
        let sizes = iomem.named("System RAM").into_iter().map(Range::len);
        sizes.fold(0, u64::saturating_add)
    });
    if seen > 0 {
        return Some(seen);
    }
    probe::ram(root)?.checked_next_multiple_of(1 << 30)
}

/// What is missing to the least on hardware with so much RAM.
pub(super) fn rest(sum: u64, ram: u64) -> Option<Part> {
    let least = Value::parse(HOST.least_reserved).ok()?.size_for(ram)?;
    let rest = least.checked_sub(sum).filter(|rest| *rest > 0)?;
    let what = "devices of real hardware";
    let why = format!(
        "up to {} MiB, RHEL's default for this RAM; `afterpanic crash-test` measures it here",
        least / MIB
    );
    Some(part(what, rest, &why))
}
