//! Where the boxes of a graph in which each points to at most one other stand: who waits for whom.

use std::collections::BTreeMap;

/// A graph laid out: a column and a row for each node. Column 0 is at the right, where those are that
/// wait for nobody, or for each other in a ring.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// By node.
    pub(super) places: Vec<Place>,
    /// Columns and rows that are taken.
    pub(super) columns: usize,
    /// Rows.
    pub(super) rows: usize,
}

/// Where a node stands.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Steps to the end of its chain.
    pub(super) column: usize,
    /// Its row.
    pub(super) row: usize,
    /// Whether it is part of a ring.
    pub(super) ring: bool,
}

/// Lays out nodes of which `next[n]` is what node `n` waits for. A number that is no node counts as none.
pub(super) fn layout(next: &[Option<usize>]) -> Layout {
    let follow = |n: usize| next.get(n).copied().flatten().filter(|to| *to < next.len());
    let mut places = vec![Place::default(); next.len()];
    for (n, place) in places.iter_mut().enumerate() {
        place.ring = in_ring(n, next.len(), &follow);
    }
    let rings: Vec<bool> = places.iter().map(|place| place.ring).collect();
    let is_ring = |n: usize| rings.get(n).copied().unwrap_or(false);
    let mut waiting: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for n in (0..next.len()).filter(|n| !is_ring(*n)) {
        if let Some(to) = follow(n) {
            waiting.entry(to).or_default().push(n);
        }
    }
    let mut row = 0;
    let mut columns = 0;
    for root in (0..next.len()).filter(|n| is_ring(*n) || follow(*n).is_none()) {
        // Depth first: the first that waits for a node takes its row, the others come below.
        let mut stack = vec![(root, 0_usize, true)];
        while let Some((n, column, first)) = stack.pop() {
            if !first {
                row += 1;
            }
            if let Some(place) = places.get_mut(n) {
                (place.column, place.row) = (column, row);
            }
            columns = columns.max(column + 1);
            let those = waiting.get(&n).map(Vec::as_slice).unwrap_or_default();
            let those = those.iter().enumerate().rev();
            stack.extend(those.map(|(at, n)| (*n, column + 1, at == 0)));
        }
        row += 1;
    }
    Layout {
        places,
        columns,
        rows: row,
    }
}

/// Whether the chain from `n` comes back to it.
fn in_ring(n: usize, nodes: usize, follow: &impl Fn(usize) -> Option<usize>) -> bool {
    let mut at = n;
    for _ in 0..nodes {
        match follow(at) {
            Some(to) if to == n => return true,
            Some(to) => at = to,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(next: &[Option<usize>]) -> Vec<(usize, usize, bool)> {
        let layout = layout(next);
        layout
            .places
            .iter()
            .map(|p| (p.column, p.row, p.ring))
            .collect()
    }

    #[test]
    fn a_chain_stands_in_one_row() {
        assert_eq!(
            rows(&[None, Some(0), Some(1)]),
            [(0, 0, false), (1, 0, false), (2, 0, false)]
        );
    }

    #[test]
    fn two_that_wait_for_one_have_rows_of_their_own() {
        assert_eq!(
            rows(&[None, Some(0), Some(0), Some(1), None]),
            [
                (0, 0, false),
                (1, 0, false),
                (1, 1, false),
                (2, 0, false),
                (0, 2, false)
            ]
        );
    }

    #[test]
    fn a_ring_ends_and_is_marked() {
        assert_eq!(
            rows(&[Some(1), Some(0), Some(0)]),
            [(0, 0, true), (0, 1, true), (1, 0, false)]
        );
        assert_eq!(
            rows(&[Some(0)]),
            [(0, 0, true)],
            "a task that waits for itself"
        );
        assert_eq!(rows(&[Some(9)]), [(0, 0, false)], "no such node");
    }

    #[test]
    fn no_two_boxes_stand_in_one_place() {
        proptest::proptest!(|(next in proptest::collection::vec(proptest::option::of(0..24_usize), 0..24))| {
            let layout = layout(&next);
            let mut all: Vec<_> = layout.places.iter().map(|p| (p.column, p.row)).collect();
            all.sort_unstable();
            let before = all.len();
            all.dedup();
            proptest::prop_assert_eq!(before, all.len());
            proptest::prop_assert!(layout.places.iter().all(|p| p.row < layout.rows && p.column < layout.columns));
        });
    }
}
