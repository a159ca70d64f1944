//! Where physical memory lies in a file: disjoint extents, searched in logarithmic time.
//!
//! Program headers come in any order and overlap (the kernel image's entries alias the direct
//! map's bytes by design), so they are sorted and cut once, while opening.

use crate::addr::{PAGE_SHIFT, PAGE_SIZE, Pfn, PfnRange};

/// Bytes of physical memory that lie in the file one after another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    /// The first byte's physical address.
    pub paddr: u64,
    /// How many bytes; never 0, and `paddr + len` does not overflow.
    pub len: u64,
    /// Where the first byte lies in the file.
    pub offset: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.paddr.saturating_add(self.len)
    }
}

/// Extents for each piece of the address space, on average, at least.
const EACH: u64 = 4;
/// As many extents are looked at one after another: their cache lines are fetched at the same time,
/// where a binary search waits for each.
const IN_A_ROW: usize = 16;

/// Extents in ascending order, disjoint, and where in the list a search has to begin.
///
/// A binary search through 100,000 of them waits for a dozen cache lines. The address space is cut
/// into equal pieces, a few extents each: a small table and a few neighbours in the list are left.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    list: Vec<Extent>,
    /// The address at which the first piece begins.
    base: u64,
    /// A piece is `1 << shift` bytes.
    shift: u32,
    /// For each piece, how many extents begin before it; one number more for the end.
    before: Vec<u32>,
}

impl Extents {
    /// Sorts `list`, and cuts what overlaps: the extent that begins first keeps its bytes.
    pub(super) fn new(mut list: Vec<Extent>) -> Self {
        list.retain(|extent| extent.len > 0);
        list.sort_unstable_by_key(|extent| (extent.paddr, extent.offset));
        list.dedup_by(|extent, last| {
            let overlap = last.end().saturating_sub(extent.paddr);
            if overlap >= extent.len {
                return true;
            }
            extent.paddr += overlap;
            extent.len -= overlap;
            extent.offset = extent.offset.saturating_add(overlap);
            let glued = last.end() == extent.paddr
                && last.offset.checked_add(last.len) == Some(extent.offset);
            if glued {
                last.len += extent.len;
            }
            glued
        });
        list.shrink_to_fit();
        Self::indexed(list)
    }

    fn indexed(list: Vec<Extent>) -> Self {
        let base = list.first().map_or(0, |first| first.paddr);
        let span = list.last().map_or(0, |last| last.paddr - base);
        let mut shift = PAGE_SHIFT;
        while span >> shift >= (list.len() as u64 / EACH).max(2) {
            shift += 1;
        }
        let mut before = Vec::with_capacity(list.len().saturating_add(2));
        for (n, extent) in (0..).zip(&list) {
            let piece = (extent.paddr - base) >> shift;
            while before.len() as u64 <= piece {
                before.push(n);
            }
        }
        before.push(u32::try_from(list.len()).unwrap_or(u32::MAX));
        before.shrink_to_fit();
        Self {
            list,
            base,
            shift,
            before,
        }
    }

    /// Where `paddr` lies: the file offset of its byte, and how many bytes follow it there.
    pub(super) fn find(&self, paddr: u64) -> Option<(u64, u64)> {
        let piece = usize::try_from(paddr.checked_sub(self.base)? >> self.shift).ok()?;
        let last = self.before.len().checked_sub(2)?;
        let begin = *self.before.get(piece.min(last))? as usize;
        let end = *self.before.get(piece.min(last) + 1)? as usize;
        let here = self.list.get(begin..end)?;
        let before = |extent: &Extent| extent.paddr <= paddr;
        let after = match here.len() {
            ..=IN_A_ROW => here.iter().filter(|extent| before(extent)).count(),
            _ => here.partition_point(before),
        };
        let after = begin + after;
        let extent = self.list.get(after.checked_sub(1)?)?;
        let inside = paddr - extent.paddr;
        (inside < extent.len).then(|| (extent.offset.saturating_add(inside), extent.len - inside))
    }

    /// How many bytes from `paddr` on lie in no extent; `None` when no extent follows.
    pub(super) fn gap(&self, paddr: u64) -> Option<u64> {
        let after = self.list.partition_point(|extent| extent.paddr <= paddr);
        Some(self.list.get(after)?.paddr - paddr)
    }

    /// The pages that are covered at least in part, as maximal runs.
    pub(super) fn page_runs(&self) -> PageRuns {
        let mut runs: Vec<PfnRange> = Vec::new();
        for extent in &self.list {
            let start = Pfn(extent.paddr >> PAGE_SHIFT);
            let end = Pfn(extent.end().div_ceil(PAGE_SIZE));
            match runs.last_mut() {
                Some(last) if start <= last.end => last.end = end.max(last.end),
                _ => runs.push(PfnRange::new(start, end)),
            }
        }
        runs.shrink_to_fit();
        PageRuns(runs)
    }

    /// How many pages are covered only in part, and the first of them.
    pub(super) fn pages_in_part(&self) -> Option<(u64, Pfn)> {
        let mut found: Option<(u64, Pfn)> = None;
        let mut last = None;
        let mut add = |addr: u64| {
            let pfn = Pfn(addr >> PAGE_SHIFT);
            if !addr.is_multiple_of(PAGE_SIZE) && last.replace(pfn) != Some(pfn) {
                let (count, first) = found.unwrap_or((0, pfn));
                found = Some((count + 1, first));
            }
        };
        // Where one extent ends and the next begins nothing is left out.
        let mut before = None;
        for extent in &self.list {
            if before != Some(extent.paddr) {
                before.into_iter().for_each(&mut add);
                add(extent.paddr);
            }
            before = Some(extent.end());
        }
        before.into_iter().for_each(add);
        found
    }
}

/// Runs of pages: ascending, disjoint, maximal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PageRuns(Vec<PfnRange>);

impl PageRuns {
    /// The first run that ends after `from`, cut to begin no earlier.
    pub(super) fn next(&self, from: Pfn) -> Option<PfnRange> {
        let at = self.0.partition_point(|run| run.end <= from);
        let run = self.0.get(at)?;
        Some(PfnRange::new(run.start.max(from), run.end))
    }

    /// Whether `pfn` is in one of them.
    pub(super) fn contains(&self, pfn: Pfn) -> bool {
        self.next(pfn).is_some_and(|run| run.contains(pfn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(paddr: u64, len: u64, offset: u64) -> Extent {
        Extent { paddr, len, offset }
    }

    #[test]
    fn pages_shared_by_two_extents_count() {
        let extents = Extents::new(vec![
            extent(0x1800, 0x1800, 50),
            extent(0x1000, 0x800, 9000),
        ]);
        assert_eq!(
            extents.page_runs().next(Pfn(0)),
            Some(PfnRange::new(Pfn(1), Pfn(3)))
        );
        assert_eq!(
            extents.page_runs().next(Pfn(2)),
            Some(PfnRange::new(Pfn(2), Pfn(3)))
        );
        assert_eq!(extents.page_runs().next(Pfn(3)), None);
        assert_eq!(extents.pages_in_part(), None);
        let lonely = Extents::new(vec![extent(0x1001, 0x1ffe, 0), extent(0x2fff, 1, 0)]);
        assert!(lonely.page_runs().contains(Pfn(1)), "held but for a byte");
        assert!(lonely.page_runs().contains(Pfn(2)), "in two extents");
        assert!(!lonely.page_runs().contains(Pfn(3)));
        assert_eq!(lonely.pages_in_part(), Some((1, Pfn(1))));
        assert_eq!(lonely.gap(0x1000), Some(1));
        let holes = Extents::new(vec![extent(0x1400, 0x100, 0), extent(0x1600, 0x4200, 0)]);
        assert_eq!(holes.pages_in_part(), Some((2, Pfn(1))));
        assert_eq!((holes.gap(0x1500), holes.gap(0x5800)), (Some(0x100), None));
    }

    proptest! {
        #[test]
        fn a_search_by_pieces_finds_what_a_look_at_each_does(
            list in prop::collection::vec((0..3_u8, 0..4000_u64, 1..3000_u64), 0..200)
        ) {
            // Dense, far apart, and up to the end of the address space.
            let list: Vec<_> = list.into_iter().map(|(where_, n, len)| {
                let paddr = match where_ {
                    0 => 0x9000 + n * 700,
                    1 => n << 47,
                    _ => u64::MAX - 4000 - n * 1000,
                };
                extent(paddr, len, n ^ 0xff_ffff)
            }).collect();
            let extents = Extents::new(list);
            let ends = extents.list.iter().flat_map(|e| [e.paddr, e.paddr + e.len]);
            for at in ends.flat_map(|at| [at.wrapping_sub(1), at, at.wrapping_add(1)]) {
                let holder = extents.list.iter().find(|e| e.paddr <= at && at - e.paddr < e.len);
                let expected = holder.map(|e| (e.offset + (at - e.paddr), e.len - (at - e.paddr)));
                prop_assert_eq!(extents.find(at), expected, "{:#x}", at);
            }
        }

        #[test]
        fn cutting_overlaps_loses_no_byte(
            list in prop::collection::vec((0..200_u64, 0..60_u64, 0..1000_u64), 0..12)
        ) {
            let list: Vec<_> = list.into_iter().map(|(p, l, o)| extent(p, l, o)).collect();
            let extents = Extents::new(list.clone());
            for paddr in 0..300 {
                let holders: Vec<_> = list.iter()
                    .filter(|e| e.paddr <= paddr && paddr < e.paddr + e.len)
                    .map(|e| e.offset + paddr - e.paddr)
                    .collect();
                match extents.find(paddr) {
                    None => prop_assert!(holders.is_empty()),
                    Some((offset, left)) => {
                        prop_assert!(holders.contains(&offset));
                        prop_assert!(left > 0);
                    }
                }
            }
        }
    }
}
