//! Gathers a report with its details.

use super::model::{Details, Full, LogLine};
use super::{code, cpus, registers, sysctls};
use crate::evidence::{self, Line};
use crate::report::build::{Options, Soft, with_log};
use crate::report::from_text;
use crate::report::section::Section;
use crate::tasks::{self, State, Task};
use crate::unwind::{Unwinder, panic_cpu_or};
use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::ops::ControlFlow;
use vmcore::kernel::Kernel;

/// Tasks listed one by one; of more, those that run or are blocked come first.
const MAX_TASKS: usize = 1500;
/// Lines of a text that are kept.
const MAX_LINES: usize = 4000;
/// Bytes of their text.
const MAX_BYTES: usize = 1 << 20;
/// The report's own part of the log.
const LOG_TAIL: usize = 20;

/// Every section, and all details that a core tells.
#[must_use]
pub fn full(kernel: &Kernel) -> Full {
    let options = Options {
        log_tail: LOG_TAIL,
        sections: &Section::ALL,
    };
    let (mut report, log) = with_log(kernel, options);
    let unwinder = Unwinder::new(kernel);
    let panicked = panic_cpu_or(kernel, || report.reason.oops.cpu);
    let trace = panicked.map(|cpu| unwinder.cpu(cpu));
    let mut soft = Soft::default();
    let details = Details {
        code: code::read(kernel, trace.as_ref(), &report.reason),
        registers: registers::read(kernel, trace.as_ref(), &report.reason),
        cpu_states: soft.keep("where the CPUs stood", cpus::read(kernel, &unwinder)),
        task_list: task_list(kernel),
        sysctls: Some(sysctls::read(kernel)).filter(|rows| !rows.is_empty()),
        log: log.ok().map(|log| {
            let timed = log.tail.iter().any(|line| line.ts_nsec > 0);
            log.tail.iter().map(|line| log_line(line, timed)).collect()
        }),
        saved: None,
    };
    report.warnings.extend(soft.into_warnings());
    Full { report, details }
}

/// The report of a text with the whole log.
///
/// # Errors
/// Those of `input`.
pub fn full_of_text(input: &mut dyn BufRead, name: &str) -> io::Result<Full> {
    let options = Options {
        log_tail: LOG_TAIL,
        sections: &Section::ALL,
    };
    let mut lines = Lines::default();
    let report = from_text::keeping(input, name, options, &mut |line| lines.take(line))?;
    let timed = report.uptime_seconds.is_some();
    let mut full = Full::from(report);
    full.details.log = Some(lines.finish(timed));
    Ok(full)
}

/// Adds the log of a text to a report that was made without.
///
/// # Errors
/// Those of `input`.
pub fn add_log(full: &mut Full, input: &mut dyn BufRead) -> io::Result<()> {
    let mut lines = Lines::default();
    let facts = evidence::read(input, &mut |line| lines.take(&line))?;
    full.details.log = Some(lines.finish(facts.has_times()));
    Ok(())
}

/// The end of a log.
#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    bytes: usize,
}

impl Lines {
    fn take(&mut self, line: &Line) {
        self.bytes = self.bytes.saturating_add(line.text.len());
        self.lines.push_back(line.clone());
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(gone) = self.lines.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(gone.text.len());
        }
    }

    fn finish(self, timed: bool) -> Vec<LogLine> {
        let lines = self.lines.iter();
        lines.map(|line| log_line(line, timed)).collect()
    }
}

fn log_line(line: &Line, timed: bool) -> LogLine {
    /// The bit that says that `caller` is a CPU (kernel/printk/printk.c, `print_caller`).
    const CPU: u32 = 1 << 31;
    LogLine {
        ns: timed.then_some(line.ts_nsec),
        level: line.level,
        caller: line.caller.map(|caller| match caller & CPU {
            0 => format!("T{caller}"),
            _ => format!("C{}", caller & !CPU),
        }),
        text: line.text.clone(),
    }
}

/// The tasks, in the kernel's order; none when they cannot be walked, which the report says.
fn task_list(kernel: &Kernel) -> Option<Vec<Task>> {
    let awake = |task: &Task| task.on_cpu || matches!(task.state, State::Running | State::Blocked);
    let mut list: Vec<Task> = Vec::new();
    // Without their arguments: a page is passed on more easily than a core, and they may hold secrets.
    let walked = tasks::for_each(kernel, tasks::Options::default(), |task| {
        if list.len() < MAX_TASKS {
            list.push(task);
        } else if awake(&task)
            && let Some(place) = list.iter().rposition(|task| !awake(task))
        {
            list.remove(place);
            list.push(task);
        }
        ControlFlow::Continue(())
    });
    walked.ok().map(|_| list)
}
