//! How sure a reason is, from what agrees: the log with itself, and the log with the stack in the core.

use super::collect::Found;
use super::explain;
use super::name::normalise;
use super::shapes::Blame;
use super::{Class, Location, Reason};
use serde::{Deserialize, Serialize};

/// How sure.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// Two independent sources agree, or the kernel itself names the place.
    Sure,
    /// One source says so and nothing speaks against it.
    Likely,
    /// Something is missing or contradicts.
    #[default]
    Unclear,
}

impl Verdict {
    /// The word in text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sure => "sure",
            Self::Likely => "likely",
            Self::Unclear => "unclear",
        }
    }
}

/// A verdict and its ground.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trust {
    /// How sure.
    pub verdict: Verdict,
    /// Why, as the end of a sentence that begins with "because".
    pub because: String,
}

impl Trust {
    fn new(verdict: Verdict, because: &str) -> Self {
        Self {
            verdict,
            because: because.to_string(),
        }
    }

    pub(super) fn nothing() -> Self {
        Self::new(Verdict::Unclear, "the log holds no report of a crash")
    }

    /// What the log alone supports.
    pub(super) fn of_log(reason: &Reason, found: &Found) -> Self {
        let oops = &reason.oops;
        let nobody = found.shape.blame == Blame::Nobody;
        if explain::is_cut(oops) && !nobody && reason.culprit.is_none() {
            return Self::new(
                Verdict::Unclear,
                "the report in the log has no stack: it is cut off or damaged",
            );
        }
        let busy = matches!(found.shape.blame, Blame::Stall | Blame::Waiter);
        if !busy && (oops.mixed || found.is_borrowed()) {
            return Self::new(
                Verdict::Unclear,
                "lines of another report stand between those of this one",
            );
        }
        if reason.class == Class::Other {
            return Self::new(
                Verdict::Likely,
                "the panic message is of no known kind; its stack is given as it is",
            );
        }
        if nobody {
            return Self::new(Verdict::Likely, "the log says so; no function is to blame");
        }
        let Some(culprit) = &reason.culprit else {
            return Self::new(
                Verdict::Unclear,
                "every function in the stack is a helper of others",
            );
        };
        if oops.trace.is_empty() {
            return Self::new(
                Verdict::Unclear,
                "the report in the log has no call trace: it is cut off or damaged",
            );
        }
        if !oops.trace.iter().any(|frame| frame.reliable) {
            return Self::new(
                Verdict::Unclear,
                "the kernel marks every frame of the trace as a guess",
            );
        }
        let same = |frame: &Location| normalise(&frame.function) == normalise(&culprit.function);
        let at_fault = oops.location.as_ref().is_some_and(same);
        let named = matches!(
            found.shape.blame,
            Blame::Named | Blame::At(_) | Blame::Word(_)
        );
        let in_trace = oops.trace.iter().any(same);
        match (found.shape.blame, at_fault, named && in_trace) {
            (Blame::Stall, _, _) => Self::new(
                Verdict::Likely,
                "the CPU was found there; the loop may be in a caller",
            ),
            (Blame::Waiter, _, _) => Self::new(
                Verdict::Likely,
                "the task waits there; who holds what it waits for is to blame",
            ),
            (_, true, _) if accesses_address(reason) => Self::new(
                Verdict::Sure,
                "the instruction pointer was in it, and the instruction there accesses that address",
            ),
            (_, true, _) => Self::new(Verdict::Sure, "the instruction pointer was in it"),
            (_, _, true) => Self::new(Verdict::Sure, "the kernel names it and the trace holds it"),
            _ => Self::new(
                Verdict::Likely,
                "it is the first function of the trace that is no helper",
            ),
        }
    }

    /// Compares the culprit with the stack in the core.
    pub(super) fn compare(&mut self, culprit: Option<&Location>, stack: &[Location]) {
        let Some(culprit) = culprit.filter(|_| !stack.is_empty()) else {
            return;
        };
        let name = normalise(&culprit.function);
        if stack.iter().any(|frame| normalise(&frame.function) == name) {
            *self = Self::agreed();
        }
    }

    pub(super) fn agreed() -> Self {
        Self::new(Verdict::Sure, "the log and the stack in the core agree")
    }

    /// The culprit comes from the core alone.
    pub(super) fn take_from_memory(&mut self, culprit: Option<&Location>) {
        *self = match culprit {
            Some(_) => Self::new(
                Verdict::Likely,
                "the stack in the core says so; the log has no trace",
            ),
            None => Self::new(
                Verdict::Unclear,
                "neither the log nor the stack in the core names a function",
            ),
        };
    }
}

/// Whether the instruction at fault accesses the address that the report names.
fn accesses_address(reason: &Reason) -> bool {
    /// Bytes of the widest access.
    const WIDEST: u64 = 64;
    let text = reason
        .address
        .as_deref()
        .and_then(|text| text.strip_prefix("0x"));
    let named = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    let code = reason.oops.code.as_ref();
    let accessed = code.and_then(|code| code.accesses(&reason.oops.registers));
    match (named, accessed) {
        (Some(named), Some(accessed)) => named.wrapping_sub(accessed) < WIDEST,
        _ => false,
    }
}
