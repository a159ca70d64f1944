//! Two dumps of one crash as one: a page that the upper lacks comes from the lower.
//!
//! A core that was cut off is in one directory with the essential pages that were saved before it. Together they
//! answer what either holds. What the upper says of itself stands, its reasons for missing pages too;
//! where the direct map and the kernel image lie, which only ELF tells, may come from the lower: the
//! page tables that would tell it are not among the essential pages.

use super::verify::Damage;
use super::{Absence, Attachment, DumpInfo, MemoryDump, ReadError, in_page, in_pieces};
use crate::addr::{Pfn, PfnRange, PhysAddr};
use std::io::{self, Read};
use std::sync::Arc;

/// A dump over another one.
pub struct Layered {
    upper: Arc<dyn MemoryDump>,
    lower: Arc<dyn MemoryDump>,
    info: DumpInfo,
}

impl Layered {
    /// Puts `upper` over `lower`; `None` when they are not of one crash: VMCOREINFO, which holds
    /// the time of the crash and where the kernel lay, must be the same.
    #[must_use]
    pub fn new(upper: Arc<dyn MemoryDump>, lower: Arc<dyn MemoryDump>) -> Option<Self> {
        let (above, below) = (&upper.info().vmcoreinfo, &lower.info().vmcoreinfo);
        if above.is_none() || above != below {
            return None;
        }
        let mut info = upper.info().clone();
        info.direct_map_base = info.direct_map_base.or(lower.info().direct_map_base);
        info.kernel_image = info.kernel_image.or(lower.info().kernel_image);
        Some(Self { upper, lower, info })
    }

    /// The union of two sets of runs, asked of as the sets are.
    fn union(
        from: Pfn,
        first: &dyn Fn(Pfn) -> Option<PfnRange>,
        second: &dyn Fn(Pfn) -> Option<PfnRange>,
    ) -> Option<PfnRange> {
        let mut run = match (first(from), second(from)) {
            (Some(a), Some(b)) => {
                if a.start <= b.start {
                    a
                } else {
                    b
                }
            }
            (a, b) => a.or(b)?,
        };
        // Whichever goes on where the run ends, or covers its end, makes it longer.
        loop {
            let end = run.end;
            let longer = [first(end), second(end)]
                .into_iter()
                .flatten()
                .filter(|next| next.start <= end && next.end > end)
                .map(|next| next.end)
                .max();
            match longer {
                Some(end) => run.end = end,
                None => return Some(run),
            }
        }
    }
}

impl MemoryDump for Layered {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        if self.upper.read_phys(addr, buf).is_ok() {
            return Ok(());
        }
        in_pieces(addr, buf, |at, rest| {
            let now = in_page(at, rest);
            if let Err(why) = self.upper.read_phys(at, now)
                && self.lower.read_phys(at, now).is_err()
            {
                return Err(why);
            }
            Ok(now.len())
        })
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        let (upper, lower) = (&self.upper, &self.lower);
        Self::union(from, &|at| upper.next_present(at), &|at| {
            lower.next_present(at)
        })
    }

    fn next_ram(&self, from: Pfn) -> Option<PfnRange> {
        let (upper, lower) = (&self.upper, &self.lower);
        Self::union(from, &|at| upper.next_ram(at), &|at| lower.next_ram(at))
    }

    fn ram_end(&self) -> Pfn {
        self.upper.ram_end().max(self.lower.ram_end())
    }

    fn next_claimed(&self, from: Pfn) -> Option<PfnRange> {
        let (upper, lower) = (&self.upper, &self.lower);
        Self::union(from, &|at| upper.next_claimed(at), &|at| {
            lower.next_claimed(at)
        })
    }

    fn absence(&self, pfn: Pfn) -> Absence {
        self.upper.absence(pfn)
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }

    fn check(
        &self,
        progress: &mut dyn FnMut(u64),
        found: &mut dyn FnMut(Damage),
    ) -> io::Result<bool> {
        self.upper.check(progress, found)
    }

    fn attachment(&self, what: Attachment) -> Option<Box<dyn Read + Send + '_>> {
        self.upper.attachment(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::open_source;
    use crate::dump::source::BytesSource;
    use std::path::Path;
    use synth::elf::Elf;

    fn dump(info: &[u8], loads: &[(u64, &[u8])]) -> Arc<dyn MemoryDump> {
        let mut elf = Elf::new().note("VMCOREINFO", 0, info);
        for (page, bytes) in loads {
            let data: Vec<u8> = bytes.iter().flat_map(|byte| [*byte; 4096]).collect();
            elf = elf.load(0xffff_8880_0000_0000, page * 4096, &data);
        }
        let source = Arc::new(BytesSource(elf.build()));
        open_source(Path::new("core"), source).unwrap()
    }

    #[test]
    fn each_page_comes_from_the_first_that_has_it() {
        let upper = dump(b"CRASHTIME=7\n", &[(2, &[1, 1]), (8, &[1])]);
        let lower = dump(b"CRASHTIME=7\n", &[(3, &[2, 2, 2]), (9, &[2]), (20, &[2])]);
        let both = Layered::new(upper, lower).unwrap();
        let mut runs = Vec::new();
        let mut from = Pfn(0);
        while let Some(run) = both.next_present(from) {
            runs.push((run.start.0, run.end.0));
            from = run.end;
        }
        assert_eq!(runs, [(2, 6), (8, 10), (20, 21)]);
        assert_eq!(both.next_present(Pfn(4)).unwrap().end, Pfn(6));
        // Across pages of both, not at a page's beginning.
        let mut buf = vec![0; 3 * 4096];
        both.read_phys(PhysAddr(0x2800), &mut buf).unwrap();
        let expected: Vec<u8> = [[1; 6144].as_slice(), &[2; 6144]].concat();
        assert!(buf == expected);
        let gone = both.read_phys(PhysAddr(0x5800), &mut buf).unwrap_err();
        assert!(
            matches!(gone, ReadError::Absent { pfn: Pfn(6), .. }),
            "{gone}"
        );
    }

    #[test]
    fn dumps_of_two_crashes_are_not_put_together() {
        let upper = dump(b"CRASHTIME=7\n", &[(2, &[1])]);
        let lower = dump(b"CRASHTIME=8\n", &[(3, &[2])]);
        assert!(Layered::new(upper, lower).is_none());
    }
}
