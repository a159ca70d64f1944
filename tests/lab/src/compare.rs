//! Our kinds of pages against somebody else's account of the same memory: makedumpfile's bitmap and
//! the kernel's own /proc/kpageflags.
//!
//! Both are read here without any of our readers. What differs is counted by what we say the page
//! is, so that every difference can be explained, or not.

mod bitmap;
mod kpageflags;
mod lists;

pub use bitmap::Bitmap;
pub use kpageflags::{KpageFlags, PageCounts, Seen};
pub use lists::OnLists;

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

/// What came of a comparison with the kernel's own word, by our kind and that word.
#[derive(Clone, Default, Debug)]
pub struct Changes {
    /// Pages that a CPU held for itself in the end, free to it alone: whatever they were before, they went or came
    /// in batches of the allocator's.
    pub listed: Kinds,
    /// Pages that are free now and of which no flag said anything then: a CPU may have held them for itself and given
    /// them back since.
    pub given_back: Difference,
    /// All others.
    pub others: Kinds,
    /// All page frames that were compared.
    pub all: u64,
}

/// CPUs hold at most this part of a zone for themselves (mm/page_alloc.c, `MIN_PERCPU_PAGELIST_HIGH_FRACTION`, Linux 6.7 to
/// 7.2; before that less).
const HELD: u64 = 8;

/// Compares our kinds with what the crashed kernel showed in /proc/kpageflags. Pages that changed in
/// between differ too: the caller bounds them.
///
/// # Errors
/// When the map cannot be read.
pub fn with_kpageflags(
    map: &MapReader,
    theirs: &KpageFlags,
    listed: &dyn Fn(u64) -> bool,
) -> Result<Changes> {
    let mut changes = Changes::default();
    map.for_each(&mut |run| {
        theirs.judge(&run, listed, &mut changes);
        Ok(())
    })?;
    Ok(changes)
}

/// The pages that differ and that no list of a CPU explains; `bound` of them may have changed in between. Those of
/// kinds that do not come and go may not, on a list or not.
///
/// # Errors
/// Such a page differs, or there are more.
pub fn changed(changes: &Changes, bound: u64) -> Result<u64> {
    let mut changed = 0;
    let listed = changes.listed.iter().map(|row| (row, ", on lists of CPUs"));
    let others = changes.others.iter().map(|row| (row, ""));
    for (((ours, theirs), difference), place) in listed.chain(others) {
        let words = format!(
            "{} pages are {} here{place} and were {theirs:?}, the first {:#x}",
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
        if place.is_empty() {
            changed += difference.pages;
        }
    }
    ensure!(
        changed <= bound,
        "{changed} pages differ; {bound} may have changed since"
    );
    let (back, most) = (changes.given_back, bound.max(changes.all / HELD));
    ensure!(
        back.pages <= most,
        "{} pages are free here and were not, the first {:#x}; CPUs hold at most {most} for themselves",
        back.pages,
        back.first.unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use vmcore::addr::{Pfn, PfnRange};
    use vmcore::mm::KindRun;

    /// By kpageflags: three free pages, and one of hugetlb.
    fn judged(listed: &dyn Fn(u64) -> bool) -> Changes {
        let free = 1 << 10;
        let flags = KpageFlags::of(vec![free, free, free, 1 << 17]);
        let mut changes = Changes::default();
        let pages = PfnRange::new(Pfn(0), Pfn(4));
        let kind = Kind::Kernel;
        flags.judge(&KindRun { pages, kind }, listed, &mut changes);
        changes
    }

    #[test]
    fn pages_on_lists_of_cpus_are_not_among_those_that_changed() {
        let mut changes = judged(&|pfn| pfn == 1);
        let free = (Kind::Kernel, Seen::Free);
        assert_eq!(changes.listed[&free].first, Some(1));
        assert_eq!(changes.others[&free].pages, 2);
        changes.others.remove(&(Kind::Kernel, Seen::Hugetlb));
        assert_eq!(changed(&changes, 2).unwrap(), 2);
        assert!(changed(&changes, 1).is_err());
    }

    #[test]
    fn what_cpus_gave_back_is_bounded_by_what_they_hold() {
        let flags = KpageFlags::of(vec![0, 0, 1 << 10, 1 << 10]);
        let mut changes = Changes::default();
        let run = |pages| KindRun {
            pages,
            kind: Kind::Free,
        };
        let four = run(PfnRange::new(Pfn(0), Pfn(4)));
        flags.judge(&four, &|_| false, &mut changes);
        assert_eq!((changes.given_back.pages, changes.all), (2, 4));
        assert!(changes.others.is_empty());
        assert!(changed(&changes, 1).is_err());
        assert_eq!(changed(&changes, 2).unwrap(), 0);
        changes.all = 16;
        assert_eq!(changed(&changes, 0).unwrap(), 0);
    }

    #[test]
    fn what_stays_may_not_be_on_a_list() {
        let mut changes = judged(&|_| true);
        assert!(changes.others.is_empty());
        let said = changed(&changes, 9).unwrap_err().to_string();
        assert!(said.contains("on lists of CPUs and were Hugetlb"), "{said}");
        changes.listed.remove(&(Kind::Kernel, Seen::Hugetlb));
        assert_eq!(changed(&changes, 0).unwrap(), 0);
    }
}
