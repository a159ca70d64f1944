//! The traces of all tasks that the kernel printed itself (sysrq-t), against ours of the core's.
//!
//! Facts: kernel/sched/core.c (`sched_show_task`): a line `task:NAME state:S … pid:N`, then the trace. A task that
//! ran on between that and the panic shows another stack; so of the tasks that slept all are compared, and a few
//! may have moved.

use analysis::reason::Location;
use analysis::unwind::{FrameKind, Unwinder};
use anyhow::Result;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use vmcore::kernel::Kernel;
use vmcore::printk;

/// Of a hundred frames so many must be found. Kernel threads woke up in between.
const FRAMES: usize = 97;

/// Whether the kernel's frames are in ours, task by task.
///
/// # Errors
/// The log or the tasks cannot be read.
pub(super) fn same(kernel: &Kernel) -> Result<Result<String, String>> {
    let printed = printed(kernel)?;
    let unwinder = Unwinder::new(kernel);
    let (mut found, mut all, mut tasks) = (0_usize, 0_usize, 0_usize);
    let mut first = None;
    analysis::tasks::for_each(kernel, analysis::tasks::Options::default(), |task| {
        let Some(theirs) = printed.get(&task.pid).filter(|frames| !frames.is_empty()) else {
            return ControlFlow::Continue(());
        };
        let trace = unwinder.task(task.address.into());
        let frames = trace.frames.iter().filter(|f| f.kind != FrameKind::User);
        let ours: Vec<_> = frames
            .filter_map(|frame| frame.symbol.as_ref())
            .map(|symbol| (symbol.name.clone(), symbol.offset))
            .collect();
        let same = theirs.iter().filter(|frame| ours.contains(frame)).count();
        if same < theirs.len() {
            first.get_or_insert_with(|| {
                format!(
                    "; {} ({}): we {ours:?}, kernel {theirs:?}",
                    task.comm, task.pid
                )
            });
        }
        found += same;
        all += theirs.len();
        tasks += 1;
        ControlFlow::Continue(())
    })?;
    let words = format!(
        "{found} of {all} in {tasks} tasks{}",
        first.unwrap_or_default()
    );
    Ok(
        match all > 0 && found.saturating_mul(100) >= all.saturating_mul(FRAMES) {
            true => Ok(words),
            false => Err(words),
        },
    )
}

/// The frames of every task that was not running, by its number.
fn printed(kernel: &Kernel) -> Result<BTreeMap<i32, Vec<(String, u64)>>> {
    let mut tasks = BTreeMap::new();
    let mut current = None;
    printk::for_each(kernel, &mut |record| {
        for line in String::from_utf8_lossy(&record.text).lines() {
            if line.contains("task:") && line.contains("state:") {
                current = header(line);
            } else if line.starts_with("Sched Debug") || line.contains("sysrq: ") {
                current = None;
            } else if let (Some(pid), Some(at)) = (current, frame(line)) {
                let frames: &mut Vec<_> = tasks.entry(pid).or_default();
                frames.push(at);
            }
        }
        Ok(())
    })?;
    Ok(tasks)
}

/// The number of the task that a line is about, unless it ran.
fn header(line: &str) -> Option<i32> {
    let value = |key: &str| line.split(key).nth(1)?.split_whitespace().next();
    if value("state:")? == "R" {
        return None;
    }
    value("pid:")?.parse().ok()
}

/// A frame that the kernel is sure of.
fn frame(line: &str) -> Option<(String, u64)> {
    let at = Location::parse(line).filter(|at| at.reliable && at.size.is_some())?;
    (!line.contains("unreliable")).then_some((at.function, at.offset))
}
