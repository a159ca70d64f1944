//! The bytes of `pages.map`: headers, tokens, the end block. Its own format, version 1.
//!
//! Nothing here reads or writes a file. Every length is bounded before it is used.

use super::page_kind::{Kind, KindRun};
use crate::addr::{PAGE_SHIFT, Pfn, PfnRange};

/// The first bytes of the file.
pub(crate) const MAGIC: &[u8; 8] = b"APAGEMAP";
/// The version written, and the only one read.
pub(crate) const VERSION: u16 = 1;
/// Bytes of the file header.
pub(crate) const HEADER_LEN: usize = 16;
/// Bytes of a block header.
pub(crate) const BLOCK_LEN: usize = 40;
/// Bytes at the very end of a complete file.
pub(crate) const TAIL_LEN: usize = 16;
/// The most tokens bytes in one block.
pub(crate) const PLAIN_MAX: usize = 64 << 10;
/// The longest token: one byte and a 64-bit number, seven bits a byte.
pub(crate) const TOKEN_MAX: usize = 11;

const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"BLK1");
const END_MAGIC: u32 = u32::from_le_bytes(*b"END1");
const TAIL_MAGIC: u32 = u32::from_le_bytes(*b"MAPE");
/// The kind number of a gap inside a block.
const GAP: u8 = 31;

/// What follows a block header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Block {
    /// Runs.
    Runs,
    /// The end block.
    End,
}

/// A block's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockHeader {
    pub what: Block,
    /// Compressed bytes that follow.
    pub payload: u32,
    /// Bytes after decompression.
    pub plain: u32,
    /// CRC-32 of the payload.
    pub crc: u32,
    /// First page of the first run and the page after the last run.
    pub pages: PfnRange,
    /// Runs inside, gaps not counted.
    pub runs: u32,
}

pub(crate) fn file_header() -> [u8; HEADER_LEN] {
    let mut out = Vec::with_capacity(HEADER_LEN);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.push(u8::try_from(PAGE_SHIFT).unwrap_or(0));
    out.push(0);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out.try_into().unwrap_or([0; HEADER_LEN])
}

/// The version and page shift of a header, or `None` when it is not ours or damaged.
pub(crate) fn parse_file_header(bytes: &[u8]) -> Option<(u16, u8)> {
    let (body, rest) = bytes.split_at_checked(12)?;
    (body.starts_with(MAGIC) && crc32fast::hash(body) == u32_at(rest, 0)?).then_some(())?;
    Some((u16_at(body, 8)?, *body.get(10)?))
}

impl BlockHeader {
    pub(crate) fn encode(&self) -> [u8; BLOCK_LEN] {
        let magic = match self.what {
            Block::Runs => BLOCK_MAGIC,
            Block::End => END_MAGIC,
        };
        let mut out = Vec::with_capacity(BLOCK_LEN);
        for word in [magic, self.payload, self.plain, self.crc] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.pages.start.0.to_le_bytes());
        out.extend_from_slice(&self.pages.end.0.to_le_bytes());
        out.extend_from_slice(&self.runs.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.try_into().unwrap_or([0; BLOCK_LEN])
    }

    /// A header that is whole and sensible, or `None`.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, rest) = bytes.split_at_checked(BLOCK_LEN - 4)?;
        (crc32fast::hash(body) == u32_at(rest, 0)?).then_some(())?;
        let what = match u32_at(body, 0)? {
            BLOCK_MAGIC => Block::Runs,
            END_MAGIC => Block::End,
            _ => return None,
        };
        let header = Self {
            what,
            payload: u32_at(body, 4)?,
            plain: u32_at(body, 8)?,
            crc: u32_at(body, 12)?,
            pages: PfnRange {
                start: Pfn(u64_at(body, 16)?),
                end: Pfn(u64_at(body, 24)?),
            },
            runs: u32_at(body, 32)?,
        };
        let sane = usize::try_from(header.plain).is_ok_and(|n| n <= PLAIN_MAX)
            && usize::try_from(header.payload).is_ok_and(|n| n <= 2 * PLAIN_MAX)
            && header.pages.start <= header.pages.end;
        sane.then_some(header)
    }
}

/// The last bytes of a complete file: where the end block begins.
pub(crate) fn file_tail(end_block: u64) -> [u8; TAIL_LEN] {
    let mut out = Vec::with_capacity(TAIL_LEN);
    out.extend_from_slice(&end_block.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out.extend_from_slice(&TAIL_MAGIC.to_le_bytes());
    out.try_into().unwrap_or([0; TAIL_LEN])
}

pub(crate) fn parse_file_tail(bytes: &[u8]) -> Option<u64> {
    let body = bytes.get(..8)?;
    (u32_at(bytes, 12)? == TAIL_MAGIC && crc32fast::hash(body) == u32_at(bytes, 8)?)
        .then_some(())?;
    u64_at(body, 0)
}

/// Appends the token of a run (`None`: a gap) of `pages` pages.
pub(crate) fn push_token(out: &mut Vec<u8>, kind: Option<Kind>, pages: u64) {
    let number = kind.map_or(GAP, |kind| kind as u8) & GAP;
    match u8::try_from(pages) {
        Ok(few @ 1..=7) => out.push(number | (few << 5)),
        _ => {
            out.push(number);
            let mut rest = pages;
            while rest >= 0x80 {
                out.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            out.push((rest & 0x7f) as u8);
        }
    }
}

/// A place in a block's tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// The page that the next token begins at.
    pub at: Pfn,
    /// Bytes of tokens left.
    left: usize,
}

/// The runs of one block's tokens. Ends early at a token that makes no sense.
pub(crate) struct Tokens<'a> {
    rest: &'a [u8],
    at: Pfn,
    end: Pfn,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(plain: &'a [u8], pages: PfnRange) -> Self {
        Self {
            rest: plain,
            at: pages.start,
            end: pages.end,
        }
    }

    /// Where it stands, to go on from there later.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            at: self.at,
            left: self.rest.len(),
        }
    }

    /// Goes on from a mark made in the same tokens.
    pub(crate) fn resume(plain: &'a [u8], pages: PfnRange, mark: Mark) -> Self {
        let from = plain.len().saturating_sub(mark.left);
        Self {
            rest: plain.get(from..).unwrap_or_default(),
            at: mark.at,
            end: pages.end,
        }
    }

    fn token(&mut self) -> Option<(u8, u64)> {
        let (first, mut rest) = self.rest.split_first()?;
        let mut pages = u64::from(first >> 5);
        if pages == 0 {
            let mut shift = 0u32;
            loop {
                let (byte, after) = rest.split_first()?;
                rest = after;
                let part = u64::from(byte & 0x7f);
                pages |= part.checked_shl(shift).filter(|v| v >> shift == part)?;
                if byte & 0x80 == 0 {
                    break;
                }
                shift += 7;
            }
        }
        self.rest = rest;
        Some((first & GAP, pages))
    }
}

impl Iterator for Tokens<'_> {
    type Item = KindRun;

    fn next(&mut self) -> Option<KindRun> {
        loop {
            let (kind, pages) = self.token()?;
            let start = self.at;
            let end = start.checked_add(pages).filter(|end| *end <= self.end)?;
            self.at = end;
            if kind != GAP && start < end {
                return Some(KindRun {
                    pages: PfnRange { start, end },
                    kind: Kind::from_u8(kind),
                });
            }
        }
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u64::from_le_bytes)
}
