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

use self::frames::Frames;
use super::Machine;
use super::chain::{Chained, Links, Port, State, Step, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::Area;
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::kernel::{Kernel, KernelError};

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
        let context = Context::of(kernel).ok();
        Box::new(Chained::new(kernel, Riscv { context }, warnings))
    },
    cpu_stacks: stacks::of_cpu,
    stack_bytes: stacks::stack_bytes,
    saved_sp: "thread.sp",
};

struct Riscv {
    context: Option<Context>,
}

/// Offsets of `thread` in a task: what the scheduler saves.
struct Context {
    ra: u64,
    sp: u64,
    fp: u64,
}

impl Context {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let at = |name: &str| kernel.offset_of("task_struct", &format!("thread.{name}"));
        Ok(Self {
            ra: at("ra")?,
            sp: at("sp")?,
            // s[0].
            fp: at("s")?,
        })
    }
}

impl Links for Riscv {
    fn caller(&self, walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
        Frames.caller(walk, state)
    }

    fn follows_call(&self, pages: &Pages<'_>, pc: u64) -> Option<bool> {
        Frames.follows_call(pages, pc)
    }

    fn found(&self, pages: &Pages<'_>, slot: u64, pc: u64) -> State {
        Frames.found(pages, slot, pc)
    }
}

impl Port for Riscv {
    fn of_cpu(&self, kernel: &Kernel, cpu: u32) -> Vec<Area> {
        stacks::of_cpu(kernel, cpu)
    }

    fn state(&self, registers: &Registers) -> Option<State> {
        match registers {
            Registers::Table(own) => Some(frames::state(own)),
            _ => None,
        }
    }

    fn saved(
        &self,
        kernel: &Kernel,
        pages: &Pages<'_>,
        stack: Area,
        task: VirtAddr,
    ) -> Result<State, UnwindError> {
        let context = self.context.as_ref().ok_or(UnwindError::Layout)?;
        let word = |offset| pages.word_at(task, offset).ok_or(UnwindError::Task(task));
        let sp = word(context.sp)?;
        // A new task's pointer stands at its registers.
        if !stack.range.contains(sp) {
            return Err(UnwindError::Elsewhere(sp));
        }
        let pc = word(context.ra)?;
        // A new task has not run yet: its address is the first of its function, not behind a call.
        let fresh = kernel.resolve(VirtAddr(pc));
        Ok(State {
            pc,
            sp,
            fp: word(context.fp)?,
            lr: None,
            signal: fresh.is_some_and(|symbol| symbol.offset == 0),
        })
    }
}
