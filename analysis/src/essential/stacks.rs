//! The used part of each task's stack: from the saved stack pointer to the top.
//!
//! Facts: arch/x86/include/asm/{processor,switch_to,page_64_types}.h: THREAD_SIZE is 16 KiB (32 KiB with
//! KASAN, told by the size of `union thread_union`). A running task's saved pointer is stale: its CPU's
//! registers are asked, and when they are on another stack the whole of it is taken.

use super::Collector;
use crate::tasks::{self, State};
use crate::unwind;
use std::ops::ControlFlow;
use vmcore::addr::VirtAddr;
use vmcore::kernel::KernelError;

/// THREAD_SIZE where BTF does not tell it.
const THREAD_SIZE: u64 = 16 << 10;

/// Whose stacks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that ran or were blocked, idle tasks among them.
    Awake,
    /// All others.
    Asleep,
}

pub(super) fn collect(collector: &mut Collector<'_>, which: Which) -> Result<(), KernelError> {
    let kernel = collector.kernel;
    let types = kernel.types()?;
    let size = types
        .size_of("union thread_union")
        .unwrap_or(THREAD_SIZE)
        .clamp(THREAD_SIZE, 64 << 10);
    let stack = types.member("task_struct", "stack")?;
    let saved = types.member("task_struct", unwind::saved_sp(kernel))?;
    let options = tasks::Options {
        command_lines: false,
        idle: which == Which::Awake,
    };
    let mut full = false;
    tasks::for_each(kernel, options, |task| {
        let awake =
            task.on_cpu || task.pid == 0 || matches!(task.state, State::Running | State::Blocked);
        if awake != (which == Which::Awake) {
            return ControlFlow::Continue(());
        }
        let at = VirtAddr::from(task.address);
        let (Ok(base), Ok(saved)) = (
            kernel.read_member(at, &stack),
            kernel.read_member(at, &saved),
        ) else {
            return ControlFlow::Continue(());
        };
        let Some(top) = base.checked_add(size).filter(|_| base != 0) else {
            return ControlFlow::Continue(());
        };
        let sp = match task.cpu {
            Some(cpu) if task.on_cpu => kernel.prstatus(cpu).map_or(0, |regs| regs.sp().0),
            _ => saved,
        };
        // A pointer that is not on this stack says nothing of how much of it is used.
        let from = if sp > base && sp < top { sp } else { base };
        full |= !collector.take(VirtAddr(from), top - from);
        ControlFlow::Continue(())
    })?;
    if full {
        collector.warn("some stacks are over the cap and were left out".to_owned());
    }
    Ok(())
}
