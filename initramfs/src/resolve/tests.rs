//! Whole machines as fixture trees: what is loaded in which order, and what proves the target.

use config::Config;
use plan::{FsType, Identity, Layer, TargetKind};

use super::fixture::{Fixture, OTHER, RUNNING, UUID_BYTES, UUID_TEXT, btrfs, bytes, ext4, xfs};
use super::*;
use crate::closure;

fn resolve_as(fixture: &Fixture, text: &str, release: &str) -> Result<Resolved, ResolveError> {
    let config = Config::parse(text).unwrap();
    super::resolve(&fixture.root(), &config, &fixture.index(release))
}

fn default(fixture: &Fixture) -> Resolved {
    resolve_as(fixture, "", RUNNING).unwrap()
}

fn error(fixture: &Fixture, text: &str) -> String {
    resolve_as(fixture, text, RUNNING).unwrap_err().to_string()
}

fn modules(fixture: &Fixture, resolved: &Resolved, release: &str) -> Vec<String> {
    let closure = closure::resolve(&fixture.index(release), &resolved.wanted, &[]).unwrap();
    closure
        .modules
        .into_iter()
        .map(|picked| picked.name)
        .collect()
}

fn filesystem(resolved: &Resolved) -> &plan::Filesystem {
    match &resolved.targets[0].kind {
        TargetKind::Filesystem(filesystem) => filesystem,
        other => panic!("no filesystem: {other:?}"),
    }
}

#[test]
fn a_virtio_partition_with_ext4() {
    let fixture = Fixture::new();
    fixture.virtio(&ext4());
    fixture.mounts(&[("254:1", "/", "/", "ext4", "/dev/vda1")]);
    let resolved = default(&fixture);
    assert_eq!(modules(&fixture, &resolved, RUNNING), ["virtio_blk"]);
    assert_eq!(
        resolved.wanted[0].why,
        "/var/crash: virtio1 is held by virtio_blk"
    );
    let fs = filesystem(&resolved);
    assert_eq!(fs.fstype, FsType::Ext4);
    assert_eq!(fs.identity, Identity::Uuid(UUID_TEXT.into()));
    assert_eq!(fs.path, "/var/crash");
    let [
        Layer::Partition {
            number: 1,
            start: 2048,
            sectors: 4096,
            ..
        },
        Layer::Disk {
            serial,
            sectors: 8192,
            ..
        },
    ] = fs.stack.as_slice()
    else {
        panic!("{:?}", fs.stack);
    };
    assert_eq!(serial.as_deref(), Some("abc-123"));
}

#[test]
fn the_path_inside_the_filesystem_follows_mounts_links_and_bind_mounts() {
    let fixture = Fixture::new();
    fixture.virtio(&xfs());
    fixture.mounts(&[
        ("0:30", "/", "/", "overlay", "overlay"),
        ("254:1", "/a\\040b", "/srv/data", "xfs", "/dev/vda1"),
    ]);
    fixture.file("srv/data/keep", "");
    fixture.link("var/crash", "../srv/data");
    let resolved = resolve_as(
        &fixture,
        "[[target]]\npath = \"/var/crash/not/yet\"\n",
        RUNNING,
    )
    .unwrap();
    assert_eq!(filesystem(&resolved).path, "/a b/not/yet");
    assert_eq!(modules(&fixture, &resolved, RUNNING), ["virtio_blk", "xfs"]);
}

#[test]
fn another_kernel_may_have_as_a_module_what_is_built_in_here_and_the_other_way_round() {
    let fixture = Fixture::new();
    fixture.virtio(&xfs());
    fixture.mounts(&[("254:1", "/", "/", "xfs", "/dev/vda1")]);
    let resolved = resolve_as(&fixture, "", OTHER).unwrap();
    assert_eq!(
        modules(&fixture, &resolved, OTHER),
        ["virtio_pci", "virtio_blk", "xfs"]
    );

    let fixture = Fixture::new();
    scsi(&fixture, "megaraid_sas", &xfs());
    let here = default(&fixture);
    assert_eq!(
        modules(&fixture, &here, RUNNING),
        ["scsi_mod", "megaraid_sas", "sd_mod", "xfs"]
    );
    let there = resolve_as(&fixture, "", OTHER).unwrap();
    assert_eq!(
        modules(&fixture, &there, OTHER),
        ["scsi_mod", "megaraid_sas", "xfs"]
    );
}

/// A SCSI disk `sda` at 8:0 behind a PCI controller, mounted on /.
fn scsi(fixture: &Fixture, driver: &str, content: &[u8]) {
    let pci = "pci0000:00/0000:00:1c.0/0000:02:00.0";
    fixture.device(
        "pci0000:00/0000:00:1c.0",
        "pcieport",
        None,
        "pci:v00008086d0000A33Asv*",
    );
    fixture.device(
        pci,
        driver,
        Some(driver),
        "pci:v00001000d0000005Dsv00001028sd00001F49bc01sc04i00",
    );
    let lun = format!("{pci}/host0/target0:2:0/0:2:0:0");
    fixture.device(&lun, "sd", Some("sd_mod"), "scsi:t-0x00");
    fixture.block(&format!("{lun}/block/sda"), "8:0", 1 << 20, content);
    fixture.file(&format!("/sys/devices/{lun}/wwid"), "naa.600508b1\n");
    fixture.link(
        &format!("/sys/devices/{lun}/block/sda/device"),
        &format!("/sys/devices/{lun}"),
    );
    fixture.mounts(&[("8:0", "/", "/", "xfs", "/dev/sda")]);
}

#[test]
fn scsi_and_ahci_disks_bring_controller_and_sd() {
    let fixture = Fixture::new();
    scsi(&fixture, "ahci", &xfs());
    let resolved = default(&fixture);
    assert_eq!(
        modules(&fixture, &resolved, RUNNING),
        ["scsi_mod", "libata", "ahci", "sd_mod", "xfs"]
    );
    let [Layer::Disk { wwid, .. }] = filesystem(&resolved).stack.as_slice() else {
        panic!("one disk");
    };
    assert_eq!(wwid.as_deref(), Some("naa.600508b1"));
    assert_eq!(resolved.targets[0].device_wait_s, 30);
}

#[test]
fn a_usb_disk_brings_its_host_controller_and_may_take_longer() {
    let fixture = Fixture::new();
    let pci = "pci0000:00/0000:00:14.0";
    fixture.device(
        pci,
        "xhci_hcd",
        Some("xhci_pci"),
        "pci:v00008086d0000A36Dsv*bc0Csc03i30",
    );
    fixture.device(&format!("{pci}/usb2"), "usb", None, "usb:v1D6Bp0003");
    let port = format!("{pci}/usb2/2-3");
    fixture.device(&port, "usb", None, "usb:v0781p5581");
    let interface = format!("{port}/2-3:1.0");
    fixture.device(
        &interface,
        "usb-storage",
        Some("usb_storage"),
        "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00",
    );
    let lun = format!("{interface}/host6/target6:0:0/6:0:0:0");
    fixture.device(&lun, "sd", Some("sd_mod"), "scsi:t-0x00");
    let vfat = bytes(&[
        (67, &[0x78, 0x56, 0x34, 0x12]),
        (71, b"NO NAME    "),
        (82, b"FAT32   "),
        (510, &[0x55, 0xaa]),
    ]);
    fixture.block(&format!("{lun}/block/sdb"), "8:16", 1 << 20, &vfat);
    fixture.mounts(&[("8:16", "/", "/", "vfat", "/dev/sdb")]);
    let resolved = default(&fixture);
    assert_eq!(
        modules(&fixture, &resolved, RUNNING),
        [
            "xhci_pci",
            "scsi_mod",
            "usb_storage",
            "sd_mod",
            "fat",
            "vfat",
            "nls_ascii"
        ]
    );
    assert_eq!(
        filesystem(&resolved).identity,
        Identity::Uuid("1234-5678".into())
    );
    assert_eq!(resolved.targets[0].device_wait_s, 60);
}

#[test]
fn nvme_under_a_subsystem_brings_every_controller() {
    let fixture = Fixture::new();
    for (slot, controller) in [("0000:03:00.0", "nvme0"), ("0000:04:00.0", "nvme1")] {
        let pci = format!("pci0000:00/{slot}");
        fixture.device(
            &pci,
            "nvme",
            Some("nvme"),
            "pci:v0000144Dd0000A80Asv*bc01sc08i02",
        );
        fixture.file(
            &format!("/sys/devices/{pci}/nvme/{controller}/state"),
            "live\n",
        );
        fixture.link(
            &format!("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/{controller}"),
            &format!("/sys/devices/{pci}/nvme/{controller}"),
        );
    }
    let disk = "virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
    fixture.block(disk, "259:0", 1 << 20, &[0; 512]);
    fixture.partition(disk, 2, "259:2", &xfs());
    fixture.mounts(&[("259:2", "/", "/", "xfs", "/dev/nvme0n1p2")]);
    let resolved = default(&fixture);
    assert_eq!(
        modules(&fixture, &resolved, RUNNING),
        ["nvme_core", "nvme", "xfs"]
    );
    let controllers = resolved
        .wanted
        .iter()
        .filter(|wanted| wanted.name == "nvme")
        .count();
    assert_eq!(controllers, 2);
}

#[test]
fn btrfs_is_found_by_its_source_and_counted_from_its_top() {
    let fixture = Fixture::new();
    fixture.virtio(&btrfs());
    fixture.mounts(&[("0:44", "/@var", "/var", "btrfs", "/dev/vda1")]);
    let resolved = default(&fixture);
    let fs = filesystem(&resolved);
    assert_eq!(
        (fs.path.as_str(), fs.fstype),
        ("/@var/crash", FsType::Btrfs)
    );
    assert_eq!(fs.options, ["subvolid=5"]);

    for device in ["vda1", "vdb1"] {
        fixture.file(
            &format!("/sys/fs/btrfs/{UUID_TEXT}/devices/{device}/size"),
            "1",
        );
    }
    assert!(error(&fixture, "").contains("part of a btrfs over 2 devices"));
}

#[test]
fn a_btrfs_whose_device_is_missing_is_not_said_to_have_no_disk() {
    let fixture = Fixture::new();
    fixture.mounts(&[("0:34", "/var", "/var", "btrfs", "/dev/vdx")]);
    let message = error(&fixture, "");
    assert!(
        message.contains("/dev/vdx of /var/crash is not in /sys"),
        "{message}"
    );
}

#[test]
fn a_device_by_name_is_found_once_or_refused() {
    let fixture = Fixture::new();
    fixture.virtio(&ext4());
    let by = |device: &str| {
        format!("[[target]]\ndevice = \"{device}\"\npath = \"/in\"\noptions = \"rw,noatime\"\n")
    };
    for (device, identity) in [
        (
            format!("UUID={}", UUID_TEXT.to_uppercase()),
            Identity::Uuid(UUID_TEXT.into()),
        ),
        ("LABEL=cores".to_owned(), Identity::Label("cores".into())),
        ("/dev/vda1".to_owned(), Identity::Uuid(UUID_TEXT.into())),
    ] {
        let resolved = resolve_as(&fixture, &by(&device), RUNNING).unwrap();
        let fs = filesystem(&resolved);
        assert_eq!(fs.identity, identity);
        assert_eq!(
            (fs.path.as_str(), fs.options.as_slice()),
            ("/in", &["noatime".to_owned()][..])
        );
        assert_eq!(fs.uuid.as_deref(), Some(UUID_TEXT));
    }
    assert!(
        error(&fixture, &by("LABEL=other")).starts_with("No block device here is \"LABEL=other\"")
    );
    assert!(error(&fixture, &by("/dev/vda")).contains("vda holds no filesystem"));

    // A copy of the disk: two devices with one UUID.
    fixture.block(
        "pci0000:00/0000:00:05.0/virtio2/block/vdb",
        "254:16",
        8192,
        &ext4(),
    );
    assert!(error(&fixture, &by("LABEL=cores")).contains("vda1 and vdb are both \"LABEL=cores\""));
    // The member of an array with its superblock at the end looks the same and does not count.
    fixture.block("virtual/block/md0", "9:0", 8192, &[0; 512]);
    fixture.stacked("md0", "vdb");
    assert!(resolve_as(&fixture, &by("LABEL=cores"), RUNNING).is_ok());
}

#[test]
fn what_no_capture_kernel_can_reach_is_refused_with_its_name() {
    let fixture = Fixture::new();
    fixture.virtio(&ext4());
    for (dev, fstype, source) in [
        ("0:40", "nfs4", "server:/export"),
        ("0:41", "tmpfs", "tmpfs"),
        ("0:42", "overlay", "overlay"),
    ] {
        fixture.mounts(&[(dev, "/", "/var", fstype, source)]);
        let message = error(&fixture, "");
        assert!(message.contains(&format!("lies on {fstype}")), "{message}");
    }
    fixture.mounts(&[("254:99", "/", "/", "ext4", "/dev/vdx")]);
    assert!(error(&fixture, "").contains("254:99"));

    fixture.block("virtual/block/dm-0", "253:0", 4096, &ext4());
    fixture.mounts(&[("253:0", "/", "/", "ext4", "/dev/mapper/x")]);
    fixture.file("/sys/devices/virtual/block/dm-0/dm/name", "x");
    for (uuid, part) in [
        ("CRYPT-LUKS1-abc-x", "dm-0 is the encrypted device x, and"),
        ("CRYPT-LUKS2-abc-x", "this kernel hands no key over"),
        ("mpath-3600", "dm-0 is the multipath map x, and none of"),
        ("part1-mpath-3600", "the partition x of the multipath map "),
    ] {
        fixture.file("/sys/devices/virtual/block/dm-0/dm/uuid", uuid);
        let message = error(&fixture, "");
        assert!(message.contains(part), "{message}");
    }
    fixture.block("virtual/block/loop3", "7:3", 4096, &ext4());
    fixture.file("/sys/devices/virtual/block/loop3/loop/backing_file", "/x");
    fixture.mounts(&[("7:3", "/", "/", "ext4", "/dev/loop3")]);
    assert!(error(&fixture, "").contains("loop3 is a loop device"));
}

#[test]
fn an_array_brings_its_level() {
    let fixture = Fixture::new();
    fixture.virtio(&bytes(&[
        (4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]),
        (4112, &UUID_BYTES),
        (4096 + 144, &[8]),
        (4096 + 200, &[33]),
    ]));
    fixture.block("virtual/block/md0", "9:0", 8192, &xfs());
    for (file, text) in [
        ("level", "raid1"),
        ("metadata_version", "1.2"),
        ("raid_disks", "2"),
    ] {
        fixture.file(&format!("/sys/devices/virtual/block/md0/md/{file}"), text);
    }
    fixture.stacked("md0", "vda1");
    fixture.mounts(&[("9:0", "/", "/", "xfs", "/dev/md0")]);
    let resolved = default(&fixture);
    assert_eq!(
        modules(&fixture, &resolved, RUNNING),
        ["virtio_blk", "md_mod", "raid1", "xfs"]
    );
    let Layer::Md {
        uuid,
        level,
        members: 2,
        events: 33,
        ..
    } = &filesystem(&resolved).stack[0]
    else {
        panic!("{:?}", filesystem(&resolved).stack);
    };
    assert_eq!(
        (uuid.as_str(), level.as_str()),
        ("0102030405060708090a0b0c0d0e0f10", "raid1")
    );
    assert_eq!(filesystem(&resolved).stack.len(), 3);

    fixture.file(
        "/sys/devices/virtual/block/md0/md/metadata_version",
        "external:imsm",
    );
    assert!(error(&fixture, "").contains("firmware RAID"));
}

#[test]
fn running_watchdogs_come_first_and_others_not_at_all() {
    let fixture = Fixture::new();
    fixture.virtio(&ext4());
    fixture.mounts(&[("254:1", "/", "/", "ext4", "/dev/vda1")]);
    for (slot, driver, name, state) in [
        ("0000:00:06.0", "i6300esb", "i6300ESB timer", "active"),
        (
            "0000:00:07.0",
            "hpwdt",
            "HPE iLO2+ HW Watchdog Timer",
            "active",
        ),
        ("0000:00:08.0", "unused", "Another", "inactive"),
    ] {
        let pci = format!("pci0000:00/{slot}");
        fixture.device(&pci, driver, Some(driver), "pci:v0sv0");
        let sys = format!("/sys/devices/{pci}/watchdog/{driver}");
        fixture.file(&format!("{sys}/state"), state);
        fixture.file(&format!("{sys}/identity"), name);
        fixture.link(&format!("/sys/class/watchdog/{driver}"), &sys);
    }
    let soft = "/sys/devices/virtual/watchdog/watchdog9";
    fixture.file(&format!("{soft}/identity"), "Software Watchdog");
    fixture.file(&format!("{soft}/state"), "active");
    fixture.link("/sys/class/watchdog/watchdog9", soft);
    let resolved = default(&fixture);
    assert_eq!(
        modules(&fixture, &resolved, RUNNING),
        ["hpwdt", "i6300esb", "virtio_blk"]
    );
    assert_eq!(resolved.watchdogs.len(), 2);
    assert!(
        resolved
            .wanted
            .iter()
            .all(|w| w.required != w.why.contains("watchdog"))
    );
    assert_eq!(
        resolved.options,
        [("hpwdt".to_owned(), "pretimeout=0 kdumptimeout=0".to_owned())]
    );

    // A driver that does not say which device its watchdog is.
    let nobodys = Fixture::new();
    nobodys.virtio(&ext4());
    nobodys.mounts(&[("254:1", "/", "/", "ext4", "/dev/vda1")]);
    let sys = "/sys/devices/virtual/watchdog/watchdog0";
    nobodys.file(&format!("{sys}/state"), "active\n");
    nobodys.file(&format!("{sys}/identity"), "i6300ESB timer\n");
    nobodys.link("/sys/class/watchdog/watchdog0", sys);
    assert!(default(&nobodys).notes[0].contains("i6300ESB timer"));
    nobodys.file("/sys/module/i6300esb/initstate", "live\n");
    let resolved = default(&nobodys);
    assert_eq!(
        modules(&nobodys, &resolved, RUNNING),
        ["i6300esb", "virtio_blk"]
    );
    assert_eq!(resolved.watchdogs[0].identity, "i6300ESB timer");

    let off = resolve_as(&fixture, "[after]\nwatchdog = false\n", RUNNING).unwrap();
    assert_eq!(modules(&fixture, &off, RUNNING), ["virtio_blk"]);
}

mod luks;
mod lvm;
mod multipath;
mod raw;
