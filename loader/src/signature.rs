//! Whether the running kernel loads signed kernels only, and whether a kernel file is signed: told before the
//! system call, which answers EPERM and frees what was loaded before.
//!
//! Facts: kernel/kexec_file.c (kimage_validate_signature): a signature is wanted under lockdown, with
//! CONFIG_KEXEC_SIG_FORCE, and with CONFIG_IMA_ARCH_POLICY under Secure Boot
//! (security/integrity/ima/ima_efi.c), Linux 5.10 to 7.2. The file is handed over from memory, so an IMA
//! signature in its extended attributes never counts.

use std::path::Path;

use initramfs::kernel::{configuration, pe};
use nix::errno::Errno;

use crate::access::{Lockdown, lockdown};
use crate::diagnosis::KEYS;
use crate::efi;
use crate::refusal::Refusal;

/// Why the running kernel wants a signature; `None`: it wants none, or nothing tells.
pub(crate) fn wanted(root: &Path) -> Option<&'static str> {
    match lockdown(root) {
        Lockdown::Integrity => return Some("kernel lockdown (integrity)"),
        Lockdown::Confidentiality => return Some("kernel lockdown (confidentiality)"),
        Lockdown::None | Lockdown::Unknown => {}
    }
    let release = crate::probe::running_release(root)?;
    let text = configuration(&initramfs::root::Root::new(root), root, &release)?;
    let has = |name: &str| {
        text.lines()
            .any(|line| line.strip_suffix("=y") == Some(name))
    };
    if has("CONFIG_KEXEC_SIG_FORCE") {
        return Some("this kernel's CONFIG_KEXEC_SIG_FORCE");
    }
    let by_policy = has("CONFIG_KEXEC_SIG") && has("CONFIG_IMA_ARCH_POLICY");
    (by_policy && efi::secure_boot(root) == Some(true))
        .then_some("Secure Boot with this kernel's CONFIG_IMA_ARCH_POLICY")
}

/// Refuses a kernel without a signature where one is wanted. `inside`: it came out of a unified kernel image.
pub(crate) fn check(root: &Path, path: &Path, kernel: &[u8], inside: bool) -> Result<(), Refusal> {
    if wanted(root).is_none() || pe::is_signed(kernel) == Some(true) {
        return Ok(());
    }
    let (why, next) = match inside {
        true => (
            "the kernel in its section .linux is not signed, only the image around it is, and this kernel wants a signature",
            "Build the image with ukify --sign-kernel, or set kernel in [capture_kernel] of /etc/afterpanic.toml to a signed vmlinuz",
        ),
        false => ("it is not signed, and this kernel wants a signature", KEYS),
    };
    Err(Refusal::Signature {
        path: path.to_owned(),
        why,
        next,
        errno: Errno::ENODATA,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &tempfile::TempDir, path: &str, text: &str) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn what_wants_a_signature() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(wanted(dir.path()), None);
        put(&dir, "proc/sys/kernel/osrelease", "6.12\n");
        put(
            &dir,
            "boot/config-6.12",
            "CONFIG_KEXEC_SIG=y\nCONFIG_IMA_ARCH_POLICY=y\n",
        );
        assert_eq!(wanted(dir.path()), None);
        crate::efi::tests::put_secure_boot(dir.path(), true);
        assert!(wanted(dir.path()).unwrap().starts_with("Secure Boot"));
        put(&dir, "boot/config-6.12", "CONFIG_KEXEC_SIG_FORCE=y\n");
        assert!(wanted(dir.path()).unwrap().contains("SIG_FORCE"));
        put(
            &dir,
            "sys/kernel/security/lockdown",
            "none [integrity] confidentiality\n",
        );
        assert_eq!(wanted(dir.path()), Some("kernel lockdown (integrity)"));
    }

    #[test]
    fn an_unsigned_inner_kernel_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |inside| check(dir.path(), Path::new("/x.efi"), b"MZ", inside);
        assert!(refused(true).is_ok());
        put(
            &dir,
            "sys/kernel/security/lockdown",
            "none [integrity] confidentiality\n",
        );
        let said = refused(true).unwrap_err().to_string();
        assert!(
            said.contains("section .linux is not signed") && said.contains("--sign-kernel"),
            "{said}"
        );
        assert!(refused(false).unwrap_err().to_string().contains("mokutil"));
    }
}
