//! How far panic() came: what its CPU's stack, the flag, CRASHTIME and the log's last line prove.
//!
//! Facts: kernel/panic.c, kernel/crash_core.c (`__crash_kexec` writes CRASHTIME right before the jump,
//! and only with a capture kernel loaded), 5.10 to 7.x.

use super::Outcome;
use crate::unwind::{Trace, Trust};

/// What is known.
#[derive(Clone, Default, Debug)]
pub(super) struct Facts {
    /// The flag.
    pub post_notifiers: Option<bool>,
    /// Whether the jump to the capture kernel was begun: VMCOREINFO holds CRASHTIME.
    pub jumped: bool,
    /// Whether a CPU panicked.
    pub panicked: bool,
    /// Whether the log holds the line with which panic() ends when nothing took over.
    pub ended: bool,
    /// What each panic() on the panicking CPU's stack was calling, outermost first.
    pub calls: Vec<Call>,
}

/// What a panic() on the stack was calling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// The jump to the capture kernel.
    Jump,
    /// The notifiers; the function that was running, by its address, when there was one.
    Notifiers(Option<u64>),
    /// The dumpers.
    Dumpers(Option<u64>),
    /// Something else, or nothing.
    Other,
}

/// How far one panic() came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Not to the notifiers; why.
    Before(&'static str),
    /// Into the notifiers, in this one.
    InNotifiers(Option<u64>),
    /// Into the dumpers, in this one.
    InDumpers(Option<u64>),
    /// Past all of them; why.
    After(&'static str),
    /// That is not known.
    Unknown,
}

const AFTER_JUMP: &str = "panic() had called __crash_kexec, which with crash_kexec_post_notifiers \
    comes after the notifiers and dumpers (a notifier may end the chain early, which leaves no trace)";
const BEFORE_JUMP: &str = "with crash_kexec_post_notifiers off the jump to the capture kernel comes \
    before the notifiers and dumpers";
const NO_PANIC: &str = "this kernel has not panicked";
const ENDED: &str =
    "the log holds panic()'s last line, which comes after the notifiers and dumpers";

/// Finds the panics on a stack, outermost first. Frames that are guesses prove nothing.
#[must_use]
pub(super) fn panic_calls(trace: &Trace) -> Vec<Call> {
    let frames: Vec<(&str, u64)> = trace
        .frames
        .iter()
        .filter(|frame| frame.trust != Trust::Guess)
        .filter_map(|frame| {
            let symbol = frame.symbol.as_ref()?;
            Some((symbol.name.as_str(), frame.pc.0.wrapping_sub(symbol.offset)))
        })
        .collect();
    calls(&frames)
}

/// `frames`: names and starts of functions, innermost first.
fn calls(frames: &[(&str, u64)]) -> Vec<Call> {
    let name = |i: usize| frames.get(i).map(|(name, _)| *name);
    let is_panic = |i: usize| matches!(name(i), Some("panic" | "vpanic"));
    let mut out = Vec::new();
    for i in (0..frames.len()).rev() {
        // In 7.x panic() is a shell around vpanic().
        if !is_panic(i) || (i > 0 && is_panic(i - 1)) {
            continue;
        }
        let inner: Vec<_> = frames.iter().take(i).rev().collect();
        let first = inner.first().map(|(name, _)| *name);
        // The callback is the first frame inside those that walk the list.
        let callback = |walks: fn(&str) -> bool| {
            let running = inner.iter().find(|(name, _)| !walks(name));
            running.map(|(_, start)| *start)
        };
        out.push(match first {
            Some("__crash_kexec") => Call::Jump,
            Some(name) if walks_notifiers(name) => Call::Notifiers(callback(walks_notifiers)),
            Some(name) if walks_dumpers(name) => Call::Dumpers(callback(walks_dumpers)),
            _ => Call::Other,
        });
    }
    out
}

fn walks_notifiers(name: &str) -> bool {
    matches!(name, "atomic_notifier_call_chain" | "notifier_call_chain")
}

fn walks_dumpers(name: &str) -> bool {
    matches!(name, "kmsg_dump" | "kmsg_dump_desc")
}

impl Facts {
    /// How far each known panic came, and the sentence about it.
    #[must_use]
    pub(super) fn stages(&self) -> (Vec<Stage>, String) {
        let mut stages: Vec<Stage> = self
            .calls
            .iter()
            .map(|call| match (call, self.post_notifiers) {
                (Call::Jump, Some(true)) => Stage::After(AFTER_JUMP),
                (Call::Jump, Some(false)) => Stage::Before(BEFORE_JUMP),
                (Call::Notifiers(at), _) => Stage::InNotifiers(*at),
                (Call::Dumpers(at), _) => Stage::InDumpers(*at),
                (Call::Jump, None) => Stage::Unknown,
                (Call::Other, _) => self.without_stack(),
            })
            .collect();
        if stages.is_empty() {
            stages.push(self.without_stack());
        }
        let words = stages.iter().map(|stage| self.words(stage));
        let mut text: Vec<String> = words.collect();
        text.dedup();
        (stages, text.join("; then a panic inside that: "))
    }

    fn without_stack(&self) -> Stage {
        match (self.panicked, self.jumped, self.post_notifiers) {
            (false, false, _) => Stage::Before(NO_PANIC),
            (_, true, Some(false)) => Stage::Before(BEFORE_JUMP),
            _ if self.ended => Stage::After(ENDED),
            _ => Stage::Unknown,
        }
    }

    fn words(&self, stage: &Stage) -> String {
        let on_stack = !self.calls.is_empty();
        match stage {
            Stage::Before(why) if *why == NO_PANIC => format!("None ran: {why}"),
            Stage::Before(why) if on_stack => format!(
                "Registered, none ran: the panicking CPU's stack shows panic() calling \
                 __crash_kexec, and {why}"
            ),
            Stage::Before(why) => {
                format!("Registered, none ran: the jump was made (CRASHTIME is set), and {why}")
            }
            Stage::InNotifiers(_) => {
                "The panicking CPU's stack shows panic() among the notifiers".into()
            }
            Stage::InDumpers(_) => {
                "The panicking CPU's stack shows panic() among the dumpers, after the notifiers"
                    .into()
            }
            Stage::After(why) => format!("All were called: {why}"),
            Stage::Unknown => {
                "It is not known how far panic() came: neither the panicking CPU's stack nor the \
                 log shows it"
                    .into()
            }
        }
    }
}

impl Stage {
    /// The function that the CPU stood in.
    #[must_use]
    pub(super) fn inside(&self) -> Option<u64> {
        match self {
            Self::InNotifiers(at) | Self::InDumpers(at) => *at,
            _ => None,
        }
    }

    /// Whether notifier `i` ran, `inside` being the one on the stack.
    #[must_use]
    pub(super) fn of_notifier(&self, i: usize, inside: Option<usize>) -> (Outcome, &'static str) {
        match self {
            Self::Before(why) => (Outcome::NotReached, why),
            Self::InNotifiers(_) => within(i, inside),
            Self::InDumpers(_) => (
                Outcome::Ran,
                "panic() was already among the dumpers, which come after the notifiers",
            ),
            Self::After(why) => (Outcome::Ran, why),
            Self::Unknown => (Outcome::Unknown, "nothing tells how far panic() came"),
        }
    }

    /// Whether dumper `i` ran.
    #[must_use]
    pub(super) fn of_dumper(&self, i: usize, inside: Option<usize>) -> (Outcome, &'static str) {
        match self {
            Self::Before(why) => (Outcome::NotReached, why),
            Self::InNotifiers(_) => (
                Outcome::NotReached,
                "panic() was still among the notifiers, which come before the dumpers",
            ),
            Self::InDumpers(_) => within(i, inside),
            Self::After(why) => (Outcome::Ran, why),
            Self::Unknown => (Outcome::Unknown, "nothing tells how far panic() came"),
        }
    }
}

/// By the place in the list of the one that was running.
fn within(i: usize, inside: Option<usize>) -> (Outcome, &'static str) {
    match inside.map(|inside| i.cmp(&inside)) {
        Some(std::cmp::Ordering::Less) => (
            Outcome::Ran,
            "one that comes after it is on the panicking CPU's stack",
        ),
        Some(std::cmp::Ordering::Equal) => (
            Outcome::Ran,
            "it is on the panicking CPU's stack: it had begun and not returned",
        ),
        Some(std::cmp::Ordering::Greater) => (
            Outcome::NotReached,
            "one that comes before it is on the panicking CPU's stack, not returned",
        ),
        None => (
            Outcome::Unknown,
            "the panicking CPU's stack shows the list being walked, not where in it",
        ),
    }
}

#[cfg(test)]
mod tests;
