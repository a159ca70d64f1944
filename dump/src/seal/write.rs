//! Writing: a file of a crash directory, open or sealed.

use super::chunks::Encryptor;
use super::header::{self, Cipher};
use super::keys::Recipient;
use super::read::SealedSource;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use vmcore::dump::source::{ByteSource, FileSource};

/// The header of a new sealed file, and what encrypts the rest of it.
///
/// # Errors
/// The system has no random numbers.
pub(crate) fn begin(recipients: &[Recipient]) -> io::Result<(Vec<u8>, Encryptor)> {
    let (head, cipher) = header::write(recipients)?;
    Ok((head, Encryptor::new(cipher)))
}

/// A sealed file, written from its beginning to its end.
pub struct SealedFile {
    file: File,
    encryptor: Encryptor,
    /// Where the payload begins.
    payload_at: u64,
    /// Bytes written.
    len: u64,
}

impl SealedFile {
    /// Begins an empty file.
    ///
    /// # Errors
    /// What the system said; it has no random numbers.
    pub fn new(mut file: File, recipients: &[Recipient]) -> io::Result<Self> {
        let (head, encryptor) = begin(recipients)?;
        file.write_all(&head)?;
        Ok(Self {
            file,
            encryptor,
            payload_at: head.len() as u64,
            len: head.len() as u64,
        })
    }

    /// Writes the last piece. Answers the file, and what is needed to read it.
    fn end(mut self) -> io::Result<(File, Cipher, u64, u64)> {
        let (file, len) = (&mut self.file, &mut self.len);
        let cipher = self.encryptor.finish(&mut |bytes| {
            *len = len.saturating_add(bytes.len() as u64);
            file.write_all(bytes)
        })?;
        Ok((self.file, cipher, self.payload_at, self.len))
    }
}

impl Write for SealedFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (file, len) = (&mut self.file, &mut self.len);
        self.encryptor.push(buf, &mut |bytes| {
            *len = len.saturating_add(bytes.len() as u64);
            file.write_all(bytes)
        })?;
        Ok(buf.len())
    }

    /// Nothing: a piece is written when it is full, and the last one at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sealed file in memory.
pub(super) fn seal(bytes: &[u8], recipients: &[Recipient]) -> io::Result<Vec<u8>> {
    let (mut sealed, mut encryptor) = begin(recipients)?;
    let mut put = |piece: &[u8]| {
        sealed.extend_from_slice(piece);
        Ok(())
    };
    encryptor.push(bytes, &mut put)?;
    encryptor.finish(&mut put)?;
    Ok(sealed)
}

/// A new file of a crash directory.
pub enum NewFile {
    /// As it is.
    Open(BufWriter<File>),
    /// Sealed.
    Sealed(Box<SealedFile>),
}

impl NewFile {
    /// Begins an empty file, sealed where there are recipients.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(file: File, recipients: &[Recipient]) -> io::Result<Self> {
        Ok(match recipients.is_empty() {
            true => Self::Open(BufWriter::new(file)),
            false => Self::Sealed(Box::new(SealedFile::new(file, recipients)?)),
        })
    }

    /// Ends the file and brings it to the disk.
    ///
    /// # Errors
    /// What the system said.
    pub fn close(self) -> io::Result<()> {
        self.end().and_then(|(file, _)| file.sync_all())
    }

    /// Ends the file. Answers its content, which can be read any number of times.
    ///
    /// # Errors
    /// What the system said.
    pub fn read_again(self) -> io::Result<Arc<dyn ByteSource>> {
        let (file, key) = self.end()?;
        let len = file.metadata()?.len();
        let source = FileSource::new(file, len);
        Ok(match key {
            None => Arc::new(source),
            Some((cipher, payload_at)) => {
                let source = SealedSource::new(Arc::new(source), cipher, payload_at);
                Arc::new(source.map_err(io::Error::other)?)
            }
        })
    }

    fn end(self) -> io::Result<(File, Option<(Cipher, u64)>)> {
        match self {
            Self::Open(out) => {
                let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
                Ok((file, None))
            }
            Self::Sealed(sealed) => {
                let (file, cipher, payload_at, _) = sealed.end()?;
                Ok((file, Some((cipher, payload_at))))
            }
        }
    }
}

impl Write for NewFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Open(out) => out.write(buf),
            Self::Sealed(out) => out.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Open(out) => out.flush(),
            Self::Sealed(out) => out.flush(),
        }
    }
}
