//! Level `essential`: the pages that a report, stacks and a task list need, found by walking the
//! kernel's structures, without a look at the memory map.
//!
//! In the order in which they are taken, so that what comes last is what a cap leaves out: the log; the
//! kernel image with its symbols, types and unwind tables; per-CPU areas; modules with their types;
//! the structures of all tasks; whatever a report of this kernel reads; the stacks of running and
//! blocked tasks; those of sleeping ones. Page tables come along: every translation made here is
//! recorded. User memory is never walked, and neither are areas that the kernel has given back to
//! its allocator after booting (init sections, gaps in the image): they may hold anything by now.

mod parts;
mod recorder;
mod runs;
mod stacks;

pub use runs::Runs;

use crate::report::{self, Report};
use crate::unwind::Unwinder;
use crate::{notifiers, tasks};
use parts::{cpus, dump, log, modules};
use recorder::Recorder;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::sync::Arc;
use vmcore::addr::{PAGE_SIZE, Pfn, PfnRange, VirtAddr};
use vmcore::dump::MemoryDump;
use vmcore::kernel::{Kernel, KernelError, chain};
use vmcore::printk::LogError;

/// Bounds of the level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Bytes of memory that may be taken (`dump.essential_max`).
    pub max_bytes: u64,
    /// Runs that may be held: 16 bytes of memory each.
    pub max_runs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_runs: 65_536,
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Essential {
    /// The pages, ascending, in runs that do not touch; all of them are in the dump.
    pub ranges: Vec<PfnRange>,
    /// What they are for, in the order in which they were taken.
    pub parts: Vec<Part>,
    /// What could not be found.
    pub warnings: Vec<String>,
    /// The report that was made to see what one reads.
    pub report: Option<Made>,
}

/// A report, and the `panic.log` that goes with it.
#[derive(Debug)]
pub struct Made {
    /// The report.
    pub report: Report,
    /// The text of `panic.log`, or why there is none.
    pub panic_log: Result<Vec<u8>, PanicLogError>,
}

/// Why there is no `panic.log`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PanicLogError {
    /// The crashed kernel's log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The text could not be written.
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

impl Made {
    /// Makes both from a kernel.
    #[must_use]
    pub fn of(kernel: &Kernel) -> Self {
        let (report, log) = report::with_log(kernel, report::Options::default());
        let panic_log = log.map_err(PanicLogError::Log).and_then(|log| {
            let unwinder = Unwinder::new(kernel);
            let notifiers = notifiers::read(kernel, &unwinder, &report.reason, log.ended);
            let mut text = Vec::new();
            notifiers::write_panic_log(&mut text, &report.reason, &log, &notifiers)?;
            Ok(text)
        });
        Self { report, panic_log }
    }
}

impl Essential {
    /// Pages altogether.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.ranges.iter().map(|run| run.len()).sum()
    }

    /// Whether the cap left something out.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        self.parts.iter().any(|part| part.left_out > 0)
    }
}

/// One kind of thing that was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Pages that it added.
    pub pages: u64,
    /// Pages of it that no longer fitted.
    pub left_out: u64,
}

/// Finds the essential pages of a kernel.
///
/// # Errors
/// When nothing can be found at all, because symbols or types are not to be had.
pub fn ranges(kernel: &Kernel, options: Options) -> Result<Essential, KernelError> {
    let runs = Runs::new(options.max_bytes / PAGE_SIZE, options.max_runs);
    let recorder = Arc::new(Recorder::new(Arc::clone(kernel.dump()), runs));
    // A kernel of its own, so that every read is seen, those of its tables too.
    let recording: Arc<dyn MemoryDump> = Arc::clone(&recorder) as Arc<dyn MemoryDump>;
    let recorded = kernel.on(recording)?;
    recorder.pass_through(dump::physical(&recorded)?);
    let mut collector = Collector {
        kernel: &recorded,
        recorder: &recorder,
        essential: Essential::default(),
    };
    collector.part("log", log::collect);
    collector.part("kernel image", dump::collect);
    collector.part("per-CPU areas", cpus::collect);
    collector.part("modules", modules::collect);
    collector.part("tasks", tasks_structures);
    collector.part("report", everything);
    collector.part("stacks of running and blocked tasks", |c| {
        stacks::collect(c, stacks::Which::Awake)
    });
    collector.part("stacks of sleeping tasks", |c| {
        stacks::collect(c, stacks::Which::Asleep)
    });
    let mut essential = collector.essential;
    drop(recorded);
    let runs = recorder.runs().clone();
    essential.ranges = present(&**kernel.dump(), runs.into_sorted());
    Ok(essential)
}

/// What the parts work with.
struct Collector<'a> {
    kernel: &'a Kernel,
    recorder: &'a Recorder,
    essential: Essential,
}

impl Collector<'_> {
    fn part(&mut self, name: &str, collect: impl FnOnce(&mut Self) -> Result<(), KernelError>) {
        let (pages, left_out) = self.counts();
        if let Err(why) = collect(self) {
            self.warn(format!("{name}: {}", chain(&why)));
        }
        let (pages_now, left_out_now) = self.counts();
        self.essential.parts.push(Part {
            name: name.to_owned(),
            pages: pages_now.saturating_sub(pages),
            left_out: left_out_now.saturating_sub(left_out),
        });
    }

    fn counts(&self) -> (u64, u64) {
        let mut runs = self.recorder.runs();
        runs.merge();
        (runs.pages(), runs.left_out())
    }

    fn warn(&mut self, text: String) {
        if self.essential.warnings.len() < 32 {
            self.essential.warnings.push(text);
        }
    }

    /// Takes the pages behind a range of virtual memory. Translating them records the page tables.
    /// What is not mapped is passed over. False when something did not fit.
    fn take(&self, at: VirtAddr, len: u64) -> bool {
        let Some(end) = at.0.checked_add(len) else {
            return true;
        };
        let mut at = at.0;
        let mut fits = true;
        while at < end {
            match self.kernel.translate_run(VirtAddr(at)) {
                Ok((pa, run)) => {
                    let n = run.min(end - at);
                    fits &= self.recorder.runs().add(pa, n);
                    at = at.saturating_add(n.max(1));
                }
                Err(_) => at = (at | (PAGE_SIZE - 1)).saturating_add(1),
            }
        }
        fits
    }
}

/// `task_struct`, `signal_struct` and `mm_struct` of every task, and what reading a task reads.
fn tasks_structures(collector: &mut Collector<'_>) -> Result<(), KernelError> {
    let kernel = collector.kernel;
    let types = kernel.types()?;
    let task_size = types.size_of("task_struct")?;
    let signal_size = types.size_of("signal_struct")?;
    let mm_size = types.size_of("mm_struct")?;
    let signal = types.member("task_struct", "signal")?;
    let options = tasks::Options {
        command_lines: false,
        idle: true,
    };
    let warnings = tasks::for_each(kernel, options, |task| {
        let at = VirtAddr::from(task.address);
        collector.take(at, task_size);
        if let Ok(signal) = kernel.read_member(at, &signal)
            && signal != 0
        {
            collector.take(VirtAddr(signal), signal_size);
        }
        if task.mm.0 != 0 {
            collector.take(VirtAddr::from(task.mm), mm_size);
        }
        ControlFlow::Continue(())
    })?;
    for warning in warnings {
        collector.warn(warning);
    }
    Ok(())
}

/// Everything that the commands on a crash read.
fn everything(collector: &mut Collector<'_>) -> Result<(), KernelError> {
    let kernel = collector.kernel;
    let mut trouble = Vec::new();
    let mut note = |what: &str, result: Result<(), KernelError>| {
        if let Err(why) = result {
            trouble.push(format!("{what}: {}", chain(&why)));
        }
    };
    note("CPUs", crate::cpus::read(kernel).map(drop));
    note("modules", crate::modules::read(kernel).map(drop));
    note("mounts", crate::mounts::read(kernel).map(drop));
    note("slabs", crate::slabs::read_room(kernel).map(drop));
    drop(crate::memory::read(kernel));
    for text in trouble {
        collector.warn(text);
    }
    collector.essential.report = Some(Made::of(kernel));
    Ok(())
}

/// The parts of `runs` that the dump holds.
fn present(dump: &dyn MemoryDump, runs: Vec<PfnRange>) -> Vec<PfnRange> {
    let mut held = Vec::with_capacity(runs.len());
    for run in runs {
        let mut from = run.start;
        while let Some(here) = dump.next_present(from) {
            let Some(both) = here.intersect(run) else {
                break;
            };
            held.push(both);
            from = Pfn(both.end.0);
            if from >= run.end {
                break;
            }
        }
    }
    held
}
