//! Why an image cannot be read.

use std::path::PathBuf;

use crate::cpio;
use crate::why;

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
