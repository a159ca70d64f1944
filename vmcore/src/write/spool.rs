//! A place for the seek table while the core grows: written once, read back at the end.
//!
//! A core of 1 TiB has 4 million frames, so the table does not stay in memory where a file can
//! hold it. The caller opens that file (in the capture kernel: beside the core, already unlinked).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes collected before they go to the file.
const CHUNK: usize = 64 << 10;

/// Where a [`Spool`] keeps what it does not hold.
pub trait SpoolFile: Send {
    /// Writes all of `bytes` at `offset`, the end of what was written so far.
    ///
    /// # Errors
    /// What the system said.
    fn append_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// What the system said.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

impl SpoolFile for File {
    fn append_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buf, offset)
    }
}

/// Bytes appended now and replayed at the end.
#[derive(Default)]
pub struct Spool {
    file: Option<Box<dyn SpoolFile>>,
    flushed: u64,
    tail: Vec<u8>,
}

impl Spool {
    /// A spool in an open, empty file (read and write). The caller unlinks it.
    #[must_use]
    pub fn file(file: impl SpoolFile + 'static) -> Self {
        Self {
            file: Some(Box::new(file)),
            flushed: 0,
            tail: Vec::new(),
        }
    }

    /// A spool in memory: 48 KiB for each GiB of pages.
    #[must_use]
    pub fn memory() -> Self {
        Self::default()
    }

    /// Bytes appended so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.flushed + self.tail.len() as u64
    }

    /// Whether nothing was appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// Those of the file.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tail.extend_from_slice(bytes);
        if let Some(file) = &mut self.file
            && self.tail.len() >= CHUNK
        {
            file.append_at(self.flushed, &self.tail)?;
            self.flushed += self.tail.len() as u64;
            self.tail.clear();
        }
        Ok(())
    }

    /// Hands everything to `f`, in order and in pieces whose lengths are multiples of `unit` as
    /// long as all that was appended is. May be called again.
    ///
    /// # Errors
    /// Those of the file and of `f`.
    pub fn replay(
        &self,
        unit: usize,
        f: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let unit = unit.max(1);
        let step = (CHUNK / unit).max(1) * unit;
        if let Some(file) = &self.file {
            let mut buf = vec![0; step];
            let mut at = 0;
            while at < self.flushed {
                let left = usize::try_from(self.flushed - at).unwrap_or(usize::MAX);
                let part = buf.get_mut(..step.min(left)).unwrap_or_default();
                file.read_at(at, part)?;
                f(part)?;
                at += part.len() as u64;
            }
        }
        self.tail.chunks(step).try_for_each(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_memory_replay_the_same() {
        for mut spool in [Spool::memory(), Spool::file(tempfile::tempfile().unwrap())] {
            let mut want = Vec::new();
            for i in 0..20_000_u32 {
                let entry = [i.to_le_bytes(), (!i).to_le_bytes(), [7; 4]].concat();
                spool.append(&entry).unwrap();
                want.extend_from_slice(&entry);
            }
            assert_eq!(spool.len(), want.len() as u64);
            for _ in 0..2 {
                let mut got = Vec::new();
                spool
                    .replay(12, &mut |part| {
                        assert_eq!(part.len() % 12, 0);
                        got.extend_from_slice(part);
                        Ok(())
                    })
                    .unwrap();
                assert!(got == want);
            }
        }
    }
}
