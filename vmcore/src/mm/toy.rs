//! `synth`'s toy memory map as a dump, for the tests of this module.

use crate::addr::{Pfn, PfnRange, PhysAddr};
use crate::dump::{Absence, DumpInfo, Format, MemoryDump, ReadError};
use crate::kernel::Kernel;
use crate::mm::{Kind, KindRun, Rules, Summary, walk_threads};
use std::collections::BTreeMap;
use std::sync::Arc;
use synth::memmap::{FIRST_USABLE, SECTION, Series, Toy};

struct ToyDump {
    memory: BTreeMap<u64, Box<[u8; 4096]>>,
    ram: Vec<(u64, u64)>,
    info: DumpInfo,
}

impl MemoryDump for ToyDump {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let mut at = addr;
        let mut rest = buf;
        while !rest.is_empty() {
            let pfn = at.pfn();
            if !self.ram.iter().any(|r| (r.0..r.1).contains(&pfn.0)) {
                return Err(ReadError::Absent {
                    pfn,
                    why: Absence::NotInDump,
                });
            }
            let start = at.page_offset() as usize;
            let n = rest.len().min(4096 - start);
            let (now, later) = rest.split_at_mut(n);
            match self.memory.get(&pfn.0) {
                Some(page) => now.copy_from_slice(&page[start..start + n]),
                None => now.fill(0),
            }
            at = PhysAddr(at.0 + n as u64);
            rest = later;
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.ram
            .iter()
            .find(|r| r.1 > from.0)
            .map(|r| PfnRange::new(Pfn(r.0.max(from.0)), Pfn(r.1)))
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }
}

/// Memory of every kind that the series has.
pub(super) fn populated(series: Series) -> Toy {
    let mut toy = Toy::new(series, 2);
    let base = FIRST_USABLE;
    toy.free(base, 10);
    toy.free(base + 1024, 0);
    toy.anon(base + 1025, 0);
    toy.free(base + 1026, 1);
    toy.anon(base + 1536, 9);
    toy.cache(base + 2048, 0, false);
    toy.cache(base + 2049, 0, true);
    toy.cache(base + 2052, 2, false);
    toy.swap_cache(base + 2056);
    toy.slab(base + 2064, 3);
    toy.treacherous_slab(base + 2072, 1);
    toy.table(base + 2080);
    toy.kernel(base + 2084, 2);
    toy.offline(base + 2090);
    toy.poison(base + 2091);
    toy.reserved(base + 2092);
    toy.hugetlb(base + 2560, 9, false);
    toy.hugetlb(base + 3072, 9, true);
    toy.cache(base + 3584, 0, false);
    if series >= Series::V6_11 {
        toy.zsmalloc(base + 2100);
    }
    if series >= Series::V7_1 {
        toy.unaccepted(base + 4096);
    }
    // The last pages of a section, and the first of the next.
    toy.free(SECTION - 1024, 10);
    toy.free(SECTION, 4);
    toy
}

/// The kernel of a toy.
pub(super) fn kernel(toy: &Toy) -> Kernel {
    let dump = ToyDump {
        memory: toy.memory.clone(),
        ram: toy.ram.clone(),
        info: DumpInfo {
            vmcoreinfo: Some(toy.vmcoreinfo().into_bytes()),
            direct_map_base: Some(toy.direct_map()),
            ..DumpInfo::new(Format::Elf)
        },
    };
    Kernel::new(Arc::new(dump)).unwrap()
}

/// One walk: the kind of every page of RAM, and what else the walk said.
pub(super) fn walked(kernel: &Kernel, rules: &Rules, threads: usize) -> (Vec<KindRun>, Summary) {
    let mut runs = Vec::new();
    let summary = walk_threads(kernel, rules, threads, &mut |run| {
        runs.push(run);
        Ok(())
    })
    .unwrap();
    (runs, summary)
}

/// Pages whose kind is not the true one: page frame, found, true.
pub(super) fn wrong(toy: &Toy, runs: &[KindRun]) -> Vec<(u64, &'static str, &'static str)> {
    let mut wrong = Vec::new();
    for run in runs {
        for pfn in run.pages.start.0..run.pages.end.0 {
            let truth = toy.truth.get(&pfn).copied().unwrap_or("kernel");
            if run.kind.name() != truth {
                wrong.push((pfn, run.kind.name(), truth));
            }
        }
    }
    wrong
}

/// Kinds that level 31 drops.
pub(super) fn dropped(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Free
            | Kind::Unaccepted
            | Kind::Cache
            | Kind::CachePrivate
            | Kind::Anon
            | Kind::Hugetlb
            | Kind::HwPoison
            | Kind::Offline
    )
}
