//! Fedora and RHEL with grubby.

use super::super::tests::{put, tree};
use super::super::{BootLoader, BootLoaderError, apply, detect, propose};

#[test]
fn grubby_is_run_and_later_kernels_get_it_too() {
    let dir = tree(&[
        ("usr/sbin/grubby", ""),
        ("etc/default/grub", "GRUB_ENABLE_BLSCFG=true\n"),
        (
            "boot/loader/entries/0-6.12.conf",
            "linux /vmlinuz-6.12\noptions root=UUID=1 ro\n",
        ),
    ]);
    assert_eq!(detect(dir.path()), BootLoader::Grubby);
    let change = propose(dir.path(), "256M").unwrap();
    assert_eq!(
        change.command_line().unwrap(),
        "grubby --update-kernel=ALL --args=crashkernel=256M"
    );
    let said = apply(dir.path(), &change).unwrap_err();
    assert!(matches!(said, BootLoaderError::Elsewhere { .. }), "{said}");
    put(dir.path(), "etc/kernel/cmdline", "root=UUID=1 ro\n");
    let change = propose(dir.path(), "256M").unwrap();
    assert_eq!(
        change.edits[0].after.as_deref(),
        Some("root=UUID=1 ro crashkernel=256M\n")
    );
    put(
        dir.path(),
        "etc/kernel/cmdline",
        "root=UUID=1 ro crashkernel=256M\n",
    );
    put(
        dir.path(),
        "boot/loader/entries/0-6.12.conf",
        "linux /vmlinuz-6.12\noptions root=UUID=1 crashkernel=256M\n",
    );
    assert!(propose(dir.path(), "256M").unwrap().is_empty());
    put(
        dir.path(),
        "boot/loader/entries/1-6.13.conf",
        "linux /vmlinuz-6.13\noptions root=UUID=1 crashkernel=1G,high crashkernel=72M,low\n",
    );
    assert_eq!(
        propose(dir.path(), "256M").unwrap().command_line().unwrap(),
        "grubby --update-kernel=ALL --remove-args=crashkernel && grubby --update-kernel=ALL --args=crashkernel=256M"
    );
}
