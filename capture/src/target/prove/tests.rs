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

#[test]
fn members_are_never_mounted() {
    for member in [
        Member::Md(MdMember::default()),
        Member::Lvm("x".into()),
        Member::Luks,
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
