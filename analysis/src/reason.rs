//! Why it died, as far as the log tells: the class, the message, the place and a signature.
//!
//! [`collect`] finds the reports in a log by the table of [`shapes`] and chooses one; [`oops`] reads it;
//! [`blame`] names the frame to blame; [`explain`] keeps the sentences that say what was wrong.

pub mod class;
pub mod code;
pub mod collect;
pub mod frame;
pub mod oops;
pub mod signature;

mod blame;
mod explain;
mod shapes;
mod trust;

#[cfg(test)]
#[path = "reason/tests.rs"]
mod shapes_tests;

pub use crate::evidence::Line;
pub use class::Class;
pub use code::{Code, disassemble};
pub use collect::Collector;
pub use frame::Location;
pub use oops::{Oops, Stack};
pub use trust::{Trust, Verdict};

use blame::Groups;
use collect::Found;
use serde::{Deserialize, Serialize};
use shapes::{Blame, Shape};

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

/// Lines behind the phrase that names a lock.
const LOCK_LINES: usize = 6;

/// Calls of a function by itself that are recursion.
const SELF_CALLS: usize = 4;

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
    fn of(found: &Found, message: Option<String>, first: Option<&Found>, reports: usize) -> Self {
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
        let skip = match found.shape.blame {
            Blame::Nobody => None,
            _ => Some(found.shape.skip),
        };
        let mut explanation = explain::sentences(found, &own);
        explanation.extend(
            message
                .as_deref()
                .filter(|_| class == Class::InitKilled)
                .and_then(explain::exit_code),
        );
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

impl First {
    fn of(first: &Found, chosen: &Found) -> Self {
        let own = first.own();
        let mut oops = first.oops();
        let named = arrange(first.shape, first.class, &mut oops, &own);
        let stack: Vec<&Location> = stack(&oops).collect();
        Self {
            class: first.class,
            culprit: blamed(&stack, named, first.shape.skip)
                .filter(|_| first.shape.blame != Blame::Nobody),
            headline: first.headline().trim().to_string(),
            seconds_earlier: chosen.ts_nsec.saturating_sub(first.ts_nsec) / 1_000_000_000,
        }
    }
}

/// The frames that can be to blame, innermost first.
fn stack(oops: &Oops) -> impl Iterator<Item = &Location> {
    let sure = oops.trace.iter().any(|frame| frame.reliable);
    let trace = oops
        .trace
        .iter()
        .filter(move |frame| frame.reliable || !sure);
    // Where the fault has no place, who called there comes next.
    let link = oops
        .link
        .iter()
        .filter(|_| oops.location.is_none() && oops.trace.is_empty());
    oops.location.iter().chain(link).chain(trace)
}

/// The function to blame: the named one unless it is a helper, else the first that is none.
fn blamed(stack: &[&Location], named: Option<Location>, groups: Groups) -> Option<Location> {
    let Some(named) = named else {
        let first = blame::first(stack.iter().copied(), groups);
        // Nobody is to blame at the gate of the kernel.
        let first = first.filter(|frame| !blame::is_gate(&frame.function));
        // Helpers all the way: the innermost that does not only report, unless the stack is of one that waits.
        let stack = if groups.has(Groups::WAIT) { &[] } else { stack };
        let first = first.or_else(|| blame::first(stack.iter().copied(), Groups::REPORT));
        return first.cloned();
    };
    let at = stack
        .iter()
        .position(|frame| frame.function == named.function);
    if !blame::is_helper(&named.function, groups.and(Groups::ENTRY)) {
        // The frame of the trace knows more, such as its line.
        let frame = at
            .and_then(|at| stack.get(at))
            .map(|frame| (*frame).clone());
        return Some(frame.unwrap_or(named));
    }
    blame::first(stack.iter().copied(), groups).cloned()
}

/// Puts the stack that tells why in front, as the shape says; answers the function that the report
/// itself names.
fn arrange(shape: &Shape, class: Class, oops: &mut Oops, own: &[&str]) -> Option<Location> {
    match shape.blame {
        Blame::Named => {
            oops.location = None;
            let headline = own.first()?;
            let (_, rest) = headline
                .rsplit_once(" in ")
                .or_else(|| headline.rsplit_once(" at "))?;
            let name = rest.split(['/', ' ', '+']).next()?;
            Location::parse(rest).or_else(|| bare_name(name))
        }
        Blame::Trace => {
            oops.location = None;
            None
        }
        Blame::Titled(phrase) => {
            oops.location = None;
            let stack = oops
                .stacks
                .iter()
                .find(|stack| stack.title.contains(phrase))?;
            blame::first(stack.frames.iter(), shape.skip).cloned()
        }
        Blame::Entry => entry(oops),
        Blame::At(phrase) => {
            oops.location = None;
            let places = locked_at(own, phrase);
            let groups = shape.skip.and(Groups::ENTRY);
            // A work item's lock is taken for whoever waits for it: that is in the chain.
            let chain = oops
                .stacks
                .iter()
                .filter(|stack| stack.title.starts_with("-> #"));
            let chain = chain.flat_map(|stack| &stack.frames);
            let chain = chain.filter(|_| {
                places
                    .iter()
                    .any(|place| blame::is_helper(&place.function, Groups::ENTRY))
            });
            blame::first(places.iter().chain(chain), groups).cloned()
        }
        Blame::Word(phrase) => {
            oops.location = None;
            let text = own
                .iter()
                .find_map(|line| line.split_once(phrase).map(|(_, rest)| rest))?;
            Location::parse(text).or_else(|| bare_name(text.split([' ', '[']).next()?))
        }
        Blame::Stall => {
            stalled(class, oops);
            None
        }
        Blame::Waiter => {
            oops.location = None;
            None
        }
        Blame::Fault | Blame::Nobody => {
            if class == Class::HardLockup {
                stalled(class, oops);
            }
            None
        }
    }
}

/// The function that entered a stack which ran out. A function that calls itself is named itself.
fn entry(oops: &Oops) -> Option<Location> {
    let frames: Vec<&Location> = stack(oops).collect();
    let innermost = blame::first(frames.iter().copied(), Groups::COMMON)?;
    let again = frames.windows(2).filter(|pair| matches!(pair, [a, b] if a.function == b.function && a.function == innermost.function));
    if again.count() >= SELF_CALLS {
        return Some(innermost.clone());
    }
    let end = frames
        .iter()
        .position(|frame| blame::dispatches(&frame.function))?;
    let before = frames.get(..end)?.iter().rev().copied();
    blame::first(before, Groups::COMMON).cloned()
}

/// A function without an offset.
fn bare_name(name: &str) -> Option<Location> {
    let name = name.trim();
    let address = name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (frame::is_name(name) && !name.starts_with('<') && !address).then(|| Location {
        function: name.to_string(),
        reliable: true,
        ..Location::default()
    })
}

/// The places behind `at:` on the line with the phrase and on those behind it.
fn locked_at(own: &[&str], phrase: &str) -> Vec<Location> {
    let from = own.iter().position(|line| line.contains(phrase));
    let lines = own
        .iter()
        .skip(from.unwrap_or(own.len()))
        .take(LOCK_LINES)
        .enumerate();
    lines
        .filter_map(|(i, line)| {
            let line = if i == 0 {
                line.split_once(phrase)?.1
            } else {
                line
            };
            let place = match line.split_once(" at: ") {
                Some((_, rest)) => rest,
                // `… is trying to release lock (&a->lock) at:`, and the place on the next line.
                None if i == 1 => line.trim_start().strip_prefix("[<")?.split_once(">] ")?.1,
                None => line
                    .split_once(" at ")
                    .map(|(_, rest)| rest)
                    .filter(|_| i == 0)?,
            };
            Location::parse(place.trim_start_matches(','))
        })
        .collect()
}

/// Of a CPU that was found busy: what it ran, without the interrupt that found it.
fn stalled(class: Class, oops: &mut Oops) {
    let idle = |stack: &Stack| {
        let first = stack.at.as_ref().or(stack.frames.first());
        first.is_some_and(|frame| blame::is_idle(&frame.function))
    };
    let mut all: Vec<Stack> = Vec::new();
    all.push(Stack {
        at: oops.location.take(),
        frames: std::mem::take(&mut oops.trace),
        interrupted: oops.interrupted,
        ..Stack::default()
    });
    all.append(&mut oops.stacks);
    // A stack of the interrupt alone says nothing: the next one may be of the CPU that was asked.
    let told = |stack: &Stack| {
        stack.at.is_some() || stack.interrupted.is_some() || below_tick(&stack.frames).is_some()
    };
    let by_nmi = |stack: &Stack| stack.title.starts_with("NMI backtrace");
    let best = all.iter().position(|stack| {
        told(stack)
            && !idle(stack)
            && (class != Class::RcuStall
                || by_nmi(stack)
                || stack.interrupted.is_some()
                || below_tick(&stack.frames).is_some())
    });
    let best = best.or_else(|| all.iter().position(|stack| told(stack) && !idle(stack)));
    let best = best.or_else(|| {
        all.iter()
            .position(|stack| !stack.frames.is_empty() && !idle(stack))
    });
    let Some(best) = best.or_else(|| all.iter().position(told)) else {
        return;
    };
    let mut chosen = all.remove(best);
    let from = match (chosen.interrupted, &chosen.at) {
        (Some(from), _) => Some(from),
        (None, Some(_)) => None,
        (None, None) => below_tick(&chosen.frames),
    };
    if let Some(from) = from {
        chosen.frames = chosen.frames.split_off(from.min(chosen.frames.len()));
        chosen.at = None;
    }
    oops.location = chosen.at;
    oops.trace = chosen.frames;
    all.retain(|stack| !stack.frames.is_empty());
    oops.stacks = all;
}

/// Index of the first frame below the interrupt of a tick.
fn below_tick(frames: &[Location]) -> Option<usize> {
    let last = frames
        .iter()
        .rposition(|frame| blame::is_interrupt(&frame.function))?;
    let from = last.saturating_add(1);
    (from < frames.len()).then_some(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Vec<Line> {
        text.lines()
            .map(|text| Line {
                text: text.to_string(),
                ..Line::default()
            })
            .collect()
    }

    #[test]
    fn sysrq_is_told_by_its_message() {
        let reason = Reason::from_log(&log("\
sysrq: Trigger a crash
Kernel panic - not syncing: sysrq triggered crash
CPU: 1 UID: 0 PID: 1 Comm: init Not tainted 6.12.1 #1
Call Trace:
 <TASK>
 panic+0x367/0x38a
 sysrq_handle_crash+0x1a/0x20
 __handle_sysrq.cold+0xa0/0xdf
 </TASK>
"));
        assert_eq!(reason.class, Class::Sysrq);
        assert_eq!(reason.culprit.unwrap().function, "sysrq_handle_crash");
        assert!(reason.signature.starts_with("sysrq:sysrq_handle_crash:"));
        assert_eq!(reason.first_line, 0);
    }

    #[test]
    fn an_oops_without_a_panic_line_is_found() {
        let reason = Reason::from_log(&log("\
WARNING: CPU: 0 PID: 9 at kernel/x.c:1 warned+0x1/0x2
---[ end trace 0000000000000000 ]---
BUG: kernel NULL pointer dereference, address: 0000000000000018
#PF: supervisor write access in kernel mode
Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 77 Comm: a b Tainted: G        W          6.12.1 #1
RIP: 0010:fall+0x4/0x10
"));
        assert_eq!(reason.class, Class::NullDeref);
        assert_eq!(reason.address.as_deref(), Some("0x18"));
        assert_eq!(reason.oops.comm.as_deref(), Some("a b"));
        assert_eq!(reason.culprit.unwrap().function, "fall");
        assert_eq!(reason.first_line, 2);
    }

    #[test]
    fn a_stack_overflow_has_the_address_of_the_register() {
        let reason = Reason::from_log(&log("\
BUG: TASK stack guard page was hit at 0000000059505698 (stack is 00000000aa..00000000bb)
Oops: stack guard page: 0000 [#1] PREEMPT SMP NOPTI
RIP: 0010:acme_recurse+0x2e/0x45 [acme]
CR2: ffffb0c00000fff8 CR3: 0000000003e2c000 CR4: 00000000000006f0
"));
        assert_eq!(reason.class, Class::StackOverflow);
        assert_eq!(reason.address.as_deref(), Some("0xffffb0c00000fff8"));
    }

    #[test]
    fn a_hung_task_is_named_with_what_it_wanted() {
        let reason = Reason::from_log(&log("\
INFO: task acme:forth:212 blocked for more than 4 seconds.
      Tainted: G           OE      6.12.1 #1
task:acme:forth      state:D stack:0     pid:212   tgid:212   ppid:2
Call Trace:
 <TASK>
 __schedule+0x3e2/0xb10
 schedule+0x27/0xf0
 schedule_preempt_disabled+0x15/0x30
 __mutex_lock.constprop.0+0x2d0/0x620
 acme_forth+0x30/0x60 [acme]
 kthread+0xd2/0x100
 </TASK>
Kernel panic - not syncing: hung_task: blocked tasks
CPU: 0 UID: 0 PID: 30 Comm: khungtaskd Tainted: G           OE      6.12.1 #1
Call Trace:
 <TASK>
 panic+0x118/0x2d0
 </TASK>
"));
        assert_eq!(reason.class, Class::HungTask);
        assert_eq!(reason.culprit.unwrap().function, "acme_forth");
        let oops = &reason.oops;
        assert_eq!(
            (oops.comm.as_deref(), oops.pid),
            (Some("acme:forth"), Some(212))
        );
        assert!(reason.signature.starts_with("hung-task:acme_forth:"));
    }

    #[test]
    fn a_hung_tasks_own_stack_says_what_the_log_only_guesses() {
        let mut reason = Reason::from_log(&log("\
INFO: task b:7 blocked for more than 10 seconds.
Call Trace:
 <TASK>
 __schedule+0x3e2/0xb10
 __mutex_lock.constprop.0+0x2d0/0x620
 ? acme_back+0x30/0x60 [acme]
 </TASK>
Kernel panic - not syncing: hung_task: blocked tasks
"));
        assert_eq!(reason.culprit, None);
        let frames = [
            "__schedule+0x1/0x2",
            "acme_back+0x3/0x4 [acme]",
            "kthread+0x1/0x2",
        ];
        let stack: Vec<Location> = frames.iter().filter_map(|t| Location::parse(t)).collect();
        reason.refine_hung(stack.clone());
        assert!(reason.signature.starts_with("hung-task:acme_back:"));
        let known = reason.clone();
        reason.refine_hung(stack.into_iter().skip(2).collect());
        assert_eq!(reason, known, "what is known stays");
    }

    #[test]
    fn a_log_without_trouble_is_other() {
        let reason = Reason::from_log(&log("one\ntwo\n"));
        assert_eq!(
            (reason.class, reason.message, reason.headline),
            (Class::Other, None, None)
        );
        assert_eq!(Reason::from_log(&[]).class, Class::Other);
    }

    #[test]
    fn the_stack_speaks_where_the_log_does_not() {
        let frames = [
            "__crash_kexec+0x1/0x2",
            "panic+0x1/0x2",
            "acme_stop+0x7/0x9 [acme]",
        ];
        let stack: Vec<Location> = frames
            .iter()
            .filter_map(|text| Location::parse(text))
            .collect();
        let mut reason = Reason::from_log(&log("Kernel panic - not syncing: acme: gone"));
        reason.refine(&stack);
        assert!(
            reason.signature.starts_with("other:acme_stop:"),
            "{}",
            reason.signature
        );
        let told = "Oops: 0000 [#1] SMP\nRIP: 0010:fall+0x4/0x10\nCall Trace:\n ? stale+0x1/0x2\n";
        let mut reason = Reason::from_log(&log(told));
        let before = reason.clone();
        reason.refine(&stack);
        assert_eq!(
            reason, before,
            "the stack knows nothing of the place of the fault"
        );
        let frames = ["die+0x1/0x2", "fall+0x4/0x10", "caller+0x3/0x9"];
        let stack: Vec<Location> = frames
            .iter()
            .filter_map(|text| Location::parse(text))
            .collect();
        reason.refine(&stack);
        assert_eq!(reason.oops.trace.len(), 1);
        assert_eq!(reason.oops.trace[0].function, "caller");
        let mut told = Reason::from_log(&log(&told.replace("? stale", "sure")));
        let mut before = told.clone();
        told.refine(&stack);
        before.trust = Trust::agreed();
        assert_eq!(told, before, "a trace that the log is sure of stays");
    }

    #[test]
    fn the_bug_headline_wins_over_its_trap() {
        let reason = Reason::from_log(&log("\
kernel BUG at fs/x.c:9!
Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
RIP: 0010:boom+0x4/0x10
Kernel panic - not syncing: Fatal exception
"));
        assert_eq!(reason.class, Class::Bug);
        assert_eq!(reason.message.as_deref(), Some("Fatal exception"));
    }
}
