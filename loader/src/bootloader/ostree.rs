//! ostree deployments: their boot entries are rewritten by each deployment and never edited here.
//!
//! Facts: rpm-ostree(1) and `ostree admin kargs`; /run/ostree-booted exists on such a system.

use std::path::Path;

use crate::{crashkernel, root};

/// Whether the running system is one.
pub(super) fn is_deployment(root: &Path) -> bool {
    root::under(root, "/run/ostree-booted").exists()
}

/// The command that sets the value.
pub(super) fn command(root: &Path, value: &str) -> String {
    let running = root::text(root, "/proc/cmdline").unwrap_or_default();
    let others: String = crashkernel::parameters(&running)
        .iter()
        .filter(|old| *old != value)
        .map(|old| format!(" --delete-if-present=crashkernel={old}"))
        .collect();
    let program = if root::tool(root, "rpm-ostree").is_some() {
        "rpm-ostree kargs"
    } else {
        "ostree admin kargs edit-in-place"
    };
    format!("{program}{others} --append-if-missing=crashkernel={value}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_old_value_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("run/ostree-booted", ""),
            ("usr/bin/rpm-ostree", ""),
            ("proc/cmdline", "rw crashkernel=1G ostree=/x"),
            ("boot/loader/entries/ostree-1.conf", "linux /v\n"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let change = super::super::propose(dir.path(), "96M").unwrap();
        assert!(change.edits.is_empty());
        assert_eq!(
            change.by_hand.as_deref(),
            Some(
                "rpm-ostree kargs --delete-if-present=crashkernel=1G --append-if-missing=crashkernel=96M"
            )
        );
    }
}
