//! Unified kernel images: one EFI file with kernel, initramfs and command line inside. It is signed as
//! a whole, so the command line changes by an addon beside it, or by building the image again.
//!
//! Facts: systemd-stub(7) (addons in `NAME.efi.extra.d/*.addon.efi`), ukify(1), kernel-install(8).

use std::path::{Path, PathBuf};

use super::bls;
use crate::{kimage, probe};

/// The image of the running kernel, by the release in its name; `None` on a machine that boots
/// otherwise.
pub(super) fn running(root: &Path) -> Option<PathBuf> {
    let release = probe::running_release(root)?;
    if !bls::entries(root).is_empty() {
        return None;
    }
    kimage::ukis(root, &release).into_iter().next()
}

/// The commands that set the value.
pub(super) fn command(root: &Path, value: &str) -> String {
    let uki = running(root).unwrap_or_default();
    let release = probe::running_release(root).unwrap_or_default();
    format!(
        "ukify build --cmdline=crashkernel={value} --output={}.extra.d/afterpanic.addon.efi (sign it \
         for Secure Boot); or add crashkernel={value} to /etc/kernel/cmdline and rebuild the unified \
         kernel image: kernel-install add {release} /lib/modules/{release}/vmlinuz",
        uki.display()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn an_addon_or_a_rebuild_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.12.1\n"),
            ("efi/EFI/Linux/0123-6.12.1.efi", "MZ"),
            ("efi/EFI/Linux/0123-6.11.9.efi", "MZ"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let change = super::super::propose(dir.path(), "96M").unwrap();
        let said = change.by_hand.unwrap();
        assert!(
            said.contains("--output=/efi/EFI/Linux/0123-6.12.1.efi.extra.d/"),
            "{said}"
        );
        assert!(said.contains("/etc/kernel/cmdline") && change.edits.is_empty());
    }
}
