//! How much memory the worker may use, and how many threads that feeds.
//!
//! The capture kernel has what the crashkernel reservation left: MemAvailable at start says how much.
//! The worker gets a third of it, at least 8 MiB and at most 256 MiB, and is held to it by RLIMIT_DATA
//! (heap, stacks, private mappings; not the page cache). It does not need more on a machine with more
//! RAM: what is above 8 MiB feeds more threads. Data that is written but not yet on the device is in the
//! page cache and has a share of its own. `[dump] worker_memory` sets another limit.

use crate::settings::Dump;
use std::fs;

/// The most that is derived: room for 125 threads.
const MOST: u64 = 256 << 20;
/// The limit when MemAvailable cannot be read: room for nine threads.
const UNKNOWN: u64 = 24 << 20;
/// The worker does not run with less.
pub const LEAST: u64 = 8 << 20;

/// What a worker thread needs: a batch, its encoded form twice, the codec's context, a stack.
const PER_THREAD: u64 = 2 << 20;
/// What the rest needs: reading the kernel, the map's blocks, output buffers.
const BASE: u64 = 5 << 20;

/// The least and the most bytes of a window on its way to the device.
const WINDOW: (u64, u64) = (2 << 20, 8 << 20);
/// The most windows that wait.
const WINDOWS: u64 = 32;

/// Stack of every thread.
pub const STACK: usize = 256 << 10;

/// The worker's share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Limit on heap and stacks.
    pub limit: u64,
    /// Worker threads.
    pub threads: usize,
    /// What may be on its way to the device.
    pub flight: InFlight,
}

/// How much of a file may be written and not yet on the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFlight {
    /// Bytes of a window, which is sent as a whole.
    pub bytes: u64,
    /// Windows that wait to be sent, in addition to the one being written and two in flight.
    pub windows: usize,
}

impl InFlight {
    /// An eighth of what is available for a window, or a sixteenth for all that wait.
    #[must_use]
    pub fn derive(available: u64) -> Self {
        let bytes = (available / 8).clamp(WINDOW.0, WINDOW.1);
        // Whole pages of any size.
        let bytes = bytes >> 20 << 20;
        let windows = (available / 16 / bytes).clamp(1, WINDOWS);
        Self {
            bytes,
            windows: usize::try_from(windows).unwrap_or(1),
        }
    }
}

impl Budget {
    /// From what is available, the CPUs, and the plan's own wishes.
    #[must_use]
    pub fn derive(available: Option<u64>, cpus: usize, dump: &Dump) -> Self {
        let limit = dump
            .worker_memory
            .unwrap_or_else(|| available.map_or(UNKNOWN, |bytes| (bytes / 3).min(MOST)))
            .max(LEAST);
        let fed = usize::try_from(limit.saturating_sub(BASE) / PER_THREAD).unwrap_or(1);
        let wanted = dump
            .threads
            .map_or(cpus, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Self {
            limit,
            threads: wanted.min(fed).max(1),
            // What is not known may be little.
            flight: InFlight::derive(available.unwrap_or(0)),
        }
    }

    /// The same from this system.
    #[must_use]
    pub fn here(dump: &Dump) -> Self {
        let available = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| usable(&text));
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self::derive(available, cpus, dump)
    }
}

/// MemAvailable of /proc/meminfo, in bytes.
#[must_use]
pub fn mem_available(meminfo: &str) -> Option<u64> {
    field(meminfo, "MemAvailable:")
}

/// The same without what waits for a device, which may be one that hangs: MemAvailable has it in.
fn usable(meminfo: &str) -> Option<u64> {
    let waits = ["Dirty:", "Writeback:"].map(|name| field(meminfo, name).unwrap_or(0));
    let waits = waits.into_iter().fold(0, u64::saturating_add);
    mem_available(meminfo).map(|bytes| bytes.saturating_sub(waits))
}

/// A field of /proc/meminfo, in bytes.
fn field(meminfo: &str, name: &str) -> Option<u64> {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix(name))
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
        let windows = |mib: u64, windows| InFlight {
            bytes: mib << 20,
            windows,
        };
        assert_eq!(
            derive(1000, 2),
            Budget {
                limit: MOST,
                threads: 2,
                flight: windows(8, 7),
            }
        );
        assert_eq!(derive(1000, 128).threads, 125);
        assert_eq!(
            derive(20, 4),
            Budget {
                limit: LEAST,
                threads: 1,
                flight: windows(2, 1),
            }
        );
        assert_eq!(derive(600, 2).limit, 200 << 20);
        assert_eq!(derive(72, 64).threads, 9);
        assert_eq!(derive(40, 1).flight, windows(5, 1));
        assert_eq!(derive(16_000, 1).flight, windows(8, 32));
        assert_eq!(Budget::derive(None, 2, &dump).limit, UNKNOWN);
    }

    #[test]
    fn the_plan_overrides() {
        let dump = Dump {
            threads: Some(1),
            worker_memory: Some(64 << 20),
            ..Dump::default()
        };
        let budget = Budget::derive(Some(1 << 30), 8, &dump);
        assert_eq!((budget.limit, budget.threads), (64 << 20, 1));
    }

    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal:  38000 kB\nMemAvailable:   12345 kB\n";
        assert_eq!(mem_available(text), Some(12345 * 1024));
        assert_eq!(mem_available("MemTotal: 1 kB\n"), None);
        assert_eq!(usable("MemTotal: 1 kB\nDirty: 2 kB\n"), None);
        assert_eq!(usable(text), Some(12345 * 1024));
        let hangs = format!("{text}Dirty:   300 kB\nWriteback:   45 kB\n");
        assert_eq!(usable(&hangs), Some(12000 * 1024));
    }
}
