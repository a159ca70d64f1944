//! Page tables for the purgatory, so that it reads what it checks through the caches: with the MMU off every
//! access goes to memory by itself, and the check of an image takes half a minute instead of a moment.
//!
//! Facts: Arm Architecture Reference Manual (DDI 0487), VMSAv8-64 translation tables with pages of 4 KiB: levels
//! 0 to 2 with nine bits each, a block of level 2 maps 2 MiB; descriptors of tables and blocks. purgatory/aarch64.rs
//! sets MAIR so that index 0 is normal memory and index 1 is a device. Addresses map to themselves.

use std::collections::BTreeMap;

use crate::iomem::Range;

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
/// What 48 bits of address reach.
const REACH: u64 = 1 << 48;
/// Far more than a reservation needs.
const MOST_BLOCKS: u64 = 1 << 14;

const TABLE: u64 = 0b11;
const IS_BLOCK: u64 = 0b01;
const ACCESSED: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const DEVICE_INDEX: u64 = 1 << 2;
/// UXN (XN at EL2) and PXN.
const NEVER_EXECUTED: u64 = 0b11 << 53;

/// The blocks by their addresses, with their attributes.
fn blocks(memory: Range, device: Option<u64>) -> Option<BTreeMap<u64, u64>> {
    let end = memory.end.checked_next_multiple_of(BLOCK)?;
    let start = memory.start / BLOCK * BLOCK;
    let count = end.checked_sub(start)? / BLOCK;
    if end > REACH || count > MOST_BLOCKS {
        return None;
    }
    let mut out = BTreeMap::new();
    if let Some(device) = device.filter(|at| *at < REACH) {
        let at = device / BLOCK * BLOCK;
        out.insert(at, at | IS_BLOCK | ACCESSED | DEVICE_INDEX | NEVER_EXECUTED);
    }
    for n in 0..count {
        let at = start.checked_add(n.checked_mul(BLOCK)?)?;
        out.insert(at, at | IS_BLOCK | ACCESSED | INNER_SHAREABLE);
    }
    Some(out)
}

/// The tables when the first of them lies at `base`: it is the one of level 0. `None`: the memory is beyond 48
/// bits of address, or larger than 32 GiB.
pub(super) fn build(base: u64, memory: Range, device: Option<u64>) -> Option<Vec<u8>> {
    let blocks = blocks(memory, device)?;
    let mut tables = Tables {
        base,
        bytes: vec![0; usize::try_from(PAGE).ok()?],
    };
    for (address, descriptor) in blocks {
        let mut table = base;
        for shift in [39, 30] {
            table = tables.below(table, address >> shift & 511)?;
        }
        tables.put(table, address >> 21 & 511, descriptor)?;
    }
    Some(tables.bytes)
}

struct Tables {
    base: u64,
    bytes: Vec<u8>,
}

impl Tables {
    fn entry(&mut self, table: u64, index: u64) -> Option<&mut [u8]> {
        let at = table.checked_sub(self.base)?.checked_add(index * 8)?;
        let at = usize::try_from(at).ok()?;
        self.bytes.get_mut(at..at.checked_add(8)?)
    }

    fn put(&mut self, table: u64, index: u64, value: u64) -> Option<()> {
        self.entry(table, index)?
            .copy_from_slice(&value.to_le_bytes());
        Some(())
    }

    /// The table that an entry points to. An empty entry gets a new table.
    fn below(&mut self, table: u64, index: u64) -> Option<u64> {
        let entry: [u8; 8] = (*self.entry(table, index)?).try_into().ok()?;
        match u64::from_le_bytes(entry) {
            0 => {
                let new = self
                    .base
                    .checked_add(u64::try_from(self.bytes.len()).ok()?)?;
                let end = self.bytes.len().checked_add(usize::try_from(PAGE).ok()?)?;
                self.bytes.resize(end, 0);
                self.put(table, index, new | TABLE)?;
                Some(new)
            }
            found => Some(found / PAGE * PAGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The walk that the processor does.
    fn walk(bytes: &[u8], base: u64, address: u64) -> Option<u64> {
        let read = |table: u64, shift: u32| {
            let at = usize::try_from(table - base + (address >> shift & 511) * 8).unwrap();
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
        };
        let mut table = base;
        for shift in [39, 30] {
            let entry = read(table, shift);
            if entry & 3 != 3 {
                return None;
            }
            table = entry & 0xffff_ffff_f000;
        }
        let entry = read(table, 21);
        (entry & 3 == 1).then_some(entry)
    }

    #[test]
    fn memory_maps_to_itself_and_nothing_else_does() {
        for start in [0x4000_0000, 0x7fe0_0000, 0x7f_ffe0_0000, 0x80_0000_0000] {
            let memory = Range {
                start,
                end: start + (96 << 20),
            };
            let base = start + (90 << 20);
            let bytes = build(base, memory, Some(0x900_0000)).unwrap();
            for at in (memory.start..memory.end).step_by(1 << 20) {
                let entry = walk(&bytes, base, at).unwrap();
                assert_eq!(entry & 0xffff_ffe0_0000, at & !0x1f_ffff);
                assert_eq!(entry >> 53, 0, "it may be executed");
                assert_eq!(entry >> 2 & 7, 0, "normal memory");
            }
            assert_eq!(walk(&bytes, base, memory.start - 1), None);
            assert_eq!(walk(&bytes, base, memory.end), None);
            let uart = walk(&bytes, base, 0x900_0018).unwrap();
            assert_eq!((uart >> 53 & 3, uart >> 2 & 7), (3, 1));
            assert!(bytes.len() <= 7 * 4096, "{}", bytes.len());
        }
    }

    #[test]
    fn what_cannot_be_mapped_is_none() {
        let range = |start, end| Range { start, end };
        assert_eq!(build(0, range(1 << 48, (1 << 48) + 4096), None), None);
        assert_eq!(build(0, range(0, 1 << 36), None), None);
        assert_eq!(build(0, range(u64::MAX - 4096, u64::MAX), None), None);
        assert!(build(0, range(0, 4096), Some(1 << 60)).is_some());
    }
}
