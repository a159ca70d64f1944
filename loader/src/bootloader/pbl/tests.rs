//! SUSE: GRUB by pbl or update-bootloader, entries by sdbootutil, transactional systems.

use super::super::tests::{put, tree};
use super::super::{BootLoader, apply, detect, propose};

#[test]
fn pbl_and_update_bootloader() {
    let dir = tree(&[
        ("usr/sbin/pbl", ""),
        ("etc/sysconfig/bootloader", "LOADER_TYPE=\"grub2-efi\"\n"),
        ("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n"),
    ]);
    assert_eq!(detect(dir.path()), BootLoader::Pbl);
    assert_eq!(
        propose(dir.path(), "256M").unwrap().command_line().unwrap(),
        "pbl --del-option crashkernel && pbl --add-option crashkernel=256M && pbl --config"
    );
    put(
        dir.path(),
        "etc/default/grub",
        "GRUB_CMDLINE_LINUX_DEFAULT=\"crashkernel=512M,high crashkernel=72M,low\"\n",
    );
    assert!(
        propose(dir.path(), "256M")
            .unwrap()
            .command_line()
            .unwrap()
            .starts_with(
                "pbl --del-option crashkernel && pbl --del-option crashkernel && pbl --add"
            )
    );
    put(dir.path(), "usr/sbin/transactional-update", "");
    let said = propose(dir.path(), "256M").unwrap().by_hand.unwrap();
    assert!(said.ends_with("&& transactional-update grub.cfg"), "{said}");
    put(
        dir.path(),
        "etc/default/grub",
        "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet crashkernel=256M\"\n",
    );
    assert!(propose(dir.path(), "256M").unwrap().is_empty());
    let dir = tree(&[
        ("usr/sbin/update-bootloader", ""),
        ("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n"),
    ]);
    let change = propose(dir.path(), "256M").unwrap();
    assert_eq!(
        change.command_line().unwrap(),
        "update-bootloader --refresh"
    );
    assert!(change.diff().contains("quiet crashkernel=256M"));
}

#[test]
fn entries_are_written_by_sdbootutil() {
    let dir = tree(&[
        ("usr/sbin/pbl", ""),
        ("usr/bin/sdbootutil", ""),
        ("etc/sysconfig/bootloader", "LOADER_TYPE=\"grub2-bls\"\n"),
        ("etc/kernel/cmdline", "root=UUID=1 splash=silent\n"),
    ]);
    assert_eq!(detect(dir.path()), BootLoader::Sdbootutil);
    let change = propose(dir.path(), "256M").unwrap();
    assert_eq!(
        change.command_line().unwrap(),
        "sdbootutil update-all-entries"
    );
    apply(dir.path(), &change).unwrap();
    let entry = "linux /vmlinuz\noptions root=UUID=1 crashkernel=256M\n";
    put(
        dir.path(),
        "boot/efi/loader/entries/opensuse-6.12.conf",
        entry,
    );
    put(dir.path(), "etc/kernel/entry-token", "opensuse\n");
    assert!(propose(dir.path(), "256M").unwrap().is_empty());
    put(
        dir.path(),
        "boot/efi/loader/entries/opensuse-6.13.conf",
        "linux /vmlinuz\noptions root=UUID=1\n",
    );
    assert!(
        propose(dir.path(), "256M")
            .unwrap()
            .command_line()
            .is_some()
    );
}
