//! A sparse index of blocks in constant memory: when it is full, every second entry goes and the
//! stride doubles.

use crate::addr::Pfn;
use crate::layout::pages_map::u64_at;

/// The most entries held and stored.
pub(super) const ENTRIES_MAX: usize = 1024;

/// Where some of the blocks begin.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// First page and file offset of every `stride`-th block, ascending.
    entries: Vec<(Pfn, u64)>,
    /// log2 of the stride.
    shift: u32,
    blocks: u64,
}

impl Index {
    /// The next block.
    pub(super) fn push(&mut self, first: Pfn, offset: u64) {
        if self.blocks & ((1 << self.shift) - 1) == 0 {
            if self.entries.len() == ENTRIES_MAX {
                let mut number = 0u32;
                self.entries.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
                self.shift += 1;
            }
            if self.blocks & ((1 << self.shift) - 1) == 0 {
                self.entries.push((first, offset));
            }
        }
        self.blocks += 1;
    }

    /// The offset of the last indexed block that begins at or before `pfn`.
    pub(super) fn seek(&self, pfn: Pfn) -> Option<u64> {
        let after = self.entries.partition_point(|(first, _)| *first <= pfn);
        self.entries
            .get(after.checked_sub(1)?)
            .map(|(_, offset)| *offset)
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for (first, offset) in &self.entries {
            out.extend_from_slice(&first.0.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        }
    }

    /// An index from the end block's bytes; what is out of order ends it.
    pub(super) fn parse(bytes: &[u8], blocks: u64) -> Self {
        let mut entries: Vec<(Pfn, u64)> = Vec::new();
        for entry in bytes.chunks_exact(16).take(ENTRIES_MAX) {
            let (Some(first), Some(offset)) = (u64_at(entry, 0), u64_at(entry, 8)) else {
                break;
            };
            if entries
                .last()
                .is_some_and(|(p, o)| p.0 >= first || *o >= offset)
            {
                break;
            }
            entries.push((Pfn(first), offset));
        }
        Self {
            entries,
            shift: 0,
            blocks,
        }
    }
}
