//! Reading of a batch's pages: whole runs first, page by page where a run fails.

use vmcore::addr::{PAGE_BYTES, PAGE_SIZE, Pfn};
use vmcore::dump::MemoryDump;
use vmcore::write::Batch;

/// The content of a page that could not be read, so that it is not taken for data.
pub use vmcore::layout::own::MISSING_WORD as MISSING_PATTERN;

/// Fills `batch.data` and `batch.missing` for the runs in `batch.runs`.
pub fn fill(dump: &dyn MemoryDump, batch: &mut Batch) {
    let pages: u64 = batch.runs.iter().map(|run| run.len()).sum();
    let bytes = usize::try_from(pages.saturating_mul(PAGE_SIZE)).unwrap_or(0);
    batch.data.resize(bytes, 0);
    batch.missing.clear();
    let mut rest = batch.data.as_mut_slice();
    for run in &batch.runs {
        let len = usize::try_from(run.len().saturating_mul(PAGE_SIZE)).unwrap_or(usize::MAX);
        let Some((part, after)) = rest.split_at_mut_checked(len) else {
            return;
        };
        rest = after;
        let whole = run
            .start
            .phys()
            .is_some_and(|addr| dump.read_phys(addr, part).is_ok());
        if whole {
            continue;
        }
        let mut pfn = run.start;
        for page in part.chunks_exact_mut(PAGE_BYTES) {
            let read = pfn
                .phys()
                .is_some_and(|addr| dump.read_phys(addr, page).is_ok());
            if !read {
                mark(page);
                batch.missing.push(pfn);
            }
            pfn = Pfn(pfn.0 + 1);
        }
    }
}

fn mark(page: &mut [u8]) {
    for word in page.chunks_exact_mut(8) {
        word.copy_from_slice(&MISSING_PATTERN.to_le_bytes());
    }
}
