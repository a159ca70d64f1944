//! Secure Boot and lockdown: whether the running kernel loads signed kernels only, whether this one is signed, and
//! which keys it knows.
//!
//! Facts: kernel/kexec_file.c and arch/x86/kernel/kexec-bzimage64.c (kexec_kernel_verify_pe_sig: the built-in and
//! secondary keyrings, then .platform); /proc/keys (a keyring's line ends with `NAME: COUNT` or `NAME: empty`).

use initramfs::kernel::{pe, uki};

use super::finding::{Examined, Finding, Level, finding};
use super::kernel::path;
use crate::access::{self, Lockdown};
use crate::status::Armed;
use crate::{efi, root, signature};

const CHECK: &str = "signature";
/// Keyrings that may vouch for a kernel, and what fills them.
const KEYRINGS: [(&str, &str); 4] = [
    (".builtin_trusted_keys", "built into the kernel"),
    (".secondary_trusted_keys", "added to it"),
    (".machine", "MOK"),
    (".platform", "firmware's db"),
];

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let secure_boot = match efi::secure_boot(on.root) {
        Some(true) => "Secure Boot is on",
        Some(false) => "Secure Boot is off",
        None => "Secure Boot is not known",
    };
    let Some(why) = signature::wanted(on.root) else {
        let noted = efi::secure_boot(on.root) == Some(true);
        let text = format!("{secure_boot}, but this kernel wants no signature for kexec");
        return noted
            .then(|| finding(CHECK, Level::Note, text))
            .into_iter()
            .collect();
    };
    if matches!(on.config.capture_kernel.syscall, config::Syscall::Load) {
        return match access::lockdown(on.root) {
            Lockdown::Integrity | Lockdown::Confidentiality => vec![
                finding(
                    CHECK,
                    Level::Fail,
                    format!("{why} forbids kexec_load, which the config asks for"),
                )
                .fix("set syscall = \"auto\" in /etc/afterpanic.toml"),
            ],
            _ => Vec::new(),
        };
    }
    let mut out = vec![kernel(
        on,
        &format!("{secure_boot}, and {why} wants a signed kernel"),
    )];
    if access::lockdown(on.root) == Lockdown::Confidentiality {
        out.push(finding(
            CHECK,
            Level::Note,
            "lockdown (confidentiality) closes /proc/kcore: the page filter cannot be checked on this kernel",
        ));
    }
    out
}

/// Whether the kernel that would be loaded is signed.
fn kernel(on: &Examined<'_>, wanted: &str) -> Finding {
    if matches!(on.status.armed, Armed::Yes | Armed::Stale) {
        return finding(CHECK, Level::Ok, format!("{wanted}: one is loaded"));
    }
    let keys = keys(on);
    let path = path(on).ok();
    let file = path
        .as_ref()
        .and_then(|path| root::bytes(on.root, path, root::KERNEL).ok());
    let (Some(path), Some(file)) = (path, file) else {
        return finding(CHECK, Level::Warn, format!("{wanted}{keys}"))
            .fix("afterpanic load tells whether yours is accepted; keys: mokutil --list-enrolled");
    };
    let inside = uki::linux_section(&file).is_some();
    let path = path.display();
    if pe::is_signed(&uki::kernel_of(file)) == Some(true) {
        return finding(
            CHECK,
            Level::Ok,
            format!("{wanted}: {path} has a signature{keys}"),
        );
    }
    let (what, fix) = match inside {
        true => (
            "the kernel inside",
            "build the image with ukify --sign-kernel, or set kernel in [capture_kernel] of /etc/afterpanic.toml to a signed vmlinuz".to_owned(),
        ),
        false => (
            "it",
            format!("install the distribution's signed kernel, or sign it with an enrolled key: sbsign --key MOK.key --cert MOK.pem --output {path} {path}"),
        ),
    };
    finding(
        CHECK,
        Level::Fail,
        format!("{wanted}, but {path} is refused: {what} is not signed{keys}"),
    )
    .fix(fix)
}

/// How many keys each keyring holds; empty when /proc/keys does not tell.
fn keys(on: &Examined<'_>) -> String {
    let text = root::text(on.root, "/proc/keys").unwrap_or_default();
    let counts: Vec<String> = (KEYRINGS.iter())
        .filter_map(|(name, what)| {
            let line = text
                .lines()
                .find(|line| line.contains(&format!(" {name}: ")))?;
            let count = line.rsplit(": ").next()?.trim();
            Some(format!(
                "{} in {name} ({what})",
                count.replace("empty", "none")
            ))
        })
        .collect();
    match counts.is_empty() {
        true => String::new(),
        false => format!("; keys: {}", counts.join(", ")),
    }
}
