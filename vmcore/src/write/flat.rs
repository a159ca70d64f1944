//! makedumpfile's flattened stream around a file that is not written in order.
//!
//! Facts: [`crate::layout::kdump`]. Each write becomes a record with its place, so that what goes back
//! in the file goes on in the stream. `makedumpfile -R` puts it in order; our readers read it where it
//! lies.

use super::Output;
use crate::layout::kdump::{FLAT_END, flat_header, flat_record};
use std::io;

/// An output of any order on top of one that only appends.
pub struct Flattened<'a> {
    out: &'a mut dyn Output,
    at: u64,
}

impl<'a> Flattened<'a> {
    /// Begins the stream.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(out: &'a mut dyn Output) -> io::Result<Self> {
        let mut flat = Self { out, at: 0 };
        flat.append(&flat_header())?;
        Ok(flat)
    }

    /// Ends the stream. Answers its length in bytes.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<u64> {
        self.append(&FLAT_END)?;
        Ok(self.at)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_at(self.at, bytes)?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

impl Output for Flattened<'_> {
    fn lags(&self) -> bool {
        self.out.lags()
    }

    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let record = flat_record(offset, buf.len() as u64);
        self.append(&record.ok_or(io::ErrorKind::FileTooLarge)?)?;
        self.append(buf)
    }
}
