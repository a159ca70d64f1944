//! Proxmox with systemd-boot, with GRUB, and without partitions of proxmox-boot-tool.

use super::super::tests::{put, tree};
use super::super::{BootLoader, Effect, apply, detect, effect, propose};
use crate::efi::tests::put_loader;

fn host() -> tempfile::TempDir {
    tree(&[
        ("usr/sbin/proxmox-boot-tool", ""),
        ("etc/kernel/proxmox-boot-uuids", "7A3B-11FE\n7A3C-9C01\n"),
        ("usr/sbin/update-grub", ""),
        ("etc/debian_version", "12.9\n"),
        ("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n"),
        ("etc/kernel/cmdline", "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n"),
    ])
}

#[test]
fn systemd_boot_takes_the_first_line() {
    let dir = host();
    put_loader(dir.path(), "LoaderInfo", "systemd-boot 252.33");
    assert_eq!(detect(dir.path()), BootLoader::Proxmox);
    let change = propose(dir.path(), "256M").unwrap();
    assert_eq!(change.command_line().unwrap(), "proxmox-boot-tool refresh");
    apply(dir.path(), &change).unwrap();
    assert_eq!(effect(dir.path(), "256M"), Effect::Taken);
    assert!(propose(dir.path(), "256M").unwrap().is_empty());
}

#[test]
fn grub_has_debians_file_and_the_same_command() {
    let dir = host();
    put(
        dir.path(),
        "proc/cmdline",
        "BOOT_IMAGE=/vmlinuz-6.8.12-pve root=ZFS=rpool ro",
    );
    let change = propose(dir.path(), "256M").unwrap();
    assert!(
        change
            .diff()
            .contains("/etc/default/grub.d/zz-afterpanic.cfg")
    );
    assert_eq!(change.command_line().unwrap(), "proxmox-boot-tool refresh");
    put(dir.path(), "etc/kernel/proxmox-boot-uuids", "\n");
    assert_eq!(detect(dir.path()), BootLoader::Grub);
}
