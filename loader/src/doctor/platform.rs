//! What the machine is: places where a capture kernel cannot work, and what a hypervisor does to a guest that
//! panics.
//!
//! Facts: drivers/xen, arch/x86/xen (a PV domain has no kexec; Xen's own crashkernel= reserves for a dom0), Xen's
//! xl.cfg(5) (`on_soft_reset`, `on_crash`); drivers/misc/pvpanic and QEMU's docs/specs/pvpanic.rst; vSphere HA "VM
//! Monitoring"; Hyper-V's heartbeat and failover clusters.

use super::finding::{Examined, Finding, Level, finding};
use crate::{platform, root};

const CHECK: &str = "platform";

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
    out.extend(xen(on));
    let name = platform::name(on.root);
    match name.as_str() {
        "KVM guest" | "QEMU guest" if has_pvpanic(on) => out.push(pvpanic(on, &name)),
        "VMware guest" => out.push(finding(
            CHECK,
            Level::Note,
            "VMware guest: while it dumps VMware Tools send no heartbeat, and vSphere HA VM Monitoring may reset it",
        )
        .fix("set the failure interval of VM Monitoring for this VM above the time of a dump (afterpanic rehearse shows it)")),
        "Hyper-V guest" => out.push(finding(
            CHECK,
            Level::Note,
            "Hyper-V guest: while it dumps it sends no heartbeat, and a failover cluster may restart it",
        )
        .fix("on the host switch heartbeat monitoring off for this VM: (Get-ClusterResource \"Virtual Machine NAME\" | Set-ClusterParameter CheckHeartbeat 0)")),
        _ => {}
    }
    out
}

fn xen(on: &Examined<'_>) -> Option<Finding> {
    let text = |path: &str| root::text(on.root, path).unwrap_or_default();
    let guest = text("/sys/hypervisor/guest_type");
    let capabilities = text("/proc/xen/capabilities");
    let is_xen = platform::name(on.root) == "Xen guest" || !guest.is_empty();
    if !is_xen && capabilities.is_empty() {
        return None;
    }
    let dom0 = capabilities.contains("control_d");
    if dom0 {
        return Some(
            finding(CHECK, Level::Fail, "this is Xen's dom0: Xen itself starts the capture kernel, and reserves for it")
                .fix("put crashkernel= on Xen's own line (GRUB_CMDLINE_XEN_DEFAULT), and load with a kexec-tools that was built for Xen"),
        );
    }
    Some(match guest.as_str() {
        "PV" => finding(CHECK, Level::Fail, "a Xen PV guest cannot kexec")
            .fix("run the guest as PVH or HVM (type = \"pvh\"), or dump it from the host: xl dump-core"),
        _ => finding(
            CHECK,
            Level::Note,
            format!("a Xen {} guest: it starts the capture kernel by a soft reset, which the host must allow", if guest.is_empty() { "HVM" } else { &guest }),
        )
        .fix("on the host leave on_soft_reset = \"soft-reset\" (the default) in the domain's configuration"),
    })
}

fn has_pvpanic(on: &Examined<'_>) -> bool {
    let drivers = [
        "/sys/module/pvpanic",
        "/sys/module/pvpanic_mmio",
        "/sys/module/pvpanic_pci",
    ];
    drivers
        .iter()
        .any(|path| root::under(on.root, path).exists())
}

/// The device by which the guest tells the host of a panic: the host then may stop it.
fn pvpanic(on: &Examined<'_>, name: &str) -> Finding {
    let first = root::text(
        on.root,
        "/sys/module/kernel/parameters/crash_kexec_post_notifiers",
    );
    match first.is_ok_and(|text| text == "Y" || text == "1") {
        true => finding(
            CHECK,
            Level::Warn,
            format!("{name} with pvpanic, and notifiers run first: the host hears of the panic before the dump and may stop the guest"),
        )
        .fix("on the host set <on_crash>preserve</on_crash> in the domain's XML, or unset crash_kexec_post_notifiers here (see policy)"),
        false => finding(CHECK, Level::Ok, format!("{name} with pvpanic: the capture kernel starts first")),
    }
}
