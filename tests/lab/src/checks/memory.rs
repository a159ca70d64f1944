//! What was saved against the same memory as QEMU wrote it to this machine: page for page, byte for byte.
//!
//! QEMU writes its file while the capture kernel is at work. The crashed kernel no longer runs by then, and the
//! capture kernel has memory of its own.

use super::found::Found;
use anyhow::{Context, Result, ensure};
use rehearse::storage::Cue;
use serde_json::json;
use std::path::{Path, PathBuf};
use vmcore::addr::{PAGE_SIZE, Pfn, PhysAddr};
use vmcore::dump::{MemoryDump, open};

/// The comparison's name.
pub(super) const WORD: &str = "same-memory";

/// What the console says when the way to a server is open: the card's driver has taken over by then, and a card
/// no longer writes into the crashed kernel's memory.
const WHEN: &str = " is up: ";

/// Fewer pages were not compared but missed.
const FEWEST: u64 = 1000;

/// QEMU's file in the directory of a run.
fn file(dir: &Path) -> PathBuf {
    dir.join("memory.img")
}

/// Has QEMU write the memory, if a scenario's comparisons want it.
pub fn cue(truth: &[String], dir: &Path) -> Option<Cue> {
    let wanted = truth.iter().any(|word| word == WORD);
    let protocol = format!("file:{}", file(dir).display());
    wanted.then(|| Cue {
        when: WHEN.into(),
        then: vec![(
            "dump-guest-memory".into(),
            json!({ "paging": false, "protocol": protocol }),
        )],
    })
}

/// Every page of the core is the page that QEMU wrote.
///
/// # Errors
/// One is not, or a file cannot be read.
pub(super) fn check(found: &Found<'_>, core: &Path) -> Result<()> {
    let dir = found.crash.disk.parent();
    let theirs = file(dir.context("The run has no directory")?);
    let theirs = open(&theirs).context("Cannot read what QEMU wrote")?;
    let seen = compare(&*open(core)?, &*theirs)?;
    ensure!(
        seen.pages >= FEWEST,
        "the core holds only {} pages",
        seen.pages
    );
    ensure!(
        seen.other == 0,
        "{} of {} pages are not as QEMU wrote them, the first at {:?}",
        seen.other,
        seen.pages,
        seen.first
    );
    Ok(())
}

/// What a comparison saw.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Pages of our core.
    pages: u64,
    /// Those with other bytes, or which are only in ours.
    other: u64,
    /// The first of those.
    first: Option<PhysAddr>,
}

fn compare(ours: &dyn MemoryDump, theirs: &dyn MemoryDump) -> Result<Seen> {
    let mut seen = Seen::default();
    let bytes = usize::try_from(PAGE_SIZE)?;
    let (mut our, mut their) = (vec![0; bytes], vec![0; bytes]);
    let mut from = Pfn(0);
    while let Some(run) = ours.next_present(from) {
        for pfn in (run.start.0..run.end.0).map(Pfn) {
            let at = pfn.phys().context("A page lies past 2^64")?;
            ours.read_phys(at, &mut our)?;
            seen.pages += 1;
            if theirs.read_phys(at, &mut their).is_err() || our != their {
                seen.other += 1;
                seen.first.get_or_insert(at);
            }
        }
        from = run.end;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use synth::elf::{Elf, pages};

    #[test]
    fn a_page_that_differs_or_is_missing_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let core = |name: &str, pages: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, Elf::new().load(0, 0x10_0000, pages).build()).unwrap();
            open(&path).unwrap()
        };
        let bytes = pages(1, 4);
        let ours = core("ours", &bytes);
        let more = core("more", &pages(1, 5));
        let seen = |other, first| Seen {
            pages: 4,
            other,
            first,
        };
        assert_eq!(compare(&*ours, &*more).unwrap(), seen(0, None));
        let mut changed = bytes.clone();
        changed[0x2fff] ^= 1;
        let changed = core("changed", &changed);
        let at = |pa| Some(PhysAddr(pa));
        assert_eq!(compare(&*ours, &*changed).unwrap(), seen(1, at(0x10_2000)));
        let fewer = core("fewer", &pages(1, 3));
        assert_eq!(compare(&*ours, &*fewer).unwrap(), seen(1, at(0x10_3000)));
    }
}
