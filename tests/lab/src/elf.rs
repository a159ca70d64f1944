//! ELF64 cores and the bitmap of kdump-compressed files, as other tools write them, read without
//! `vmcore`, whose judge this is.
//!
//! Source of the facts: elf(5); PN_XNUM from the gABI: the real count stands in section header 0;
//! makedumpfile's diskdump_mod.h for the kdump header.

use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

const PAGE: u64 = 4096;

/// A core file and where its pages are.
#[derive(Debug)]
pub struct Core {
    file: File,
    /// Page frame to offset in the file.
    pub pages: BTreeMap<u64, u64>,
    /// The first bytes, notes among them.
    pub head: Vec<u8>,
}

impl Core {
    /// Reads the headers.
    ///
    /// # Errors
    /// It is no ELF64 core.
    pub fn open(path: &Path) -> Result<Core> {
        let file = File::open(path).with_context(|| format!("Cannot open {}", path.display()))?;
        let mut ehdr = [0u8; 64];
        file.read_exact_at(&mut ehdr, 0)?;
        if !ehdr.starts_with(b"\x7fELF\x02\x01") {
            bail!("{} is no ELF64 file", path.display());
        }
        let phoff = number(&ehdr, 32, 8)?;
        let mut count = number(&ehdr, 56, 2)?;
        if count == 0xffff {
            let mut section = [0u8; 64];
            file.read_exact_at(&mut section, number(&ehdr, 40, 8)?)?;
            count = number(&section, 44, 4)?;
        }
        let mut table = vec![0u8; usize::try_from(count)? * 56];
        file.read_exact_at(&mut table, phoff)?;
        let (mut pages, mut head) = (BTreeMap::new(), Vec::new());
        for phdr in table.chunks_exact(56) {
            let (offset, paddr, size) = (
                number(phdr, 8, 8)?,
                number(phdr, 24, 8)?,
                number(phdr, 32, 8)?,
            );
            match number(phdr, 0, 4)? {
                1 => {
                    // A page counts when all of it is there.
                    let first = paddr.next_multiple_of(PAGE);
                    let last = (paddr + size) / PAGE;
                    for pfn in first / PAGE..last {
                        pages.insert(pfn, offset + (pfn * PAGE - paddr));
                    }
                }
                4 => {
                    head = vec![0u8; usize::try_from(size)?];
                    file.read_exact_at(&mut head, offset)?;
                }
                _ => {}
            }
        }
        Ok(Core { file, pages, head })
    }

    /// The content of a page that is in [`Core::pages`].
    ///
    /// # Errors
    /// It is not, or the file is cut off.
    pub fn page(&self, pfn: u64) -> Result<[u8; 4096]> {
        let offset = self
            .pages
            .get(&pfn)
            .with_context(|| format!("No page {pfn:#x}"))?;
        let mut page = [0u8; 4096];
        self.file.read_exact_at(&mut page, *offset)?;
        Ok(page)
    }

    /// A value of the VMCOREINFO text in the notes.
    #[must_use]
    pub fn vmcoreinfo(&self, key: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.head);
        let at = text.find(&format!("\n{key}="))?;
        text.get(at + key.len() + 2..)?
            .lines()
            .next()
            .map(str::to_owned)
    }
}

/// The number of program headers that the beginning of a core says it has.
///
/// # Errors
/// It is no ELF64 file, or cut off.
pub fn segments(core: &mut impl Read) -> Result<u64> {
    let mut ehdr = [0u8; 64];
    core.read_exact(&mut ehdr)?;
    if !ehdr.starts_with(b"\x7fELF\x02\x01") {
        bail!("This is no ELF64 file");
    }
    let count = number(&ehdr, 56, 2)?;
    if count != 0xffff {
        return Ok(count);
    }
    let between = number(&ehdr, 40, 8)?.checked_sub(64);
    let between = between.context("The section headers stand in the ELF header")?;
    std::io::copy(&mut core.take(between), &mut std::io::sink())?;
    let mut section = [0u8; 64];
    core.read_exact(&mut section)?;
    number(&section, 44, 4)
}

/// The page frames in a kdump-compressed file: its second bitmap.
///
/// # Errors
/// It is no such file.
pub fn kdump_frames(path: &Path) -> Result<BTreeSet<u64>> {
    let file = File::open(path).with_context(|| format!("Cannot open {}", path.display()))?;
    let mut header = [0u8; 464];
    file.read_exact_at(&mut header, 0)?;
    if !header.starts_with(b"KDUMP   ") {
        bail!("{} is no kdump file", path.display());
    }
    // After signature, version, six strings of utsname and a time: status, block size, blocks of
    // the sub header, blocks of both bitmaps.
    let (block, sub) = (number(&header, 428, 4)?, number(&header, 432, 4)?);
    let half = number(&header, 436, 4)? / 2;
    let mut bitmap = vec![0u8; usize::try_from(half * block)?];
    file.read_exact_at(&mut bitmap, block * (1 + sub + half))?;
    let bits = (0u64..).zip(&bitmap).filter(|(_, byte)| **byte != 0);
    Ok(bits
        .flat_map(|(n, byte)| {
            (0..8)
                .filter(move |bit| byte >> bit & 1 == 1)
                .map(move |bit| n * 8 + bit)
        })
        .collect())
}

fn number(bytes: &[u8], at: usize, size: usize) -> Result<u64> {
    let bytes = bytes.get(at..at + size).context("A header is cut off")?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}
