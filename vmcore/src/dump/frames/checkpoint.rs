//! Places in the file and in the content: the checkpoints of the seek table.

use crate::dump::source::{ByteSource, SourceError};
use crate::layout::frames::{CHECKPOINT_LEN, Entry};
use crate::layout::le64;

/// A place in the file and in the content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Point {
    pub packed: u64,
    pub plain: u64,
}

impl Point {
    /// The place behind an entry's frame; `None` past 2^64.
    pub(super) fn after(self, entry: Entry) -> Option<Self> {
        Some(Self {
            packed: self.packed.checked_add(u64::from(entry.packed))?,
            plain: self.plain.checked_add(u64::from(entry.plain))?,
        })
    }
}

/// Checkpoint number `n` of those from `body` on.
///
/// # Errors
/// Those of the file.
pub(super) fn checkpoint(file: &dyn ByteSource, body: u64, n: u64) -> Result<Point, SourceError> {
    let mut bytes = [0; CHECKPOINT_LEN];
    let at = n.saturating_mul(CHECKPOINT_LEN as u64);
    file.read_at(body.saturating_add(at), &mut bytes)?;
    Ok(Point {
        packed: le64(&bytes, 0).unwrap_or(u64::MAX),
        plain: le64(&bytes, 8).unwrap_or(u64::MAX),
    })
}
