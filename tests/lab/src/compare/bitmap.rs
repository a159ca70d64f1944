//! The second bitmap of a kdump-compressed file: the pages it keeps. diskdump_mod.h, version 6.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The pages that a kdump-compressed file holds.
#[derive(Clone, Debug)]
pub struct Bitmap {
    bits: Vec<u8>,
}

impl Bitmap {
    /// Reads it out of a file.
    ///
    /// # Errors
    /// When the file is none of that format or is cut off.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("Cannot read {}", path.display()))?;
        let mut header = [0u8; 464];
        file.read_exact_at(&mut header, 0)?;
        ensure!(
            header.starts_with(b"KDUMP   "),
            "{} is no kdump-compressed file",
            path.display()
        );
        let word = |at: usize| {
            let bytes = header
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_le_bytes)
        };
        let (block, sub_header, blocks) = (
            u64::from(word(428)),
            u64::from(word(432)),
            u64::from(word(436)),
        );
        let half = blocks / 2 * block;
        let mut bits = vec![0; usize::try_from(half)?];
        file.read_exact_at(&mut bits, (1 + sub_header) * block + half)
            .with_context(|| format!("Cannot read the bitmap of {}", path.display()))?;
        Ok(Self { bits })
    }

    /// Whether the file keeps a page.
    #[must_use]
    pub fn contains(&self, pfn: u64) -> bool {
        let byte = usize::try_from(pfn / 8).ok().and_then(|n| self.bits.get(n));
        byte.is_some_and(|byte| byte >> (pfn % 8) & 1 == 1)
    }

    /// How many it keeps.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bits
            .iter()
            .map(|byte| u64::from(byte.count_ones()))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_half_counts() {
        let mut file = vec![0u8; 4096 * 5];
        file[..8].copy_from_slice(b"KDUMP   ");
        file[428..432].copy_from_slice(&4096u32.to_le_bytes());
        file[432..436].copy_from_slice(&2u32.to_le_bytes());
        file[436..440].copy_from_slice(&2u32.to_le_bytes());
        file[3 * 4096] = 0xff;
        file[4 * 4096 + 1] = 0b101;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump");
        std::fs::write(&path, &file).unwrap();
        let bitmap = Bitmap::open(&path).unwrap();
        assert_eq!(bitmap.count(), 2);
        assert!(bitmap.contains(8) && bitmap.contains(10) && !bitmap.contains(9));
        assert!(!bitmap.contains(0) && !bitmap.contains(1 << 40));
        std::fs::write(&path, b"\x7fELF").unwrap();
        assert!(Bitmap::open(&path).is_err());
    }
}
