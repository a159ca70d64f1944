//! A core that is sealed as it is written.

use super::{Checksums, FileOutput};
use crate::seal::{Encryptor, Recipient, begin};
use std::io;
use vmcore::write::Output;

/// A core that is sealed as it is written. It only takes what comes in order.
pub struct SealedOutput {
    inner: FileOutput,
    encryptor: Encryptor,
    /// Bytes of content so far.
    at: u64,
    /// Bytes of the file so far.
    sealed_at: u64,
}

impl SealedOutput {
    /// Begins an empty file.
    ///
    /// # Errors
    /// What the system said; it has no random numbers.
    pub fn new(mut inner: FileOutput, recipients: &[Recipient]) -> io::Result<Self> {
        let (head, encryptor) = begin(recipients)?;
        inner.write_at(0, &head)?;
        Ok(Self {
            inner,
            encryptor,
            at: 0,
            sealed_at: head.len() as u64,
        })
    }

    /// Writes the last piece and brings the file to the device. Answers the checksums of the file as it
    /// is, sealed.
    ///
    /// # Errors
    /// What the system said.
    pub fn finish(mut self) -> io::Result<Checksums> {
        let (inner, at) = (&mut self.inner, &mut self.sealed_at);
        self.encryptor
            .finish(&mut |bytes| append(inner, at, bytes))?;
        self.inner.finish(self.sealed_at)
    }

    /// Writes the pieces that are whole: what was cut off by an error is as long as it can be.
    ///
    /// # Errors
    /// What the system said.
    pub fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn append(inner: &mut FileOutput, at: &mut u64, bytes: &[u8]) -> io::Result<()> {
    inner.write_at(*at, bytes)?;
    *at = at.saturating_add(bytes.len() as u64);
    Ok(())
}

impl Output for SealedOutput {
    fn lags(&self) -> bool {
        self.inner.lags()
    }

    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if offset != self.at {
            return Err(io::Error::other(format!(
                "a sealed file is written in order: at {:#x}, not at {offset:#x}",
                self.at
            )));
        }
        let (inner, at) = (&mut self.inner, &mut self.sealed_at);
        self.encryptor
            .push(buf, &mut |bytes| append(inner, at, bytes))?;
        self.at = self.at.saturating_add(buf.len() as u64);
        Ok(())
    }
}
