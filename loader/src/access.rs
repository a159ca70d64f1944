//! Whether this process may load a kernel at all, told apart before the call, because the system
//! calls answer EPERM for four different reasons.
//!
//! Facts: kernel/kexec.c and kexec_core.c (kexec_load_permitted), security/lockdown, Linux 5.10 to
//! 7.2; the load limits exist since 6.3.

use std::path::Path;

use serde::Serialize;

use crate::refusal::Refusal;
use crate::root;

const CAP_SYS_BOOT: u32 = 22;

/// The kernel lockdown mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lockdown {
    /// Off.
    None,
    /// Integrity: only signed kernels, only kexec_file_load.
    Integrity,
    /// Confidentiality: the same for loading; /proc/kcore is closed besides.
    Confidentiality,
    /// securityfs is not mounted or the kernel has no lockdown.
    Unknown,
}

/// The mode, from `/sys/kernel/security/lockdown` (`none [integrity] confidentiality`).
#[must_use]
pub fn lockdown(root: &Path) -> Lockdown {
    let Ok(text) = root::text(root, "/sys/kernel/security/lockdown") else {
        return Lockdown::Unknown;
    };
    match text.split(['[', ']']).nth(1) {
        Some("none") => Lockdown::None,
        Some("integrity") => Lockdown::Integrity,
        Some("confidentiality") => Lockdown::Confidentiality,
        _ => Lockdown::Unknown,
    }
}

/// Whether this process holds CAP_SYS_BOOT; `None` when /proc does not tell.
#[must_use]
pub fn may_boot(root: &Path) -> Option<bool> {
    let status = root::text(root, "/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    let caps = u64::from_str_radix(line.trim(), 16).ok()?;
    Some(caps >> CAP_SYS_BOOT & 1 == 1)
}

/// How many more capture kernels may be loaded; `None` when there is no limit.
#[must_use]
pub fn loads_left(root: &Path) -> Option<u64> {
    let text = root::text(root, "/proc/sys/kernel/kexec_load_limit_panic").ok()?;
    text.parse::<i64>().ok().and_then(|n| u64::try_from(n).ok())
}

/// Whether the running kernel was built without kexec: sysfs is there, its kexec files are not.
#[must_use]
pub fn lacks_kexec(root: &Path) -> bool {
    let has = |path: &str| root::under(root, path).exists();
    has("/sys/kernel/notes")
        && !has("/sys/kernel/kexec_crash_loaded")
        && !has("/sys/kernel/kexec/crash_loaded")
}

/// Checks all of it for the capture kernel.
///
/// # Errors
/// With the one reason that the system call would hide behind EPERM or ENOSYS.
pub fn check(root: &Path) -> Result<(), Refusal> {
    check_boot(root)?;
    if loads_left(root) == Some(0) {
        return Err(Refusal::LoadLimit);
    }
    Ok(())
}

/// Checks what loading any kernel needs.
///
/// # Errors
/// As [`check`].
pub fn check_boot(root: &Path) -> Result<(), Refusal> {
    if lacks_kexec(root) {
        return Err(Refusal::NoKexec);
    }
    if may_boot(root) == Some(false) {
        return Err(Refusal::NotRoot);
    }
    if root::number(root, "/proc/sys/kernel/kexec_load_disabled") == Some(1) {
        return Err(Refusal::Disabled);
    }
    Ok(())
}
