//! One pass over the memory map.

use super::{KindCounts, KindRun, Rules};
use crate::kernel::Kernel;
use std::io;

/// What one pass found, beside the runs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Pages by kind.
    pub counts: KindCounts,
    /// Runs handed to the sink.
    pub runs: u64,
    /// Pages whose struct page could not be read; they are Unknown.
    pub unmapped: u64,
}

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
    /// The sink failed.
    #[error("Cannot store the kinds of pages")]
    Sink(#[source] io::Error),
}

/// Classifies the RAM that the image holds: runs in ascending order, maximal, disjoint, together
/// every page that the image holds. Memory is the same for any amount of RAM.
///
/// # Errors
/// When there is no memory map at all, or the sink fails. A struct page that cannot be read is no
/// error: its page is [`super::Kind::Unknown`].
pub fn walk(
    kernel: &Kernel,
    rules: &Rules,
    sink: &mut dyn FnMut(KindRun) -> io::Result<()>,
) -> Result<Summary, WalkError> {
    walk_threads(kernel, rules, 1, sink)
}

/// [`walk`] with the classification spread over `threads` threads; the sink is still called in
/// order and on the caller's thread, and the runs are the same for any number.
///
/// # Errors
/// As [`walk`].
pub fn walk_threads(
    kernel: &Kernel,
    rules: &Rules,
    threads: usize,
    sink: &mut dyn FnMut(KindRun) -> io::Result<()>,
) -> Result<Summary, WalkError> {
    let _ = (kernel, rules, threads, sink);
    Err(WalkError::NoMemmap {
        why: "the walk is not written yet".into(),
    })
}
