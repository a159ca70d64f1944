//! What is on a block device, by its superblocks: enough to find a filesystem and to keep away from
//! the members of arrays and volume groups. Asked while arming and again in the capture kernel.
//!
//! Layouts: include/uapi/linux/{btrfs_tree,msdos_fs,raid/md_p}.h, fs/ext4/ext4.h,
//! fs/xfs/libxfs/xfs_format.h; LVM2's label and LUKS's UUID from their on-disk formats. Offsets hold for every version
//! of these formats. Checksums are not verified: the kernel does so when it mounts.

use crate::{FsType, lvm};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes at a device's beginning that hold all superblocks there: btrfs's is the last, at 64 KiB.
const HEAD: usize = 0x1_1000;

/// Bytes at its end that hold md's, both kinds.
const TAIL: u64 = 128 << 10;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// A filesystem; [`FsType::Raw`] where the device's beginning is zeros or a stream of ours.
    pub fs: Option<FsType>,
    /// Its UUID as blkid prints it; empty if it has none.
    pub uuid: String,
    /// Its label.
    pub label: String,
    /// What this device is a part of, which makes the filesystem on it none of our business.
    pub member: Option<Member>,
}

/// What a device can be a part of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Member {
    /// An md array.
    Md(MdMember),
    /// An LVM physical volume, with its UUID as pvs prints it, without dashes.
    Lvm(String),
    /// Encrypted; the volume's UUID as its header has it, empty in a damaged header.
    Luks(String),
    /// A bcache backing or caching device.
    Bcache,
}

impl Member {
    /// The name that blkid has for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Md(_) => "linux_raid_member",
            Self::Lvm(_) => "LVM2_member",
            Self::Luks(_) => "crypto_LUKS",
            Self::Bcache => "bcache",
        }
    }
}

/// What an md superblock says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MdMember {
    /// The array's UUID as 32 hex digits.
    pub uuid: String,
    /// The superblock's version: `1.2`, `1.0`, `0.90`.
    pub version: &'static str,
    /// What tells this member from the others: its own UUID, or its number with 0.90.
    pub own: String,
    /// Counts changes of the array's state: a member that was left behind has a smaller one.
    pub events: u64,
}

/// Looks at a device of so many 512-byte sectors.
///
/// # Errors
/// When it cannot be opened or read at all.
pub fn probe(path: &Path, sectors: u64) -> io::Result<Found> {
    let file = File::open(path)?;
    // Everything at the beginning, in one read. A small device may end in it.
    let mut head = vec![0; HEAD];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut found = Found::default();
    ext(&head, &mut found);
    xfs(&head, &mut found);
    vfat(&head, &mut found);
    btrfs(bytes(&head, 0x1_0000, 4096), &mut found);
    // An array's superblock at the end comes first: its members look like what the array holds,
    // a physical volume too.
    found.member = md(&file, &head, sectors).or_else(|| other_member(&head));
    if found.fs.is_none() && found.member.is_none() && filled == HEAD && store::raw::is_free(&head)
    {
        found.fs = Some(FsType::Raw);
    }
    Ok(found)
}

/// Whether a stream may be written to a device: its first MiB is zeros or an earlier stream.
///
/// # Errors
/// When it cannot be opened or read.
pub fn takes_stream(path: &Path) -> io::Result<bool> {
    let mut head = vec![0; 1 << 20];
    File::open(path)?.read_exact_at(&mut head, 0)?;
    Ok(store::raw::is_free(&head))
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

fn le64(block: &[u8], at: usize) -> u64 {
    bytes(block, at, 8).try_into().map_or(0, u64::from_le_bytes)
}

/// 16 bytes as `0a0b0c0d-1111-2222-3333-444455556666`.
fn uuid(block: &[u8], at: usize) -> String {
    if bytes(block, at, 16).iter().all(|byte| *byte == 0) {
        return String::new();
    }
    let hex = dump::facts::hex(bytes(block, at, 16));
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
    const HAS_JOURNAL: u32 = 0x4;
    const JOURNAL_DEV: u32 = 0x8;
    /// FILETYPE, RECOVER, JOURNAL_DEV and META_BG: all that ext3 may have beyond ext2's.
    const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x8 | 0x10;
    /// SPARSE_SUPER, LARGE_FILE, BTREE_DIR.
    const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;
    let compat = le32(head, SUPER + 92);
    let incompat = le32(head, SUPER + 96);
    let ro_compat = le32(head, SUPER + 100);
    // A device may hold a journal and no filesystem.
    if bytes(head, SUPER + 56, 2) != [0x53, 0xef] || incompat & JOURNAL_DEV != 0 {
        return;
    }
    found.fs = Some(
        if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
            FsType::Ext4
        } else if compat & HAS_JOURNAL != 0 {
            FsType::Ext3
        } else {
            FsType::Ext2
        },
    );
    found.uuid = uuid(head, SUPER + 104);
    found.label = text(head, SUPER + 120, 16, '\0');
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
    if found.label == "NO NAME" {
        found.label.clear();
    }
}

const MD_MAGIC: [u8; 4] = [0xfc, 0x4e, 0x2b, 0xa9];

fn other_member(head: &[u8]) -> Option<Member> {
    if let Some(label) = lvm::label(head) {
        return Some(Member::Lvm(text(label, 32, 32, '\0')));
    }
    if bytes(head, 0, 6) == b"LUKS\xba\xbe" {
        // Both versions of the header have it there.
        return Some(Member::Luks(text(head, 168, 40, '\0')));
    }
    let bcache = [
        0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d,
        0x81,
    ];
    (bytes(head, 4096 + 24, 16) == bcache).then_some(Member::Bcache)
}

/// md's superblock: 1.1 is at 0, 1.2 at 4 KiB, 1.0 and 0.90 at the end, where they leave the
/// beginning to what the array holds.
fn md(file: &File, head: &[u8], sectors: u64) -> Option<Member> {
    let end_1 = sectors.checked_sub(16).map(|last| last & !7);
    let end_0 = (sectors & !127).checked_sub(128);
    // Both of the end in one read, too.
    let first = end_0.or(end_1).unwrap_or(0);
    let length = end_1.map_or(0, |last| {
        (last.saturating_sub(first) * 512 + 4096).min(TAIL)
    });
    let tail = usize::try_from(length)
        .ok()
        .and_then(|length| read(file, first.checked_mul(512)?, length).ok())
        .unwrap_or_default();
    let places = [
        (Some(0), "1.1"),
        (Some(8), "1.2"),
        (end_1, "1.0"),
        (end_0, "0.90"),
    ];
    places.into_iter().find_map(|(sector, version)| {
        let sector = sector?;
        let (from, part) = match version {
            "1.1" | "1.2" => (0, head),
            _ => (first, &*tail),
        };
        let at = usize::try_from(sector.checked_sub(from)?.checked_mul(512)?).ok()?;
        let block = bytes(part, at, 4096);
        if bytes(block, 0, 4) != MD_MAGIC {
            return None;
        }
        let member = match (version, le32(block, 4)) {
            ("0.90", 0) => MdMember {
                // uuid0 is word 5, uuid1..3 are words 13 to 15, each in the machine's order.
                uuid: [20, 52, 56, 60]
                    .map(|at| format!("{:08x}", le32(block, at)))
                    .concat(),
                version,
                // this_disk.number, the first word of the last 32.
                own: le32(block, 3968).to_string(),
                // events_lo and events_hi, words 39 and 40.
                events: le64(block, 156),
            },
            // super_offset is counted from where the member begins: on a disk whose last partition is
            // a member it is another one than the superblock's place on the disk.
            ("1.0" | "1.1" | "1.2", 1) if le64(block, 144) == sector => MdMember {
                uuid: dump::facts::hex(bytes(block, 16, 16)),
                version,
                own: dump::facts::hex(bytes(block, 168, 16)),
                events: le64(block, 200),
            },
            _ => return None,
        };
        Some(Member::Md(member))
    })
}

#[cfg(test)]
mod tests;
