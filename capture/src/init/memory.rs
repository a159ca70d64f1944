//! How much of its memory the capture kernel ever used: what `crashkernel=` has to be at least.
//!
//! Sampled while the supervisor waits, so a spike between two samples is not seen, nor what the
//! kernel took and gave back before PID 1. The whole is what /proc/iomem calls System RAM above the
//! first MiB: the reservation. Facts: Documentation/filesystems/proc.rst (meminfo, iomem).

use dump::budget::mem_available;
use std::fs;
use std::time::{Duration, Instant};

/// How often it is looked at, at most.
const EVERY: Duration = Duration::from_millis(100);

/// The least memory that was ever available.
#[derive(Debug)]
pub(super) struct Peak {
    least: Option<u64>,
    looked: Instant,
}

impl Default for Peak {
    /// Before the first while is over there is nothing to see.
    fn default() -> Self {
        Self {
            least: None,
            looked: Instant::now(),
        }
    }
}

impl Peak {
    /// Looks once more, if the last look is a while ago.
    pub(super) fn sample(&mut self) {
        if self.looked.elapsed() < EVERY {
            return;
        }
        self.looked = Instant::now();
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        self.note(&text);
    }

    fn note(&mut self, meminfo: &str) {
        if let Some(now) = mem_available(meminfo) {
            self.least = Some(self.least.map_or(now, |least| least.min(now)));
        }
    }

    /// `memory: peak 71 of 96 MiB`; nothing where it cannot be told.
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

/// Lets a device be written while another hangs. What the hanging one was sent stays dirty for ever, and
/// above a part of memory, a fifth where nobody says otherwise, the kernel holds up who writes to any
/// device (mm/page-writeback.c, `balance_dirty_pages`, 5.10 to 7.2). What is on its way is bounded by
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
