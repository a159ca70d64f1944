//! The sections of an image: told apart by their first bytes, unpacked, and where each ends.

use std::io::{Cursor, Error, Read};

use super::error::ImageError;
use super::section::Section;
use crate::cpio::Reader;

/// All sections together may unpack to this much.
const MAX_PLAIN: u64 = 2 << 30;

/// The block of the legacy lz4 frame.
const LZ4_BLOCK: usize = 8 << 20;

/// The legacy lz4 frame's first bytes.
const LZ4_MAGIC: [u8; 4] = 0x184C_2102_u32.to_le_bytes();

/// Splits and unpacks an image.
pub(super) fn sections(bytes: &[u8]) -> Result<Vec<Section>, ImageError> {
    let mut sections = Vec::new();
    let mut left = MAX_PLAIN;
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        let Some(zeros) = rest.iter().position(|byte| *byte != 0) else {
            break;
        };
        at += zeros;
        let rest = rest.get(zeros..).unwrap_or_default();
        let (compression, outcome) = unpack(rest, left).ok_or(ImageError::Unknown { at })?;
        let (plain, used) = outcome.map_err(|source| ImageError::Unpack {
            with: compression,
            at,
            source,
        })?;
        left = left.saturating_sub(plain.len() as u64);
        at += used.max(1);
        sections.push(Section {
            compression,
            packed: used as u64,
            plain,
        });
    }
    Ok(sections)
}

/// What was unpacked, and how many bytes that took.
type Outcome = Result<(Vec<u8>, usize), Error>;

fn unpack(bytes: &[u8], limit: u64) -> Option<(&'static str, Outcome)> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"07070") {
        Some(("none", Ok(plain(bytes))))
    } else if starts(&[0x1f, 0x8b]) {
        Some(("gzip", gzip(bytes, limit)))
    } else if starts(b"\xfd7zXZ\0") {
        Some(("xz", xz(bytes, limit)))
    } else if starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(("zstd", zstd(bytes, limit)))
    } else if starts(&LZ4_MAGIC) {
        Some(("lz4", lz4(bytes, limit)))
    } else {
        None
    }
}

/// A plain archive ends at its trailer; a damaged one is kept whole, to be judged when it is walked.
fn plain(bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut reader = Reader::new(bytes);
    let sound = reader.by_ref().all(|entry| entry.is_ok());
    let end = if sound {
        reader.position()
    } else {
        bytes.len()
    };
    (bytes.get(..end).unwrap_or(bytes).to_vec(), end)
}

fn bounded(reader: &mut impl Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let read = reader.take(limit.saturating_add(1)).read_to_end(&mut out)?;
    if read as u64 > limit {
        return Err(Error::other("it unpacks to more than 2 GiB"));
    }
    Ok(out)
}

fn used(cursor: &Cursor<&[u8]>) -> usize {
    usize::try_from(cursor.position()).unwrap_or(usize::MAX)
}

fn gzip(bytes: &[u8], limit: u64) -> Outcome {
    let mut decoder = flate2::bufread::GzDecoder::new(Cursor::new(bytes));
    let out = bounded(&mut decoder, limit)?;
    Ok((out, used(&decoder.into_inner())))
}

fn xz(bytes: &[u8], limit: u64) -> Outcome {
    let mut decoder = lzma_rust2::XzReader::new(Cursor::new(bytes), false);
    let out = bounded(&mut decoder, limit)?;
    Ok((out, used(&decoder.into_inner())))
}

fn zstd(bytes: &[u8], limit: u64) -> Outcome {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(Cursor::new(bytes))?.single_frame();
    let out = bounded(&mut decoder, limit)?;
    Ok((out, used(&decoder.finish())))
}

/// Blocks with their packed size before them; the frame has no end mark of its own.
fn lz4(bytes: &[u8], limit: u64) -> Outcome {
    let cut = || Error::other("it is cut off");
    let mut out = Vec::new();
    let mut at = LZ4_MAGIC.len();
    let mut block = vec![0; LZ4_BLOCK];
    while let Some(word) = bytes.get(at..at + 4) {
        let word: [u8; 4] = word.try_into().map_err(|_| cut())?;
        if word == LZ4_MAGIC {
            at += 4;
            continue;
        }
        let size = usize::try_from(u32::from_le_bytes(word)).map_err(|_| cut())?;
        // Padding, or another archive: no block is that large.
        if size == 0 || size > lz4_flex::block::get_maximum_output_size(LZ4_BLOCK) {
            break;
        }
        let end = at.checked_add(4 + size).ok_or_else(cut)?;
        let packed = bytes.get(at + 4..end).ok_or_else(cut)?;
        let length = lz4_flex::block::decompress_into(packed, &mut block).map_err(Error::other)?;
        out.extend_from_slice(block.get(..length).unwrap_or_default());
        if out.len() as u64 > limit {
            return Err(Error::other("it unpacks to more than 2 GiB"));
        }
        at = end;
    }
    Ok((out, at))
}
