//! Devices that are the armed one, that are not, and that cannot be told apart.

use super::*;
use plan::superblock::{Found, MdMember};

const UUID: &str = "0a0b0c0d-1111-2222-3333-444455556666";

fn fs(stack: Vec<Layer>) -> Filesystem {
    Filesystem {
        fstype: FsType::Ext3,
        identity: Identity::Uuid(UUID.to_uppercase()),
        uuid: None,
        path: "/".into(),
        options: Vec::new(),
        stack,
    }
}

fn candidate(name: &str, serial: &str) -> Candidate {
    Candidate {
        device: Device {
            name: name.into(),
            path: format!("/dev/{name}").into(),
            sectors: 100,
            serial: (!serial.is_empty()).then(|| serial.into()),
            ..Device::default()
        },
        found: Found {
            fs: Some(FsType::Ext4),
            uuid: UUID.into(),
            ..Found::default()
        },
        partuuid: None,
    }
}

fn disk(serial: &str) -> Layer {
    Layer::Disk {
        name: "vda".into(),
        wwid: None,
        serial: Some(serial.into()),
        sectors: 100,
    }
}

fn chosen(choice: &Choice) -> &str {
    match choice {
        Choice::Device { path, .. } => path.to_str().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_device_is_taken() {
    let all = [candidate("vda", "")];
    assert_eq!(chosen(&choose(&fs(vec![]), &all)), "/dev/vda");
    assert_eq!(choose(&fs(vec![]), &[]), Choice::Absent);
}

#[test]
fn two_with_one_uuid_need_the_stack() {
    let all = [candidate("vda", "A"), candidate("vdb", "B")];
    assert!(matches!(choose(&fs(vec![]), &all), Choice::Ambiguous(_)));
    assert_eq!(chosen(&choose(&fs(vec![disk("B")]), &all)), "/dev/vdb");
}

#[test]
fn a_replaced_disk_is_refused() {
    let all = [candidate("vda", "NEW")];
    let Choice::Refused(why) = choose(&fs(vec![disk("OLD")]), &all) else {
        panic!("taken");
    };
    assert!(why.contains("NEW") && why.contains("OLD"), "{why}");
}

#[test]
fn paths_to_one_disk_are_one() {
    let mut all = [candidate("sda", ""), candidate("sdb", "")];
    for path in &mut all {
        path.device.wwid = Some("naa.5000".into());
    }
    assert_eq!(chosen(&choose(&fs(vec![]), &all)), "/dev/sda");
}

/// The partitions are copies of each other: only a recorded stack can tell which one is meant.
#[test]
fn two_partitions_of_one_disk_are_not_two_paths_to_it() {
    let partition = |name: &str, disk: &str, number: u32| {
        let mut one = candidate(name, "");
        one.device.wwid = Some("naa.5000".into());
        one.device.partition = Some((number, u64::from(number) * 2048, disk.into()));
        one
    };
    let copies = [partition("sda1", "sda", 1), partition("sda2", "sda", 2)];
    let choice = choose(&fs(vec![]), &copies);
    assert!(matches!(choice, Choice::Ambiguous(_)), "{choice:?}");
    let paths = [partition("sda1", "sda", 1), partition("sdb1", "sdb", 1)];
    assert_eq!(chosen(&choose(&fs(vec![]), &paths)), "/dev/sda1");
    // A whole disk is no path to its partition.
    let mut whole = candidate("sda", "");
    whole.device.wwid = Some("naa.5000".into());
    let choice = choose(&fs(vec![]), &[whole, partition("sda1", "sda", 1)]);
    assert!(matches!(choice, Choice::Ambiguous(_)), "{choice:?}");
}

#[test]
fn members_are_never_mounted() {
    for member in [
        Member::Md(MdMember::default()),
        Member::Lvm("x".into()),
        Member::Luks("x".into()),
    ] {
        let mut one = candidate("vda", "A");
        one.found.member = Some(member);
        assert!(matches!(
            choose(&fs(vec![disk("A")]), &[one]),
            Choice::Refused(_)
        ));
    }
    let mut held = candidate("vda", "A");
    held.device.held = true;
    assert!(matches!(choose(&fs(vec![]), &[held]), Choice::Refused(_)));
    let mut origin = candidate("dm-1", "");
    origin.device.dm_uuid = Some("LVM-abc-real".into());
    assert!(matches!(choose(&fs(vec![]), &[origin]), Choice::Refused(_)));
}

#[test]
fn partitions_must_be_where_they_were() {
    let layer = |start| Layer::Partition {
        name: "vda1".into(),
        number: 1,
        partuuid: Some("AA".into()),
        start,
        sectors: 10,
    };
    let mut one = candidate("vdb1", "");
    one.device.partition = Some((1, 2048, "vdb".into()));
    one.partuuid = Some("aa".into());
    let all = [one];
    assert_eq!(chosen(&choose(&fs(vec![layer(2048)]), &all)), "/dev/vdb1");
    assert!(matches!(
        choose(&fs(vec![layer(4096)]), &all),
        Choice::Refused(_)
    ));
    assert!(matches!(
        choose(&fs(vec![disk("A")]), &all),
        Choice::Refused(_)
    ));
}

fn raw(stack: Vec<Layer>) -> Filesystem {
    Filesystem {
        fstype: FsType::Raw,
        identity: Identity::Stack,
        ..fs(stack)
    }
}

fn vacant(name: &str, serial: &str) -> Candidate {
    let mut candidate = candidate(name, serial);
    candidate.found = Found {
        fs: Some(FsType::Raw),
        ..Found::default()
    };
    candidate
}

#[test]
fn a_device_without_a_filesystem_is_taken_when_its_hardware_proves_it() {
    let all = [
        vacant("vda", "A"),
        vacant("vdb", "B"),
        candidate("vdc", "C"),
    ];
    assert_eq!(chosen(&choose(&raw(vec![disk("B")]), &all)), "/dev/vdb");
    // Nothing speaks against this disk, and nothing for it.
    assert_eq!(
        choose(&raw(vec![disk("B")]), &[vacant("vda", "")]),
        Choice::Absent
    );
    assert_eq!(
        choose(&raw(vec![disk("B")]), &[vacant("vda", "A")]),
        Choice::Absent
    );
}

#[test]
fn a_stream_goes_over_no_filesystem_and_no_member() {
    let on = |found: Found| {
        let mut candidate = vacant("vda", "A");
        candidate.found = found;
        match choose(&raw(vec![disk("A")]), &[candidate]) {
            Choice::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    };
    let ext4 = on(Found {
        fs: Some(FsType::Ext4),
        ..Found::default()
    });
    assert!(ext4.contains("a filesystem on it (ext4)"), "{ext4}");
    assert!(on(Found::default()).contains("neither zeros"));
    let luks = on(Found {
        member: Some(Member::Luks("x".into())),
        ..Found::default()
    });
    assert!(luks.contains("encrypted"), "{luks}");
}
