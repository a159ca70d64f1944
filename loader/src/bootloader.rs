//! The boot configuration: who owns it, and how `crashkernel=` gets into it.
//!
//! Files are edited only where it is certain what reads them: Debian's update-grub, and Boot Loader
//! Specification entries without another owner. Everywhere else the exact commands are shown and
//! nothing is changed.

mod bls;
mod change;
mod grub;
mod grub_mkconfig;
mod ostree;
mod uki;
mod variables;

use std::path::Path;

pub use change::{BootLoader, BootLoaderError, Change, Edit, apply};
pub use grub::{Effect, effect};

use crate::root;

/// Finds the owner of the boot configuration of the machine under `root`.
#[must_use]
pub fn detect(root: &Path) -> BootLoader {
    let has = |path: &str| root::under(root, path).exists();
    let tool = |name: &str| root::tool(root, name).is_some();
    if ostree::is_deployment(root) {
        BootLoader::Ostree
    } else if uki::running(root).is_some() {
        BootLoader::Uki
    } else if tool("grubby") {
        BootLoader::Grubby
    } else if tool("pbl")
        || has("/usr/lib/bootloader/bootloader_entry")
        || tool("update-bootloader")
    {
        BootLoader::Pbl
    } else if tool("zipl") && has("/etc/zipl.conf") {
        BootLoader::Zipl
    } else if grub::is_debians(root) {
        BootLoader::Grub
    } else if has("/etc/default/grub") || has("/etc/default/grub.d") {
        BootLoader::GrubMkconfig
    } else if !bls::entries(root).is_empty() {
        BootLoader::Bls
    } else {
        BootLoader::Unknown
    }
}

/// The change that makes the next boot reserve `value`; an empty one when it already does.
///
/// # Errors
/// When the configuration cannot be read, or something later in it overrides the value.
pub fn propose(root: &Path, value: &str) -> Result<Change, BootLoaderError> {
    let owner = detect(root);
    let command = match owner {
        BootLoader::Grub => return grub::propose(root, value),
        BootLoader::Bls => return bls::propose(root, value),
        BootLoader::GrubMkconfig => grub_mkconfig::command(root, value)?,
        BootLoader::Ostree => ostree::command(root, value),
        BootLoader::Uki => uki::command(root, value),
        BootLoader::Grubby => format!("grubby --update-kernel=ALL --args=crashkernel={value}"),
        BootLoader::Pbl => format!(
            "pbl --del-option crashkernel; pbl --add-option crashkernel={value}; pbl --config"
        ),
        BootLoader::Zipl => {
            format!("add crashkernel={value} to parameters= in /etc/zipl.conf, then run zipl")
        }
        BootLoader::Unknown => {
            format!(
                "add crashkernel={value} to the kernel's command line in the boot loader's config"
            )
        }
    };
    let mut change = Change::new(owner);
    change.by_hand = Some(command);
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_own_the_configuration_are_named_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/sbin")).unwrap();
        std::fs::create_dir_all(dir.path().join("etc/default/grub.d")).unwrap();
        std::fs::write(dir.path().join("usr/sbin/grubby"), "").unwrap();
        let change = propose(dir.path(), "256M").unwrap();
        assert_eq!(
            change.by_hand.as_deref(),
            Some("grubby --update-kernel=ALL --args=crashkernel=256M")
        );
        assert!(
            apply(dir.path(), &change)
                .unwrap_err()
                .to_string()
                .contains("grubby")
        );
        std::fs::rename(
            dir.path().join("usr/sbin/grubby"),
            dir.path().join("usr/sbin/pbl"),
        )
        .unwrap();
        assert_eq!(detect(dir.path()), BootLoader::Pbl);
        let said = |dir: &Path| propose(dir, "256M").unwrap().by_hand.unwrap();
        assert_eq!(
            said(dir.path()),
            "pbl --del-option crashkernel; pbl --add-option crashkernel=256M; pbl --config"
        );
        std::fs::rename(
            dir.path().join("usr/sbin/pbl"),
            dir.path().join("usr/sbin/zipl"),
        )
        .unwrap();
        std::fs::write(dir.path().join("etc/zipl.conf"), "parameters=quiet\n").unwrap();
        assert!(said(dir.path()).ends_with("in /etc/zipl.conf, then run zipl"));
    }

    #[test]
    fn nothing_known_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let change = propose(dir.path(), "96M").unwrap();
        assert!(change.by_hand.unwrap().contains("add crashkernel=96M"));
    }
}
