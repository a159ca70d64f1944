//! Walks the entries of an archive that somebody else may have written: nothing in it is trusted.

use super::header::{HEADER, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, TRAILER};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its data is the target.
    Symlink,
    /// A character or block device.
    Device,
    /// A socket, a pipe or what the mode does not say.
    Other,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its path as written, without a leading "./" or "/".
    pub path: String,
    /// Type and permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Major and minor number, of a device.
    pub rdev: (u32, u32),
    /// The content.
    pub data: &'a [u8],
}

impl Entry<'_> {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.mode & S_IFMT {
            S_IFREG => Kind::File,
            S_IFDIR => Kind::Directory,
            S_IFLNK => Kind::Symlink,
            S_IFCHR | S_IFBLK => Kind::Device,
            _ => Kind::Other,
        }
    }
}

/// Why an archive cannot be walked on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// No header where one should be.
    #[error("No cpio header at byte {at} of the archive; it is damaged there")]
    Header {
        /// Offset in the archive.
        at: usize,
    },
    /// The archive ends within an entry.
    #[error("The archive ends inside the entry at byte {at}; it is cut off")]
    Cut {
        /// Offset of the entry.
        at: usize,
    },
}

/// The entries of one archive, in order, up to its trailer.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Reader<'a> {
    /// Reads the archive at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            done: false,
        }
    }

    /// How many bytes were consumed so far: after the last entry, the whole archive.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    fn step(&mut self) -> Result<Option<Entry<'a>>, ReadError> {
        let start = self.at;
        let cut = || ReadError::Cut { at: start };
        let rest = self.bytes.get(start..).unwrap_or_default();
        let header = rest.get(..HEADER).ok_or_else(cut)?;
        // 070702 has checksums, which the kernel ignores and so do we.
        if !matches!(header.get(..6), Some(b"070701" | b"070702")) {
            return Err(ReadError::Header { at: start });
        }
        let mut fields = [0_u32; 13];
        for (field, digits) in fields
            .iter_mut()
            .zip(header.get(6..).unwrap_or_default().chunks(8))
        {
            *field = std::str::from_utf8(digits)
                .ok()
                .and_then(|text| u32::from_str_radix(text, 16).ok())
                .ok_or(ReadError::Header { at: start })?;
        }
        let [
            _,
            mode,
            _,
            _,
            _,
            mtime,
            size,
            _,
            _,
            major,
            minor,
            name_size,
            _,
        ] = fields;
        let as_size = |n: u32| usize::try_from(n).map_err(|_| cut());
        let name_end = HEADER.checked_add(as_size(name_size)?).ok_or_else(cut)?;
        let name = rest.get(HEADER..name_end).ok_or_else(cut)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let data_start = align(start, name_end).ok_or_else(cut)?;
        let data_end = data_start.checked_add(as_size(size)?).ok_or_else(cut)?;
        let data = rest.get(data_start..data_end).ok_or_else(cut)?;
        let next = align(start, data_end).ok_or_else(cut)?;
        // The last padding may be missing.
        self.at = start.saturating_add(next).min(self.bytes.len());
        if name == TRAILER.as_bytes() {
            self.done = true;
            return Ok(None);
        }
        let name = String::from_utf8_lossy(name);
        Ok(Some(Entry {
            path: name
                .trim_start_matches("./")
                .trim_start_matches('/')
                .to_owned(),
            mode,
            mtime,
            rdev: (major, minor),
            data,
        }))
    }
}

/// `offset` within an entry that starts at `start`, rounded up to 4 bytes of the archive.
fn align(start: usize, offset: usize) -> Option<usize> {
    let absolute = start.checked_add(offset)?;
    absolute.checked_next_multiple_of(4)?.checked_sub(start)
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Entry<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.done = true;
        }
        step.transpose()
    }
}
