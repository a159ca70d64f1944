//! Poisoned pages put out of reach, for those who follow the kernel's pointers: a machine that died
//! of a page that failed has pointers to it, and reading it can kill the next kernel too.
//!
//! Facts: mm/memory-failure.c, `num_poisoned_pages`, 2.6.32 and newer with CONFIG_MEMORY_FAILURE.
//! Where it is 0, or not there, nothing is done: the memory map is gone through only when a page is
//! known to be poisoned. Which pages a dump keeps is decided elsewhere.

use super::{Kind, Rules, walk};
use crate::addr::{PAGE_SHIFT, Pfn, PfnRange, PhysAddr};
use crate::dump::{Absence, DumpInfo, MemoryDump, ReadError};
use crate::kernel::{Kernel, KernelError};
use std::sync::Arc;

/// Runs of poisoned pages that are remembered at most.
const RUNS_MAX: usize = 4096;

/// The same kernel, of whose memory the poisoned pages cannot be read.
///
/// # Errors
/// None that the kernel did not have before: what cannot be looked up changes nothing.
pub fn guarded(kernel: Kernel) -> Result<Kernel, KernelError> {
    let count = kernel.symbol("num_poisoned_pages");
    if !count.is_ok_and(|at| kernel.read_u64(at).is_ok_and(|pages| pages != 0)) {
        return Ok(kernel);
    }
    let mut poisoned = Vec::new();
    let walked = walk(&kernel, &Rules::of(&kernel), &mut |run| {
        if run.kind == Kind::HwPoison && poisoned.len() < RUNS_MAX {
            poisoned.push(run.pages);
        }
        Ok(())
    });
    if walked.is_err() || poisoned.is_empty() {
        return Ok(kernel);
    }
    let dump = Arc::clone(kernel.dump());
    kernel.on(Arc::new(Guarded { dump, poisoned }))
}

/// A dump without the guarded pages.
struct Guarded {
    dump: Arc<dyn MemoryDump>,
    /// Ascending, disjoint.
    poisoned: Vec<PfnRange>,
}

impl Guarded {
    /// The first poisoned page in a range.
    fn first_in(&self, pages: PfnRange) -> Option<Pfn> {
        let at = self.poisoned.partition_point(|run| run.end <= pages.start);
        let run = self.poisoned.get(at)?.intersect(pages)?;
        Some(run.start)
    }
}

impl MemoryDump for Guarded {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let end = addr.0.saturating_add(buf.len() as u64);
        let pages = PfnRange::new(addr.pfn(), Pfn(end.div_ceil(1 << PAGE_SHIFT)));
        match self.first_in(pages) {
            Some(pfn) => Err(ReadError::Absent {
                pfn,
                why: Absence::Missing,
            }),
            None => self.dump.read_phys(addr, buf),
        }
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.dump.next_present(from)
    }

    fn next_ram(&self, from: Pfn) -> Option<PfnRange> {
        self.dump.next_ram(from)
    }

    fn ram_end(&self) -> Pfn {
        self.dump.ram_end()
    }

    fn absence(&self, pfn: Pfn) -> Absence {
        match self.first_in(PfnRange::new(pfn, Pfn(pfn.0.saturating_add(1)))) {
            Some(_) => Absence::Missing,
            None => self.dump.absence(pfn),
        }
    }

    fn info(&self) -> &DumpInfo {
        self.dump.info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::toy::{kernel, populated};
    use synth::memmap::{FIRST_USABLE, Series};

    #[test]
    fn a_poisoned_page_is_not_read_from_any_side() {
        let kernel = kernel(&populated(Series::V6_12));
        let poisoned = FIRST_USABLE + 2091;
        let guarded = Guarded {
            dump: Arc::clone(kernel.dump()),
            poisoned: vec![PfnRange::new(Pfn(poisoned), Pfn(poisoned + 1))],
        };
        let read = |addr: u64, len: usize| {
            let result = guarded.read_phys(PhysAddr(addr), &mut vec![0; len]);
            result.err().map(|error| error.to_string())
        };
        let page = poisoned * 4096;
        assert_eq!(read(page - 8, 8), None);
        assert_eq!(read(page + 4096, 4096), None);
        let refused = read(page, 8);
        assert!(
            refused.as_ref().unwrap().contains("could not be read"),
            "{refused:?}"
        );
        assert_eq!(read(page - 8, 9), refused);
        assert_eq!(read(page + 4095, 1), refused);
        assert_eq!(read(page - 40_960, 81_920), refused);
        assert_eq!(guarded.absence(Pfn(poisoned)), Absence::Missing);
    }

    #[test]
    fn a_kernel_that_does_not_know_poison_is_left_as_it_was() {
        let kernel = kernel(&populated(Series::V6_1));
        let before = Arc::as_ptr(kernel.dump()).cast::<u8>();
        let same = guarded(kernel).unwrap();
        assert_eq!(Arc::as_ptr(same.dump()).cast::<u8>(), before);
    }
}
