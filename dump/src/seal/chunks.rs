//! The payload of an age file: pieces of 64 KiB, each with its tag.
//!
//! Source of the facts: C2SP, age.md, "Payload" (the STREAM construction): the nonce of a piece is its
//! number in 11 bytes, big-endian, and a byte that is 1 for the last piece. Only a file without content
//! has an empty last piece.

use super::header::{Cipher, TAG};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Nonce, Tag};
use std::io;

/// Bytes of content in a piece.
pub(super) const PLAIN: usize = 64 << 10;
/// Bytes of a piece in the file.
pub(super) const SEALED: usize = PLAIN + TAG;

/// Where encrypted bytes go.
pub(crate) type Put<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// Content in order becomes pieces. None is encrypted before it is known whether it is the last one,
/// and none twice: after an error nothing more is encrypted.
pub(crate) struct Encryptor {
    cipher: Cipher,
    next: u64,
    buf: Vec<u8>,
    failed: bool,
}

impl Encryptor {
    pub(super) fn new(cipher: Cipher) -> Self {
        Self {
            cipher,
            next: 0,
            buf: Vec::with_capacity(SEALED),
            failed: false,
        }
    }

    /// Adds content.
    ///
    /// # Errors
    /// Those of `put`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], put: Put<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.buf.len() >= PLAIN {
                self.piece(false, put)?;
            }
            let room = PLAIN.saturating_sub(self.buf.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.buf.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Writes the last piece. Answers the cipher, to read the file again.
    ///
    /// # Errors
    /// Those of `put`.
    pub(crate) fn finish(mut self, put: Put<'_>) -> io::Result<Cipher> {
        self.piece(true, put)?;
        Ok(self.cipher)
    }

    fn piece(&mut self, last: bool, put: Put<'_>) -> io::Result<()> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(io::Error::other(
                "an earlier piece of this file was not written",
            ));
        }
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce(self.next, last), b"", self.buf.as_mut_slice().into())
            .map_err(|_| io::Error::other("a piece cannot be encrypted"))?;
        self.next = self.next.saturating_add(1);
        self.buf.extend_from_slice(&tag);
        put(&self.buf)?;
        self.buf.clear();
        self.failed = false;
        Ok(())
    }
}

/// Opens a piece in place: `buf` holds its bytes and tag, then its content. False when it is not
/// authentic; `buf` is then undefined.
pub(super) fn open(cipher: &Cipher, number: u64, last: bool, buf: &mut Vec<u8>) -> bool {
    let Some(len) = buf.len().checked_sub(TAG) else {
        return false;
    };
    let tag = buf.get(len..).and_then(|tag| Tag::try_from(tag).ok());
    let Some(tag) = tag else {
        return false;
    };
    buf.truncate(len);
    let content = buf.as_mut_slice().into();
    let opened = cipher.decrypt_inout_detached(&nonce(number, last), b"", content, &tag);
    opened.is_ok()
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    if let Some(counter) = bytes.get_mut(3..11) {
        counter.copy_from_slice(&number.to_be_bytes());
    }
    if let Some(end) = bytes.last_mut() {
        *end = u8::from(last);
    }
    bytes.into()
}
