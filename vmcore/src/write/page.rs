//! The pages of a kdump file, each compressed by itself.
//!
//! Of what zstd takes for a page of 4 KiB, half goes into a Huffman code for its literals: the bytes
//! that no match stands for. Where these are the low bytes of pointers and counters it saves next to
//! nothing. So a page is compressed without one, its literals are looked at, and only where a code
//! would save a part of the page that counts it is compressed again, with one; the pages after it
//! begin with a code as long as that pays. Pages are like their neighbours, so few are compressed twice.
//!
//! Facts: RFC 8878, 3.1.1.1 and 3.1.1.2 (the headers of frame and block), 3.1.1.3.1 (literals); a
//! strategy `fast` with a target length leaves literals as they are (lib/compress/zstd_compress.c,
//! `ZSTD_literalsCompressionIsDisabled`); a length of 1 changes nothing else (zstd_fast.c).

use super::codec::{FASTEST, NEAR_TABLE, is_zero};
use super::{Batch, Encoded, Encoder, Piece};
use crate::addr::PAGE_BYTES;
use crate::layout::kdump::{ZLIB, ZSTD};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::array;
use std::io;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// The level of either codec when none is asked for: makedumpfile's.
const LEVEL: i32 = FASTEST;
/// The shortest match. Level 1 looks for 5 bytes; four make up for most of the literals that have no
/// code.
const SHORTEST: u32 = 4;
/// A code for the literals pays when it saves more than this part of what the page takes.
const PAYS: usize = 32;
/// A zstd frame of a page: magic number, descriptor, length of the content.
const FRAME_HEAD: usize = 7;
/// That descriptor: one segment, a length of two bytes, no checksum, no dictionary.
const DESCRIPTOR: u8 = 0x60;

/// How pages are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Zlib,
    Zstd,
}

impl Method {
    pub(super) fn flag(self) -> u32 {
        match self {
            Self::Zlib => ZLIB,
            Self::Zstd => ZSTD,
        }
    }
}

/// Compresses page by page; what does not shrink is stored as it is.
pub(super) struct PageEncoder {
    method: Method,
    codec: Codec,
    page: Vec<u8>,
}

enum Codec {
    Zlib(Compress),
    Zstd(Box<Zstd>),
}

impl PageEncoder {
    /// `bytes`: of a page.
    pub(super) fn new(method: Method, level: Option<i32>, bytes: usize) -> io::Result<Self> {
        let level = level.unwrap_or(LEVEL);
        let codec = match method {
            Method::Zlib => {
                let level = u32::try_from(level.clamp(0, 9)).unwrap_or(1);
                Codec::Zlib(Compress::new(Compression::new(level), true))
            }
            Method::Zstd => Codec::Zstd(Box::new(Zstd::new(level)?)),
        };
        Ok(Self {
            method,
            codec,
            // One byte less than a page: what does not fit is stored as it is.
            page: vec![0; bytes.saturating_sub(1)],
        })
    }

    /// The length of the compressed page in `self.page`, or `None` when it does not shrink.
    fn compress(&mut self, page: &[u8]) -> Option<usize> {
        match &mut self.codec {
            Codec::Zstd(zstd) => zstd.compress(page, &mut self.page),
            Codec::Zlib(zlib) => {
                zlib.reset();
                match zlib.compress(page, &mut self.page, FlushCompress::Finish) {
                    Ok(Status::StreamEnd) => usize::try_from(zlib.total_out()).ok(),
                    _ => None,
                }
            }
        }
    }
}

impl Encoder for PageEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Encoded) -> io::Result<()> {
        out.clear();
        if let Codec::Zstd(zstd) = &mut self.codec {
            // What came of other batches must not show.
            zstd.coded_first = false;
        }
        for page in batch.data.chunks(self.page.len() + 1) {
            if is_zero(page) {
                out.zero_pages += (page.len() / PAGE_BYTES) as u64;
                out.pieces.push(Piece { len: 0, flags: 0 });
                continue;
            }
            let (bytes, flags) = match self.compress(page) {
                Some(len) => (self.page.get(..len).unwrap_or_default(), self.method.flag()),
                None => (page, 0),
            };
            out.bytes.extend_from_slice(bytes);
            out.pieces.push(Piece {
                len: u32::try_from(bytes.len()).map_err(io::Error::other)?,
                flags,
            });
        }
        out.plain_len = batch.data.len();
        out.missing.extend_from_slice(&batch.missing);
        Ok(())
    }
}

/// zstd with and without a code for the literals.
struct Zstd {
    coded: Compressor<'static>,
    /// None for levels that are not in a hurry.
    bare: Option<Compressor<'static>>,
    /// Whether the page before had literals for which a code pays.
    coded_first: bool,
    bits: Bits,
}

impl Zstd {
    fn new(level: i32) -> io::Result<Self> {
        let mut coded = Compressor::new(level)?;
        let mut bare = None;
        if level == FASTEST {
            coded.set_parameter(CParameter::HashLog(NEAR_TABLE))?;
            let bare = bare.insert(Compressor::new(level)?);
            bare.set_parameter(CParameter::HashLog(NEAR_TABLE))?;
            bare.set_parameter(CParameter::MinMatch(SHORTEST))?;
            bare.set_parameter(CParameter::TargetLength(1))?;
        }
        Ok(Self {
            coded,
            bare,
            coded_first: false,
            bits: Bits::new(),
        })
    }

    fn compress(&mut self, page: &[u8], room: &mut [u8]) -> Option<usize> {
        let Some(bare) = self.bare.as_mut().filter(|_| !self.coded_first) else {
            let len = self.coded.compress_to_buffer(page, room).ok();
            let packed = room.get(..len.unwrap_or(0)).unwrap_or_default();
            self.coded_first = match literals(packed) {
                Some(Literals::Coded { plain, coded }) => {
                    plain.saturating_sub(coded) > packed.len() / PAYS
                }
                _ => false,
            };
            return len;
        };
        let len = bare.compress_to_buffer(page, room).ok();
        let packed = room.get(..len.unwrap_or(0)).unwrap_or_default();
        let (literals, whole) = match literals(packed) {
            Some(Literals::Bare(bytes)) => (bytes, packed.len()),
            // It did not fit: everything is literals.
            None if len.is_none() => (page, page.len()),
            _ => return len,
        };
        if self.bits.saved(literals) <= whole / PAYS {
            return len;
        }
        self.coded_first = true;
        self.coded.compress_to_buffer(page, room).ok()
    }
}

/// The literals of a page's frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Literals<'a> {
    /// As they are.
    Bare(&'a [u8]),
    /// In a Huffman code: their length without and with it, the code's own description included.
    Coded { plain: usize, coded: usize },
}

/// Where a frame of one compressed block has its literals.
fn literals(frame: &[u8]) -> Option<Literals<'_>> {
    let block = frame.get(FRAME_HEAD..)?;
    // Two low bits of the type above the bit for the last block; 2: compressed.
    if *frame.get(4)? != DESCRIPTOR || block.first()? >> 1 & 3 != 2 {
        return None;
    }
    let section = block.get(3..)?;
    let byte = |at: usize| section.get(at).map(|byte| usize::from(*byte));
    let first = byte(0)?;
    let form = first >> 2 & 3;
    if first & 3 == 0 {
        let (head, len) = match form {
            0 | 2 => (1, first >> 3),
            1 => (2, first >> 4 | byte(1)? << 4),
            _ => (3, first >> 4 | byte(1)? << 4 | byte(2)? << 12),
        };
        return Some(Literals::Bare(section.get(head..)?.get(..len)?));
    }
    if first & 3 != 2 {
        return None;
    }
    let word = first | byte(1)? << 8 | byte(2)? << 16 | byte(3)? << 24;
    // A page has no more than 14 bits' worth of them.
    let width = match form {
        0 | 1 => 10,
        2 => 14,
        _ => return None,
    };
    let mask = (1 << width) - 1;
    Some(Literals::Coded {
        plain: word >> 4 & mask,
        coded: word >> (4 + width) & mask,
    })
}

/// What a code for bytes would save, from how often each occurs.
struct Bits {
    /// n log2 n for each n below their number, in 1/256.
    weighed: [u32; 256],
}

impl Bits {
    fn new() -> Self {
        let numbers: [u32; 256] = array::from_fn(|n| u32::try_from(n).unwrap_or(0));
        Self {
            weighed: numbers.map(|n| n * log2(n)),
        }
    }

    /// n log2 n in 1/256, for more than a page has bytes.
    fn weigh(&self, n: u32) -> u32 {
        match usize::try_from(n).ok().and_then(|at| self.weighed.get(at)) {
            Some(weighed) => *weighed,
            None => n * log2(n),
        }
    }

    /// Bytes that the best code saves, less about what its description takes.
    fn saved(&self, bytes: &[u8]) -> usize {
        let mut counts = [0_u32; 256];
        for byte in bytes {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let sum: u32 = counts.iter().map(|count| self.weigh(*count)).sum();
        let coded = self.weigh(len).saturating_sub(sum) / (8 * 256);
        let distinct = counts.iter().filter(|count| **count > 0).count();
        let coded = usize::try_from(coded).unwrap_or(usize::MAX);
        bytes
            .len()
            .saturating_sub(coded)
            .saturating_sub(distinct / 2)
    }
}

/// log2 in 1/256; 0 for 0. In whole numbers: the same bytes come out on every processor.
fn log2(n: u32) -> u32 {
    let Some(whole) = n.checked_ilog2() else {
        return 0;
    };
    // 1 to 2, in 1/32768.
    let mut rest = (u64::from(n) << 15) >> whole;
    let mut fraction = 0;
    for _ in 0..8 {
        rest = (rest * rest) >> 15;
        fraction <<= 1;
        if rest >= 1 << 16 {
            rest >>= 1;
            fraction |= 1;
        }
    }
    whole << 8 | fraction
}

#[cfg(test)]
mod tests;
