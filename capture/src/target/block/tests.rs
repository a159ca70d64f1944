//! Block devices in a made-up /sys.

use super::*;
use plan::{FsType, Identity};
use std::os::unix::fs::symlink;

/// A sysfs and a /dev with one disk, and one partition on it with an ext superblock.
fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let disk = root.path().join("sys/devices/pci/block/vda");
    fs::create_dir_all(disk.join("vda1/holders")).unwrap();
    fs::create_dir_all(disk.join("queue")).unwrap();
    fs::create_dir_all(root.path().join("sys/class/block")).unwrap();
    fs::create_dir_all(root.path().join("dev")).unwrap();
    for (name, text) in [
        ("size", "4096\n"),
        ("serial", "S1\n"),
        ("vda1/size", "2048\n"),
        ("vda1/start", "2048\n"),
        ("vda1/partition", "1\n"),
    ] {
        fs::write(disk.join(name), text).unwrap();
    }
    for (name, to) in [("vda", disk.clone()), ("vda1", disk.join("vda1"))] {
        symlink(to, root.path().join("sys/class/block").join(name)).unwrap();
    }
    let mut bytes = vec![0_u8; 2048 * 512];
    fs::write(root.path().join("dev/vda"), &bytes).unwrap();
    bytes[1080..1082].copy_from_slice(&[0x53, 0xef]);
    bytes[1128..1144].copy_from_slice(&[0x11; 16]);
    fs::write(root.path().join("dev/vda1"), &bytes).unwrap();
    root
}

fn filesystem(uuid: &str) -> Filesystem {
    Filesystem {
        fstype: FsType::Ext4,
        identity: Identity::Uuid(uuid.into()),
        uuid: None,
        path: "/".into(),
        options: Vec::new(),
        stack: Vec::new(),
    }
}

#[test]
fn devices_are_listed_and_found() {
    let root = tree();
    let (sys, dev) = (root.path().join("sys"), root.path().join("dev"));
    let devices = list(&sys, &dev);
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[1].partition, Some((1, 2048, "vda".into())));
    assert_eq!(devices[1].serial.as_deref(), Some("S1"));
    let wait = Duration::from_secs(5);
    let uuid = "11111111-1111-1111-1111-111111111111";
    let found = Looking::begin().wait_below(&filesystem(uuid), wait, &sys, &dev);
    let found = found.unwrap();
    assert_eq!(found, dev.join("vda1"));
}

#[test]
fn a_device_whose_driver_is_not_ready_is_looked_at_again() {
    let root = tree();
    let (sys, dev) = (root.path().join("sys"), root.path().join("dev"));
    // A directory can be opened and not be read.
    let (node, aside) = (dev.join("vda1"), root.path().join("aside"));
    fs::rename(&node, &aside).unwrap();
    fs::create_dir(&node).unwrap();
    let ready = std::thread::spawn({
        let node = node.clone();
        move || {
            std::thread::sleep(AGAIN + AGAIN / 2);
            fs::remove_dir(&node).unwrap();
            fs::rename(&aside, &node).unwrap();
        }
    });
    let fs = filesystem("11111111-1111-1111-1111-111111111111");
    let found = Looking::begin().wait_below(&fs, Duration::from_secs(20), &sys, &dev);
    ready.join().unwrap();
    assert_eq!(found.unwrap(), node);
}

#[test]
fn a_device_that_never_appears_is_said() {
    let root = tree();
    let (sys, dev) = (root.path().join("sys"), root.path().join("dev"));
    let wait = Duration::from_secs(4);
    let fs = filesystem("22222222-0000-0000-0000-000000000000");
    let why = Looking::begin().wait_below(&fs, wait, &sys, &dev);
    let why = why.unwrap_err();
    assert!(
        why.contains("UUID 22222222") && why.contains("vda vda1"),
        "{why}"
    );
}
