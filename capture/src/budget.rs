//! How much memory the worker may use, and how many threads that feeds.
//!
//! The panic kernel has what the crashkernel reservation left: MemAvailable at start says how much.
//! The worker gets a third of it, 24 MiB at most, and is held to it by RLIMIT_DATA (heap, stacks,
//! private mappings; not the page cache). What does not depend on RAM does not grow with it.

use crate::plan::Dump;
use std::fs;

/// The worker's limit where there is plenty.
pub const MOST: u64 = 24 << 20;
/// Below this nothing works.
pub const LEAST: u64 = 8 << 20;

/// What a worker thread needs: a batch, its encoded form twice, the codec's context, a stack.
const PER_THREAD: u64 = 2 << 20;
/// What the rest needs: reading the kernel, the map's blocks, output buffers.
const BASE: u64 = 5 << 20;

/// Stack of every thread.
pub const STACK: usize = 256 << 10;

/// The worker's share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Limit on heap and stacks.
    pub limit: u64,
    /// Worker threads.
    pub threads: usize,
}

impl Budget {
    /// From what is available, the CPUs, and the plan's own wishes.
    #[must_use]
    pub fn derive(available: Option<u64>, cpus: usize, dump: &Dump) -> Self {
        let limit = dump
            .worker_memory
            .unwrap_or_else(|| available.map_or(MOST, |bytes| bytes / 3))
            .clamp(LEAST, MOST.max(dump.worker_memory.unwrap_or(0)));
        let fed = usize::try_from(limit.saturating_sub(BASE) / PER_THREAD).unwrap_or(1);
        let wanted = dump
            .threads
            .map_or(cpus, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Self {
            limit,
            threads: wanted.min(fed).max(1),
        }
    }

    /// The same from this system.
    #[must_use]
    pub fn here(dump: &Dump) -> Self {
        let available = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| mem_available(&text));
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self::derive(available, cpus, dump)
    }
}

/// MemAvailable of /proc/meminfo, in bytes.
#[must_use]
pub fn mem_available(meminfo: &str) -> Option<u64> {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_follows_memory() {
        let dump = Dump::default();
        let derive = |mib: u64, cpus| Budget::derive(Some(mib << 20), cpus, &dump);
        assert_eq!(
            derive(1000, 2),
            Budget {
                limit: MOST,
                threads: 2
            }
        );
        assert_eq!(derive(1000, 64).threads, 9);
        assert_eq!(
            derive(20, 4),
            Budget {
                limit: LEAST,
                threads: 1
            }
        );
        assert_eq!(Budget::derive(None, 2, &dump).limit, MOST);
    }

    #[test]
    fn the_plan_overrides() {
        let dump = Dump {
            threads: Some(1),
            worker_memory: Some(64 << 20),
            ..Dump::default()
        };
        let budget = Budget::derive(Some(1 << 30), 8, &dump);
        assert_eq!(
            budget,
            Budget {
                limit: 64 << 20,
                threads: 1
            }
        );
    }

    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal:  38000 kB\nMemAvailable:   12345 kB\n";
        assert_eq!(mem_available(text), Some(12345 * 1024));
        assert_eq!(mem_available("MemTotal: 1 kB\n"), None);
    }
}
