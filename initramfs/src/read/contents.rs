//! An image in memory: its sections, entries and files.

use std::path::Path;

use super::error::ImageError;
use super::section::Section;
use super::unpack;
use crate::cpio::{self, Entry, Reader};
use crate::why::{self, Why};

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
