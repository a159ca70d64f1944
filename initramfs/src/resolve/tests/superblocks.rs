//! Superblocks laid out by hand.

use super::super::fixture::{UUID_BYTES, UUID_TEXT, btrfs, bytes, ext4, xfs};
use super::super::{Superblock, probe};

fn probed(content: &[u8]) -> Option<Superblock> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    probe(file.path()).unwrap()
}

#[test]
fn each_is_known_by_its_marks() {
    let ext = |compat: u8, incompat: u8| {
        bytes(&[
            (1080, &[0x53, 0xef]),
            (1116, &[compat]),
            (1120, &[incompat]),
            (1128, &UUID_BYTES),
        ])
    };
    let label = bytes(&[(512, b"LABELONE"), (536, b"LVM2 001")]);
    let luks = bytes(&[(0, b"LUKS\xba\xbe\0\x02"), (168, b"abcd-ef\0")]);
    let raid = bytes(&[
        (4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]),
        (4112, &UUID_BYTES),
    ]);
    for (content, fstype, uuid) in [
        (ext4(), "ext4", Some(UUID_TEXT)),
        (ext(0x04, 0x02), "ext3", Some(UUID_TEXT)),
        (ext(0x00, 0x02), "ext2", Some(UUID_TEXT)),
        (xfs(), "xfs", Some(UUID_TEXT)),
        (btrfs(), "btrfs", Some(UUID_TEXT)),
        (label, "LVM2_member", None),
        (luks, "crypto_LUKS", Some("abcd-ef")),
        (raid, "linux_raid_member", Some(UUID_TEXT)),
    ] {
        let found = probed(&content).unwrap();
        assert_eq!(
            (found.fstype.as_str(), found.uuid.as_deref()),
            (fstype, uuid)
        );
    }
    assert_eq!(probed(&ext4()).unwrap().label.as_deref(), Some("cores"));
}

#[test]
fn nothing_and_little_are_nothing() {
    assert_eq!(probed(&[]), None);
    assert_eq!(probed(&[0; 1000]), None);
    assert_eq!(probed(&bytes(&[(510, &[0x55, 0xaa])])), None);
    for end in [3, 100, 1090, 1130] {
        let _ = probed(&ext4()[..end]);
        let _ = probed(&xfs()[..end]);
    }
}
