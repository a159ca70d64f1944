//! Whether what should panic this machine does, and whether the panic reaches the capture kernel.

use std::path::Path;

use super::finding::{Examined, Finding, Level, finding};
use super::settings::{self, Origin};
use crate::words::words;
use crate::{platform, root};

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
            .fix(panic_on_oops(on.root)),
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
    let notifiers_first = post.is_ok_and(|text| text == "Y" || text == "1");
    if notifiers_first && platform::name(on.root) == "Hyper-V guest" {
        out.push(finding(
            CHECK,
            Level::Note,
            "on Hyper-V the kernel sets crash_kexec_post_notifiers itself: it tells the host before it dumps",
        ));
    } else if notifiers_first {
        out.push(
            finding(CHECK, Level::Warn, "crash_kexec_post_notifiers is set: the crashed kernel's notifiers run first, and one that hangs loses the dump")
                .fix(without_notifiers(on.root)),
        );
    }
    out.extend(lockups(on.root));
    if out.is_empty() {
        out.push(finding(
            CHECK,
            Level::Ok,
            "an oops panics, a panic goes straight to the capture kernel",
        ));
    }
    out
}

/// How to unset crash_kexec_post_notifiers, by where it is set.
fn without_notifiers(root: &Path) -> String {
    const NAME: &str = "crash_kexec_post_notifiers";
    let cmdline = root::text(root, "/proc/cmdline").unwrap_or_default();
    let named = |word: &String| word.replace('-', "_").starts_with(NAME);
    if words(&cmdline).iter().any(named) {
        return format!("remove {NAME} from the command line, then reboot");
    }
    // systemd-tmpfiles writes the parameter at boot.
    let file = format!("/sys/module/kernel/parameters/{NAME}");
    match settings::tmpfiles(root, &file) {
        Some(origin) => format!("{}, then reboot", origin.removed(NAME)),
        None => format!(
            "find what sets {NAME} (a service, a tmpfiles.d file or the kernel's config) and remove it, then reboot"
        ),
    }
}

/// How to have an oops panic: in a file that comes after the one that says otherwise.
fn panic_on_oops(root: &Path) -> String {
    const NAME: &str = "kernel.panic_on_oops";
    const OURS: &str = "90-panic.conf";
    let write = |name: &str| format!("echo {NAME}=1 > /etc/sysctl.d/{name} && sysctl --system");
    match settings::sysctl(root, NAME) {
        Some(origin @ Origin::CommandLine(_)) => {
            format!("{}, then: {}", origin.removed(NAME), write(OURS))
        }
        Some(Origin::File { path, value }) if value == "0" => {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let kind = path.parent().and_then(Path::file_name).unwrap_or_default();
            match () {
                () if kind == "tmpfiles.d" => {
                    let origin = Origin::File { path, value };
                    format!("{}, then: {}", origin.removed("panic_on_oops"), write(OURS))
                }
                () if path.starts_with("/etc") => {
                    format!("set {NAME}=1 in {}, then: sysctl --system", path.display())
                }
                () if name.as_str() < OURS => write(OURS),
                // One of the same name in /etc replaces the vendor's.
                () => write(&name),
            }
        }
        _ => write(OURS),
    }
}

/// What stops a machine without a panic, and so without a dump. By choice: some lockups pass.
fn lockups(root: &Path) -> Option<Finding> {
    let off: Vec<&str> = ["softlockup_panic", "hardlockup_panic", "hung_task_panic"]
        .into_iter()
        .filter(|name| root::number(root, format!("/proc/sys/kernel/{name}")) == Some(0))
        .collect();
    let text = format!(
        "a machine that hangs makes no dump: kernel.{} {} 0",
        off.join(", kernel."),
        if off.len() == 1 { "is" } else { "are" }
    );
    (!off.is_empty()).then(|| finding(CHECK, Level::Note, text))
}
