//! What a device holds and what it calls itself, from its first kilobytes.
//!
//! Facts: fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h, include/uapi/linux/btrfs_tree.h, the FAT
//! specification, drivers/md/md_p.h, and lvm2's on-disk format. UUIDs are written as blkid prints
//! them. Checksums of the filesystems are not verified: the filesystem does that when it is mounted.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What was found on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Superblock {
    /// The kernel's name of the filesystem; or `LVM2_member`, `linux_raid_member`, `crypto_LUKS`.
    pub fstype: String,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its label.
    pub label: Option<String>,
}

/// Enough of the beginning to hold every superblock known here.
const SPAN: usize = 68 * 1024;

/// Looks at the beginning of a device or file; nothing if it holds nothing known.
pub fn probe(path: &Path) -> io::Result<Option<Superblock>> {
    let file = std::fs::File::open(path)?;
    let mut start = vec![0; SPAN];
    let mut filled = 0;
    while let Some(rest) = start.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(identify(&start))
}

/// What these first bytes are, in the order in which a later use of the device wins.
fn identify(start: &[u8]) -> Option<Superblock> {
    [member, xfs, btrfs, ext, vfat]
        .iter()
        .find_map(|probe| probe(start))
}

fn at(start: &[u8], offset: usize, length: usize) -> Option<&[u8]> {
    start.get(offset..offset.checked_add(length)?)
}

fn le32(start: &[u8], offset: usize) -> Option<u32> {
    let bytes: [u8; 4] = at(start, offset, 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}

fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(..end)?)
        .trim_end()
        .to_owned();
    (!text.is_empty()).then_some(text)
}

/// 16 bytes as `01234567-89ab-…`; nothing if they are all zero.
pub(super) fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.len() != 16 || bytes.iter().all(|b| *b == 0) {
        return None;
    }
    let mut out = String::with_capacity(36);
    for (n, byte) in bytes.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    Some(out)
}

/// Members of something larger: what they hold is not theirs to mount.
fn member(start: &[u8]) -> Option<Superblock> {
    let found = |fstype: &str, uuid| {
        Some(Superblock {
            fstype: fstype.to_owned(),
            uuid,
            label: None,
        })
    };
    if at(start, 0, 6)? == b"LUKS\xba\xbe" {
        return found("crypto_LUKS", text(at(start, 168, 40)?));
    }
    // md metadata 1.2 stands at 4 KiB, 1.1 at 0.
    for offset in [4096, 0] {
        if le32(start, offset) == Some(0xa92b_4efc) && le32(start, offset + 4) == Some(1) {
            return found("linux_raid_member", uuid(at(start, offset + 16, 16)?));
        }
    }
    // LVM's label stands in one of the first four sectors.
    for sector in 0..4 {
        let label = at(start, sector * 512, 32)?;
        if label.starts_with(b"LABELONE") && label.ends_with(b"LVM2 001") {
            return found("LVM2_member", None);
        }
    }
    None
}

fn xfs(start: &[u8]) -> Option<Superblock> {
    if at(start, 0, 4)? != b"XFSB" {
        return None;
    }
    Some(Superblock {
        fstype: "xfs".to_owned(),
        uuid: uuid(at(start, 32, 16)?),
        label: text(at(start, 108, 12)?),
    })
}

fn btrfs(start: &[u8]) -> Option<Superblock> {
    const AT: usize = 64 * 1024;
    if at(start, AT + 64, 8)? != b"_BHRfS_M" {
        return None;
    }
    Some(Superblock {
        fstype: "btrfs".to_owned(),
        uuid: uuid(at(start, AT + 32, 16)?),
        label: text(at(start, AT + 299, 256)?),
    })
}

fn ext(start: &[u8]) -> Option<Superblock> {
    const AT: usize = 1024;
    const HAS_JOURNAL: u32 = 0x4;
    /// FILETYPE, RECOVER, JOURNAL_DEV and META_BG: all that ext3 may have beyond ext2's.
    const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x8 | 0x10;
    /// SPARSE_SUPER, LARGE_FILE, BTREE_DIR.
    const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;
    if at(start, AT + 0x38, 2)? != [0x53, 0xef] {
        return None;
    }
    let compat = le32(start, AT + 0x5c)?;
    let incompat = le32(start, AT + 0x60)?;
    let ro_compat = le32(start, AT + 0x64)?;
    let fstype = if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        "ext4"
    } else if compat & HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    };
    Some(Superblock {
        fstype: fstype.to_owned(),
        uuid: uuid(at(start, AT + 0x68, 16)?),
        label: text(at(start, AT + 0x78, 16)?),
    })
}

fn vfat(start: &[u8]) -> Option<Superblock> {
    if at(start, 510, 2)? != [0x55, 0xaa] {
        return None;
    }
    let (serial, label) = if at(start, 82, 8)? == b"FAT32   " {
        (le32(start, 67)?, at(start, 71, 11)?)
    } else if matches!(at(start, 54, 5)?, b"FAT12" | b"FAT16") {
        (le32(start, 39)?, at(start, 43, 11)?)
    } else {
        return None;
    };
    let label = text(label).filter(|label| label != "NO NAME");
    Some(Superblock {
        fstype: "vfat".to_owned(),
        uuid: Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff)),
        label,
    })
}
