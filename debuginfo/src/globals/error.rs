//! Why a file with debug information cannot be used.

use std::io;
use std::path::PathBuf;

/// Why types of globals cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GlobalsError {
    /// The file cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no ELF64 file, or has no debug information.
    #[error("{} holds no debug information: {why}", path.display())]
    NoDwarf {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: &'static str,
    },
    /// The debug information contradicts itself.
    #[error("The debug information in {} cannot be read", path.display())]
    Dwarf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: gimli::Error,
    },
    /// The core does not have what is needed.
    #[error(transparent)]
    Kernel(#[from] vmcore::kernel::KernelError),
    /// The table of globals is damaged.
    #[error("The table of globals is damaged: {why}")]
    Table {
        /// How that shows.
        why: &'static str,
    },
}
