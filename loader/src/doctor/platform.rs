//! What the machine is: places where a capture kernel cannot work or needs care.

use super::finding::{Examined, Finding, Level, finding};
use crate::root;

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
