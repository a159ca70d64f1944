//! How sure a reason is, from what agrees: the log with itself, and the log with the stack in the core.

use super::collect::Found;
use super::explain;
use super::name::normalise;
use super::shapes::{self, Blame};
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
        let nobody = names_nobody(reason, found);
        if let Some(why) = doubt(reason, found) {
            return Self::new(Verdict::Unclear, why);
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
            return match without_stack(found) {
                true => Self::new(
                    Verdict::Likely,
                    "the kernel names it; such a report has no stack",
                ),
                false => Self::new(
                    Verdict::Unclear,
                    "the report in the log has no call trace: it is cut off or damaged",
                ),
            };
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
            (Blame::Worker, _, _) => Self::new(
                Verdict::Likely,
                "the kernel names it as the work item that keeps the pool busy",
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

const BUSY: &str = "no stack in the log shows what the CPU was busy with";

/// What speaks against the report that a log holds.
fn doubt(reason: &Reason, found: &Found) -> Option<&'static str> {
    let oops = &reason.oops;
    let nobody = names_nobody(reason, found);
    let busy = matches!(
        found.shape.blame,
        Blame::Stall | Blame::Waiter | Blame::Worker
    );
    if explain::is_cut(oops) && !nobody && reason.culprit.is_none() {
        return Some(match found.class {
            Class::HardLockup => BUSY,
            _ => "the report in the log has no stack: it is cut off or damaged",
        });
    }
    if let Some(message) = &found.message {
        let waits = matches!(
            found.class,
            Class::HungTask | Class::SoftLockup | Class::RcuStall
        );
        if waits || shapes::refers(message).is_some() {
            return Some("the report that the panic means is not in the log");
        }
    }
    if oops.guessed && found.shape.blame == Blame::Stall {
        return Some(BUSY);
    }
    let culprit = reason.culprit.as_ref().map(|at| &at.function);
    let at_fault = culprit.is_some() && oops.location.as_ref().map(|at| &at.function) == culprit;
    if !busy
        && (oops.mixed || found.is_borrowed() || found.is_split() || oops.injected && !at_fault)
    {
        return Some("lines of another report stand between those of this one");
    }
    if oops.headless && !nobody {
        return Some("a stack of the report has no frames: lines are missing");
    }
    if oops.open_end && behind(reason) < CERTAIN {
        return Some("the log ends in the middle of the stack");
    }
    if SECOND_LINES
        .iter()
        .any(|text| found.headline().contains(text))
    {
        return Some("the beginning of the report is missing");
    }
    if let Blame::Titled(phrase) = found.shape.blame
        && !oops.stacks.iter().any(|stack| stack.title.contains(phrase))
    {
        return Some(
            "the stack that would name the owner is not in the log; this one only found it",
        );
    }
    if found.class == Class::Kasan && !found.has_access() {
        return Some("the report does not say what was accessed: lines are missing");
    }
    None
}

/// Whether no function can be to blame: the kind of report names none, or the log does not say which work
/// item keeps a pool busy.
fn names_nobody(reason: &Reason, found: &Found) -> bool {
    match found.shape.blame {
        Blame::Nobody => true,
        Blame::Worker => reason.culprit.is_none(),
        _ => false,
    }
}

/// Frames behind the culprit that show that the stack was long enough to find it.
const CERTAIN: usize = 2;

/// Frames of the trace behind the culprit.
fn behind(reason: &Reason) -> usize {
    let name = reason.culprit.as_ref().map(|at| &at.function);
    let sure = reason
        .oops
        .trace
        .iter()
        .rev()
        .filter(|frame| frame.reliable);
    sure.take_while(|frame| Some(&frame.function) != name)
        .count()
}

/// Lines of a report that stand at its beginning only where what comes before is lost (mm/slub.c).
const SECOND_LINES: [&str; 2] = ["INFO: Freed in ", "INFO: Allocated in "];

/// Whether the kernel prints no stack in reports of this kind (kernel/locking/lockdep.c,
/// kernel/workqueue.c until 6.9 where no lock is held).
fn without_stack(found: &Found) -> bool {
    match found.shape.blame {
        Blame::At(phrase) => phrase == "locks still held",
        Blame::Word(_) | Blame::Worker => true,
        _ => false,
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
