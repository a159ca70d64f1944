//! The most memory that the capture kernel used: the least value for `crashkernel=`.
//!
//! Sampled while the supervisor waits. A spike between two samples is not seen, nor memory that the
//! kernel used and freed before PID 1 started. The total is System RAM of /proc/iomem above the first
//! MiB: the reservation. Facts: Documentation/filesystems/proc.rst (meminfo, iomem).

use dump::budget::mem_available;
use std::fs;
use std::time::{Duration, Instant};

/// The shortest time between two samples.
const EVERY: Duration = Duration::from_millis(100);

/// The least memory that was ever available.
#[derive(Debug)]
pub(super) struct Peak {
    least: Option<u64>,
    sampled: Instant,
}

impl Default for Peak {
    /// Without any sample yet.
    fn default() -> Self {
        Self {
            least: None,
            sampled: Instant::now(),
        }
    }
}

impl Peak {
    /// Takes a sample, if the last one is old enough.
    pub(super) fn sample(&mut self) {
        if self.sampled.elapsed() < EVERY {
            return;
        }
        self.sampled = Instant::now();
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        self.note(&text);
    }

    fn note(&mut self, meminfo: &str) {
        if let Some(now) = mem_available(meminfo) {
            self.least = Some(self.least.map_or(now, |least| least.min(now)));
        }
    }

    /// `memory: peak 71 of 96 MiB`; `None` where it is not known.
    #[must_use]
    pub(super) fn line(&self) -> Option<String> {
        self.of(&fs::read_to_string("/proc/iomem").unwrap_or_default())
    }

    fn of(&self, iomem: &str) -> Option<String> {
        let all = ram(iomem);
        let used = all.checked_sub(self.least?).filter(|_| all > 0)?;
        Some(format!(
            "memory: peak {} of {} MiB",
            used.div_ceil(1 << 20),
            all >> 20
        ))
    }
}

/// Lets one device be written while another hangs. Pages for the hanging device stay dirty. When more
/// than `dirty_ratio` of memory is dirty (default: a fifth), the kernel stops writers to every device
/// (mm/page-writeback.c, `balance_dirty_pages`, 5.10 to 7.2). Our own dirty pages are bounded by
/// [`dump::budget::InFlight`].
pub(super) fn do_not_wait_for_others() {
    let _ = fs::write("/proc/sys/vm/dirty_ratio", "90");
}

/// Bytes of System RAM above the first MiB.
fn ram(iomem: &str) -> u64 {
    let range = |line: &str| {
        let (range, name) = line.split_once(" : ")?;
        let (start, end) = range.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?.checked_add(1)?;
        (name == "System RAM" && start >= 1 << 20).then(|| end.saturating_sub(start))
    };
    iomem.lines().filter_map(range).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_what_was_least_available() {
        let iomem = "00001000-0009fbff : System RAM\n2a000000-2fffffff : System RAM\n  \
                     2b000000-2bffffff : Kernel code\nfee00000-fee00fff : Local APIC\n";
        let mut peak = Peak::default();
        assert_eq!(peak.of(iomem), None);
        for kib in [60_000, 25_600, 40_000] {
            peak.note(&format!("MemTotal: 80000 kB\nMemAvailable: {kib} kB\n"));
        }
        peak.note("nothing");
        assert_eq!(peak.of(iomem).as_deref(), Some("memory: peak 71 of 96 MiB"));
        // Without root /proc/iomem shows no addresses.
        assert_eq!(peak.of("00000000-00000000 : System RAM\n"), None);
    }
}
