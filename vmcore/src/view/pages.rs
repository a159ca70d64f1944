//! The pages of a dump by their rank: the n-th kept page, in ascending order.

use crate::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr};
use crate::dump::{MemoryDump, ReadError};
use crate::write::{PresentRuns, Runs};
use std::io;

/// Marks that are kept at most: 16 MiB of them, as many as an ELF core may have runs.
const MARKS: usize = 1 << 20;

/// Where to find a page by its rank: the rank and the first page of every run, or of every second,
/// fourth and so on when there are more runs than may be remembered.
pub(super) struct Ranked {
    marks: Vec<(u64, Pfn)>,
    pages: u64,
    /// One past the last page.
    end: Pfn,
}

impl Ranked {
    /// Indexes the pages that `dump` holds.
    pub(super) fn of(dump: &dyn MemoryDump) -> io::Result<Self> {
        Self::with_marks(dump, MARKS)
    }

    fn with_marks(dump: &dyn MemoryDump, most: usize) -> io::Result<Self> {
        let mut ranked = Self {
            marks: Vec::new(),
            pages: 0,
            end: Pfn(0),
        };
        let (mut number, mut stride) = (0_u64, 1_u64);
        PresentRuns(dump).for_each(&mut |run| {
            if number.is_multiple_of(stride) {
                if ranked.marks.len() >= most {
                    let mut second = false;
                    ranked.marks.retain(|_| {
                        second = !second;
                        second
                    });
                    stride = stride.saturating_mul(2);
                }
                if number.is_multiple_of(stride) {
                    ranked.marks.push((ranked.pages, run.start));
                }
            }
            number = number.saturating_add(1);
            ranked.pages = ranked.pages.saturating_add(run.len());
            ranked.end = run.end;
            Ok(())
        })?;
        Ok(ranked)
    }

    /// Pages in all.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// One past the last page.
    pub(super) fn end(&self) -> Pfn {
        self.end
    }

    /// The page with this rank, and those of its run that follow.
    fn locate(&self, dump: &dyn MemoryDump, rank: u64) -> Option<PfnRange> {
        if rank >= self.pages {
            return None;
        }
        let after = self.marks.partition_point(|(first, _)| *first <= rank);
        let (mut first, mut from) = self.marks.get(after.checked_sub(1)?).copied()?;
        loop {
            let run = dump.next_present(from).filter(|run| !run.is_empty())?;
            let into = rank.checked_sub(first)?;
            if into < run.len() {
                return Some(PfnRange::new(Pfn(run.start.0.checked_add(into)?), run.end));
            }
            first = first.checked_add(run.len())?;
            from = run.end;
        }
    }

    /// Fills `buf` from the byte `at` of all pages laid end to end; answers how many there were.
    pub(super) fn read_at(
        &self,
        dump: &dyn MemoryDump,
        at: u64,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        let mut done = 0_usize;
        let mut found = self.locate(dump, at / PAGE_SIZE);
        let mut inside = at % PAGE_SIZE;
        while let Some(run) = found.filter(|_| done < buf.len()) {
            let (Some(start), Some(end)) = (run.start.phys(), run.end.phys()) else {
                break;
            };
            let phys = PhysAddr(start.0.saturating_add(inside));
            let left = usize::try_from(end.0.saturating_sub(phys.0)).unwrap_or(usize::MAX);
            let to = buf.len().min(done.saturating_add(left));
            let part = buf.get_mut(done..to).unwrap_or_default();
            dump.read_phys(phys, part).map_err(to_io)?;
            done = to;
            inside = 0;
            found = dump.next_present(run.end);
        }
        Ok(done)
    }
}

fn to_io(error: ReadError) -> io::Error {
    match error {
        ReadError::Io { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::Every;

    #[test]
    fn few_marks_find_every_page_all_the_same() {
        // Runs of 1, 2, … pages with holes between them.
        let dump = Every::runs((1..60_u64).map(|n| (n * 100, n)));
        let pages: Vec<u64> = (1..60_u64).flat_map(|n| n * 100..n * 101).collect();
        for most in [1, 2, 7, 64, MARKS] {
            let ranked = Ranked::with_marks(&dump, most).unwrap();
            assert!(ranked.marks.len() <= most.max(1));
            assert_eq!(ranked.pages(), pages.len() as u64);
            for (rank, pfn) in (0_u64..).zip(&pages) {
                let found = ranked.locate(&dump, rank).map(|run| run.start);
                assert_eq!(found, Some(Pfn(*pfn)), "rank {rank}, {most} marks");
            }
            assert_eq!(ranked.locate(&dump, pages.len() as u64), None);
        }
    }
}
