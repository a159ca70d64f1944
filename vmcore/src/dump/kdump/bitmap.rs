//! A bitmap in the file: which pages, and how many before one.
//!
//! It stays in the file (16 TiB of RAM have 512 MiB of it). In memory are the blocks used last and,
//! as far up as anybody asked, the number of bits set before each block (8 bytes for 128 MiB of RAM),
//! or before every few blocks where the file claims more: never more than 1 MiB of such numbers.

use super::super::source::{ByteSource, SourceError};
use super::blocks::{BLOCK, Blocks};
use crate::addr::{Pfn, PfnRange};
use std::sync::{Mutex, PoisonError};

/// Numbers of bits that are held.
const RANKS: u64 = 1 << 17;
/// Pages that one block speaks of.
const BITS: u64 = BLOCK as u64 * 8;

/// A bitmap of `len` bits, page 0 in bit 0 of the first byte.
#[derive(Debug)]
pub(super) struct Bitmap {
    at: u64,
    len: u64,
    blocks: Blocks,
    /// Blocks from one number in `ranks` to the next.
    step: u64,
    /// Bits set before every `step`th block, as far as counted; the first is 0.
    ranks: Mutex<Vec<u64>>,
}

impl Bitmap {
    /// The bitmap of `len` bits that begins at byte `at` of the file.
    pub(super) fn new(at: u64, len: u64) -> Self {
        Self {
            at,
            len,
            blocks: Blocks::new(128),
            step: len.div_ceil(BITS).div_ceil(RANKS).max(1),
            ranks: Mutex::new(vec![0]),
        }
    }

    /// Whether the bit of `pfn` is set. A block that cannot be read has none.
    pub(super) fn contains(&self, file: &dyn ByteSource, pfn: Pfn) -> bool {
        let byte = usize::try_from(pfn.0 % BITS / 8).ok();
        let block = self.block(file, pfn.0 / BITS).filter(|_| pfn.0 < self.len);
        let byte = byte.and_then(|at| block.as_ref()?.get(at).copied());
        byte.is_some_and(|byte| byte >> (pfn.0 % 8) & 1 != 0)
    }

    /// The first maximal run of set bits at or after `from`, cut to begin no earlier.
    pub(super) fn next(&self, file: &dyn ByteSource, from: Pfn) -> Option<PfnRange> {
        let start = self.find(file, from.0, self.len, true)?;
        let end = self.find(file, start, self.len, false);
        let end = end.unwrap_or(self.len);
        Some(PfnRange::new(Pfn(start), Pfn(end)))
    }

    /// Whether a bit of `pages` is set.
    pub(super) fn any(&self, file: &dyn ByteSource, pages: PfnRange) -> bool {
        self.find(file, pages.start.0, pages.end.0, true).is_some()
    }

    /// The first bit from `from` up to `end` that is `set` or not.
    fn find(&self, file: &dyn ByteSource, from: u64, end: u64, set: bool) -> Option<u64> {
        let end = end.min(self.len);
        let mut at = from;
        while at < end {
            let number = at / BITS;
            let block = self.block(file, number);
            let block = block
                .as_ref()
                .map(|block| block.as_slice())
                .unwrap_or_default();
            if let Some(bit) = find_in(block, at % BITS, set) {
                let found = number * BITS + bit;
                return (found < end).then_some(found);
            }
            at = number.checked_add(1)?.checked_mul(BITS)?;
        }
        None
    }

    /// Block `number`, cut to the bits that there are; none when it cannot be read.
    fn block(&self, file: &dyn ByteSource, number: u64) -> Option<std::sync::Arc<Vec<u8>>> {
        let at = self.at.checked_add(number.checked_mul(BLOCK as u64)?)?;
        let bytes = self.len.div_ceil(8).checked_sub(number * BLOCK as u64)?;
        let bytes = usize::try_from(bytes).unwrap_or(BLOCK).min(BLOCK);
        self.blocks.get(file, at, bytes).ok()
    }

    /// How many bits are set before `pfn`.
    ///
    /// # Errors
    /// When a block before it cannot be read.
    pub(super) fn rank(&self, file: &dyn ByteSource, pfn: Pfn) -> Result<u64, SourceError> {
        let pfn = pfn.0.min(self.len);
        let number = pfn / BITS;
        let before = self.rank_of_block(file, number)?;
        let inside = pfn % BITS;
        if inside == 0 {
            return Ok(before);
        }
        let block = self.read_block(file, number)?;
        let whole = usize::try_from(inside / 8).unwrap_or(0);
        let mut count: u64 = ones(block.get(..whole).unwrap_or_default());
        if let Some(byte) = block.get(whole) {
            let mask = (1_u16 << (inside % 8)) - 1;
            count += u64::from((u16::from(*byte) & mask).count_ones());
        }
        Ok(before + count)
    }

    fn read_block(
        &self,
        file: &dyn ByteSource,
        number: u64,
    ) -> Result<std::sync::Arc<Vec<u8>>, SourceError> {
        self.block(file, number).ok_or(SourceError::PastEnd {
            offset: self.at.saturating_add(number.saturating_mul(BLOCK as u64)),
            len: file.len(),
        })
    }

    fn rank_of_block(&self, file: &dyn ByteSource, number: u64) -> Result<u64, SourceError> {
        let wanted = usize::try_from(number / self.step).unwrap_or(usize::MAX);
        let mut ranks = self.ranks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rank = loop {
            if let Some(rank) = ranks.get(wanted) {
                break *rank;
            }
            let next = (ranks.len() as u64).saturating_sub(1) * self.step;
            let mut sum = ranks.last().copied().unwrap_or(0);
            for block in next..next + self.step {
                sum += ones(&self.read_block(file, block)?);
            }
            ranks.push(sum);
        };
        drop(ranks);
        for block in number - number % self.step..number {
            rank += ones(&self.read_block(file, block)?);
        }
        Ok(rank)
    }
}

fn ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 = words
        .iter()
        .map(|word| u64::from(u64::from_le_bytes(*word).count_ones()))
        .sum();
    words + rest.iter().map(|b| u64::from(b.count_ones())).sum::<u64>()
}

/// The first bit of `block` at or after `from` that is `set` or not. Bits past its end are clear.
fn find_in(block: &[u8], from: u64, set: bool) -> Option<u64> {
    let flip = if set { 0 } else { 0xff };
    let first = usize::try_from(from / 8).ok()?;
    let Some(head) = block.get(first) else {
        return (!set && block.len() < BLOCK).then_some(from);
    };
    let head = (head ^ flip) & (0xff << (from % 8));
    if head != 0 {
        return Some(first as u64 * 8 + u64::from(head.trailing_zeros()));
    }
    let skip = if set { 0 } else { 0xff };
    let rest = block.get(first + 1..)?;
    match rest.iter().position(|byte| *byte != skip) {
        Some(at) => {
            let byte = rest.get(at)? ^ flip;
            Some((first + 1 + at) as u64 * 8 + u64::from(byte.trailing_zeros()))
        }
        None => (!set && block.len() < BLOCK).then_some(block.len() as u64 * 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Bytes(Vec<u8>);

    impl ByteSource for Bytes {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
            let at = offset as usize;
            buf.copy_from_slice(&self.0[at..at + buf.len()]);
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn runs_and_ranks_agree_with_a_plain_list(
            runs in prop::collection::vec((0..90_000_u64, 1..40_000_u64), 0..6),
            len in 1..90_000_u64,
            step in 1..4_u64,
            asked in prop::collection::vec(0..95_000_u64, 1..8),
        ) {
            let mut bits = vec![false; len as usize];
            for (start, n) in runs {
                for pfn in start..(start + n).min(len) {
                    bits[pfn as usize] = true;
                }
            }
            let mut bytes = vec![0xee; 100];
            bytes.extend((0..bits.len().div_ceil(8)).map(|i| {
                (0..8).fold(0, |b, j| b | u8::from(bits.get(i * 8 + j) == Some(&true)) << j)
            }));
            let file = Bytes(bytes);
            let mut map = Bitmap::new(100, len);
            map.step = step;
            for pfn in asked {
                let before = bits.iter().take(pfn as usize).filter(|b| **b).count() as u64;
                prop_assert_eq!(map.rank(&file, Pfn(pfn)).unwrap(), before);
                let set = bits.get(pfn as usize) == Some(&true);
                prop_assert_eq!(map.contains(&file, Pfn(pfn)), set);
                let tail = bits.iter().skip(pfn as usize);
                let want = tail.clone().position(|b| *b).map(|at| {
                    let n = tail.skip(at).take_while(|b| **b).count() as u64;
                    PfnRange::new(Pfn(pfn + at as u64), Pfn(pfn + at as u64 + n))
                });
                prop_assert_eq!(map.next(&file, Pfn(pfn)), want);
            }
        }
    }
}
