//! Batches into compressed frames: one frame a batch, its content checksum at its end.
//!
//! Facts: RFC 8878 and lz4_Frame_format.md put a frame's content checksum into its last four bytes
//! (zstd: the low half of XXH64; LZ4: XXH32), which is what the seek table holds too. The rest of an
//! LZ4 frame's layout is from there as well.

use super::{Batch, Effort, Encoded, Encoder, Piece};
use crate::addr::PAGE_BYTES;
use crate::layout::frames::Codec;
use crate::layout::le32;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use std::io::{self, Cursor};
use twox_hash::XxHash32;
use zstd::zstd_safe::CParameter;

/// The zstd level when none is asked for.
const ZSTD_LEVEL: i32 = 3;

/// The level of the capture kernel's cores. Levels below give up the literals' compression.
pub(super) const FASTEST: i32 = 1;
/// zstd: log2 of the entries of 4 bytes in the table of matches, so that it stays in the
/// processor's nearest cache. Level 1 has four times as many, for a hundredth of the bytes.
pub(super) const NEAR_TABLE: u32 = 12;

/// Zeros to compare with: slices compare by memcmp.
static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// Whether all of `bytes` is 0.
#[must_use]
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(PAGE_BYTES)
        .all(|part| ZEROS.get(..part.len()) == Some(part))
}

/// Pages of `data` that hold only zeros.
#[must_use]
pub fn zero_pages(data: &[u8]) -> u64 {
    data.chunks(PAGE_BYTES).filter(|page| is_zero(page)).count() as u64
}

/// LZ4: the content of a block. It, what it becomes and a table of 16-bit places stay in the
/// processor's nearest caches: a sixth of the time less than blocks of a frame's length take.
const LZ4_BLOCK: usize = 32 << 10;
/// LZ4: the number in a frame's header that allows blocks of up to 64 KiB.
const LZ4_BLOCK_MAX: u8 = 4;
/// LZ4: the bit of a block's length that says that it is stored as it is.
const LZ4_STORED: u32 = 1 << 31;

/// A codec's context.
enum Context {
    Zstd(zstd::bulk::Compressor<'static>),
    Lz4(Lz4),
}

/// LZ4's table, and room for a block: clearing that for every block would cost as much as copying.
struct Lz4 {
    table: CompressTable,
    room: Vec<u8>,
}

/// Makes one frame out of each piece of content.
pub(super) struct Framer {
    context: Context,
    /// The frame made of the last all-zero content, and that content's length: free memory makes
    /// runs of them.
    zero: Option<(usize, Vec<u8>)>,
    /// The step that was set last.
    effort: Option<Effort>,
}

impl Framer {
    /// A framer with its own compression context.
    ///
    /// # Errors
    /// When the context cannot be allocated or the level does not exist.
    pub(super) fn new(codec: Codec, level: Option<i32>) -> io::Result<Self> {
        let context = match codec {
            Codec::Lz4 => Context::Lz4(Lz4 {
                table: CompressTable::small(),
                room: vec![0; get_maximum_output_size(LZ4_BLOCK)],
            }),
            Codec::Zstd => {
                let level = level.unwrap_or(ZSTD_LEVEL);
                let mut zstd = zstd::bulk::Compressor::new(level)?;
                if level == FASTEST {
                    zstd.set_parameter(CParameter::HashLog(NEAR_TABLE))?;
                }
                zstd.include_checksum(true)?;
                zstd.include_contentsize(true)?;
                Context::Zstd(zstd)
            }
        };
        Ok(Self {
            context,
            zero: None,
            effort: None,
        })
    }

    /// Appends the frame of `content` to `out`, and answers its checksum.
    ///
    /// # Errors
    /// When the codec refuses, which only a lack of memory can cause.
    pub(super) fn frame(&mut self, content: &[u8], out: &mut Vec<u8>) -> io::Result<u32> {
        let start = out.len();
        let zero = is_zero(content);
        match &self.zero {
            Some((len, frame)) if zero && *len == content.len() => out.extend_from_slice(frame),
            _ => self.compress(content, out)?,
        }
        let frame = out.get(start..).unwrap_or_default();
        if zero
            && self
                .zero
                .as_ref()
                .is_none_or(|(len, _)| *len != content.len())
        {
            self.zero = Some((content.len(), frame.to_vec()));
        }
        let tail = frame.len().checked_sub(4).and_then(|at| le32(frame, at));
        tail.ok_or_else(|| io::Error::other("The codec made a frame without a checksum"))
    }

    fn compress(&mut self, content: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.context {
            Context::Zstd(zstd) => {
                // Through a cursor it writes into the vector's spare room, which need not be cleared.
                let start = out.len() as u64;
                out.reserve(zstd::zstd_safe::compress_bound(content.len()));
                let mut end = Cursor::new(out);
                end.set_position(start);
                zstd.compress_to_buffer(content, &mut end)?;
                Ok(())
            }
            Context::Lz4(lz4) => lz4.frame(content, out),
        }
    }
}

impl Lz4 {
    /// Appends an LZ4 frame: independent blocks, the content's length and checksum, none of each
    /// block. `lz4_flex`'s own writer would copy the content once more and make a table for each frame.
    fn frame(&mut self, content: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let sum = |bytes: &[u8]| XxHash32::oneshot(0, bytes);
        // Version 1, independent blocks, content length, content checksum.
        let mut descriptor = vec![0b0110_1100, LZ4_BLOCK_MAX << 4];
        descriptor.extend_from_slice(&(content.len() as u64).to_le_bytes());
        let [_, check, ..] = sum(&descriptor).to_le_bytes();
        out.extend_from_slice(&Codec::Lz4.magic().to_le_bytes());
        out.extend_from_slice(&descriptor);
        out.push(check);
        for block in content.chunks(LZ4_BLOCK) {
            let len = compress_into_with_table(block, &mut self.room, &mut self.table)
                .map_err(io::Error::other)?;
            let packed = self
                .room
                .get(..len)
                .filter(|packed| packed.len() < block.len());
            let (bytes, flag) = packed.map_or((block, LZ4_STORED), |packed| (packed, 0));
            let word = u32::try_from(bytes.len()).map_err(io::Error::other)? | flag;
            out.extend_from_slice(&word.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&sum(content).to_le_bytes());
        Ok(())
    }
}

impl Encoder for Framer {
    fn encode(&mut self, batch: &Batch, out: &mut Encoded) -> io::Result<()> {
        out.clear();
        let checksum = self.frame(&batch.data, &mut out.bytes)?;
        out.pieces.push(Piece {
            len: u32::try_from(out.bytes.len()).unwrap_or(u32::MAX),
            flags: 0,
        });
        out.checksum = Some(checksum);
        out.describe(batch);
        Ok(())
    }

    fn set_effort(&mut self, effort: Effort) -> io::Result<()> {
        if self.effort.replace(effort) == Some(effort) {
            return Ok(());
        }
        if let Context::Zstd(zstd) = &mut self.context {
            let parameters = effort.parameters();
            zstd.set_parameter(CParameter::CompressionLevel(parameters.level))?;
            zstd.set_parameter(CParameter::HashLog(parameters.table))?;
            zstd.set_parameter(CParameter::MinMatch(parameters.shortest))?;
        }
        Ok(())
    }
}

/// The encoder of uncompressed cores: the batch as it is.
pub(super) struct Raw;

impl Encoder for Raw {
    fn encode(&mut self, batch: &Batch, out: &mut Encoded) -> io::Result<()> {
        out.clear();
        out.bytes.extend_from_slice(&batch.data);
        out.describe(batch);
        Ok(())
    }
}

impl Encoded {
    /// Empties it; its buffers stay.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
        self.missing.clear();
        self.checksum = None;
        self.plain_len = 0;
        self.zero_pages = 0;
    }

    /// Notes what does not depend on the encoding.
    pub(super) fn describe(&mut self, batch: &Batch) {
        self.plain_len = batch.data.len();
        self.zero_pages = zero_pages(&batch.data);
        self.missing.extend_from_slice(&batch.missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_gives_the_same_frame_whatever_came_before() {
        for codec in [Codec::Zstd, Codec::Lz4] {
            let noise = synth::elf::pages(3, 64);
            let zeros = vec![0; noise.len()];
            let short = vec![0; 4096];
            let mut fresh = Vec::new();
            for content in [&zeros, &noise, &short] {
                let mut framer = Framer::new(codec, None).unwrap();
                let mut out = Vec::new();
                framer.frame(content, &mut out).unwrap();
                fresh.push(out);
            }
            let mut used = Framer::new(codec, None).unwrap();
            for at in [1, 0, 0, 2, 0, 1, 2] {
                let content = [&zeros, &noise, &short][at];
                let mut out = vec![1, 2, 3];
                let sum = used.frame(content, &mut out).unwrap();
                assert!(out[3..] == fresh[at], "{codec:?} {at}");
                assert_eq!(sum.to_le_bytes(), out[out.len() - 4..]);
            }
        }
    }

    #[test]
    fn steps_of_effort_make_the_same_content_of_fewer_bytes() {
        // Words that repeat with small changes, as tables of a kernel do.
        let mut content = Vec::new();
        let mut seed = 1_u64;
        while content.len() < 64 * PAGE_BYTES {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let kind = seed >> 33;
            let word = 0xffff_8880_0000_0000 | (kind % 97) << 6;
            content.extend_from_slice(&word.to_le_bytes());
            content.extend_from_slice(&(kind % 5 * 1000).to_le_bytes());
        }
        let mut framer = Framer::new(Codec::Zstd, Some(FASTEST)).unwrap();
        let mut sizes = Vec::new();
        for step in [3, 1, 2, 4, 3] {
            framer.set_effort(Effort::new(step).unwrap()).unwrap();
            let mut out = Vec::new();
            framer.frame(&content, &mut out).unwrap();
            assert!(zstd::bulk::decompress(&out, content.len()).unwrap() == content);
            sizes.push(out.len());
        }
        let [usual, fastest, fast, smallest, again] = sizes[..] else {
            panic!("{sizes:?}");
        };
        assert_eq!(usual, again);
        assert!(
            fastest > fast && fast > usual && usual >= smallest,
            "{sizes:?}"
        );
        // The estimate of a core's size is made with a framer of level 1.
        let mut own = Vec::new();
        let mut framer = Framer::new(Codec::Zstd, Some(FASTEST)).unwrap();
        framer.frame(&content, &mut own).unwrap();
        assert!(
            own.len().abs_diff(usual) <= usual / 50,
            "{} {usual}",
            own.len()
        );
        assert_eq!(Effort::new(0), None);
        assert_eq!(Effort::new(5), None);
    }

    #[test]
    fn zero_pages_are_counted() {
        let mut data = vec![0; 5 * 4096];
        data[3 * 4096 - 1] = 1;
        assert_eq!(zero_pages(&data), 4);
        assert!(is_zero(&data[..2 * 4096]));
        assert!(is_zero(&[]));
    }
}
