//! Images opened: ours and those of other suites.
//!
//! An image is archives one after another, each plain or packed (init/initramfs.c): early microcode
//! comes plain and first, the rest packed behind it. Nothing in it is trusted; unpacked it may be
//! 2 GiB at most.

mod extract;
mod unpack;

use std::path::{Path, PathBuf};

pub use extract::{Extracted, extract};

use crate::cpio::{self, Entry, Reader};
use crate::why::{self, Why};

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be read.
    #[error("Cannot read the image {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something that is neither an archive nor packed in a known way.
    #[error(
        "At byte {at} of the image begins neither a cpio archive nor gzip, xz, zstd or lz4 data"
    )]
    Unknown {
        /// Where.
        at: usize,
    },
    /// Packed data that cannot be unpacked.
    #[error("The {with} data at byte {at} of the image is damaged")]
    Unpack {
        /// How it is packed.
        with: &'static str,
        /// Where it begins.
        at: usize,
        /// What the unpacker said.
        source: std::io::Error,
    },
    /// An archive that cannot be walked.
    #[error("Section {section} of the image is damaged")]
    Archive {
        /// Which, from 1.
        section: usize,
        /// Where.
        source: cpio::ReadError,
    },
    /// The record of reasons makes no sense.
    #[error("The image's /{} is damaged; build the image again", why::PATH)]
    Why(#[source] serde_json::Error),
    /// No such file in the image.
    #[error("The image holds no file {path}; see: afterpanic image list")]
    NoFile {
        /// Its path.
        path: String,
    },
    /// Extraction would leave its folder.
    #[error(
        "The image's entry \"{path}\" would be written outside the folder; nothing more is extracted"
    )]
    Escape {
        /// Its path.
        path: String,
    },
    /// The folder cannot be written.
    #[error("Cannot write {}; the folder for the files must not exist yet", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// One run of archives that were packed together.
#[derive(Clone, Debug)]
pub struct Section {
    /// How it is packed: `none`, `gzip`, `xz`, `zstd`, `lz4`.
    pub compression: &'static str,
    /// Bytes in the image.
    pub packed: u64,
    /// The archives.
    plain: Vec<u8>,
}

impl Section {
    /// Bytes when unpacked.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.plain.len() as u64
    }
}

/// An opened image.
#[derive(Clone, Debug)]
pub struct Contents {
    sections: Vec<Section>,
}

impl Contents {
    /// Reads an image file.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let bytes = std::fs::read(path).map_err(|source| ImageError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::new(&bytes)
    }

    /// Reads an image.
    pub fn new(bytes: &[u8]) -> Result<Self, ImageError> {
        let sections = unpack::sections(bytes)?;
        Ok(Self { sections })
    }

    /// Its sections in order.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Every entry, in the order in which the kernel unpacks them.
    pub fn entries(&self) -> Result<Vec<Entry<'_>>, ImageError> {
        let mut entries = Vec::new();
        for (at, section) in self.sections.iter().enumerate() {
            let mut rest = section.plain.as_slice();
            while let Some(start) = rest.iter().position(|byte| *byte != 0) {
                rest = rest.get(start..).unwrap_or_default();
                let mut reader = Reader::new(rest);
                for entry in reader.by_ref() {
                    entries.push(entry.map_err(|source| ImageError::Archive {
                        section: at + 1,
                        source,
                    })?);
                }
                rest = rest.get(reader.position()..).unwrap_or_default();
            }
        }
        Ok(entries)
    }

    /// The content of a file; of several with one path the last, as for the kernel.
    pub fn file(&self, path: &str) -> Result<Vec<u8>, ImageError> {
        let wanted = path.trim_start_matches("./").trim_start_matches('/');
        self.entries()?
            .into_iter()
            .rev()
            .find(|entry| entry.path == wanted && entry.kind() == cpio::Kind::File)
            .map(|entry| entry.data.to_vec())
            .ok_or_else(|| ImageError::NoFile {
                path: format!("/{wanted}"),
            })
    }

    /// The record of reasons; nothing in images that are not ours.
    pub fn why(&self) -> Result<Option<Why>, ImageError> {
        match self.file(why::PATH) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(ImageError::Why),
            Err(ImageError::NoFile { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
