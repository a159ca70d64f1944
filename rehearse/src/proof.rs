//! The proof a passed rehearsal leaves: what was proved, and what makes it void.
//!
//! It goes into the state file that `afterpanic status` reads. It holds for one kernel, one capture
//! binary and one config; a change of any of them voids it.

use crate::session::Session;
use crate::verdict::Verdict;
use loader::state::Proof;

/// The proof of a verdict, made at `now` (seconds since 1970).
#[must_use]
pub fn of(session: &Session, verdict: &Verdict, now: i64) -> Proof {
    Proof {
        by: "rehearse".into(),
        at: now,
        release: session.kernel.release.clone(),
        passed: verdict.passed,
        summary: summary(verdict),
        peak: verdict.peak,
    }
}

/// One line: `a complete core of 38 MiB, 15 s after the panic, crashkernel=96M`.
#[must_use]
pub fn summary(verdict: &Verdict) -> String {
    match (&verdict.core, verdict.wrong.first()) {
        (_, Some(wrong)) => wrong.clone(),
        (Some(core), None) => {
            let after = verdict
                .moments
                .core
                .map_or_else(String::new, |s| format!(", {s:.0} s after the panic"));
            format!(
                "a {} core of {} MiB{after}, crashkernel={}",
                core.saved,
                core.bytes.div_ceil(1 << 20),
                verdict.crashkernel
            )
        }
        (None, None) => "no core".into(),
    }
}
