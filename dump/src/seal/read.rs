//! Reading a sealed file at any offset.
//!
//! A file that was cut off is read as far as its last whole piece. A piece that is not authentic is
//! damage, and never content.

use super::chunks::{self, PLAIN, SEALED};
use super::header::{self, Cipher, HEADER_MAX, TAG};
use super::{Identities, MAGIC, SealError};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use vmcore::dump::source::{ByteSource, Facts, FileSource, SourceError, SourceSlice};
use vmcore::dump::{FormatError, MemoryDump, OpenError};

/// Opened pieces that are kept: one frame of a core spans up to five, and several threads read.
const KEPT: usize = 16;

/// The content of a sealed file.
pub struct SealedSource {
    file: Arc<dyn ByteSource>,
    cipher: Cipher,
    payload_at: u64,
    /// Bytes of content that can be read.
    len: u64,
    /// The number of the last piece, if the file has it.
    last: Option<u64>,
    kept: Mutex<Vec<(u64, Arc<Vec<u8>>)>>,
}

/// Whether the file of this name begins like a sealed one. False for a file that cannot be read.
#[must_use]
pub fn is_sealed(path: &Path) -> bool {
    let begins = |file: File| {
        let len = file.metadata().map_or(0, |meta| meta.len());
        begins_sealed(&FileSource::new(file, len)).ok()
    };
    vmcore::dump::open_regular(path).ok().and_then(begins) == Some(true)
}

fn begins_sealed(file: &dyn ByteSource) -> Result<bool, SourceError> {
    let mut head = [0; MAGIC.len()];
    if file.len() < head.len() as u64 {
        return Ok(false);
    }
    file.read_at(0, &mut head)?;
    Ok(head == MAGIC)
}

/// The content of a file: opened with one of the identities where it is sealed, else as it is. Answers
/// whether it is sealed.
///
/// # Errors
/// It cannot be read, or is sealed and no identity opens it.
pub fn open(
    file: Arc<dyn ByteSource>,
    identities: &Identities,
) -> Result<(Arc<dyn ByteSource>, bool), SealError> {
    if !begins_sealed(&*file).map_err(said)? {
        return Ok((file, false));
    }
    let len = usize::try_from(file.len())
        .unwrap_or(HEADER_MAX)
        .min(HEADER_MAX);
    let mut head = vec![0; len];
    file.read_at(0, &mut head).map_err(said)?;
    let (cipher, payload_at) = header::read(&head, identities)?;
    Ok((Arc::new(SealedSource::new(file, cipher, payload_at)?), true))
}

/// The text of a file that may be sealed, from its beginning. One that was cut off ends with its last
/// whole piece.
///
/// # Errors
/// Those of [`open`].
pub fn open_text(file: File, identities: &Identities) -> Result<Box<dyn Read + Send>, SealError> {
    let len = file.metadata()?.len();
    let source: Arc<dyn ByteSource> = Arc::new(FileSource::new(file, len));
    let (content, _) = open(source, identities)?;
    let len = content.len();
    Ok(Box::new(SourceSlice::new(content, 0, len)))
}

/// Opens a dump of any known format, sealed or not.
///
/// # Errors
/// Those of [`vmcore::dump::open`]; it is sealed and no identity opens it.
pub fn open_dump(path: &Path, identities: &Identities) -> Result<Arc<dyn MemoryDump>, OpenError> {
    // What is no regular file is not sealed. Its reader says what is wrong with it.
    let Some(file) = vmcore::dump::open_regular(path)
        .ok()
        .filter(|_| is_sealed(path))
    else {
        return vmcore::dump::open(path);
    };
    let len = file.metadata().map_or(0, |meta| meta.len());
    match open(Arc::new(FileSource::new(file, len)), identities) {
        Ok((content, _)) => vmcore::dump::open_source(path, content),
        Err(SealError::Io(source)) => Err(OpenError::Io {
            path: path.to_owned(),
            source,
        }),
        Err(why) => Err(OpenError::Malformed {
            path: path.to_owned(),
            why: FormatError::Unsupported(why.to_string().into()),
        }),
    }
}

fn said(error: SourceError) -> SealError {
    SealError::Io(match error {
        SourceError::Io { source, .. } => source,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    })
}

impl SealedSource {
    /// Content whose payload begins at `payload_at`.
    ///
    /// # Errors
    /// Not even the first piece is authentic.
    pub(super) fn new(
        file: Arc<dyn ByteSource>,
        cipher: Cipher,
        payload_at: u64,
    ) -> Result<Self, SealError> {
        let mut source = Self {
            file,
            cipher,
            payload_at,
            len: 0,
            last: None,
            kept: Mutex::default(),
        };
        let stored = source.file.len().saturating_sub(payload_at);
        let whole = stored / SEALED as u64;
        let rest = stored % SEALED as u64;
        // The last piece is the one that the file ends with.
        let end = match rest {
            0 => whole.saturating_sub(1),
            _ => whole,
        };
        let content = match rest {
            0 => PLAIN as u64,
            rest => rest.saturating_sub(TAG as u64),
        };
        let is_empty = content == 0;
        if source.piece(end, true).is_ok() && (!is_empty || end == 0) {
            source.last = Some(end);
            source.len = end.saturating_mul(PLAIN as u64).saturating_add(content);
            return Ok(source);
        }
        // Cut off, or damaged at its end: whole pieces are left.
        if whole == 0 || source.piece(0, false).is_err() {
            return Err(SealError::Payload);
        }
        source.len = whole.saturating_mul(PLAIN as u64);
        Ok(source)
    }

    /// Opens a piece.
    fn piece(&self, number: u64, last: bool) -> Result<Vec<u8>, SourceError> {
        let at = number
            .saturating_mul(SEALED as u64)
            .saturating_add(self.payload_at);
        let len = self.file.len().saturating_sub(at).min(SEALED as u64);
        let mut buf = vec![0; usize::try_from(len).unwrap_or(SEALED)];
        self.file.read_at(at, &mut buf)?;
        match chunks::open(&self.cipher, number, last, &mut buf) {
            true => Ok(buf),
            false => Err(SourceError::Corrupt {
                offset: at,
                why: "a sealed piece of it is not authentic".into(),
            }),
        }
    }

    fn opened(&self, number: u64) -> Result<Arc<Vec<u8>>, SourceError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, piece)) = kept().iter().find(|(known, _)| *known == number) {
            return Ok(Arc::clone(piece));
        }
        let piece = Arc::new(self.piece(number, self.last == Some(number))?);
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((number, Arc::clone(&piece)));
        Ok(piece)
    }
}

impl ByteSource for SealedSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(SourceError::PastEnd {
                offset: self.len.max(offset),
                len: self.len,
            });
        }
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let piece = self.opened(at / PLAIN as u64)?;
            let from = usize::try_from(at % PLAIN as u64).unwrap_or_default();
            let content = piece.get(from..).unwrap_or_default();
            let n = content.len().min(rest.len());
            let (now, later) = rest.split_at_mut_checked(n).unwrap_or_default();
            now.copy_from_slice(content.get(..n).unwrap_or_default());
            if n == 0 {
                return Err(SourceError::PastEnd {
                    offset: at,
                    len: self.len,
                });
            }
            rest = later;
            at = at.saturating_add(n as u64);
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        Facts {
            checksums: true,
            cut_off: match self.last {
                Some(_) => None,
                None => Some(format!(
                    "the sealed file is cut off; {:#x} bytes of its content are left",
                    self.len
                )),
            },
            ..Facts::default()
        }
    }
}
