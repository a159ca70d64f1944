//! What is on a block device, by its superblocks: enough to find a filesystem and to keep away from
//! the members of arrays and volume groups.
//!
//! Layouts: include/uapi/linux/{btrfs_tree,msdos_fs,raid/md_p}.h, fs/ext4/ext4.h,
//! fs/xfs/libxfs/xfs_format.h; LVM2's label from its on-disk format. Offsets hold for every version
//! of these formats. Checksums are not verified: the kernel does so when it mounts.

use crate::plan::FsType;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// A filesystem. For the ext family always `Ext4`: they share one superblock.
    pub fs: Option<FsType>,
    /// Its UUID as blkid prints it.
    pub uuid: String,
    /// Its label.
    pub label: String,
    /// What this device is a part of, which makes the filesystem on it none of our business.
    pub member: Option<Member>,
}

/// What a device can be a part of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Member {
    /// An md array, with its UUID as 32 hex digits.
    Md(String),
    /// An LVM physical volume, with its UUID as pvs prints it, without dashes.
    Lvm(String),
    /// Encrypted.
    Luks,
    /// A bcache backing or caching device.
    Bcache,
}

/// Looks at a device.
///
/// # Errors
/// When it cannot be opened or read at all.
pub fn probe(path: &Path, sectors: u64) -> io::Result<Found> {
    let file = File::open(path)?;
    let head = read(&file, 0, 8192)?;
    let mut found = Found::default();
    ext(&head, &mut found);
    xfs(&head, &mut found);
    vfat(&head, &mut found);
    if let Ok(block) = read(&file, 0x1_0000, 4096) {
        btrfs(&block, &mut found);
    }
    found.member = member_at_head(&head).or_else(|| md_at_end(&file, sectors));
    Ok(found)
}

fn read(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    file.read_exact_at(&mut buf, offset)?;
    Ok(buf)
}

fn bytes(block: &[u8], at: usize, len: usize) -> &[u8] {
    block.get(at..at.saturating_add(len)).unwrap_or_default()
}

fn le32(block: &[u8], at: usize) -> u32 {
    bytes(block, at, 4).try_into().map_or(0, u32::from_le_bytes)
}

/// 16 bytes as `0a0b0c0d-1111-2222-3333-444455556666`.
fn uuid(block: &[u8], at: usize) -> String {
    let hex = crate::manifest::hex(bytes(block, at, 16));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

/// Text that ends at a NUL or with its field; `pad` is cut from its end.
fn text(block: &[u8], at: usize, len: usize, pad: char) -> String {
    let field = bytes(block, at, len);
    let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(field)
        .trim_end_matches(pad)
        .to_owned()
}

fn ext(head: &[u8], found: &mut Found) {
    const SUPER: usize = 1024;
    // s_feature_incompat bit 3: the device is a journal, not a filesystem.
    let journal = le32(head, SUPER + 96) & 0x8 != 0;
    if bytes(head, SUPER + 56, 2) == [0x53, 0xef] && !journal {
        found.fs = Some(FsType::Ext4);
        found.uuid = uuid(head, SUPER + 104);
        found.label = text(head, SUPER + 120, 16, '\0');
    }
}

fn xfs(head: &[u8], found: &mut Found) {
    if bytes(head, 0, 4) == b"XFSB" {
        found.fs = Some(FsType::Xfs);
        found.uuid = uuid(head, 32);
        found.label = text(head, 108, 12, '\0');
    }
}

fn btrfs(block: &[u8], found: &mut Found) {
    if bytes(block, 64, 8) == b"_BHRfS_M" {
        found.fs = Some(FsType::Btrfs);
        found.uuid = uuid(block, 32);
        found.label = text(block, 299, 256, '\0');
    }
}

fn vfat(head: &[u8], found: &mut Found) {
    if bytes(head, 510, 2) != [0x55, 0xaa] {
        return;
    }
    let (serial, label) = if bytes(head, 82, 8) == b"FAT32   " {
        (67, 71)
    } else if matches!(bytes(head, 54, 8), b"FAT16   " | b"FAT12   ") {
        (39, 43)
    } else {
        return;
    };
    let serial = le32(head, serial);
    found.fs = Some(FsType::Vfat);
    found.uuid = format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff);
    found.label = text(head, label, 11, ' ');
}

const MD_MAGIC: [u8; 4] = [0xfc, 0x4e, 0x2b, 0xa9];

fn member_at_head(head: &[u8]) -> Option<Member> {
    // md metadata 1.1 at 0, 1.2 at 4096: set_uuid at 16.
    for at in [0, 4096] {
        if bytes(head, at, 4) == MD_MAGIC && le32(head, at + 4) == 1 {
            return Some(Member::Md(crate::manifest::hex(bytes(head, at + 16, 16))));
        }
    }
    // LVM2's label is in one of the first four sectors.
    for sector in (0..4).map(|n| n * 512) {
        if bytes(head, sector, 8) == b"LABELONE" && bytes(head, sector + 24, 8) == b"LVM2 001" {
            return Some(Member::Lvm(text(head, sector + 32, 32, '\0')));
        }
    }
    if bytes(head, 0, 6) == b"LUKS\xba\xbe" {
        return Some(Member::Luks);
    }
    let bcache = [
        0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d,
        0x81,
    ];
    (bytes(head, 4096 + 24, 16) == bcache).then_some(Member::Bcache)
}

/// md metadata 1.0 and 0.90 stand at the end, so the filesystem shows at the beginning.
fn md_at_end(file: &File, sectors: u64) -> Option<Member> {
    let last = sectors.checked_sub(16)? & !7;
    if let Ok(block) = read(file, last.checked_mul(512)?, 256)
        && bytes(&block, 0, 4) == MD_MAGIC
        && le32(&block, 4) == 1
    {
        return Some(Member::Md(crate::manifest::hex(bytes(&block, 16, 16))));
    }
    let last = (sectors & !127).checked_sub(128)?;
    let block = read(file, last.checked_mul(512)?, 256).ok()?;
    if bytes(&block, 0, 4) != MD_MAGIC || le32(&block, 4) != 0 {
        return None;
    }
    // 0.90: uuid0 at word 5, uuid1..3 at words 13 to 15, each in the machine's order.
    let words = [20, 52, 56, 60].map(|at| format!("{:08x}", le32(&block, at)));
    Some(Member::Md(words.concat()))
}

#[cfg(test)]
mod tests;
