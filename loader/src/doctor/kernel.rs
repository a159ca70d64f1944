//! Whether the running kernel can load a capture kernel, and whether that one could make a dump.

use std::path::PathBuf;

use initramfs::kernel::uki;

use super::finding::{Examined, Finding, Level, chain, finding};
use super::settings;
use crate::access::{self, Lockdown};
use crate::arm::Choice;
use crate::kimage::{self, KernelImage};
use crate::root;

const CHECK: &str = "kernel";

/// Options without which nothing works, and what each is for.
const NEEDED: [(&str, &str); 2] = [
    ("CONFIG_CRASH_DUMP", "to run as a capture kernel"),
    ("CONFIG_PROC_VMCORE", "for /proc/vmcore"),
];

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let root = on.root;
    let fail = |text: String| finding(CHECK, Level::Fail, text);
    if access::lacks_kexec(root) {
        return vec![
            fail("the running kernel was built without kexec".to_owned())
                .fix("boot a kernel with CONFIG_KEXEC_FILE and CONFIG_CRASH_DUMP"),
        ];
    }
    let mut out = Vec::new();
    if let Some(text) =
        initramfs::kernel::configuration(&initramfs::root::Root::new(root), root, on.release())
    {
        let has = |name: &str| text.lines().any(|l| l == format!("{name}=y"));
        for (name, what) in NEEDED {
            if !has(name) {
                out.push(
                    fail(format!("it has no {name}, which it needs {what}"))
                        .fix("boot a kernel that has it"),
                );
            }
        }
        if !has("CONFIG_KEXEC_FILE") && !has("CONFIG_KEXEC") {
            out.push(
                fail("it has neither CONFIG_KEXEC_FILE nor CONFIG_KEXEC".to_owned())
                    .fix("boot a kernel that has one"),
            );
        }
    }
    if root::number(root, "/proc/sys/kernel/kexec_load_disabled") == Some(1) {
        let fix = match settings::sysctl(root, "kernel.kexec_load_disabled") {
            Some(origin) => origin.removed("kexec_load_disabled"),
            None => "find what sets it (a service, or a script), remove it".to_owned(),
        };
        out.push(
            fail("kernel.kexec_load_disabled is 1 until the next boot".to_owned())
                .fix(format!("{fix}, then reboot")),
        );
    }
    if access::loads_left(root) == Some(0) {
        let armed = on.status.armed != crate::status::Armed::No;
        let level = if armed { Level::Warn } else { Level::Fail };
        out.push(
            finding(CHECK, level, "kernel.kexec_load_limit_panic is used up: no capture kernel can be loaded in this boot")
                .fix(match settings::sysctl(root, "kernel.kexec_load_limit_panic") {
                    Some(origin) => format!("{}, then reboot", origin.removed("kexec_load_limit_panic")),
                    None => "find what sets it, raise it, then reboot".to_owned(),
                }),
        );
    }
    out.extend(vmlinuz(on));
    if !root::under(root, "/sys/kernel/btf/vmlinux").exists()
        && root::under(root, "/sys/kernel").exists()
    {
        out.push(
            finding(
                CHECK,
                Level::Warn,
                "it carries no BTF, so structures cannot be named: report and bt say little",
            )
            .fix("boot a kernel with CONFIG_DEBUG_INFO_BTF"),
        );
    }
    if out.is_empty() {
        let locked = match access::lockdown(root) {
            Lockdown::None => "; not locked down",
            Lockdown::Unknown => "; whether it is locked down is not known (no securityfs)",
            Lockdown::Integrity | Lockdown::Confidentiality => {
                "; locked down, and a signed kernel is loaded"
            }
        };
        out.push(finding(
            CHECK,
            Level::Ok,
            format!("can load a capture kernel{locked}"),
        ));
    }
    out
}

/// The kernel file that would be loaded; the error has the places that were looked at.
pub(super) fn path(on: &Examined<'_>) -> Result<PathBuf, Vec<String>> {
    match &on.config.capture_kernel.kernel {
        config::KernelChoice::Path(path) => Ok(path.clone()),
        config::KernelChoice::Running => kimage::find_any(on.root, on.release()),
    }
}

fn vmlinuz(on: &Examined<'_>) -> Option<Finding> {
    let path = match path(on) {
        Ok(path) => path,
        Err(places) => {
            let text = format!(
                "no kernel image for {} in {}",
                on.release(),
                places.join(", ")
            );
            return Some(
                finding(CHECK, Level::Fail, text)
                    .fix("name it as kernel in [capture_kernel] of /etc/afterpanic.toml"),
            );
        }
    };
    let bytes = match root::bytes(on.root, &path, root::KERNEL) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Some(finding(
                CHECK,
                Level::NotMade,
                format!("{} is readable by root only", path.display()),
            ));
        }
        Err(e) => {
            let text = format!("{} cannot be read: {e}", path.display());
            return Some(finding(CHECK, Level::Fail, text).fix("install the kernel package again"));
        }
    };
    if path.extension().is_some_and(|end| end == "efi") && uki::linux_section(&bytes).is_none() {
        let text = format!(
            "{} holds no kernel (it has no section .linux)",
            path.display()
        );
        return Some(finding(CHECK, Level::Fail, text).fix("build the unified kernel image again"));
    }
    let why = KernelImage::parse(&uki::kernel_of(bytes)).err()?;
    let text = format!("{} cannot be loaded: {}", path.display(), chain(&why));
    Some(finding(CHECK, Level::Fail, text).fix("install the kernel package again"))
}

/// The configured system call.
pub(super) fn choice(on: &Examined<'_>) -> Choice {
    match on.config.capture_kernel.syscall {
        config::Syscall::Auto => Choice::Auto,
        config::Syscall::File => Choice::File,
        config::Syscall::Load => Choice::Load,
    }
}
