//! CRC-32 of a file in pieces, for formats that hold no checksums of their own.
//!
//! A kdump file's descriptor table grows while its pages are written, so the bytes of a piece do not come in
//! order. The code is linear: what a stretch of bytes adds to its piece's sum depends only on the
//! bytes and on how many follow. So stretches are added as they come. No byte may be written twice.
//! A piece of the largest files grows, so that there are never more than 65,536: two neighbours'
//! sums make the sum of both. The last piece counts as if zeros followed it.
//!
//! The code is the one of zlib and gzip (RFC 1952, section 8), by the `crc32fast` crate.

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};

/// Bytes of a piece, as long as the file is below 256 GiB.
const PIECE: u64 = 4 << 20;
/// Pieces at most.
const PIECES: usize = 1 << 16;

/// What `bytes` add to a sum, without the ones that the code puts before and after. `Hasher` keeps
/// its state inverted, so all ones is an empty one.
fn contribution(bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(u32::MAX);
    hasher.update(bytes);
    !hasher.finalize()
}

/// A contribution with so many zero bytes behind it.
fn with_zeros(contribution: u32, zeros: u64) -> u32 {
    let mut hasher = Hasher::new_with_initial(contribution);
    hasher.combine(&Hasher::new_with_initial_len(0, zeros));
    hasher.finalize()
}

/// The sums of a file that is being written.
#[derive(Debug)]
pub(crate) struct Summing {
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
    pub(crate) fn add(&mut self, mut offset: u64, mut bytes: &[u8]) {
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
                *state ^= with_zeros(contribution(now), behind);
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
            .map(|[first, second]| with_zeros(first, self.piece) ^ second)
            .collect();
        self.piece = self.piece.saturating_mul(2);
    }

    /// The sums of the file of `len` bytes.
    #[must_use]
    pub(crate) fn finish(mut self, len: u64) -> Sums {
        let pieces = usize::try_from(len.div_ceil(self.piece)).unwrap_or(usize::MAX);
        self.states.resize(pieces.min(self.most), 0);
        let ones = with_zeros(u32::MAX, self.piece) ^ u32::MAX;
        let crc32 = self
            .states
            .iter()
            .map(|state| format!("{:08x}", state ^ ones))
            .collect();
        Sums {
            piece: self.piece,
            crc32,
        }
    }
}

/// Why a file is not the one of its sums.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SumsError {
    /// Pieces differ.
    #[error(
        "the checksum of {pieces} of its pieces of {piece:#x} bytes is wrong, the first at {first:#x}"
    )]
    Wrong {
        /// How many.
        pieces: usize,
        /// Bytes of a piece.
        piece: u64,
        /// Offset of the first, in bytes.
        first: u64,
    },
    /// The sums are not those of a file of this length.
    #[error("there are checksums of {found} pieces of {piece:#x} bytes, and {expected} are needed")]
    Count {
        /// Pieces that have a sum.
        found: u64,
        /// Bytes of a piece.
        piece: u64,
        /// Pieces of the file.
        expected: u64,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The sums of a file, as the manifest has them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sums {
    /// Bytes of a piece.
    pub piece: u64,
    /// The CRC-32 of each piece in eight hex digits, one after the other; the last piece as if
    /// zeros followed it.
    pub crc32: String,
}

impl Sums {
    /// Compares a file with its sums. Each piece must have one.
    ///
    /// # Errors
    /// Pieces differ, or have no sum, or the file cannot be read.
    pub fn check(&self, file: &mut File) -> Result<(), SumsError> {
        let found = (self.crc32.len() as u64).div_ceil(8);
        let expected = match self.piece {
            // No number of them makes a file.
            0 => u64::MAX,
            piece => file.metadata()?.len().div_ceil(piece),
        };
        if found != expected {
            return Err(SumsError::Count {
                found,
                piece: self.piece,
                expected,
            });
        }
        let expected: Vec<Option<u32>> = self
            .crc32
            .as_bytes()
            .chunks(8)
            .map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .collect();
        let mut wrong: Vec<u64> = Vec::new();
        for (number, expected) in (0_u64..).zip(expected) {
            let found = sum_of(file, self.piece)?;
            if expected != Some(found) {
                wrong.push(number.saturating_mul(self.piece));
            }
        }
        match wrong.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(SumsError::Wrong {
                pieces: wrong.len(),
                piece: self.piece,
                first: *first,
            }),
        }
    }
}

/// The CRC-32 of the next `piece` bytes, as if zeros followed the file's end.
fn sum_of(file: &mut File, piece: u64) -> io::Result<u32> {
    let mut buf = vec![0; 64 << 10];
    let (mut hasher, mut left) = (Hasher::new(), piece);
    while left > 0 {
        let n = usize::try_from(left).map_or(buf.len(), |n| n.min(buf.len()));
        match file.read(buf.get_mut(..n).unwrap_or_default())? {
            0 => break,
            n => {
                hasher.update(buf.get(..n).unwrap_or_default());
                left = left.saturating_sub(n as u64);
            }
        }
    }
    Ok(!with_zeros(!hasher.finalize(), left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_code_is_the_one_of_gzip() {
        let whole = contribution(b"123456789") ^ with_zeros(u32::MAX, 9);
        assert_eq!(!whole, 0xcbf4_3926);
        let in_parts = with_zeros(contribution(b"1234"), 5) ^ contribution(b"56789");
        assert_eq!(in_parts, contribution(b"123456789"));
        let mut zeros = Hasher::new();
        zeros.update(&[0; 70_000]);
        assert_eq!(!with_zeros(u32::MAX, 70_000), zeros.finalize());
    }

    #[test]
    fn each_piece_needs_a_sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, [7; 1000]).unwrap();
        let summing = || {
            let mut summing = Summing {
                piece: 300,
                ..Summing::default()
            };
            summing.add(0, &[7; 1000]);
            summing.finish(1000)
        };
        let check = |sums: &Sums| {
            let checked = sums.check(&mut File::open(&path).unwrap());
            checked.err().map(|why| why.to_string())
        };
        assert_eq!(check(&summing()), None);
        let missing = |digits: usize| {
            let mut sums = summing();
            sums.crc32.truncate(digits);
            check(&sums).unwrap()
        };
        assert!(missing(24).contains("3 pieces of 0x12c bytes, and 4 are needed"));
        assert!(missing(0).contains("0 pieces"));
        assert!(missing(31).contains("wrong, the first at 0x384"));
        let mut more = summing();
        more.crc32.push_str("00000000");
        assert!(check(&more).unwrap().contains("5 pieces"));
        more.piece = 0;
        assert!(check(&more).is_some());
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
            prop_assert!(sums.crc32.len() <= most * 8);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            std::fs::write(&path, &bytes).unwrap();
            prop_assert!(sums.check(&mut File::open(&path).unwrap()).is_ok());
            let mut wrong = bytes;
            wrong[seed as usize % 5000] ^= 0x10;
            std::fs::write(&path, &wrong).unwrap();
            let place = seed % 5000 / sums.piece * sums.piece;
            let said = sums.check(&mut File::open(&path).unwrap()).unwrap_err().to_string();
            prop_assert!(said.ends_with(&format!("the first at {place:#x}")), "{}", said);
        }
    }
}
