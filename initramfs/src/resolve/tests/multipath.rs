//! Multipath maps: each path is recorded, and one is enough.

use super::*;

/// Two paths to one disk with a partition, the map over them, and the map of its partition, which is mounted.
fn san(second: &str) -> Fixture {
    let fixture = Fixture::new();
    for (name, host, dev, wwid) in [
        ("sda", "0000:00:05.0/host0", "8:0", "naa.600508b4"),
        ("sdb", "0000:00:06.0/host1", "8:16", second),
    ] {
        let disk = format!("pci0000:00/{host}/block/{name}");
        fixture.block(&disk, dev, 8192, &[0; 512]);
        fixture.file(
            &format!("/sys/devices/{disk}/device/wwid"),
            format!("{wwid}\n"),
        );
        let part = if name == "sda" { "8:1" } else { "8:17" };
        fixture.partition(&disk, 1, part, &xfs());
    }
    fixture.block("virtual/block/dm-0", "253:0", 8192, &[0; 512]);
    fixture.block("virtual/block/dm-1", "253:1", 4096, &xfs());
    let dm = |map: &str, uuid: &str, name: &str| {
        let dir = format!("/sys/devices/virtual/block/{map}/dm");
        fixture.file(&format!("{dir}/uuid"), uuid);
        fixture.file(&format!("{dir}/name"), name);
    };
    dm("dm-0", "mpath-3600508b4", "mpatha");
    dm("dm-1", "part1-mpath-3600508b4", "mpatha1");
    for (above, below) in [("dm-0", "sda"), ("dm-0", "sdb"), ("dm-1", "dm-0")] {
        fixture.stacked(above, below);
    }
    fixture.mounts(&[("253:1", "/", "/", "xfs", "/dev/mapper/mpatha1")]);
    fixture
}

#[test]
fn a_partition_of_a_map_is_found_on_each_path() {
    let resolved = default(&san("naa.600508b4"));
    let fs = filesystem(&resolved);
    assert_eq!(fs.fstype, FsType::Xfs);
    let [Layer::Partition { number, start, .. }, first, second] = fs.stack.as_slice() else {
        panic!("{:?}", fs.stack);
    };
    assert_eq!((*number, *start), (1, 2048));
    for (layer, path) in [(first, "sda"), (second, "sdb")] {
        let Layer::Disk { name, wwid, .. } = layer else {
            panic!("{layer:?}");
        };
        assert_eq!(
            (name.as_str(), wwid.as_deref()),
            (path, Some("naa.600508b4"))
        );
    }
}

#[test]
fn a_map_itself_may_hold_the_filesystem() {
    let fixture = san("naa.600508b4");
    fixture.block("virtual/block/dm-0", "253:0", 8192, &ext4());
    fixture.mounts(&[("253:0", "/", "/", "ext4", "/dev/mapper/mpatha")]);
    let resolved = default(&fixture);
    let stack = &filesystem(&resolved).stack;
    assert_eq!(stack.len(), 2, "{stack:?}");
    assert!(
        stack
            .iter()
            .all(|layer| matches!(layer, Layer::Disk { .. }))
    );
}

#[test]
fn paths_that_are_not_one_disk_are_refused() {
    let why = error(&san("naa.other"), "");
    assert!(why.contains("its paths do not have one WWID"), "{why}");
    let why = error(&san(""), "");
    assert!(why.contains("its paths do not have one WWID"), "{why}");
}
