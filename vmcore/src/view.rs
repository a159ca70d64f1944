//! A dump as a file of another format, read at any offset without that file ever being written.
//!
//! The file system of `afterpanic mount` is made of these. Whatever stands before the pages comes
//! from the very writers in [`crate::write`]; the pages come from the dump when they are read.

mod elf;
mod kdump;
mod pages;

pub use elf::ElfView;
pub use kdump::KdumpView;

use crate::write::Output;
use std::io;

/// A file that exists only while it is read.
pub trait View: Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset` on; answers how many bytes there were, fewer only at the end.
    ///
    /// # Errors
    /// When a page that the dump claims to hold cannot be read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// Bytes that stand ready: text files.
impl View for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(copy_from(self, offset, buf))
    }
}

/// Copies what `bytes` has from `offset` on into the front of `buf`.
fn copy_from(bytes: &[u8], offset: u64, buf: &mut [u8]) -> usize {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|at| bytes.get(at..))
        .unwrap_or_default();
    let n = rest.len().min(buf.len());
    if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

/// Collects what a writer puts before the pages.
#[derive(Default)]
struct Head(Vec<u8>);

impl Output for Head {
    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = at
            .checked_add(buf.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0
            .get_mut(at..end)
            .ok_or(io::ErrorKind::FileTooLarge)?
            .copy_from_slice(buf);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
