//! Whether what should panic this machine does, and whether the panic reaches the panic kernel.

use super::{Examined, Finding, Level, finding};
use crate::root;

const CHECK: &str = "policy";

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    match root::number(on.root, "/proc/sys/kernel/panic_on_oops") {
        Some(0) => out.push(
            finding(
                CHECK,
                Level::Warn,
                "an oops does not panic this machine, so it makes no dump",
            )
            .fix("echo kernel.panic_on_oops=1 > /etc/sysctl.d/90-panic.conf && sysctl --system"),
        ),
        Some(_) => (),
        None => out.push(finding(
            CHECK,
            Level::NotMade,
            "/proc/sys/kernel/panic_on_oops is not readable",
        )),
    }
    let post = root::text(
        on.root,
        "/sys/module/kernel/parameters/crash_kexec_post_notifiers",
    );
    if post.is_ok_and(|text| text == "Y" || text == "1") {
        out.push(
            finding(CHECK, Level::Warn, "crash_kexec_post_notifiers is set: the dead kernel's notifiers run first, and one that hangs loses the dump")
                .fix("remove crash_kexec_post_notifiers from the command line, then reboot"),
        );
    }
    if out.is_empty() {
        out.push(finding(
            CHECK,
            Level::Ok,
            "an oops panics, a panic goes straight to the panic kernel",
        ));
    }
    out
}
