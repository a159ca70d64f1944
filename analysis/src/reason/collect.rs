//! Finds the reports in a log, line by line, and chooses the one that tells why the kernel died.
//! Memory is bounded: of each report a block of lines is kept, of many reports the first and the last.

use super::class::{self, Class};
use super::oops::Oops;
use super::shapes::{self, Blame, Grade, Refers, Shape};
use super::{Line, Location, Reason};
use std::collections::VecDeque;

/// Lines of a report that are kept.
const BLOCK: usize = 1000;
/// Bytes of a report that are kept.
const BLOCK_BYTES: usize = 128 << 10;
/// Lines before a headline that may explain it.
const BEFORE: usize = 12;
/// Lines between the parts of one header.
const HEADER: usize = 16;
/// The same of a fault: arm64 says in 20 lines what the access was.
const FAULT_HEADER: usize = 32;
/// Reports that still take lines.
const OPEN: usize = 3;
/// Reports kept; beyond, those in the middle are only counted.
const KEPT: usize = 12;
/// Of these, the first ones.
const KEPT_FIRST: usize = 4;
/// Lines from a report of corrupt memory to the fault that came of it.
const FOLLOWS: usize = 250;

/// One report in a log.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) shape: &'static Shape,
    pub(super) class: Class,
    /// Index of the headline in the log.
    pub(super) first_line: usize,
    pub(super) ts_nsec: u64,
    caller: Option<u32>,
    /// `[#4]`: the count of oopses of this boot.
    pub(super) number: Option<u32>,
    /// What panic() said, if this is its line.
    pub(super) message: Option<String>,
    /// The lines before it, the headline's at the end.
    pub(super) before: Vec<Line>,
    /// The headline and the lines behind it.
    pub(super) lines: Vec<Line>,
    bytes: usize,
    /// Its headline has no time, though lines before it have.
    untimed: bool,
    /// Lines of it until the next report began.
    next: Option<usize>,
    has_frames: bool,
}

impl Found {
    pub(super) fn headline(&self) -> &str {
        self.lines.first().map_or("", |line| line.text.as_str())
    }

    fn is_stall(&self) -> bool {
        matches!(self.shape.blame, Blame::Stall | Blame::Waiter) || self.class == Class::HardLockup
    }

    /// The lines that are the report's own: up to the next report, without what others printed.
    pub(super) fn own(&self) -> Vec<&str> {
        let all = || self.lines.iter();
        let upto = self.next.unwrap_or(usize::MAX);
        let text = |line: &'_ Line| -> bool {
            // A backtrace that another CPU was asked for comes from that CPU.
            self.is_stall()
                || self.caller.is_none()
                || line.caller.is_none()
                || line.caller == self.caller
        };
        let own: Vec<&str> = all()
            .take(upto)
            .filter(|line| text(line))
            .map(|line| line.text.as_str())
            .collect();
        if self.ends_at_panic() || Oops::read(own.iter().copied()).has_stack() {
            return own;
        }
        // Two reports mixed into one another: its frames come after the other's header.
        all()
            .filter(|line| text(line))
            .map(|line| line.text.as_str())
            .collect()
    }

    /// Whether this report's own lines end before the next report. They do if there is no next report. They also do
    /// if the next one is the panic of a hard lockup: its stack is that of the CPU that noticed. The stack of the
    /// stuck CPU comes before it (kernel/watchdog.c).
    fn ends_at_panic(&self) -> bool {
        let Some(next) = self.next else {
            return true;
        };
        let panics = |line: &Line| class::panic_message(&line.text).is_some();
        self.class == Class::HardLockup && self.lines.get(next).is_some_and(panics)
    }

    /// Whether its stack was found after the header of another report.
    pub(super) fn is_borrowed(&self) -> bool {
        let Some(next) = self.next else {
            return false;
        };
        let other = self
            .lines
            .get(next)
            .is_some_and(|line| class::panic_message(&line.text).is_none());
        let own = self.lines.iter().take(next).map(|line| line.text.as_str());
        other && !self.is_stall() && !Oops::read(own).has_stack()
    }

    /// Whether its stack stands behind the line of the panic that it led to, and no report after that.
    fn ends_behind_panic(&self) -> bool {
        let Some(next) = self.next else {
            return false;
        };
        let panic = |line: &Line| class::panic_message(&line.text).is_some();
        let own = self.lines.iter().take(next).map(|line| line.text.as_str());
        let behind = self.lines.get(next.saturating_add(1)..).unwrap_or_default();
        self.lines.get(next).is_some_and(panic)
            && !Oops::read(own).has_stack()
            && !behind
                .iter()
                .any(|line| shapes::of_line(&line.text).is_some())
    }

    /// Whether a report of KASAN says what was accessed, where it says so (mm/kasan/report.c).
    pub(super) fn has_access(&self) -> bool {
        let free = self.headline().contains("-free in") && !self.headline().contains("use-after");
        let said = |line: &&str| {
            ["of size ", "at addr ", "accessing memory", "Pointer tag"]
                .iter()
                .any(|text| line.contains(text))
        };
        free || !self.headline().contains("BUG: KASAN") || self.own().iter().take(8).any(said)
    }

    /// Whether the place of the fault stands behind the header of another report, and so may be of either.
    pub(super) fn is_split(&self) -> bool {
        let Some(next) = self.next.filter(|_| self.shape.blame == Blame::Fault) else {
            return false;
        };
        let other = self.lines.get(next);
        if other.is_none_or(|line| class::panic_message(&line.text).is_some()) {
            return false;
        }
        let text = |line: &'_ Line| line.text.clone();
        let own: Vec<String> = self.lines.iter().take(next).map(text).collect();
        let rest: Vec<String> = self
            .lines
            .iter()
            .skip(next)
            .take(HEADER)
            .map(text)
            .collect();
        let placed = |lines: &[String]| {
            Oops::read(lines.iter().map(String::as_str))
                .location
                .is_some()
        };
        let shown = self.headline().split_once(" at ").map(|(_, place)| place);
        let named = shown.and_then(|place| Location::parse(place.split(' ').nth(1)?));
        named.is_some_and(|named| {
            !placed(&own)
                && rest
                    .iter()
                    .any(|line| line.contains("RIP: ") && line.contains(&named.function))
        })
    }

    /// The report as facts.
    pub(super) fn oops(&self) -> Oops {
        Oops::read(self.own().into_iter().chain(std::iter::once("")))
    }

    /// Whether it is about a lock whose own state is wrong, not about the order of locks.
    fn is_corrupt_lock(&self) -> bool {
        let state = ["trying to lock", "trying to release lock"];
        self.class == Class::Lockdep
            && match self.shape.blame {
                Blame::At(phrase) => state.contains(&phrase),
                Blame::Fault => true,
                _ => false,
            }
    }

    /// Whether the same task reports both.
    fn is_by(&self, other: &Self) -> bool {
        let (own, other) = (self.oops().pid, other.oops().pid);
        own.is_some() && own == other
    }

    fn is_oops(&self) -> bool {
        let asked = self.class == Class::Sysrq && self.number.is_none();
        self.shape.grade == Grade::Fatal && self.message.is_none() && !asked
    }
}

/// Takes a log line by line. See [`Reason::from_log`].
#[derive(Debug, Default)]
pub struct Collector {
    lines: usize,
    before: VecDeque<Line>,
    found: Vec<Found>,
    /// Reports found and not kept.
    dropped: usize,
    reports: usize,
    /// The log ends where the kernel died, and is not cut off there.
    core: bool,
}

impl Collector {
    /// A collector that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for the log of a core. It ends where the kernel died: without a panic message the last
    /// oops started the capture kernel.
    #[must_use]
    pub fn of_core() -> Self {
        Self {
            core: true,
            ..Self::default()
        }
    }

    /// Takes the next line.
    pub fn push(&mut self, line: Line) {
        let index = self.lines;
        self.lines = self.lines.saturating_add(1);
        let message = class::panic_message(&line.text);
        let shape = match message {
            Some(message) => Some(of_panic(message)),
            None => shapes::of_line(&line.text),
        };
        if let Some(shape) =
            shape.filter(|shape| message.is_some() || !self.continues(shape, &line, index))
        {
            let message = message.map(str::to_string);
            self.begin(shape, message, &line, index);
        }
        let is_frame =
            Location::parse(&line.text).is_some() || Location::parse_arm(&line.text).is_some();
        for found in self.found.iter_mut().rev().take(OPEN) {
            // Lines of programs stand between those of the kernel.
            if line.untimed && !found.untimed && !is_frame {
                continue;
            }
            found.has_frames |= is_frame;
            found.number = found
                .number
                .or_else(|| class::oops_number(&line.text).filter(|_| found.lines.len() < HEADER));
            if found.lines.len() < BLOCK && found.bytes < BLOCK_BYTES {
                found.bytes = found.bytes.saturating_add(line.text.len());
                found.lines.push(line.clone());
            }
        }
        self.before.push_back(line);
        if self.before.len() > BEFORE {
            self.before.pop_front();
        }
    }

    /// Whether the line is a further part of the header of the last report.
    fn continues(&mut self, shape: &'static Shape, line: &Line, index: usize) -> bool {
        let Some(last) = self.found.last_mut() else {
            return false;
        };
        let other = last.caller.is_some() && line.caller.is_some() && last.caller != line.caller;
        let header = match last.shape.grade {
            Grade::Fatal => FAULT_HEADER,
            _ => HEADER,
        };
        let near = index.saturating_sub(last.first_line) <= header;
        if last.message.is_some() || other && !last.is_stall() {
            return false;
        }
        if last.shape.blame == Blame::Stall && shape.class == last.class {
            return near || !last.has_frames;
        }
        if last.has_frames || !near {
            return false;
        }
        // A kmemleak report with and without syzkaller's line before it.
        if last.class == Class::MemoryLeak && shape.class == last.class {
            return true;
        }
        if last.shape.opens {
            if matches!(shape.class, Class::Warn | Class::Bug | Class::Trap)
                || shape.class == last.class
            {
                // The header says whether it was fatal.
                if matches!(last.class, Class::Warn | Class::Bug) && shape.class != Class::Trap {
                    last.class = shape.class;
                }
                return true;
            }
            return false;
        }
        // `kernel BUG at` and its trap; a bad address and `Internal error: Oops`.
        last.shape.grade == Grade::Fatal
            && matches!(
                shape.class,
                Class::Trap
                    | Class::GeneralProtection
                    | Class::Bug
                    | Class::BadAddress
                    | Class::StackOverflow
                    | Class::DoubleFault
            )
            || shape.class == last.class && last.shape.text == shape.text
            || last.class == Class::Slab && shape.class == Class::Slab
    }

    fn begin(&mut self, shape: &'static Shape, message: Option<String>, line: &Line, index: usize) {
        self.reports = self
            .reports
            .saturating_add(usize::from(message.is_none() && shape.grade > Grade::Note));
        // A remark in one line ends no report: it may stand between the frames of one.
        let remark =
            message.is_none() && shape.grade == Grade::Note && shape.blame == Blame::Nobody;
        for found in self.found.iter_mut().rev().take(OPEN).filter(|_| !remark) {
            found.next = found.next.or(Some(found.lines.len()));
        }
        if self.found.len() >= KEPT {
            self.found.remove(KEPT_FIRST);
            self.dropped = self.dropped.saturating_add(1);
        }
        self.found.push(Found {
            shape,
            class: super::explain::refine(shape.class, &line.text),
            first_line: index,
            ts_nsec: line.ts_nsec,
            caller: line.caller,
            number: class::oops_number(&line.text),
            message,
            before: self.before.iter().cloned().collect(),
            lines: Vec::new(),
            bytes: 0,
            untimed: line.untimed,
            next: None,
            has_frames: false,
        });
    }

    /// The reason that the lines tell.
    #[must_use]
    pub fn finish(self) -> Reason {
        let panic = self.found.iter().rposition(|found| found.message.is_some());
        let chosen = match panic {
            Some(at) => self.by_panic(at),
            None => self.by_weight(),
        };
        let message = panic.and_then(|at| self.found.get(at)?.message.clone());
        let Some(found) = chosen.and_then(|at| self.found.get(at)) else {
            return Reason::nothing(self.lines);
        };
        let first = self
            .found
            .iter()
            .find(|other| other.shape.grade > Grade::Note && other.message.is_none());
        let first = first.filter(|first| first.first_line < found.first_line);
        let at_end = found.lines.len().saturating_add(found.first_line) >= self.lines;
        // Its stack goes to the end of the log, behind a panic's line, too.
        let last = found.next.is_none() || found.ends_behind_panic();
        let cut = !self.core && last && at_end;
        Reason::of(found, message, first, (self.reports, cut))
    }

    /// The report that a panic's message means.
    fn by_panic(&self, at: usize) -> Option<usize> {
        let panic = self.found.get(at)?;
        let message = panic.message.as_deref().unwrap_or_default();
        let earlier = self.found.get(..at)?;
        let reports = || {
            earlier
                .iter()
                .enumerate()
                .filter(|(_, found)| found.message.is_none())
        };
        let last = |wanted: &dyn Fn(&Found) -> bool| {
            reports()
                .rev()
                .find(|(_, found)| wanted(found))
                .map(|(i, _)| i)
        };
        let found = match shapes::refers(message) {
            Some(Refers::To(class)) => last(&|found| found.class == class),
            Some(Refers::Warning) => last(&|found| found.shape.grade == Grade::Serious),
            Some(Refers::Oops) => {
                // Several CPUs may oops at once: the one whose report panicked, else the last.
                let same = |found: &Found| {
                    found.is_oops() && panic.caller.is_some() && found.caller == panic.caller
                };
                let oops = last(&same).or_else(|| last(&Found::is_oops));
                oops.map(|oops| self.cause(oops))
            }
            None => {
                let class = panic.class;
                match class {
                    Class::Other => None,
                    // init's own oops, where it had one.
                    Class::InitKilled => reports()
                        .rev()
                        .find(|(_, found)| found.is_oops() && found.oops().pid == Some(1))
                        .map(|(i, _)| i),
                    // The first of several of that kind: the others wait for it, as a rule.
                    _ => {
                        let same = reports()
                            .find(|(_, found)| found.class == class)
                            .map(|(i, _)| i);
                        let broken = matches!(class, Class::StackOverflow | Class::StackCorruption);
                        let cause = broken.then(|| self.cause(same.unwrap_or(at)));
                        cause.or(same)
                    }
                }
            }
        };
        found.or_else(|| {
            // A message that refers to a report which the log does not hold.
            let refers = shapes::refers(message).is_some();
            let heaviest = last(&|found| found.shape.grade >= Grade::Serious).filter(|_| refers);
            heaviest.or(Some(at))
        })
    }

    /// The report that explains an oops: one of corrupt memory or locks shortly before it, by the same
    /// task, is its cause.
    fn cause(&self, oops: usize) -> usize {
        let Some(found) = self.found.get(oops) else {
            return oops;
        };
        let before = self.found.get(..oops).unwrap_or_default();
        let near = |earlier: &Found| found.first_line.saturating_sub(earlier.first_line) <= FOLLOWS;
        let cause = before.iter().rposition(|earlier| {
            let corrupt = matches!(
                earlier.class,
                Class::Kasan
                    | Class::Kmsan
                    | Class::Kfence
                    | Class::Slab
                    | Class::ListCorruption
                    | Class::Ubsan
                    | Class::Refcount
            );
            // With workqueue.panic_on_stall the watchdog of the workqueues ends in BUG() (6.11 to 6.18).
            let stuck = earlier.class == Class::WorkqueueLockup
                && found.headline().contains("kernel/workqueue.c");
            near(earlier) && (corrupt || stuck || earlier.is_corrupt_lock() && earlier.is_by(found))
        });
        cause.unwrap_or(oops)
    }

    /// Without a panic: the oops that a core ends with, else the first report that is serious. A warning
    /// is not the reason where a task died.
    fn by_weight(&self) -> Option<usize> {
        let last = self.found.iter().rposition(Found::is_oops);
        if let Some(oops) = last.filter(|_| self.core) {
            return Some(self.cause(oops));
        }
        let fatal = self.found.iter().any(Found::is_oops);
        let first = |least: Grade| {
            let heavy = |found: &Found| {
                found.shape.grade >= least && !(fatal && found.class == Class::Warn)
            };
            self.found.iter().position(heavy)
        };
        first(Grade::Serious).or_else(|| first(Grade::Note))
    }
}

/// The shape of panic()'s line.
fn of_panic(message: &str) -> &'static Shape {
    static OTHER: Shape = Shape {
        text: "",
        class: Class::Other,
        grade: Grade::Fatal,
        blame: Blame::Trace,
        skip: super::blame::Groups::COMMON,
        opens: false,
    };
    shapes::of_message(message).unwrap_or(&OTHER)
}

#[cfg(test)]
mod tests;
