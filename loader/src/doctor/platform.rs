//! What the machine is: places where a capture kernel cannot work or needs care.

use std::path::Path;

use super::finding::{Examined, Finding, Level, finding};
use crate::root;

const CHECK: &str = "platform";

/// `KVM guest`, `Hyper-V guest`, `hardware` … from the firmware's tables and the clocks.
pub(super) fn name(root: &Path) -> String {
    let dmi =
        |field: &str| root::text(root, format!("/sys/class/dmi/id/{field}")).unwrap_or_default();
    let (vendor, product) = (dmi("sys_vendor"), dmi("product_name"));
    let guest = if root::text(root, "/sys/hypervisor/type").is_ok_and(|t| t == "xen") {
        "Xen"
    } else if vendor.starts_with("Microsoft") && product.starts_with("Virtual Machine") {
        "Hyper-V"
    } else if vendor.starts_with("VMware") {
        "VMware"
    } else if vendor.starts_with("Amazon EC2") {
        "Amazon EC2"
    } else if vendor.starts_with("Google") {
        "Google Compute Engine"
    } else if vendor.starts_with("QEMU")
        || product.starts_with("KVM")
        || vendor.starts_with("Red Hat")
    {
        // The firmware's tables are the same where QEMU translates every instruction.
        let clocks = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
        match root::text(root, clocks) {
            Ok(clocks) if !clocks.contains("kvm-clock") => "QEMU",
            _ => "KVM",
        }
    } else if vendor == "innotek GmbH" {
        "VirtualBox"
    } else {
        return if vendor.is_empty() {
            "unknown".to_owned()
        } else {
            "hardware".to_owned()
        };
    };
    format!("{guest} guest")
}

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let has = |path: &str| root::under(on.root, path).exists();
    let mut out = Vec::new();
    if has("/run/systemd/container") || has("/.dockerenv") {
        out.push(
            finding(
                CHECK,
                Level::Fail,
                "this is a container: a capture kernel belongs to the host",
            )
            .fix("run afterpanic on the host"),
        );
    }
    let pv = root::text(on.root, "/sys/hypervisor/guest_type").is_ok_and(|t| t == "PV");
    if pv {
        out.push(
            finding(CHECK, Level::Fail, "a Xen PV guest cannot kexec")
                .fix("run the guest as PVH or HVM, or dump it from the host"),
        );
    }
    if has("/dev/sev-guest") || has("/dev/tdx_guest") {
        out.push(
            finding(CHECK, Level::Warn, "a confidential guest: whether a capture kernel starts depends on kernel and hypervisor")
                .fix("prove it: afterpanic crash-test --yes"),
        );
    }
    out
}
