//! CRC-32C of a file in pieces, for formats that hold no checksums of their own.
//!
//! A kdump file's descriptor table grows beside its pages, so the bytes of a piece do not come in
//! order. The code is linear: what a stretch of bytes adds to its piece's sum depends only on the
//! bytes and on how many follow, so stretches are added as they come. No byte may be written twice.
//! A piece of the largest files grows, so that there are never more than 65,536: two neighbours'
//! sums make the sum of both. The last piece counts as if zeros followed it.
//!
//! Facts: RFC 3720, appendix B.4 (polynomial 0x1EDC6F41, reflected, all ones before and after).

use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::LazyLock;

const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Bytes of a piece, as long as the file is below 256 GiB.
const PIECE: u64 = 4 << 20;
/// Pieces at most.
const PIECES: usize = 1 << 16;

/// A byte's effect, with 0 to 7 bytes behind it.
static TABLES: LazyLock<[[u32; 256]; 8]> = LazyLock::new(|| {
    let mut table = [0; 256];
    for (value, entry) in (0_u32..).zip(&mut table) {
        *entry = (0..8).fold(value, |state, _| halve(state));
    }
    let mut tables = [table; 8];
    let mut before = table;
    for next in tables.iter_mut().skip(1) {
        for (to, from) in next.iter_mut().zip(before) {
            *to = byte(&table, from, 0);
        }
        before = *next;
    }
    tables
});

/// The effect on each bit of 2^n zero bytes.
static ZEROS: LazyLock<[[u32; 32]; 64]> = LazyLock::new(|| {
    let mut one = [0; 32];
    for (bit, to) in one.iter_mut().enumerate() {
        *to = (0..8).fold(1 << bit, |state, _| halve(state));
    }
    let mut all = [one; 64];
    let mut before = one;
    for next in all.iter_mut().skip(1) {
        *next = before.map(|column| multiply(&before, column));
        before = *next;
    }
    all
});

fn halve(state: u32) -> u32 {
    (state >> 1) ^ if state & 1 == 1 { POLYNOMIAL } else { 0 }
}

fn byte(table: &[u32; 256], state: u32, value: u8) -> u32 {
    let low = state.to_le_bytes().first().copied().unwrap_or(0) ^ value;
    state >> 8 ^ table.get(usize::from(low)).copied().unwrap_or(0)
}

fn multiply(columns: &[u32; 32], state: u32) -> u32 {
    let bits = columns.iter().enumerate();
    bits.filter(|(bit, _)| state >> bit & 1 == 1)
        .fold(0, |sum, (_, column)| sum ^ column)
}

/// The state after `bytes`, without the ones before and after.
fn after(state: u32, bytes: &[u8]) -> u32 {
    sys::crc32c(state, bytes).unwrap_or_else(|| by_tables(state, bytes))
}

/// The same, eight bytes at a time.
fn by_tables(mut state: u32, bytes: &[u8]) -> u32 {
    let tables = &*TABLES;
    let (eights, rest) = bytes.as_chunks::<8>();
    for eight in eights {
        let first = state.to_le_bytes().into_iter().chain([0; 4]);
        state = eight.iter().zip(first).zip(tables.iter().rev()).fold(
            0,
            |sum, ((value, state), table)| {
                sum ^ table.get(usize::from(value ^ state)).copied().unwrap_or(0)
            },
        );
    }
    let [first, ..] = tables;
    rest.iter()
        .fold(state, |state, value| byte(first, state, *value))
}

/// The state after so many zero bytes.
fn after_zeros(state: u32, mut zeros: u64) -> u32 {
    let mut state = state;
    for columns in ZEROS.iter() {
        if zeros & 1 == 1 {
            state = multiply(columns, state);
        }
        zeros >>= 1;
        if zeros == 0 {
            break;
        }
    }
    state
}

/// The sums of a file that is being written.
#[derive(Debug)]
pub struct Summing {
    piece: u64,
    /// Of each piece, without the ones before and after.
    states: Vec<u32>,
    most: usize,
}

impl Default for Summing {
    fn default() -> Self {
        Self {
            piece: PIECE,
            states: Vec::new(),
            most: PIECES,
        }
    }
}

impl Summing {
    /// Adds what is written at `offset`.
    pub fn add(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let number = loop {
                match usize::try_from(offset / self.piece) {
                    Ok(number) if number < self.most => break number,
                    _ => self.grow(),
                }
            };
            let left = self.piece - offset % self.piece;
            let n = usize::try_from(left).map_or(bytes.len(), |n| n.min(bytes.len()));
            let (now, later) = bytes.split_at_checked(n).unwrap_or((bytes, &[]));
            if self.states.len() <= number {
                self.states.resize(number.saturating_add(1), 0);
            }
            if let Some(state) = self.states.get_mut(number) {
                let behind = left.saturating_sub(now.len() as u64);
                *state ^= after_zeros(after(0, now), behind);
            }
            offset = offset.saturating_add(now.len() as u64);
            bytes = later;
        }
    }

    /// Makes one piece of every two.
    fn grow(&mut self) {
        let (pairs, rest) = self.states.as_chunks::<2>();
        let one = rest.iter().map(|first| [*first, 0]);
        let pairs: Vec<[u32; 2]> = pairs.iter().copied().chain(one).collect();
        self.states = pairs
            .into_iter()
            .map(|[first, second]| after_zeros(first, self.piece) ^ second)
            .collect();
        self.piece = self.piece.saturating_mul(2);
    }

    /// The sums of the file of `len` bytes.
    #[must_use]
    pub fn finish(mut self, len: u64) -> Sums {
        let pieces = usize::try_from(len.div_ceil(self.piece)).unwrap_or(usize::MAX);
        self.states.resize(pieces.min(self.most), 0);
        let ones = after_zeros(u32::MAX, self.piece) ^ u32::MAX;
        let crc32c = self
            .states
            .iter()
            .map(|state| format!("{:08x}", state ^ ones))
            .collect();
        Sums {
            piece: self.piece,
            crc32c,
        }
    }
}

/// The sums of a file, as the manifest has them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sums {
    /// Bytes of a piece.
    pub piece: u64,
    /// The CRC-32C of each piece in eight hex digits, one after the other; the last piece as if
    /// zeros followed it.
    pub crc32c: String,
}

impl Sums {
    /// Compares a file; the first piece that differs and how many do.
    ///
    /// # Errors
    /// A sentence that says which.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let told: Vec<Option<u32>> = self
            .crc32c
            .as_bytes()
            .chunks(8)
            .map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .collect();
        let mut wrong: Vec<u64> = Vec::new();
        for (number, told) in (0_u64..).zip(told) {
            let found = sum_of(&mut file, self.piece).map_err(|error| error.to_string())?;
            if told != Some(found) {
                wrong.push(number.saturating_mul(self.piece));
            }
        }
        match wrong.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(format!(
                "the checksum of {} of its pieces of {:#x} bytes is wrong, the first at {first:#x}",
                wrong.len(),
                self.piece
            )),
        }
    }
}

/// The CRC-32C of the next `piece` bytes.
fn sum_of(file: &mut File, piece: u64) -> io::Result<u32> {
    let mut buf = vec![0; 64 << 10];
    let (mut state, mut left) = (u32::MAX, piece);
    while left > 0 {
        let n = usize::try_from(left).map_or(buf.len(), |n| n.min(buf.len()));
        match file.read(buf.get_mut(..n).unwrap_or_default())? {
            0 => break,
            n => {
                state = after(state, buf.get(..n).unwrap_or_default());
                left = left.saturating_sub(n as u64);
            }
        }
    }
    Ok(after_zeros(state, left) ^ u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_code_is_the_one_of_the_rfc() {
        // RFC 3720, B.4: 32 bytes of zeros, of ones, ascending, descending.
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        for (bytes, sum) in [
            (vec![0; 32], 0x8a91_36aa_u32),
            (vec![0xff; 32], 0x62a8_ab43),
            (up, 0x46dd_794e),
            (down, 0x113f_db5c),
        ] {
            assert_eq!(after(u32::MAX, &bytes) ^ u32::MAX, sum);
            assert_eq!(by_tables(u32::MAX, &bytes) ^ u32::MAX, sum);
        }
        for after in [after, by_tables] {
            assert_eq!(after(u32::MAX, b"123456789") ^ u32::MAX, 0xe306_9283);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_order_of_writing_does_not_matter(
            cuts in prop::collection::vec(0..5000_usize, 0..30),
            seed in any::<u64>(),
            most in 1..9_usize,
            piece in 64..900_u64,
        ) {
            let mut state = seed;
            let bytes: Vec<u8> = (0..5000)
                .map(|_| {
                    state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    state.to_be_bytes()[0]
                })
                .collect();
            let mut cuts: Vec<usize> = cuts.into_iter().chain([0, 5000]).collect();
            cuts.sort_unstable();
            let mut parts: Vec<(usize, usize)> = cuts.windows(2).map(|w| (w[0], w[1])).collect();
            parts.sort_by_key(|(from, _)| (*from as u64).wrapping_mul(seed | 1));
            let mut summing = Summing { piece, states: Vec::new(), most };
            for (from, to) in parts {
                summing.add(from as u64, &bytes[from..to]);
            }
            let sums = summing.finish(5000);
            prop_assert!(sums.crc32c.len() <= most * 8);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            std::fs::write(&path, &bytes).unwrap();
            prop_assert_eq!(sums.check(&path), Ok(()));
            let mut wrong = bytes;
            wrong[seed as usize % 5000] ^= 0x10;
            std::fs::write(&path, &wrong).unwrap();
            let place = seed % 5000 / sums.piece * sums.piece;
            let said = sums.check(&path).unwrap_err();
            prop_assert!(said.ends_with(&format!("the first at {place:#x}")), "{}", said);
        }
    }
}
