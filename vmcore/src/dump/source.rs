//! The bytes of a dump file, before anybody knows what they mean.
//!
//! A [`ByteSource`] is a plain file, /proc/vmcore through its windows, or what comes out of a
//! container (zstd or LZ4 frames, a flattened stream). The ELF and kdump readers sit on top of it
//! and so read through any container.

use super::map::Bytes;
use super::mapping::Mapping;
use super::verify::Damage;
use super::{Absence, Attachment, ReadError};
use crate::addr::Pfn;
use crate::layout::FormatError;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Random access to the bytes of a file or container.
pub trait ByteSource: Send + Sync {
    /// How many bytes there are. For a container that was cut off: those that are left.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies exactly `buf.len()` bytes from `offset`.
    ///
    /// # Errors
    /// [`SourceError`]; `buf` is then undefined.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError>;

    /// What travels beside the content, see [`super::MemoryDump::attachment`].
    fn attachment(&self, what: Attachment) -> Option<SourceSlice> {
        let _ = what;
        None
    }

    /// What the container says of itself.
    fn facts(&self) -> Facts {
        Facts::default()
    }

    /// Checks the container's own structure and every checksum in it, reporting bytes done, and
    /// hands each damage to `found`. True when that read all the content.
    ///
    /// # Errors
    /// Only when the file cannot be read at all.
    fn check(
        &self,
        progress: &mut dyn FnMut(u64),
        found: &mut dyn FnMut(Damage),
    ) -> io::Result<bool> {
        let _ = (progress, found);
        Ok(false)
    }
}

/// What a container says of itself.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What compresses the content, if anything does.
    pub compression: Option<&'static str>,
    /// Whether every byte is under a checksum.
    pub checksums: bool,
    /// Why the container does not hold everything, if it does not.
    pub cut_off: Option<String>,
    /// Soft errors met while opening.
    pub warnings: Vec<String>,
}

/// A read of a [`ByteSource`] that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The range passes the end of what is there.
    #[error("The file ends at {len:#x}, before {offset:#x}")]
    PastEnd {
        /// The first byte that is not there.
        offset: u64,
        /// How many bytes there are.
        len: u64,
    },
    /// It is there, but its checksum or its compressed form is wrong.
    #[error("The file is damaged at {offset:#x}: {why}")]
    Corrupt {
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// The file itself failed.
    #[error("Cannot read the file at {offset:#x}")]
    Io {
        /// Where in the file.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// A file of any kind, read by pread, or through windows where [`FileSource::mapped`] was asked for.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
    mapping: Option<Mapping>,
}

impl FileSource {
    /// A file read by pread only. A file that is truncated while it is read gives an error, where a
    /// mapping would give SIGBUS.
    #[must_use]
    pub fn new(file: File, len: u64) -> Self {
        Self {
            file,
            len,
            mapping: None,
        }
    }

    /// The same, large reads through mapped windows: for /proc/vmcore, which cannot shrink.
    #[must_use]
    pub fn mapped(file: File, len: u64) -> Self {
        Self {
            mapping: Some(Mapping::new(len)),
            file,
            len,
        }
    }
}

impl ByteSource for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let past = |offset| SourceError::PastEnd {
            offset,
            len: self.len,
        };
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(past(self.len.max(offset)));
        }
        if let Some(mapping) = &self.mapping
            && mapping.copy(&self.file, offset, buf)
        {
            return Ok(());
        }
        self.file
            .read_exact_at(buf, offset)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => past(offset),
                _ => SourceError::Io { offset, source },
            })
    }
}

/// `len` bytes from `offset`, or what is left of them before the end. A container may claim any
/// length: the caller bounds `len`.
///
/// # Errors
/// [`SourceError`].
pub(crate) fn read_up_to(
    source: &dyn ByteSource,
    offset: u64,
    len: u64,
) -> Result<Vec<u8>, SourceError> {
    let len = len.min(source.len().saturating_sub(offset));
    let mut buf = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    source.read_at(offset, &mut buf)?;
    Ok(buf)
}

/// What a reader of memory is told about a failure of the bytes below it.
pub(crate) fn read_error(pfn: Pfn, error: SourceError) -> ReadError {
    let absent = |why| ReadError::Absent { pfn, why };
    match error {
        SourceError::PastEnd { .. } => absent(Absence::Truncated),
        SourceError::Corrupt { offset, why } => {
            log::debug!("page {pfn} at {offset:#x}: {why}");
            absent(Absence::Corrupt)
        }
        SourceError::Io { offset, source } => ReadError::Io {
            pfn,
            offset,
            source,
        },
    }
}

/// With what the system said, because the text is all that is kept.
impl From<SourceError> for FormatError {
    fn from(error: SourceError) -> Self {
        Self::Read(match error {
            SourceError::Io { offset, source } => format!("cannot read at {offset:#x}: {source}"),
            other => other.to_string(),
        })
    }
}

/// A part of a source: by place as a map's bytes, or from its beginning as a reader.
#[derive(Clone)]
pub struct SourceSlice {
    file: Arc<dyn ByteSource>,
    at: u64,
    len: u64,
    read: u64,
}

impl SourceSlice {
    /// The `len` bytes at `at` of `file`.
    #[must_use]
    pub fn new(file: Arc<dyn ByteSource>, at: u64, len: u64) -> Self {
        Self {
            file,
            at,
            len,
            read: 0,
        }
    }

    fn copy(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = self.file.read_at(self.at.saturating_add(offset), buf);
        read.map_err(|error| match error {
            SourceError::Io { source, .. } => source,
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        })
    }
}

impl Bytes for SourceSlice {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.copy(offset, buf)
    }
}

impl Read for SourceSlice {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.read)).unwrap_or(usize::MAX);
        let n = left.min(buf.len());
        self.copy(self.read, buf.get_mut(..n).unwrap_or_default())?;
        self.read += n as u64;
        Ok(n)
    }
}

/// Bytes in memory.
#[derive(Clone, Debug)]
pub struct BytesSource(pub Vec<u8>);

impl ByteSource for BytesSource {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let at = usize::try_from(offset).ok();
        let range = at.and_then(|at| Some(at..at.checked_add(buf.len())?));
        match range.and_then(|range| self.0.get(range)) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(SourceError::PastEnd {
                offset,
                len: self.len(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_stop_at_the_end_mapped_or_not() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let len = bytes.len() as u64;
        let plain = FileSource::new(file.try_clone().unwrap(), len);
        let mapped = FileSource::mapped(file, len);
        for source in [&plain, &mapped] {
            for (at, n) in [
                (0, 10),
                (4095, 2),
                (1, 299_999),
                (100_000, 150_000),
                (7, 131_072),
            ] {
                let mut buf = vec![0; n];
                source.read_at(at as u64, &mut buf).unwrap();
                assert!(buf == bytes[at..at + n], "{at} {n}");
            }
            let mut buf = [0; 2];
            let end = source.read_at(len - 1, &mut buf).unwrap_err();
            assert!(matches!(end, SourceError::PastEnd { .. }));
            let far = source.read_at(u64::MAX, &mut buf).unwrap_err();
            assert!(matches!(far, SourceError::PastEnd { .. }));
        }
    }
}
