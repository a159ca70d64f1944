//! Stacks of riscv64, unwound by the frames that every function of the kernel keeps.
//!
//! Facts: arch/riscv/kernel/{stacktrace.c,entry.S,head.S,process.c}, arch/riscv/include/asm/{stacktrace.h,
//! processor.h}, 5.10 to 7.2. s0 is the stack pointer that the function was called with; below it lie ra and the
//! caller's s0. An exception's entry saves `pt_regs` and calls its handler right below them.

mod code;
mod frames;
mod stacks;

#[cfg(test)]
mod tests;

use super::chain::{Chained, Links, Port, State, Step, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::{Machine, stacks as all};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::arch::riscv64::regs::{FP, RA};
use vmcore::kernel::Kernel;

/// riscv64.
pub(super) static MACHINE: Machine = Machine {
    arch: &vmcore::arch::riscv64::ARCH,
    symbols: &[
        "_etext",
        "_sinittext",
        "_einittext",
        "ret_from_fork",
        "ret_from_exception",
        "irq_stack_ptr",
        "overflow_stack",
    ],
    engine: |kernel, warnings| {
        let at = |name| kernel.offset_of("task_struct", name).ok();
        let context = at("thread.ra").zip(at("thread.s"));
        Box::new(Chained::new(kernel, Riscv { context }, warnings))
    },
    cpu_stacks: stacks::of_cpu,
    stack_bytes: all::thread_size,
    saved_sp: "thread.sp",
};

struct Riscv {
    /// Offsets in a task of what the scheduler saves: ra and s0, which is `s[0]`.
    context: Option<(u64, u64)>,
}

impl Links for Riscv {
    fn caller(&self, walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
        frames::caller(walk, state)
    }

    fn follows_call(&self, pages: &Pages<'_>, pc: u64) -> Option<bool> {
        code::follows_call(pages, pc)
    }

    fn found(&self, pages: &Pages<'_>, slot: u64, pc: u64) -> State {
        let below = slot.checked_sub(8).and_then(|at| pages.word(VirtAddr(at)));
        State {
            pc,
            sp: slot.saturating_add(8),
            fp: below.unwrap_or(0),
            ..State::default()
        }
    }
}

impl Port for Riscv {
    fn state(&self, registers: &Registers) -> Option<State> {
        match registers {
            Registers::Table(own) => Some(State::of(own, RA, Some(FP))),
            _ => None,
        }
    }

    fn resumed(
        &self,
        _: &Kernel,
        pages: &Pages<'_>,
        task: VirtAddr,
        sp: u64,
    ) -> Result<State, UnwindError> {
        let (ra, fp) = self.context.ok_or(UnwindError::Layout)?;
        let word = |offset| pages.word_at(task, offset).ok_or(UnwindError::Task(task));
        Ok(State {
            pc: word(ra)?,
            sp,
            fp: word(fp)?,
            ..State::default()
        })
    }
}
