//! What a process used: its counters and its command line.
//!
//! Facts: include/linux/mm_types.h, mm/memory.c. `mm_struct.rss_stat` is an array of atomic counters up
//! to 6.1 and of per-CPU counters since 6.2, whose parts are added up here. Before 6.2 each thread
//! also kept up to 64 pages of its own back; they are not added, so the figure is that of `ps`.

use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member};

/// Longest command line read.
const MAX_COMMAND_LINE: u64 = 4096;

/// Memory of a process in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rss {
    /// Its own memory.
    pub anon: u64,
    /// Mapped files.
    pub file: u64,
    /// Shared memory and tmpfs.
    pub shmem: u64,
    /// Swapped out; not part of [`Self::total`].
    pub swap: u64,
}

impl Rss {
    /// What was resident.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.anon
            .saturating_add(self.file)
            .saturating_add(self.shmem)
    }
}

enum Counters {
    /// `count[n]` or `[n].count`, plain atomic words.
    Atomic([Member; 4]),
    /// percpu_counter: a sum and a pointer to per-CPU parts.
    PerCpu([(Member, Member); 4]),
}

pub(super) struct Layout {
    counters: Counters,
    /// The CPUs whose parts are added.
    cpus: Vec<u32>,
    pgd: Member,
    arg_start: Member,
    arg_end: Member,
}

/// The order in which [`Rss`] is filled, with the numbers that `enum` has had since 4.5.
const NAMES: [(&str, i64); 4] = [
    ("MM_FILEPAGES", 0),
    ("MM_ANONPAGES", 1),
    ("MM_SWAPENTS", 2),
    ("MM_SHMEMPAGES", 3),
];

impl Layout {
    pub(super) fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let types = kernel.types()?;
        let mm = |path: &str| types.member("mm_struct", path);
        // The enum is unnamed and one search for it goes over all types: only the numbers that
        // BTF contradicts would be wrong, and they have never moved.
        let each = |path: &dyn Fn(i64) -> String| -> Result<[Member; 4], KernelError> {
            let [a, b, c, d] = NAMES.map(|(_, number)| mm(&path(number)));
            Ok([a?, b?, c?, d?])
        };
        let counters = if let Ok(counts) = each(&|n| format!("rss_stat[{n}].count")) {
            let [a, b, c, d] = counts;
            let [e, f, g, h] = each(&|n| format!("rss_stat[{n}].counters"))?;
            Counters::PerCpu([(a, e), (b, f), (c, g), (d, h)])
        } else {
            Counters::Atomic(each(&|n| format!("rss_stat.count[{n}]"))?)
        };
        let cpus = match &counters {
            Counters::PerCpu(_) => kernel.online_cpus().map(|cpus| cpus.iter().collect()),
            Counters::Atomic(_) => Ok(Vec::new()),
        };
        let cpus = cpus.unwrap_or_default();
        Ok(Self {
            counters,
            cpus,
            pgd: mm("pgd")?,
            arg_start: mm("arg_start")?,
            arg_end: mm("arg_end")?,
        })
    }

    pub(super) fn rss(&self, kernel: &Kernel, mm: VirtAddr) -> Result<Rss, KernelError> {
        let mut pages = [0i64; 4];
        match &self.counters {
            Counters::Atomic(members) => {
                for (slot, member) in pages.iter_mut().zip(members) {
                    *slot = kernel.read_member(mm, member)?.cast_signed();
                }
            }
            Counters::PerCpu(members) => {
                if self.cpus.is_empty() {
                    // Why there are none.
                    kernel.online_cpus()?;
                }
                for (slot, (count, parts)) in pages.iter_mut().zip(members) {
                    *slot = percpu_counter(kernel, mm, count, parts, &self.cpus)?;
                }
            }
        }
        // The parts may add up to less than nothing while they are in flight.
        let [file, anon, swap, shmem] = pages.map(|pages| {
            pages
                .max(0)
                .cast_unsigned()
                .saturating_mul(kernel.page_size())
        });
        Ok(Rss {
            anon,
            file,
            shmem,
            swap,
        })
    }

    /// The arguments, separated by blanks. `None` when they were not dumped.
    pub(super) fn command_line(&self, kernel: &Kernel, mm: VirtAddr) -> Option<String> {
        let start = kernel.read_member(mm, &self.arg_start).ok()?;
        let end = kernel.read_member(mm, &self.arg_end).ok()?;
        let len = end.checked_sub(start)?.min(MAX_COMMAND_LINE);
        if len == 0 {
            return None;
        }
        let pgd = kernel
            .translate(VirtAddr(kernel.read_member(mm, &self.pgd).ok()?))
            .ok()?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        kernel.read_user(pgd, VirtAddr(start), &mut bytes).ok()?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        for byte in &mut bytes {
            if *byte == 0 {
                *byte = b' ';
            }
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// `percpu_counter_sum`: the common part and each online CPU's.
fn percpu_counter(
    kernel: &Kernel,
    base: VirtAddr,
    count: &Member,
    parts: &Member,
    cpus: &[u32],
) -> Result<i64, KernelError> {
    let mut sum = kernel.read_member(base, count)?.cast_signed();
    let parts = kernel.read_member(base, parts)?;
    if parts == 0 {
        return Ok(sum);
    }
    for cpu in cpus {
        let at = kernel.per_cpu(VirtAddr(parts), *cpu)?;
        let part = kernel.read_i32(at).map_err(|source| KernelError::Memory {
            what: "a per-CPU counter".to_owned(),
            source,
        })?;
        sum = sum.wrapping_add(i64::from(part));
    }
    Ok(sum)
}
