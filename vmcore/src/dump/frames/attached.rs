//! What lies behind the content in skippable frames of ours: `pages.map`, the trailer.

use crate::dump::source::ByteSource;
use crate::layout::FormatError;
use crate::layout::frames::{TAG_INDEX, Tag, our_frame};

/// Bytes of such a frame before its body: magic, length, tag.
const OUR_HEAD: usize = 16;

/// A skippable frame of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Attached {
    /// What it is.
    pub tag: Tag,
    /// Where its body begins in the file.
    pub at: u64,
    /// Bytes of its body.
    pub len: u64,
}

impl Attached {
    /// The attachment in the frame at `at`, whose last 4 bytes are a checksum of its body.
    pub(super) fn read(file: &dyn ByteSource, at: u64) -> Option<Self> {
        let mut head = [0; OUR_HEAD];
        file.read_at(at, &mut head).ok()?;
        let (tag, len) = our_frame(&head)?;
        let body = at.checked_add(OUR_HEAD as u64)?;
        let here = body.checked_add(len)? <= file.len() && tag != TAG_INDEX;
        here.then_some(Self {
            tag,
            at: body,
            len: len.checked_sub(4)?,
        })
    }

    /// Compares the checksum of the body.
    pub(super) fn check(&self, file: &dyn ByteSource) -> Result<(), FormatError> {
        let mut crc = crc32fast::Hasher::new();
        let mut buf = vec![0; 64 << 10];
        let (mut at, end) = (self.at, self.at.saturating_add(self.len));
        while at < end {
            let n = usize::try_from(end - at)
                .unwrap_or(usize::MAX)
                .min(buf.len());
            let part = buf.get_mut(..n).unwrap_or_default();
            file.read_at(at, part)?;
            crc.update(part);
            at += n as u64;
        }
        let mut stored = [0; 4];
        file.read_at(end, &mut stored)?;
        if u32::from_le_bytes(stored) == crc.finalize() {
            return Ok(());
        }
        Err(FormatError::damaged(
            "the checksum of what travels beside the pages is wrong",
        ))
    }
}
