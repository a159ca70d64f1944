//! A dump that remembers which pages were read.
//!
//! The surest way to know what a report needs is to make one: whatever it reads, page tables
//! included, is essential. The pieces of the kernel image are not remembered page by page, they are taken as
//! wholes.

use super::runs::Runs;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use vmcore::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr};
use vmcore::dump::{Absence, DumpInfo, MemoryDump, ReadError};

/// The recorder.
pub(super) struct Recorder {
    dump: Arc<dyn MemoryDump>,
    /// Physical addresses that need no remembering.
    known: OnceLock<Vec<(u64, u64)>>,
    runs: Mutex<Runs>,
}

impl Recorder {
    /// Puts a recorder before `dump`.
    #[must_use]
    pub(super) fn new(dump: Arc<dyn MemoryDump>, runs: Runs) -> Self {
        Self {
            dump,
            known: OnceLock::new(),
            runs: Mutex::new(runs),
        }
    }

    /// From now on reads inside these physical addresses are passed through only.
    pub(super) fn pass_through(&self, known: Vec<(u64, u64)>) {
        let _ = self.known.set(known);
    }

    /// The set of pages.
    pub(super) fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryDump for Recorder {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.dump.read_phys(addr, buf)?;
        let known = |&(start, end): &(u64, u64)| (start..end).contains(&addr.0);
        if !self.known.get().is_some_and(|all| all.iter().any(known)) {
            // Small reads only: a page is recorded as a whole, and large reads (a whole BTF) are
            // added by those who know what they are.
            let len = (buf.len() as u64).min(64 * PAGE_SIZE);
            self.runs().add(addr, len);
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.dump.next_present(from)
    }

    fn next_ram(&self, from: Pfn) -> Option<PfnRange> {
        self.dump.next_ram(from)
    }

    fn absence(&self, pfn: Pfn) -> Absence {
        self.dump.absence(pfn)
    }

    fn info(&self) -> &DumpInfo {
        self.dump.info()
    }
}
