//! Stacks of s390x, unwound by the back chain.
//!
//! Facts: arch/s390/kernel/{unwind_bc.c,entry.S,process.c,dumpstack.c}, arch/s390/include/asm/stacktrace.h, 5.6 to
//! 7.2. A frame holds the address of its caller's; where the function returns to is in the caller's frame. The
//! chain ends with 0, and the registers of what was interrupted follow that frame.

mod code;
mod frames;
mod stacks;

#[cfg(test)]
mod tests;

use self::frames::{Frames, LINK_SAVE};
use super::Machine;
use super::chain::{Chained, Links, Port, State, Step, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::Area;
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::kernel::Kernel;

/// s390x.
pub(super) static MACHINE: Machine = Machine {
    arch: &vmcore::arch::s390x::ARCH,
    symbols: &[
        "_etext",
        "_sinittext",
        "_einittext",
        "ret_from_fork",
        "lowcore_ptr",
    ],
    engine: |kernel, warnings| {
        let saved_sp = kernel.offset_of("task_struct", "thread.ksp").ok();
        Box::new(Chained::new(kernel, Mainframe { saved_sp }, warnings))
    },
    cpu_stacks: stacks::of_cpu,
    stack_bytes: stacks::stack_bytes,
    saved_sp: "thread.ksp",
};

struct Mainframe {
    /// The offset of `thread.ksp` in a task.
    saved_sp: Option<u64>,
}

impl Links for Mainframe {
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

impl Port for Mainframe {
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
        let offset = self.saved_sp.ok_or(UnwindError::Layout)?;
        let sp = pages.word_at(task, offset);
        let sp = sp.ok_or(UnwindError::Task(task))?;
        if !stack.range.contains(sp) {
            return Err(UnwindError::Elsewhere(sp));
        }
        // __switch_to stores its registers in its caller's frame.
        let pc = pages.word_at(VirtAddr(sp), LINK_SAVE);
        let pc = pc.ok_or(UnwindError::Stack(sp))?;
        // A new task has not run yet: its address is the first of its function, not behind a call.
        let fresh = kernel.resolve(VirtAddr(pc));
        Ok(State {
            pc,
            sp,
            signal: fresh.is_some_and(|symbol| symbol.offset == 0),
            ..State::default()
        })
    }
}
