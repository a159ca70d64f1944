//! Why an image cannot be built.

use crate::archive::ArchiveError;
use crate::binary::BinaryError;
use crate::files::FileError;
use crate::kernel::KernelError;
use crate::modules::ModuleError;
use crate::resolve::ResolveError;

/// Why an image cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Our binary does not fit.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// The kernel cannot be told.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A module cannot be had.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A target cannot be reached.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The archive cannot be made.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file cannot be taken in.
    #[error(transparent)]
    File(#[from] FileError),
    /// The plan makes no sense.
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    /// The record of reasons cannot be written.
    #[error("Cannot write the record of reasons")]
    Why(#[from] serde_json::Error),
    /// An image for another machine lacks the name of its target.
    #[error(
        "With --for nothing is looked up on this machine, so a [[target]] must say device = \"UUID=…\", \"LABEL=…\" or \"PARTUUID=…\""
    )]
    NoDevice,
    /// An image for another machine lacks its filesystem.
    #[error("--for names no filesystem; add the target's: {}", known.join(", "))]
    NoFilesystem {
        /// The filesystems there are.
        known: Vec<&'static str>,
    },
}
