//! A bounded set of pages, kept as sorted runs.
//!
//! New runs gather in a small buffer and are merged into the sorted vector when it is full. The set
//! stops growing at a number of pages and at a number of runs; what no longer fits is counted.

use vmcore::addr::{PAGE_SHIFT, Pfn, PfnRange, PhysAddr};

/// Runs gathered before they are merged.
const BUFFER: usize = 1024;

/// The set.
#[derive(Clone, Debug)]
pub struct Runs {
    sorted: Vec<PfnRange>,
    buffer: Vec<PfnRange>,
    max_pages: u64,
    max_runs: usize,
    pages: u64,
    left_out: u64,
}

impl Runs {
    /// An empty set with its bounds.
    #[must_use]
    pub fn new(max_pages: u64, max_runs: usize) -> Self {
        Self {
            sorted: Vec::new(),
            buffer: Vec::with_capacity(BUFFER),
            max_pages,
            max_runs,
            pages: 0,
            left_out: 0,
        }
    }

    /// Adds the pages that hold `len` bytes from `at`. False when they no longer fit.
    pub fn add(&mut self, at: PhysAddr, len: u64) -> bool {
        let Some(last) = len.checked_sub(1).and_then(|len| at.checked_add(len)) else {
            return len == 0;
        };
        self.add_pages(PfnRange::new(at.pfn(), Pfn((last.0 >> PAGE_SHIFT) + 1)))
    }

    /// Adds a run of pages. False when they no longer fit.
    pub fn add_pages(&mut self, run: PfnRange) -> bool {
        // Neighbours and repetitions are the rule, so the last few are looked at first.
        if self
            .buffer
            .iter()
            .rev()
            .take(4)
            .any(|known| holds(*known, run))
        {
            return true;
        }
        if self.contains(run) {
            return true;
        }
        if let Some(last) = self.buffer.last_mut()
            && last.end == run.start
            && self.pages + run.len() <= self.max_pages
        {
            last.end = run.end;
            self.pages += run.len();
            return true;
        }
        if self.buffer.len() >= BUFFER || self.pages + run.len() > self.max_pages {
            self.merge();
        }
        let new = if self.buffer.is_empty() {
            run.len() - self.overlap(run)
        } else {
            run.len()
        };
        if self.pages + new > self.max_pages || self.sorted.len() >= self.max_runs {
            self.left_out += new;
            return false;
        }
        self.pages += new;
        self.buffer.push(run);
        true
    }

    fn contains(&self, run: PfnRange) -> bool {
        let after = self
            .sorted
            .partition_point(|known| known.start <= run.start);
        after
            .checked_sub(1)
            .and_then(|i| self.sorted.get(i))
            .is_some_and(|known| holds(*known, run))
    }

    /// Pages of `run` that the sorted part has already.
    fn overlap(&self, run: PfnRange) -> u64 {
        let first = self.sorted.partition_point(|known| known.end <= run.start);
        self.sorted
            .get(first..)
            .unwrap_or_default()
            .iter()
            .map_while(|known| known.intersect(run))
            .map(PfnRange::len)
            .sum()
    }

    /// Sorts, joins what touches or overlaps, and counts afresh.
    pub fn merge(&mut self) {
        self.sorted.append(&mut self.buffer);
        self.sorted.sort_unstable();
        self.sorted.dedup_by(|next, kept| {
            let joined = next.start <= kept.end;
            if joined {
                kept.end = kept.end.max(next.end);
            }
            joined
        });
        self.pages = self.sorted.iter().map(|run| run.len()).sum();
    }

    /// Pages in the set; while runs overlap in the buffer possibly a few too many.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Pages that did not fit.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The runs, ascending, none touching the next.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<PfnRange> {
        self.merge();
        self.sorted
    }
}

fn holds(outer: PfnRange, inner: PfnRange) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, end: u64) -> PfnRange {
        PfnRange::new(Pfn(start), Pfn(end))
    }

    #[test]
    fn runs_join_and_overlaps_count_once() {
        let mut runs = Runs::new(100, 100);
        assert!(runs.add(PhysAddr(0x5ff0), 0x20));
        assert!(runs.add_pages(run(1, 3)));
        assert!(runs.add_pages(run(2, 5)));
        assert!(runs.add_pages(run(20, 21)));
        assert_eq!(runs.into_sorted(), [run(1, 7), run(20, 21)]);
    }

    #[test]
    fn the_bounds_hold() {
        let mut runs = Runs::new(4, 100);
        assert!(runs.add_pages(run(0, 3)));
        // Overlaps are found out before anything is refused.
        assert!(runs.add_pages(run(2, 4)));
        assert!(!runs.add_pages(run(10, 11)));
        assert_eq!(runs.left_out(), 1);
        assert_eq!(runs.into_sorted(), [run(0, 4)]);
        let mut few = Runs::new(1 << 20, 2);
        let kept = (0..10_000)
            .filter(|i| few.add_pages(run(i * 4, i * 4 + 1)))
            .count();
        assert!(kept <= BUFFER + 2, "{kept}");
    }
}
