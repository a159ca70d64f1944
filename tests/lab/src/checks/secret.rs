//! What a process holds in its memory is user data: excluded means not a trace of it.
//!
//! What a process gave back, or what was moved elsewhere, lies for a while in a page that a CPU holds for itself. No
//! flag tells such a page from one of the kernel's own, so it is kept, as by makedumpfile. It is told here by the
//! CPUs' lists, and not counted.

use crate::compare::OnLists;
use crate::elf;
use crate::runner::SECRET;
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use vmcore::kernel::Kernel;

/// How much of a file is looked at at once.
const CHUNK: usize = 4 << 20;
const PAGE: u64 = 4096;

/// `plain` is `core`, unpacked.
pub(super) fn check(core: &Path, plain: &Path) -> Result<()> {
    // Twice in a row: once alone may be the script in a kernel buffer.
    let needle = SECRET.repeat(2);
    let places = places(&mut File::open(plain)?, needle.as_bytes(), CHUNK)?;
    if places.is_empty() {
        return Ok(());
    }
    let pages = elf::Core::open(plain)?.pages;
    let frames: BTreeMap<u64, u64> = pages.into_iter().map(|(pfn, at)| (at, pfn)).collect();
    let frame = |place: &u64| {
        let (at, pfn) = frames.range(..=place).next_back()?;
        (place - at < PAGE).then_some(*pfn)
    };
    let all: BTreeSet<Option<u64>> = places.iter().map(frame).collect();
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    let lists = OnLists::read(&kernel)?;
    let used = |pfn: &&Option<u64>| !pfn.is_some_and(|pfn| lists.has(pfn));
    let used: Vec<_> = all.iter().filter(used).collect();
    ensure!(
        used.is_empty(),
        "{} page frames of the core hold the secret of a process, the first {:x?}",
        used.len(),
        used.first()
    );
    eprintln!(
        "lab: {} page frames hold the secret; all are free ones that CPUs kept on their lists",
        all.len()
    );
    Ok(())
}

/// Where `needle` begins in a file.
fn places(file: &mut dyn Read, needle: &[u8], chunk: usize) -> Result<Vec<u64>> {
    let (mut buffer, mut kept, mut found) = (vec![0u8; chunk], Vec::new(), Vec::new());
    let mut begins = 0_u64;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(found);
        }
        kept.extend_from_slice(buffer.get(..n).unwrap_or_default());
        // memmem by the first byte is enough: cores are mostly zero or noise.
        let starts = kept
            .iter()
            .enumerate()
            .filter(|(_, b)| Some(*b) == needle.first());
        let here = starts.filter(|(at, _)| kept.get(*at..at + needle.len()) == Some(needle));
        found.extend(here.map(|(at, _)| begins + at as u64));
        let done = kept.len().saturating_sub(needle.len() - 1);
        kept.drain(..done);
        begins += done as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_once() {
        let text = b"..abab..ab.abab";
        for chunk in 1..text.len() + 1 {
            let found = places(&mut &text[..], b"abab", chunk).unwrap();
            assert_eq!(found, [2, 11], "{chunk} bytes at once");
        }
        assert!(places(&mut &text[..], b"abc", 4).unwrap().is_empty());
    }
}
