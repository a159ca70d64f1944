//! Whether the filter's table fits the running kernel, found out while arming and not in a panic.
//!
//! Source of the facts: `vmcore::mm::check::live` on /proc/kcore; the build id is the note of
//! /sys/kernel/notes (elf.h, NT_GNU_BUILD_ID), which needs no root. The outcome is kept in the state
//! file and holds for one build id. What cannot be checked (lockdown, no CONFIG_PROC_KCORE) is not
//! checked, which is no failure. Nothing is decided here about dumps.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use vmcore::kernel::{Kernel, chain};
use vmcore::mm::Rules;
use vmcore::mm::check::{self, Check, Live, Verdict};

use crate::root;
pub use crate::state::{Filter, Outcome};
use crate::state::{State, StateError};
use crate::sys;

/// How long arming may take for it.
const TIME: Duration = Duration::from_secs(2);
/// How much longer is waited for an answer that is on its way, on a machine with no idle time.
const GRACE: Duration = Duration::from_millis(500);
/// `--deep` ends some time, whatever happens.
const DEEP: Duration = Duration::from_secs(3600);
const NT_GNU_BUILD_ID: u32 = 3;

/// The outcome for the kernel that runs, if it was checked.
#[must_use]
pub fn of_running(root: &Path, state: &State) -> Option<Filter> {
    let running = build_id(root);
    let known = state.filter.as_ref()?;
    (!running.is_empty() && known.build_id == running).then(|| known.clone())
}

/// Checks the running kernel, unless that was done for this build of it, and keeps the outcome.
///
/// # Errors
/// Only when the outcome cannot be kept.
pub fn check_once(root: &Path, deep: bool) -> Result<Filter, StateError> {
    let state = State::read(root)?;
    if let Some(known) = of_running(root, &state)
        && known.outcome != Outcome::NotChecked
        && (known.deep || !deep)
    {
        return Ok(known);
    }
    let filter = check(root, deep);
    State::change(root, |state| state.filter = Some(filter.clone()))?;
    Ok(filter)
}

/// Checks the running kernel: `deep`, all of RAM; else what fits into two seconds of idle time.
fn check(root: &Path, deep: bool) -> Filter {
    let kcore = root::under(root, "/proc/kcore");
    let time = if deep { DEEP } else { TIME };
    let deadline = Instant::now() + time;
    let (tell, told) = channel();
    // A thread of its own: its priority does not come back, and on a machine without idle time it
    // may never get to look at the clock.
    let started = std::thread::Builder::new()
        .name("filter-check".into())
        .spawn(move || {
            if !deep {
                sys::idle_priority();
            }
            let _ = tell.send(look(&kcore, deadline));
        });
    let found = match started {
        Ok(_) => told.recv_timeout(time + GRACE).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => NotLooked::Busy,
                RecvTimeoutError::Disconnected => NotLooked::Died,
            })
        }),
        Err(error) => Err(NotLooked::Thread(error)),
    };
    let filter = Filter {
        build_id: build_id(root),
        outcome: Outcome::NotChecked,
        why: Vec::new(),
        free_counted: 0,
        free_expected: 0,
        covered_pages: 0,
        ram_pages: 0,
        deep,
        at: jiff::Timestamp::now().as_second(),
    };
    match found {
        Ok((live, off)) => judged(filter, &live, off),
        Err(why) => Filter {
            why: vec![chain(&why)],
            ..filter
        },
    }
}

/// What the check saw, and each rule that is off although this kernel should have it.
type Seen = (Live, Vec<String>);

/// Why the kernel could not be checked. The state file keeps the text.
#[derive(Debug, thiserror::Error)]
enum NotLooked {
    #[error("the machine was too busy for it")]
    Busy,
    #[error("the check died")]
    Died,
    #[error("no thread can be started: {0}")]
    Thread(std::io::Error),
    #[error(transparent)]
    Dump(#[from] vmcore::dump::OpenError),
    #[error(transparent)]
    Walk(#[from] vmcore::mm::WalkError),
    #[error(transparent)]
    Kernel(#[from] vmcore::kernel::KernelError),
}

fn look(kcore: &Path, deadline: Instant) -> Result<Seen, NotLooked> {
    let dump = vmcore::dump::open(kcore)?;
    let kernel = Kernel::new(dump)?;
    let rules = Rules::of(&kernel);
    let live = check::live(&kernel, &rules, deadline)?;
    let off = rules.off().iter().filter(|off| off.degrades);
    let off = off.map(|off| format!("rule {} is off: {}", off.rule.name(), off.reason));
    Ok((live, off.collect()))
}

fn judged(filter: Filter, live: &Live, off: Vec<String>) -> Filter {
    let made = |check: &&Check| !matches!(check.verdict, Verdict::NotChecked(_));
    let zones = || live.checks.iter().filter(|c| c.name.starts_with("free/"));
    let sum = |of: fn(&Check) -> u64| zones().filter(made).map(of).sum();
    let failed = live.checks.iter().filter(|check| check.failed());
    let failed =
        failed.map(|c| format!("{}: {} counted, {} expected", c.name, c.found, c.expected));
    let mut why: Vec<String> = off.into_iter().chain(failed).collect();
    let outcome = if !why.is_empty() {
        Outcome::DoesNotFit
    } else if live.covered > 0 {
        Outcome::Fits
    } else {
        why.extend(live.checks.iter().find_map(|check| match &check.verdict {
            Verdict::NotChecked(why) => Some(why.clone()),
            _ => None,
        }));
        Outcome::NotChecked
    };
    Filter {
        outcome,
        why,
        free_counted: sum(|check| check.found),
        free_expected: sum(|check| check.expected),
        covered_pages: live.covered,
        ram_pages: live.total,
        ..filter
    }
}

/// What tells one kernel from another: the build id, else the whole version.
fn build_id(root: &Path) -> String {
    let notes = std::fs::read(root::under(root, "/sys/kernel/notes")).unwrap_or_default();
    gnu_build_id(&notes).unwrap_or_else(|| root::text(root, "/proc/version").unwrap_or_default())
}

fn gnu_build_id(mut notes: &[u8]) -> Option<String> {
    loop {
        let word = |at: usize| {
            let bytes = notes.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let (name_len, desc_len, n_type) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let desc_at = name_len.checked_next_multiple_of(4)?.checked_add(12)?;
        let end = desc_at.checked_add(desc_len)?;
        let (name, desc) = (notes.get(12..12 + name_len)?, notes.get(desc_at..end)?);
        if n_type == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(desc.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
#[path = "filter/tests.rs"]
mod tests;
