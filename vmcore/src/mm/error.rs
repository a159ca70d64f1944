//! What can keep pages from being classified.

use std::io;

/// Why there is no classification.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The kernel's memory map cannot be found.
    #[error("Cannot find the memory map of this kernel: {why}")]
    NoMemmap {
        /// What is missing.
        why: String,
    },
    /// A thread could not be started.
    #[error("Cannot start a thread to classify pages")]
    Thread(#[source] io::Error),
    /// The sink failed.
    #[error("Cannot store the kinds of pages")]
    Sink(#[source] io::Error),
}
