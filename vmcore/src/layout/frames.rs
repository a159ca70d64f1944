//! Compressed frames one after another, with a table that finds them: both our containers.
//!
//! Facts: RFC 8878 (Zstandard frames, skippable frames), facebook/zstd's
//! zstd_seekable_compression_format.md (the seek table), lz4/lz4's lz4_Frame_format.md. The LZ4
//! container has no such standard: its table is the same one under a footer magic of ours.
//! What else is ours is in skippable frames of one magic, each with an 8-byte tag, so that
//! `zstd -d` and `lz4 -d` pass over it.
//!
//! Frames are only measured here, never decompressed.

use super::{array, le16, le32, le64};

/// Skippable frames have magics from here to 15 above.
pub(crate) const SKIPPABLE: u32 = 0x184d_2a50;
/// Our skippable frames.
pub(crate) const OURS: u32 = SKIPPABLE + 0xa;
/// The skippable frame of a seek table.
pub(crate) const TABLE: u32 = SKIPPABLE + 0xe;
/// Bytes of a skippable frame's header.
pub(crate) const SKIPPABLE_LEN: u64 = 8;
/// Bytes of a seek table's footer.
pub(crate) const FOOTER_LEN: u64 = 9;
/// Bytes of a table entry with a checksum.
pub(crate) const ENTRY_LEN: usize = 12;
/// More frames than this the seekable format does not allow.
pub(crate) const MAX_FRAMES: u64 = 0x0800_0000;

/// The tag of a skippable frame of ours; the format's number is its last byte.
pub(crate) type Tag = [u8; 8];
/// `pages.map`.
pub(crate) const TAG_MAP: Tag = *b"APpgmap1";
/// The trailer.
pub(crate) const TAG_TRAILER: Tag = *b"APtrail1";
/// Checkpoints into the seek table.
pub(crate) const TAG_INDEX: Tag = *b"APindex1";
/// Frames from one checkpoint to the next.
pub(crate) const STRIDE: u32 = 1024;
/// Bytes of the index before its checkpoints: tag, stride, 0, number of frames.
pub(crate) const INDEX_HEAD_LEN: u64 = 24;
/// Bytes of a checkpoint: offset in the file, offset in the content.
pub(crate) const CHECKPOINT_LEN: usize = 16;

/// The codec of a container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// Zstandard.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl Codec {
    /// The frames' magic.
    #[must_use]
    pub fn magic(self) -> u32 {
        match self {
            Self::Zstd => 0xfd2f_b528,
            Self::Lz4 => 0x184d_2204,
        }
    }

    /// The magic that ends a seek table.
    #[must_use]
    pub fn footer_magic(self) -> u32 {
        match self {
            Self::Zstd => 0x8f92_eab1,
            Self::Lz4 => u32::from_le_bytes(*b"APL4"),
        }
    }

    /// The name in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// The codec whose checksum an empty frame would have: what the table says of skippable frames.
    #[must_use]
    pub fn empty_checksum(self) -> u32 {
        match self {
            Self::Zstd => 0x51d8_e999,
            Self::Lz4 => 0x02cc_5d05,
        }
    }

    /// The codec of a file that begins with `head`. A skippable frame in front belongs to either
    /// and is taken for Zstandard's.
    #[must_use]
    pub fn probe(head: &[u8]) -> Option<Self> {
        let magic = le32(head, 0)?;
        if magic == Self::Lz4.magic() {
            Some(Self::Lz4)
        } else if magic == Self::Zstd.magic() || magic & !0xf == SKIPPABLE {
            Some(Self::Zstd)
        } else {
            None
        }
    }
}

/// The footer of a seek table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    /// Entries in the table.
    pub frames: u32,
    /// Whether entries hold checksums.
    pub checksums: bool,
}

impl Footer {
    /// Reads the last 9 bytes of a file.
    #[must_use]
    pub(crate) fn parse(codec: Codec, buf: &[u8]) -> Option<Self> {
        let descriptor = *buf.get(4)?;
        let reserved = descriptor & 0x7c;
        (le32(buf, 5)? == codec.footer_magic() && reserved == 0).then_some(Self {
            frames: le32(buf, 0)?,
            checksums: descriptor & 0x80 != 0,
        })
    }

    /// The 9 bytes.
    #[must_use]
    pub(crate) fn encode(self, codec: Codec) -> Vec<u8> {
        let mut out = self.frames.to_le_bytes().to_vec();
        out.push(if self.checksums { 0x80 } else { 0 });
        out.extend_from_slice(&codec.footer_magic().to_le_bytes());
        out
    }

    /// Bytes of an entry.
    #[must_use]
    pub(crate) fn entry_len(self) -> u64 {
        if self.checksums { 12 } else { 8 }
    }

    /// Bytes of the whole table, its skippable header included.
    #[must_use]
    pub(crate) fn table_len(self) -> u64 {
        SKIPPABLE_LEN + u64::from(self.frames) * self.entry_len() + FOOTER_LEN
    }
}

/// One entry of a seek table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Bytes in the file.
    pub packed: u32,
    /// Bytes of content; 0 for skippable frames.
    pub plain: u32,
    /// The content's checksum.
    pub checksum: Option<u32>,
}

impl Entry {
    /// Reads an entry of 8 or 12 bytes.
    #[must_use]
    pub(crate) fn parse(buf: &[u8]) -> Option<Self> {
        Some(Self {
            packed: le32(buf, 0)?,
            plain: le32(buf, 4)?,
            checksum: le32(buf, 8),
        })
    }

    /// The 12 bytes.
    #[must_use]
    pub(crate) fn encode(self) -> [u8; ENTRY_LEN] {
        let words = [self.packed, self.plain, self.checksum.unwrap_or(0)];
        let mut out = [0; ENTRY_LEN];
        for (to, from) in out
            .iter_mut()
            .zip(words.iter().flat_map(|w| w.to_le_bytes()))
        {
            *to = from;
        }
        out
    }
}

/// The header of a skippable frame with `len` bytes in it, or `None` when they are too many.
#[must_use]
pub(crate) fn skippable_header(magic: u32, len: u64) -> Option<[u8; 8]> {
    let len = u32::try_from(len).ok()?;
    let [a, b, c, d] = magic.to_le_bytes();
    let [e, f, g, h] = len.to_le_bytes();
    Some([a, b, c, d, e, f, g, h])
}

/// The tag of a frame of ours that begins with `buf`, and the length of what follows the tag.
#[must_use]
pub(crate) fn our_frame(buf: &[u8]) -> Option<(Tag, u64)> {
    let len = u64::from(le32(buf, 4)?).checked_sub(8)?;
    (le32(buf, 0)? == OURS).then_some((array(buf, 8)?, len))
}

/// The head of an index frame's body: stride and number of frames.
#[must_use]
pub(crate) fn index_head(buf: &[u8]) -> Option<(u32, u64)> {
    (buf.get(..8)? == TAG_INDEX.as_slice()).then_some((le32(buf, 8)?, le64(buf, 16)?))
}

/// Reads `n` bytes at an offset of a file; `None` when they are not there.
pub(crate) type Peek<'a> = dyn FnMut(u64, usize) -> Option<Vec<u8>> + 'a;

/// A frame as it was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Measured {
    /// Bytes in the file.
    pub packed: u64,
    /// Bytes of content, 0 for skippable frames; `None` when the frame does not say.
    pub plain: Option<u64>,
}

/// Measures the frame at `at`, by its headers alone. `None` when it is no frame or not all there.
pub(crate) fn measure(codec: Codec, at: u64, peek: &mut Peek<'_>) -> Option<Measured> {
    let magic = le32(&peek(at, 4)?, 0)?;
    let measured = if magic & !0xf == SKIPPABLE {
        let len = le32(&peek(at.checked_add(4)?, 4)?, 0)?;
        Measured {
            packed: SKIPPABLE_LEN + u64::from(len),
            plain: Some(0),
        }
    } else if magic == codec.magic() {
        match codec {
            Codec::Zstd => measure_zstd(at, peek)?,
            Codec::Lz4 => measure_lz4(at, peek)?,
        }
    } else {
        return None;
    };
    let last = at.checked_add(measured.packed)?.checked_sub(1)?;
    peek(last, 1).map(|_| measured)
}

fn measure_zstd(at: u64, peek: &mut Peek<'_>) -> Option<Measured> {
    let descriptor = *peek(at.checked_add(4)?, 1)?.first()?;
    let single = descriptor & 0x20 != 0;
    let mut pos = at.checked_add(5 + u64::from(!single))?;
    pos += match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let (plain, len) = match descriptor >> 6 {
        0 if !single => (None, 0),
        0 => (peek(pos, 1)?.first().map(|b| u64::from(*b)), 1),
        1 => (le16(&peek(pos, 2)?, 0).map(|n| u64::from(n) + 256), 2),
        2 => (le32(&peek(pos, 4)?, 0).map(u64::from), 4),
        _ => (le64(&peek(pos, 8)?, 0), 8),
    };
    pos = pos.checked_add(len)?;
    loop {
        let head = peek(pos, 3)?;
        let [a, b, c] = array(&head, 0)?;
        let head = u32::from_le_bytes([a, b, c, 0]);
        let size = match head >> 1 & 3 {
            0 | 2 => head >> 3,
            1 => 1,
            _ => return None,
        };
        pos = pos.checked_add(3 + u64::from(size))?;
        if head & 1 != 0 {
            break;
        }
    }
    pos = pos.checked_add(if descriptor & 4 == 0 { 0 } else { 4 })?;
    Some(Measured {
        packed: pos - at,
        plain,
    })
}

fn measure_lz4(at: u64, peek: &mut Peek<'_>) -> Option<Measured> {
    let flags = *peek(at.checked_add(4)?, 1)?.first()?;
    if flags >> 6 != 1 {
        return None;
    }
    let has = |bit: u8| flags >> bit & 1 != 0;
    let mut pos = at.checked_add(6)?;
    let mut plain = None;
    if has(3) {
        plain = Some(le64(&peek(pos, 8)?, 0)?);
        pos = pos.checked_add(8)?;
    }
    pos = pos.checked_add(if has(0) { 5 } else { 1 })?;
    loop {
        let size = le32(&peek(pos, 4)?, 0)?;
        pos = pos.checked_add(4)?;
        if size == 0 {
            break;
        }
        let tail = if has(4) { 4 } else { 0 };
        pos = pos.checked_add(u64::from(size & 0x7fff_ffff) + tail)?;
    }
    pos = pos.checked_add(if has(2) { 4 } else { 0 })?;
    Some(Measured {
        packed: pos - at,
        plain,
    })
}

#[cfg(test)]
mod tests;
