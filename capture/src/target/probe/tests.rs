//! Superblocks written by hand, from the formats' documentation.

use super::*;

const UUID: [u8; 16] = *b"\x0a\x0b\x0c\x0d\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x66\x66";
const UUID_TEXT: &str = "0a0b0c0d-1111-2222-3333-444455556666";
const SECTORS: u64 = 2048;

fn device(parts: &[(usize, &[u8])]) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = vec![0_u8; 512 * usize::try_from(SECTORS).unwrap()];
    for (at, bytes) in parts {
        disk[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    let path = dir.path().join("disk");
    std::fs::write(&path, disk).unwrap();
    probe(&path, SECTORS).unwrap()
}

#[test]
fn filesystems_are_told_apart() {
    let ext = device(&[(1080, &[0x53, 0xef]), (1128, &UUID), (1144, b"crash\0")]);
    assert_eq!(ext.fs, Some(FsType::Ext4));
    assert_eq!(
        (ext.uuid.as_str(), ext.label.as_str()),
        (UUID_TEXT, "crash")
    );
    let journal = device(&[(1080, &[0x53, 0xef]), (1128, &UUID), (1120, &[8, 0, 0, 0])]);
    assert_eq!(journal.fs, None);
    let xfs = device(&[(0, b"XFSB"), (32, &UUID), (108, b"twelve bytes")]);
    assert_eq!(xfs.fs, Some(FsType::Xfs));
    assert_eq!(
        (xfs.uuid.as_str(), xfs.label.as_str()),
        (UUID_TEXT, "twelve bytes")
    );
    let btrfs = device(&[
        (65536 + 64, b"_BHRfS_M"),
        (65536 + 32, &UUID),
        (65536 + 299, b"b"),
    ]);
    assert_eq!(btrfs.fs, Some(FsType::Btrfs));
    assert_eq!(
        (btrfs.uuid.as_str(), btrfs.label.as_str()),
        (UUID_TEXT, "b")
    );
    let fat = device(&[
        (510, &[0x55, 0xaa]),
        (82, b"FAT32   "),
        (67, &[0xcd, 0xab, 0x34, 0x12]),
        (71, b"ESP        "),
    ]);
    assert_eq!(fat.fs, Some(FsType::Vfat));
    assert_eq!(
        (fat.uuid.as_str(), fat.label.as_str()),
        ("1234-ABCD", "ESP")
    );
    assert_eq!(device(&[]), Found::default());
}

#[test]
fn members_are_recognised() {
    let end_1_0 = usize::try_from(SECTORS - 16).unwrap() * 512;
    let end_0_9 = usize::try_from(SECTORS - 128).unwrap() * 512;
    let md = [0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0];
    for at in [0, 4096, end_1_0] {
        let found = device(&[(1080, &[0x53, 0xef]), (at, &md), (at + 16, &UUID)]);
        let want = Member::Md("0a0b0c0d111122223333444455556666".into());
        assert_eq!(found.member, Some(want), "superblock at {at}");
    }
    let old = [0xfc, 0x4e, 0x2b, 0xa9, 0, 0, 0, 0, 90];
    let found = device(&[
        (end_0_9, &old),
        (end_0_9 + 20, &[0x0d, 0x0c, 0x0b, 0x0a]),
        (end_0_9 + 52, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]),
    ]);
    let want = Member::Md("0a0b0c0d000000010000000200000003".into());
    assert_eq!(found.member, Some(want));
    let lvm = device(&[
        (512, b"LABELONE"),
        (536, b"LVM2 001"),
        (544, b"abcdefghijklmnopqrstuvwxyz012345"),
    ]);
    let want = Member::Lvm("abcdefghijklmnopqrstuvwxyz012345".into());
    assert_eq!(lvm.member, Some(want));
    assert_eq!(device(&[(0, b"LUKS\xba\xbe")]).member, Some(Member::Luks));
}
