//! The records as they are, for who makes something else of all types (DWARF).

use super::Types;
use super::raw::Record;
use crate::kernel::KernelError;
use std::ops::Range;

/// The strings of one blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Strings {
    /// Where they lie in the blob.
    pub range: Range<usize>,
    /// The offset by which records know the first of them: 0, or for a module what comes after the
    /// kernel's own.
    pub first: u32,
}

impl Types {
    /// The numbers of one's own types; those of the base come before them.
    #[must_use]
    pub fn own_ids(&self) -> Range<u32> {
        self.btf.first_id()..self.btf.next_id().unwrap_or(0)
    }

    /// The record of type `id`.
    #[must_use]
    pub fn record(&self, id: u32) -> Option<Record> {
        self.btf.record(id)
    }

    /// Word `n` of what follows the record of type `id` (include/uapi/linux/btf.h has the layouts).
    #[must_use]
    pub fn word(&self, id: u32, record: &Record, n: usize) -> Option<u32> {
        self.btf.word(id, record, n)
    }

    /// The string at an offset, which may be the base's.
    #[must_use]
    pub fn string(&self, offset: u32) -> &str {
        self.btf.string(offset)
    }

    /// The whole blob, without the base's.
    ///
    /// # Errors
    /// When a part of it cannot be read.
    pub fn blob(&self) -> Result<Vec<u8>, KernelError> {
        self.btf.copy()
    }

    /// Where the strings are in [`Self::blob`].
    #[must_use]
    pub fn strings(&self) -> Strings {
        let (start, len, first) = self.btf.strings();
        Strings {
            range: start..start.saturating_add(len),
            first,
        }
    }
}
