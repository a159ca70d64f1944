//! What this machine is: hardware, or a guest, and of what hypervisor.

use std::path::Path;

use crate::root;

/// `KVM guest`, `Hyper-V guest`, `hardware` … from the firmware's tables and the clocks.
pub(crate) fn name(root: &Path) -> String {
    let dmi =
        |field: &str| root::text(root, format!("/sys/class/dmi/id/{field}")).unwrap_or_default();
    let (vendor, product) = (dmi("sys_vendor"), dmi("product_name"));
    let guest =
        if root::text(root, "/sys/hypervisor/type").is_ok_and(|t| t == "xen") || vendor == "Xen" {
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

/// Whether this is a virtual machine: the firmware's tables name one, or the CPU says so (CPUID leaf 1,
/// ECX bit 31, which /proc/cpuinfo shows as the flag `hypervisor`). Small hypervisors have no tables.
pub(crate) fn is_guest(root: &Path) -> bool {
    let cpuinfo = root::text(root, "/proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    name(root).ends_with(" guest")
        || flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}
