//! Gathers a report. Nothing here fails: what cannot be read is named in the report's warnings.

use super::model::Report;
use super::section::Section;
use crate::evidence::{Line, Log};
use crate::reason::{Class, Code, Location, Reason};
use crate::system::System;
use crate::tasks::{self, State, Task};
use crate::unwind::{FrameKind, Trace, Trust, Unwinder, panic_cpu_or};
use crate::{checks, cpus, locks, memory, modules, mounts, notifiers, slabs};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use vmcore::kernel::{Kernel, chain};
use vmcore::printk::LogError;
use vmcore::time::Utc;

/// Bytes of the longest instruction of x86.
const LONGEST_INSTRUCTION: usize = 15;
/// Blocked tasks looked into; more are only counted.
const MAX_BLOCKED: usize = 256;

/// What a report should hold.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Lines of the log's end.
    pub log_tail: usize,
    /// The parts besides the head; the reason is always there.
    pub sections: &'a [Section],
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            log_tail: 20,
            sections: &Section::USUAL,
        }
    }
}

/// How long the kernel has been up: by its clock, or where that cannot be read by its last words. A
/// kernel that runs may have said the last of them long ago.
fn uptime(kernel: &Kernel, log: &[Line]) -> Option<u64> {
    let last = log.last().map(|line| line.ts_nsec);
    Some(last.max(cpus::clock(kernel))? / 1_000_000_000)
}

/// Builds the report of a crashed kernel.
#[must_use]
pub fn build(kernel: &Kernel, options: Options<'_>) -> Report {
    with_log(kernel, options).0
}

/// The same, with the log that it read.
pub(crate) fn with_log(kernel: &Kernel, options: Options<'_>) -> (Report, Result<Log, LogError>) {
    let mut warnings = Vec::new();
    let wants = |section: Section| options.sections.contains(&section);
    let system = System::read(kernel, &mut warnings);
    let read = Log::read(kernel);
    let empty = Log::empty();
    let log = match &read {
        Ok(log) => {
            warnings.extend(log.warnings.iter().cloned());
            log
        }
        Err(why) => {
            warnings.push(format!("the log: {}", chain(why)));
            &empty
        }
    };
    let unwinder = Unwinder::new(kernel);
    let panicked = panic_cpu_or(kernel, || log.reason.oops.cpu);
    let trace = panicked.map(|cpu| unwinder.cpu(cpu));
    let stack: Vec<Location> = trace.iter().flat_map(locations).collect();
    let cpus = cpus::read(kernel);
    let mut reason = log.reason.clone();
    if reason.class == Class::HungTask {
        reason.refine_hung(hung_stack(kernel, &unwinder, &reason));
    } else if let Some(cpu) = reason.silent_cpu() {
        if let Some(ran) = cpus.iter().flatten().find(|row| row.cpu == cpu) {
            let stack = locations(&unwinder.cpu(cpu));
            reason.refine_silent(cpu, (ran.pid, &ran.comm), stack);
        }
    } else {
        reason.refine(&stack);
    }
    if let (None, Some(trace)) = (&reason.oops.code, &trace) {
        reason.oops.code = code_at_fault(kernel, trace, &reason);
    }
    let crash_time = kernel.vmcoreinfo().crashtime();
    reason.set_apart(&format!("{crash_time:?} {}", system.uts.nodename));
    let mut report = Report {
        system,
        crash_time,
        crash_time_utc: crash_time.and_then(Utc::of).map(|utc| utc.to_string()),
        uptime_seconds: uptime(kernel, &log.tail),
        log_lines: u64::try_from(log.len()).unwrap_or(u64::MAX),
        stack: wants(Section::Stacks).then_some(stack),
        memory: wants(Section::Memory).then(|| memory::read(kernel)),
        notifiers: wants(Section::Notifiers)
            .then(|| notifiers::read(kernel, &unwinder, &reason, log.ended)),
        checks: wants(Section::Checks).then(|| checks::read(kernel, &unwinder)),
        ..Report::of(reason)
    };
    if wants(Section::Log) {
        let (first, lines) = log_part(log, options.log_tail);
        report.log_tail = lines.iter().map(stamped).collect();
        report.log_first = u64::try_from(first).ok();
    }
    let mut soft = Soft(warnings);
    if wants(Section::Stacks) {
        report.cpus = soft.keep("what the CPUs ran", cpus);
    }
    let waits = wants(Section::Blocked) || wants(Section::Locks);
    if wants(Section::Tasks) || waits {
        let (counts, waiting) = count_tasks(kernel, &mut soft);
        // Without the tasks nobody can tell who waits: no answer, instead of "0".
        let known = waits && counts.is_some();
        report.tasks = counts.filter(|_| wants(Section::Tasks));
        let blocked = known.then(|| locks::blocked(kernel, &unwinder, &waiting));
        let by_lock = blocked.as_ref().filter(|_| wants(Section::Locks));
        report.locks = by_lock.map(locks::by_lock);
        report.blocked = blocked.filter(|_| wants(Section::Blocked));
    }
    if wants(Section::Slabs) {
        report.slabs = soft.keep("the slab caches", slabs::read(kernel));
    }
    if wants(Section::Modules) {
        report.modules = soft.keep("the modules", modules::read(kernel));
    }
    if wants(Section::Mounts) {
        report.mounts = soft.keep("the mounts", mounts::read(kernel)).map(|mounts| {
            soft.0.extend(mounts.warnings);
            mounts.mounts
        });
    }
    report.warnings = soft.0;
    (report, read)
}

/// As many lines of the log as wanted, from the first line of the panic on: what follows it may be long
/// and say little. Fewer lines than that after it: the log's last ones. And how many are before them.
fn log_part(log: &Log, wanted: usize) -> (usize, &[Line]) {
    let last = log.tail.len().saturating_sub(wanted);
    let panic = log.reason.first_line.checked_sub(log.skipped);
    let start = panic.map_or(last, |panic| panic.min(last));
    let lines = log.tail.get(start..).unwrap_or_default();
    let lines = lines.get(..wanted).unwrap_or(lines);
    (log.skipped.saturating_add(start), lines)
}

/// The stack of the task that hung.
fn hung_stack(kernel: &Kernel, unwinder: &Unwinder<'_>, reason: &Reason) -> Vec<Location> {
    let mut found = Vec::new();
    let walked = tasks::for_each(kernel, tasks::Options::default(), |task| {
        if Some(task.pid) != reason.oops.pid {
            return ControlFlow::Continue(());
        }
        found = locations(&unwinder.task(task.address.into()));
        ControlFlow::Break(())
    });
    // The section that counts a list also reports that it cannot be walked.
    drop(walked);
    found
}

/// The instruction at fault out of memory, where the log could not print it.
fn code_at_fault(kernel: &Kernel, trace: &Trace, reason: &Reason) -> Option<Code> {
    let at = reason.oops.location.as_ref()?;
    let frame = trace.frames.iter().find(|frame| {
        frame.kind == FrameKind::Interrupted
            && frame
                .symbol
                .as_ref()
                .is_some_and(|symbol| symbol.name == at.function && symbol.offset == at.offset)
    })?;
    let bytes = kernel.read_bytes::<LONGEST_INSTRUCTION>(frame.pc).ok()?;
    Code::of_machine(kernel.arch().machine, &bytes)
}

/// Soft errors.
#[derive(Default)]
pub(super) struct Soft(Vec<String>);

impl Soft {
    pub(super) fn keep<T, E: std::error::Error>(
        &mut self,
        what: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|why| self.0.push(format!("{what}: {}", chain(&why))))
            .ok()
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.0
    }
}

/// Tasks by state, and those that are blocked.
fn count_tasks(kernel: &Kernel, soft: &mut Soft) -> (Option<BTreeMap<char, u64>>, Vec<Task>) {
    let mut counts = BTreeMap::new();
    let mut waiting = Vec::new();
    let walked = tasks::for_each(kernel, tasks::Options::default(), |task| {
        *counts.entry(task.state.letter()).or_default() += 1;
        // One that still runs was about to sleep when the kernel stopped.
        let waits = task.state == State::Blocked && !task.on_cpu;
        if waits && waiting.len() < MAX_BLOCKED {
            waiting.push(task);
        }
        ControlFlow::Continue(())
    });
    let walked = soft.keep("the tasks", walked);
    let counts = walked.map(|warnings| {
        soft.0.extend(warnings);
        counts
    });
    (counts, waiting)
}

/// The frames of a trace as the kernel itself would print them.
pub(super) fn locations(trace: &Trace) -> Vec<Location> {
    let kernel_frames = trace
        .frames
        .iter()
        .filter(|frame| frame.kind != FrameKind::User);
    kernel_frames
        .filter_map(|frame| {
            let symbol = frame.symbol.as_ref()?;
            Some(Location {
                function: symbol.name.clone(),
                offset: symbol.offset,
                size: Some(symbol.size),
                module: symbol.module.clone(),
                reliable: frame.trust != Trust::Guess,
                ..Location::default()
            })
        })
        .collect()
}

/// `[    1.234567] text`, as the kernel's own console prints it.
pub(super) fn stamped(line: &Line) -> String {
    let micros = line.ts_nsec / 1000;
    format!(
        "[{:5}.{:06}] {}",
        micros / 1_000_000,
        micros % 1_000_000,
        line.text
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy;
    use synth::machine::{Machine, Spec};
    use synth::ram::Ram;

    fn all(kernel: &Kernel) -> Report {
        let options = Options {
            log_tail: 5,
            sections: &Section::ALL,
        };
        build(kernel, options)
    }

    #[test]
    fn a_dump_that_tells_nothing_gets_a_report_that_says_so() {
        let report = all(&toy::kernel(&Ram::new(4, 0)));
        assert_eq!(report.reason.class, crate::reason::Class::Other);
        let said = report.warnings.join("\n");
        for what in ["the log", "the tasks", "the modules", "the mounts"] {
            assert!(said.contains(what), "{what} is not named in\n{said}");
        }
        let checks = report.checks.unwrap();
        assert!(checks.iter().all(|check| !check.ok), "{checks:?}");
        let mut text = String::new();
        let again = Report {
            checks: Some(checks),
            ..all(&toy::kernel(&Ram::new(4, 0)))
        };
        super::super::text::write(&again, &mut text).unwrap();
        assert!(text.contains("WRONG  the symbol table"), "{text}");
    }

    #[test]
    fn what_is_there_is_told_beside_what_is_not() {
        let mut machine = Machine::new(2, true);
        machine.process(Spec::default());
        let report = all(&toy::kernel(&machine.ram));
        assert_eq!(report.schema, "afterpanic.report/1");
        assert!(report.tasks.is_some_and(|tasks| !tasks.is_empty()));
        assert!(report.warnings.iter().any(|why| why.contains("the log")));
    }
}
