//! Runs of pages, as often as they are asked for.
//!
//! A large machine has millions of runs, so nobody holds a list of them: they are asked for again.

use super::MemoryDump;
use crate::addr::{Pfn, PfnRange};
use std::io;

/// The kept pages, as often as they are asked for: runs ascending, maximal, disjoint.
///
/// The writer asks several times (to count, for the program headers, for a bitmap) instead of
/// holding a list, because a large machine has millions of runs.
pub trait Runs {
    /// Calls `f` for each run in ascending order; stops at its first error.
    ///
    /// # Errors
    /// What `f` or the source of the runs said.
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()>;
}

impl Runs for [PfnRange] {
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
        self.iter().try_for_each(|run| f(*run))
    }
}

impl Runs for Vec<PfnRange> {
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
        self.iter().try_for_each(|run| f(*run))
    }
}

/// Every page that a dump holds.
#[derive(Clone, Copy)]
pub struct PresentRuns<'a>(pub &'a dyn MemoryDump);

impl Runs for PresentRuns<'_> {
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
        let mut from = Pfn(0);
        while let Some(run) = self.0.next_present(from) {
            f(run)?;
            from = run.end;
        }
        Ok(())
    }
}

/// Every page that a dump knows to have been RAM.
#[derive(Clone, Copy)]
pub struct RamRuns<'a>(pub &'a dyn MemoryDump);

impl Runs for RamRuns<'_> {
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
        let mut from = Pfn(0);
        while let Some(run) = self.0.next_ram(from) {
            f(run)?;
            from = run.end;
        }
        Ok(())
    }
}
