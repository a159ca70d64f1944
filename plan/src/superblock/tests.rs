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
    let extents = [0x42, 0x02];
    let ext = device(&[
        (1080, &[0x53, 0xef]),
        (1120, &extents),
        (1128, &UUID),
        (1144, b"crash\0"),
    ]);
    assert_eq!(ext.fs, Some(FsType::Ext4));
    assert_eq!(
        (ext.uuid.as_str(), ext.label.as_str()),
        (UUID_TEXT, "crash")
    );
    let journal = device(&[(1080, &[0x53, 0xef]), (1128, &UUID), (1120, &[8, 0, 0, 0])]);
    assert_eq!(journal.fs, None);
    for (compat, fs) in [(4, FsType::Ext3), (0, FsType::Ext2)] {
        let old = device(&[(1080, &[0x53, 0xef]), (1116, &[compat]), (1120, &[0x02])]);
        assert_eq!((old.fs, old.uuid.as_str()), (Some(fs), ""));
    }
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
    // Zeros, or a stream of ours: a raw target.
    assert_eq!(device(&[]).fs, Some(FsType::Raw));
    assert_eq!(device(&[(4086, b"SWAPSPACE2")]), Found::default());
}

/// An md superblock of version 1 at `sector`.
fn superblock(sector: u64) -> Vec<u8> {
    let mut block = vec![0_u8; 256];
    block[..8].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
    block[16..32].copy_from_slice(&UUID);
    block[144..152].copy_from_slice(&sector.to_le_bytes());
    block[168..184].copy_from_slice(&[0xee; 16]);
    block[200] = 17;
    block
}

#[test]
fn members_of_arrays_are_recognised_whatever_they_seem_to_hold() {
    for (sector, version) in [(0, "1.1"), (8, "1.2"), (SECTORS - 16, "1.0")] {
        let at = usize::try_from(sector).unwrap() * 512;
        let found = device(&[
            (at, &superblock(sector)),
            // What the array holds, as its members show it: a filesystem, a physical volume.
            (1080, &[0x53, 0xef]),
            (512, b"LABELONE"),
            (536, b"LVM2 001"),
        ]);
        let want = Member::Md(MdMember {
            uuid: "0a0b0c0d111122223333444455556666".into(),
            version,
            own: "ee".repeat(16),
            events: 17,
        });
        assert_eq!(found.member, Some(want), "superblock at {at}");
        // The whole disk, where the member is its last partition.
        let found = device(&[(at, &superblock(sector + 2048))]);
        assert_eq!(found.member, None);
    }
    let end_0_9 = usize::try_from(SECTORS - 128).unwrap() * 512;
    let old = [0xfc, 0x4e, 0x2b, 0xa9, 0, 0, 0, 0, 90];
    let found = device(&[
        (end_0_9, &old),
        (end_0_9 + 20, &[0x0d, 0x0c, 0x0b, 0x0a]),
        (end_0_9 + 52, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]),
        (end_0_9 + 39 * 4, &[9]),
        (end_0_9 + 992 * 4, &[1]),
    ]);
    let want = Member::Md(MdMember {
        uuid: "0a0b0c0d000000010000000200000003".into(),
        version: "0.90",
        own: "1".into(),
        events: 9,
    });
    assert_eq!(found.member, Some(want));
}

#[test]
fn other_members_are_recognised() {
    let lvm = device(&[
        (512, b"LABELONE"),
        (536, b"LVM2 001"),
        (544, b"abcdefghijklmnopqrstuvwxyz012345"),
    ]);
    let want = Member::Lvm("abcdefghijklmnopqrstuvwxyz012345".into());
    assert_eq!(lvm.member, Some(want));
    let luks = device(&[(0, b"LUKS\xba\xbe\0\x02"), (168, b"7d26b7b4-e342-4d2d")]);
    assert_eq!(luks.member, Some(Member::Luks("7d26b7b4-e342-4d2d".into())));
}

#[test]
fn a_device_that_ends_early_is_no_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for length in [0, 3, 1000, 1090, 1130, 8191] {
        let mut bytes = vec![0; 8192];
        bytes[1080..1082].copy_from_slice(&[0x53, 0xef]);
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(file.path(), &bytes[..length]).unwrap();
        let found = probe(file.path(), 1).unwrap();
        assert_eq!(found.fs.is_some(), length > 1081, "{length} bytes");
    }
}
