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
use super::chain::{State, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::{Area, Areas};
use super::start::Engine;
use super::text::Text;
use super::{End, Frame, Machine, Saved, StackKind};
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
    engine: |kernel, warnings| Box::new(Riscv::new(kernel, warnings)),
    cpu_stacks: stacks::of_cpu,
    stack_bytes: stacks::stack_bytes,
};

struct Riscv<'k> {
    kernel: &'k Kernel,
    text: Text,
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

impl<'k> Riscv<'k> {
    fn new(kernel: &'k Kernel, warnings: &mut Vec<String>) -> Self {
        Self {
            kernel,
            text: Text::of(kernel, warnings),
            context: Context::of(kernel).ok(),
        }
    }

    fn with_walk<T>(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        run: impl FnOnce(&Walk<'_>) -> T,
    ) -> T {
        let name = |addr: u64| self.kernel.resolve(VirtAddr(addr));
        run(&Walk {
            pages,
            text: &self.text,
            areas,
            name: &name,
            links: &Frames,
        })
    }
}

impl Engine for Riscv<'_> {
    fn of_cpu(&self, cpu: u32) -> Vec<Area> {
        stacks::of_cpu(self.kernel, cpu)
    }

    fn sleeping(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: VirtAddr,
    ) -> Result<(Vec<Frame>, End), UnwindError> {
        let context = self.context.as_ref().ok_or(UnwindError::Layout)?;
        let word = |offset| pages.word_at(task, offset).ok_or(UnwindError::Task(task));
        let sp = word(context.sp)?;
        areas
            .of_kind(StackKind::Task)
            // A new task's pointer stands at its registers.
            .filter(|area| area.range.contains(sp))
            .ok_or(UnwindError::Elsewhere(sp))?;
        let pc = word(context.ra)?;
        // A new task has not run yet: its address is the first of its function, not behind a call.
        let fresh = self.kernel.resolve(VirtAddr(pc));
        let state = State {
            pc,
            sp,
            fp: word(context.fp)?,
            lr: None,
            signal: fresh.is_some_and(|symbol| symbol.offset == 0),
        };
        Ok(self.with_walk(pages, areas, |walk| walk.run(state, None)))
    }

    fn registers(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        _task: Option<VirtAddr>,
        registers: &Registers,
    ) -> (Vec<Frame>, End) {
        let Registers::Table(own) = registers else {
            return (Vec::new(), End::Broken(UnwindError::Machine.to_string()));
        };
        let saved = Saved {
            at: None,
            registers: *registers,
            full: true,
        };
        let state = frames::state(own);
        self.with_walk(pages, areas, |walk| walk.run(state, Some(saved)))
    }

    fn scan(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        _task: Option<VirtAddr>,
        sp: u64,
    ) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.with_walk(pages, areas, |walk| walk.scan(&mut frames, sp));
        frames
    }
}
