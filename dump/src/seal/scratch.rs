//! A scratch file that means nothing on the disk: the seek table of a sealed core while it grows.
//!
//! Its key is drawn for it and dropped with it. Bytes are only appended, so that no place of the key
//! stream is used twice.

use super::random::random;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20poly1305::Key;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use vmcore::write::SpoolFile;

/// An open, empty file.
pub(crate) struct Scratch {
    file: File,
    key: Key,
}

impl Scratch {
    /// Takes an empty file.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            file,
            key: random::<32>()?.into(),
        })
    }

    fn apply(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut stream = ChaCha20::new(&self.key, &Default::default());
        stream.try_seek(offset).map_err(io::Error::other)?;
        stream.try_apply_keystream(bytes).map_err(io::Error::other)
    }
}

impl SpoolFile for Scratch {
    fn append_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut bytes = bytes.to_vec();
        self.apply(offset, &mut bytes)?;
        self.file.write_all_at(&bytes, offset)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)?;
        self.apply(offset, buf)
    }
}
