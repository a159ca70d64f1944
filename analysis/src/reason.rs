//! Why it died, as far as the log tells: the class, the message, the place and a signature.
//!
//! [`collect`] finds the reports in a log by the table of [`shapes`] and chooses one; [`oops`] reads it;
//! [`blame`] names the frame to blame; [`explain`] keeps the sentences that say what was wrong.

pub mod class;
pub mod code;
pub mod collect;
pub mod frame;
pub mod name;
pub mod oops;
pub mod signature;

mod arrange;
mod blame;
mod explain;
mod shapes;
mod syndrome;
mod trust;

#[cfg(test)]
mod tests;

pub use crate::evidence::Line;
pub use class::Class;
pub use code::{Code, disassemble};
pub use collect::Collector;
pub use frame::Location;
pub use oops::{Oops, Stack};
pub use syndrome::Syndrome;
pub(crate) use syndrome::read_all as read_all_syndromes;
pub use trust::{Trust, Verdict};

use arrange::{arrange, blamed, stack};
use blame::Groups;
use collect::Found;
use serde::{Deserialize, Serialize};
use shapes::{Blame, Shape};

/// The kind of trouble of which a line of a log is the first; `None` for an ordinary line.
#[must_use]
pub fn opens(line: &str) -> Option<Class> {
    if class::panic_message(line).is_some() {
        return Some(Class::Other);
    }
    shapes::of_line(line).map(|shape| shape.class)
}

/// Why it died.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// The kind of death.
    pub class: Class,
    /// What panic() said; `None` when the oops itself started the capture kernel.
    pub message: Option<String>,
    /// The line that opened the trouble.
    pub headline: Option<String>,
    /// The bad address, in hex.
    pub address: Option<String>,
    /// What the block of the trouble says.
    pub oops: Oops,
    /// The function to blame.
    pub culprit: Option<Location>,
    /// `class:function:hash`, the same for the same bug on every machine (docs/signature.md).
    pub signature: String,
    /// The version of the signature's scheme; 1 in reports of older versions.
    #[serde(default = "first_version")]
    pub signature_version: u8,
    /// The frames that made the signature; empty where the message made it.
    #[serde(default)]
    pub signature_frames: Vec<Location>,
    /// The kernel's own sentences that explain: what was corrupt, by how much, which locks.
    #[serde(default)]
    pub explanation: Vec<String>,
    /// The task that holds what a hung task waits for, where the kernel names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker: Option<String>,
    /// The count of this oops since boot, if it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oops_number: Option<u32>,
    /// The first report of the log, if this one is not it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
    /// Reports in the log, this one included.
    #[serde(default)]
    pub reports: usize,
    /// How sure this is, and why.
    #[serde(default)]
    pub trust: Trust,
    /// Index of the block's first line in the log.
    pub first_line: usize,
    /// What the shape of the report says about helpers.
    #[serde(skip)]
    skip: Skip,
}

/// Frames of a trace that a report keeps.
const TRACE: usize = 128;

/// The first report of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct First {
    /// Its class.
    pub class: Class,
    /// Its function to blame.
    pub culprit: Option<Location>,
    /// Its headline.
    pub headline: String,
    /// Seconds before the report that is the reason.
    pub seconds_earlier: u64,
}

/// Helpers that a report passes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Skip(Option<Groups>);

impl Default for Skip {
    fn default() -> Self {
        Self(Some(Groups::COMMON))
    }
}

fn first_version() -> u8 {
    1
}

impl Reason {
    /// Reads the end of a log.
    #[must_use]
    pub fn from_log(log: &[Line]) -> Self {
        let mut collector = Collector::of_core();
        for line in log {
            collector.push(line.clone());
        }
        collector.finish()
    }

    /// The reason of a log that tells none.
    fn nothing(lines: usize) -> Self {
        Self {
            class: Class::Other,
            message: None,
            headline: None,
            address: None,
            oops: Oops::default(),
            culprit: None,
            signature: signature::of(Class::Other, &[], ""),
            signature_version: signature::VERSION,
            signature_frames: Vec::new(),
            explanation: Vec::new(),
            blocker: None,
            oops_number: None,
            first: None,
            reports: 0,
            trust: Trust::nothing(),
            first_line: lines,
            skip: Skip::default(),
        }
    }

    /// The reason that a report tells.
    /// `cut`: its lines go to the end of a log that may be cut off there.
    fn of(
        found: &Found,
        message: Option<String>,
        first: Option<&Found>,
        (reports, cut): (usize, bool),
    ) -> Self {
        let own = found.own();
        let mut oops = found.oops();
        let headline = found.headline();
        let mut class = found.class;
        let mut address = explain::bad_address(headline);
        address = address.or_else(|| explain::failing_address(&own));
        if class == Class::BadAddress && address.is_some_and(|address| address < class::LOW) {
            class = Class::NullDeref;
        }
        if let Some((real, null)) = explain::shadow_range(&own) {
            address = Some(real);
            if null {
                class = Class::NullDeref;
            }
        }
        // The address in the line of a stack overflow is hashed (%p); the register is not.
        let address = match class {
            Class::StackOverflow => oops.register("cr2").map(str::to_string),
            _ => address.map(|address| format!("{address:#x}")),
        };
        if let Some((comm, pid)) = explain::hung_task(headline) {
            // The task that hung, not the one that noticed.
            oops.comm = Some(comm.to_string());
            oops.pid = Some(pid);
            oops.cpu = None;
        }
        oops.complete(found.lines.iter().map(|line| line.text.as_str()));
        let named = arrange(found.shape, class, &mut oops, &own);
        let skip = skip(found.shape, named.as_ref());
        let before = found.before.iter().map(|line| line.text.as_str());
        let mut explanation = explain::sentences(before, found.headline(), &own);
        explanation.extend(match (class, message.as_deref()) {
            (Class::InitKilled, Some(message)) => explain::exit_code(message),
            (Class::Oom, _) => explain::largest(&own),
            _ => None,
        });
        let mut reason = Self {
            headline: found.message.is_none().then(|| headline.trim().to_string()),
            address,
            explanation,
            blocker: explain::blocker(&own),
            oops_number: found.number.filter(|number| *number > 1),
            first: first.map(|first| First::of(first, found)),
            reports,
            first_line: found.first_line,
            class,
            message,
            oops,
            skip: Skip(skip),
            ..Self::nothing(0)
        };
        reason.oops.open_end &= cut;
        reason.judge(named);
        reason.trust = Trust::of_log(&reason, found);
        reason.oops.trace.truncate(TRACE);
        reason
    }

    /// Names the culprit and the signature.
    fn judge(&mut self, named: Option<Location>) {
        let stack: Vec<&Location> = stack(&self.oops).collect();
        let culprit = self.skip.0.and_then(|groups| blamed(&stack, named, groups));
        let frames = signature::frames(&stack, culprit.as_ref());
        let words = self.message.as_deref().filter(|_| self.headline.is_none());
        let words = words.or(self.headline.as_deref()).unwrap_or_default();
        self.signature = signature::of(self.class, &frames, words);
        self.signature_frames = frames.into_iter().cloned().collect();
        self.culprit = culprit;
    }

    /// Whether a frame tells how the kernel spoke, allocated or locked, and not why.
    #[must_use]
    pub fn is_helper(&self, frame: &Location) -> bool {
        blame::is_helper(&frame.function, Groups::COMMON.and(Groups::ALLOC))
    }

    /// Whether a frame only tells how the kernel reported.
    #[must_use]
    pub fn is_report(&self, frame: &Location) -> bool {
        blame::is_helper(&frame.function, Groups::REPORT)
    }

    /// Whether the log told nothing that could tell this crash from another.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.culprit.is_none() && self.message.is_none() && self.headline.is_none()
    }

    /// Makes the signature of a crash that told nothing its own: `words` is what differs, such as the
    /// crash's time. Two crashes that nobody can read are not one bug.
    pub fn set_apart(&mut self, words: &str) {
        if self.is_blank() {
            self.signature = signature::unread(self.class, words);
        }
    }

    /// Lets the stack that was unwound from memory speak where the log does not: a message that was
    /// overwritten, a panic that printed no trace, or a trace of guesses.
    pub fn refine(&mut self, stack: &[Location]) {
        if let Some((place, caller)) = self.misnamed(stack)
            && let Some(frame) = self.oops.trace.get_mut(place)
        {
            *frame = caller;
            self.judge(None);
        }
        self.trust.compare(self.culprit.as_ref(), stack);
        if stack.is_empty() || self.oops.trace.iter().any(|frame| frame.reliable) {
            return;
        }
        let frames = match &self.oops.location {
            None => stack,
            // The trace goes on below the place of the fault, which the log has told.
            Some(at) => {
                let found = stack.iter().position(|frame| frame.function == at.function);
                found
                    .and_then(|i| stack.get(i.saturating_add(1)..))
                    .unwrap_or_default()
            }
        };
        if !frames.is_empty() {
            self.retrace(frames.to_vec());
        }
    }

    /// The culprit's place in the trace and who it is, where the log names another: a kernel that prints return
    /// addresses as they are (riscv64, s390x) names the function that lies behind a call which never returns,
    /// such as panic's. The stack in the core has the function that called, below the same caller.
    fn misnamed(&self, stack: &[Location]) -> Option<(usize, Location)> {
        let culprit = self.culprit.as_ref()?;
        if culprit.offset != 0 || culprit.size.is_none() || self.oops.location.is_some() {
            return None;
        }
        let trace = &self.oops.trace;
        let place = trace.iter().position(|frame| frame == culprit)?;
        let caller = trace.get(place.checked_add(1)?)?;
        let same =
            |frame: &Location| frame.function == caller.function && frame.offset == caller.offset;
        let below = stack.iter().position(same)?;
        let right = stack.get(below.checked_sub(1)?)?;
        Some((place, right.clone()))
    }

    /// The CPU that is stuck with interrupts off, where another one noticed and the log has no stack of it: a
    /// machine without NMIs cannot ask it.
    pub(crate) fn silent_cpu(&self) -> Option<u32> {
        let oops = &self.oops;
        let bare = oops.trace.is_empty() && oops.location.is_none();
        let line = self.headline.as_ref();
        let (_, cpu) = line
            .filter(|_| bare && self.class == Class::HardLockup)?
            .split_once(" LOCKUP on cpu ")?;
        cpu.parse().ok()
    }

    /// Names the task of the CPU that is stuck, and what lies on its stack: it saved no registers, so nobody
    /// knows which of it is called right now.
    pub(crate) fn refine_silent(&mut self, cpu: u32, task: (i32, &str), frames: Vec<Location>) {
        self.oops.cpu = Some(cpu);
        self.oops.pid = Some(task.0);
        self.oops.comm = Some(task.1.to_owned());
        self.oops.stacks = vec![Stack {
            title: "what lies on its stack, old and new".to_owned(),
            frames,
            ..Stack::default()
        }];
    }

    /// Lets the stack of the task that hung speak where the log's trace knows nothing outside the
    /// scheduler and the locks: the kernel marks what lies behind code without unwind tables with `?`.
    pub fn refine_hung(&mut self, stack: Vec<Location>) {
        self.trust.compare(self.culprit.as_ref(), &stack);
        if self.culprit.is_none() && !stack.is_empty() {
            self.retrace(stack);
        }
    }

    fn retrace(&mut self, trace: Vec<Location>) {
        self.oops.trace = trace;
        self.judge(None);
        self.trust.take_from_memory(self.culprit.as_ref());
    }
}

/// The helpers that a report passes over; `None` where no function is to blame.
fn skip(shape: &Shape, named: Option<&Location>) -> Option<Groups> {
    match (shape.blame, named) {
        (Blame::Nobody, _) | (Blame::Worker, None) => None,
        _ => Some(shape.skip),
    }
}

impl First {
    fn of(first: &Found, chosen: &Found) -> Self {
        let own = first.own();
        let mut oops = first.oops();
        let named = arrange(first.shape, first.class, &mut oops, &own);
        let stack: Vec<&Location> = stack(&oops).collect();
        let skip = skip(first.shape, named.as_ref());
        Self {
            class: first.class,
            culprit: skip.and_then(|groups| blamed(&stack, named, groups)),
            headline: first.headline().trim().to_string(),
            seconds_earlier: chosen.ts_nsec.saturating_sub(first.ts_nsec) / 1_000_000_000,
        }
    }
}
