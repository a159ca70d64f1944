//! A partition's UUID, from the disk's own table: sysfs tells it only since Linux 6.13.
//!
//! GPT: UEFI specification, 5.3 (header at LBA 1, entries of 128 bytes or more, mixed-endian GUID).
//! MBR: the disk's signature at 440 and the partition's number, as blkid prints it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn le32(block: &[u8], at: usize) -> u32 {
    block
        .get(at..at.saturating_add(4))
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn le64(block: &[u8], at: usize) -> u64 {
    u64::from(le32(block, at)) | u64::from(le32(block, at.saturating_add(4))) << 32
}

/// The PARTUUID of partition `number` of a disk with sectors of `sector` bytes.
///
/// # Errors
/// When the disk cannot be read.
pub(super) fn partuuid(disk: &Path, number: u32, sector: u64) -> io::Result<Option<String>> {
    let file = File::open(disk)?;
    let mut head = [0; 512];
    file.read_exact_at(&mut head, 0)?;
    let mut gpt = [0; 512];
    file.read_exact_at(&mut gpt, sector)?;
    if gpt.starts_with(b"EFI PART") {
        let (entries, count, size) = (le64(&gpt, 72), le32(&gpt, 80), le32(&gpt, 84));
        let Some(index) = number.checked_sub(1).filter(|n| *n < count) else {
            return Ok(None);
        };
        let at = entries
            .checked_mul(sector)
            .and_then(|at| at.checked_add(u64::from(index) * u64::from(size)));
        let Some(at) = at else {
            return Ok(None);
        };
        let mut entry = [0; 128];
        file.read_exact_at(&mut entry, at)?;
        return Ok(entry.get(16..32).and_then(guid));
    }
    let signature = le32(&head, 440);
    let mbr = head.ends_with(&[0x55, 0xaa]) && signature != 0;
    Ok(mbr.then(|| format!("{signature:08x}-{number:02x}")))
}

fn guid(bytes: &[u8]) -> Option<String> {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes else {
        return None;
    };
    let (node, rest) = (dump::facts::hex(rest), [d, c, b, a, f, e, h, g]);
    let head = dump::facts::hex(&rest.map(|byte| *byte));
    let part = |text: &str, from: usize, to: usize| text.get(from..to).unwrap_or("").to_owned();
    Some(format!(
        "{}-{}-{}-{}-{}",
        part(&head, 0, 8),
        part(&head, 8, 12),
        part(&head, 12, 16),
        part(&node, 0, 4),
        part(&node, 4, 16)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mbr_and_gpt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let mut disk = vec![0_u8; 64 << 10];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[440..444].copy_from_slice(&[0xcd, 0xab, 0x34, 0x12]);
        std::fs::write(&path, &disk).unwrap();
        let found = partuuid(&path, 3, 512).unwrap();
        assert_eq!(found.as_deref(), Some("1234abcd-03"));
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[512 + 72] = 2;
        disk[512 + 80] = 128;
        disk[512 + 84] = 128;
        let entry = 1024 + 128 + 16;
        let raw: Vec<u8> = (0x10..0x20).collect();
        disk[entry..entry + 16].copy_from_slice(&raw);
        std::fs::write(&path, &disk).unwrap();
        let found = partuuid(&path, 2, 512).unwrap();
        assert_eq!(
            found.as_deref(),
            Some("13121110-1514-1716-1819-1a1b1c1d1e1f")
        );
        assert_eq!(partuuid(&path, 129, 512).unwrap(), None);
    }
}
