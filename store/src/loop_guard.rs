//! The loop guard: when a machine that panics again and again writes no more cores.
//!
//! Three whole cores with one signature within a day are enough to debug it, and so are three panics
//! right after boot. Crashes that left no whole core do not count: the next one may be the first that
//! can be debugged. `[keep] loop_guard = false` switches it off.

use crate::manifest::CrashFacts;
use crate::rotation::{self, Earlier};
use crate::store::Store;

/// Whole cores with one signature in [`DAY`] after which only small files are written.
const LOOP_DUMPS: usize = 3;
/// The window for them, in seconds.
const DAY: u64 = 24 * 3600;
/// A panic this soon after boot counts as early, in seconds.
const EARLY: u64 = 300;

/// Why no further core is written, if this machine panics in a loop.
#[must_use]
pub fn in_a_loop(earlier: &[Earlier], this: &CrashFacts) -> Option<String> {
    let recent = |crash: &&Earlier| match (crash.crash_time, this.crash_time) {
        (Some(then), Some(now)) => crash.whole && now.abs_diff(then) <= DAY,
        _ => false,
    };
    if let Some(signature) = &this.signature {
        let same = |crash: &&Earlier| crash.signature.as_ref() == Some(signature);
        let same = earlier.iter().filter(recent).filter(same).count();
        if same >= LOOP_DUMPS {
            return Some(format!(
                "{same} dumps with signature {signature} within 24 hours"
            ));
        }
    }
    let early = |uptime: Option<u64>| uptime.is_some_and(|seconds| seconds < EARLY);
    let newest = earlier.iter().rev().take(LOOP_DUMPS);
    let count = newest
        .filter(|crash| recent(crash) && early(crash.uptime_s))
        .count();
    (count == LOOP_DUMPS && early(this.uptime_s))
        .then(|| format!("{LOOP_DUMPS} panics within {} minutes of boot", EARLY / 60))
}

/// Why the next crash would leave no core: [`in_a_loop`] for each signature in the store, at `now`
/// (seconds since 1970) on a machine that has been up for `uptime_s`.
#[must_use]
pub fn next(store: &Store, now: u64, uptime_s: Option<u64>) -> Option<String> {
    let earlier = rotation::earlier(store).ok()?.crashes;
    let mut signatures: Vec<Option<String>> = earlier.iter().map(|e| e.signature.clone()).collect();
    signatures.sort();
    signatures.dedup();
    signatures.into_iter().find_map(|signature| {
        let crash = CrashFacts {
            signature,
            crash_time: Some(now),
            uptime_s,
            ..CrashFacts::default()
        };
        in_a_loop(&earlier, &crash)
    })
}

#[cfg(test)]
mod tests;
