//! Our kinds of pages against somebody else's account of the same memory: makedumpfile's bitmap and
//! the kernel's own /proc/kpageflags.
//!
//! Both are read here without any of our readers. What differs is counted by what we say the page
//! is, so that every difference can be explained, or not.

mod bitmap;
mod kpageflags;

pub use bitmap::Bitmap;
pub use kpageflags::{KpageFlags, PageCounts, Seen};

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use vmcore::dump::map::MapReader;
use vmcore::mm::Kind;

/// Pages on which two accounts differ, of one sort.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Difference {
    /// How many.
    pub pages: u64,
    /// The first.
    pub first: Option<u64>,
}

impl Difference {
    fn add(&mut self, pfn: u64) {
        self.pages += 1;
        self.first.get_or_insert(pfn);
    }
}

/// Pages that one side keeps and the other drops, by our kind; `true`: we keep them.
pub type Kept = BTreeMap<(Kind, bool), Difference>;

/// Compares what a level keeps by our kinds with makedumpfile's second bitmap. Bit 1 (zero pages)
/// is not in the bitmaps of compressed dumps.
///
/// # Errors
/// When the map cannot be read.
pub fn with_bitmap(map: &MapReader, theirs: &Bitmap, level: u32) -> Result<Kept> {
    let mut differences = Kept::new();
    map.for_each(&mut |run| {
        let ours = !dropped(run.kind, level);
        for pfn in run.pages.start.0..run.pages.end.0 {
            if theirs.contains(pfn) != ours {
                differences.entry((run.kind, ours)).or_default().add(pfn);
            }
        }
        Ok(())
    })?;
    Ok(differences)
}

/// What a level of makedumpfile drops, in our kinds.
fn dropped(kind: Kind, level: u32) -> bool {
    let bits = match kind {
        Kind::Free | Kind::Unaccepted => 16,
        Kind::Cache => 2 | 4,
        Kind::CachePrivate => 4,
        Kind::Anon | Kind::Hugetlb => 8,
        // Gone with any pass over the memory map.
        Kind::HwPoison | Kind::Offline => 31,
        _ => 0,
    };
    level & bits != 0
}

/// Pages of which the kernel said something else shortly before, by our kind and its word.
pub type Kinds = BTreeMap<(Kind, Seen), Difference>;

/// Compares our kinds with what the crashed kernel showed in /proc/kpageflags. Pages that changed in
/// between differ too: the caller bounds them.
///
/// # Errors
/// When the map cannot be read.
pub fn with_kpageflags(map: &MapReader, theirs: &KpageFlags) -> Result<Kinds> {
    let mut differences = Kinds::new();
    map.for_each(&mut |run| {
        theirs.judge(&run, &mut differences);
        Ok(())
    })?;
    Ok(differences)
}

/// The pages that differ, of which `bound` may have changed in between. Those of kinds that do not come and go may not.
///
/// # Errors
/// Such a page differs, or there are more.
pub fn changed(differences: &Kinds, bound: u64) -> Result<u64> {
    let mut changed = 0;
    for ((ours, theirs), difference) in differences {
        let words = format!(
            "{} pages are {} here and were {theirs:?}, the first {:#x}",
            difference.pages,
            ours.name(),
            difference.first.unwrap_or(0)
        );
        eprintln!("lab: {words}");
        let stays = matches!(ours, Kind::HwPoison | Kind::Offline | Kind::Hugetlb);
        ensure!(
            !theirs.stays() && !stays,
            "{words}: such pages do not change by themselves"
        );
        changed += difference.pages;
    }
    ensure!(
        changed <= bound,
        "{changed} pages differ; {bound} may have changed since"
    );
    Ok(changed)
}

/// Pages that processes had mapped, and those among them that no process can have mapped by our
/// kinds: free pages and such as only the kernel uses.
///
/// # Errors
/// When the map cannot be read.
pub fn with_counts(map: &MapReader, theirs: &PageCounts) -> Result<(u64, u64)> {
    let (mut mapped, mut wrong) = (0, 0);
    map.for_each(&mut |run| {
        let nobodys = matches!(
            run.kind,
            Kind::Free | Kind::Unaccepted | Kind::Offline | Kind::Slab | Kind::PageTable
        );
        let here = (run.pages.start.0..run.pages.end.0).filter(|pfn| theirs.mapped(*pfn));
        let here = here.count() as u64;
        mapped += here;
        wrong += if nobodys { here } else { 0 };
        Ok(())
    })?;
    Ok((mapped, wrong))
}
