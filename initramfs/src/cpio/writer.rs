//! Appends entries to an archive in memory.

use super::header::{HEADER, S_IFDIR, S_IFMT, TRAILER};

/// An archive being written. Parents must be written before what lies in them.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    entries: u32,
}

impl Writer {
    /// An archive without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one entry. `path` has no leading slash; `rdev` is that of a device node.
    ///
    /// Data above 4 GiB does not fit the format and is refused by returning `false`.
    #[must_use]
    pub fn entry(&mut self, path: &str, mode: u32, rdev: (u32, u32), data: &[u8]) -> bool {
        self.entries += 1;
        self.append(self.entries, path, mode, rdev, data)
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// Ends the archive and hands out its bytes, padded so that another one may follow.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let _ = self.append(0, TRAILER, 0, (0, 0), &[]);
        self.out
    }

    fn append(&mut self, ino: u32, path: &str, mode: u32, rdev: (u32, u32), data: &[u8]) -> bool {
        let (Ok(size), Ok(name_size)) = (u32::try_from(data.len()), u32::try_from(path.len() + 1))
        else {
            return false;
        };
        let links = if mode & S_IFMT == S_IFDIR { 2 } else { 1 };
        let fields = [
            ino, mode, 0, 0, links, 0, size, 0, 0, rdev.0, rdev.1, name_size, 0,
        ];
        self.out.reserve(HEADER + path.len() + data.len() + 8);
        self.out.extend_from_slice(b"070701");
        for field in fields {
            self.out
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.out.extend_from_slice(path.as_bytes());
        self.out.push(0);
        self.pad();
        self.out.extend_from_slice(data);
        self.pad();
        true
    }

    fn pad(&mut self) {
        let padded = self.out.len().next_multiple_of(4);
        self.out.resize(padded, 0);
    }
}
