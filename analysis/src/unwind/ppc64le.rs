//! Stacks of ppc64le, unwound by the back chain.
//!
//! Facts: arch/powerpc/kernel/{process.c,stacktrace.c,switch.S (entry_64.S before 6.8),exceptions-64s.S},
//! arch/powerpc/include/asm/ptrace.h, 5.2 to 7.2; 64-Bit ELF V2 ABI. The first word of a frame is the address
//! of the caller's; what the caller goes on with is in the caller's frame. The chain ends with 0.

mod code;
mod frames;
mod stacks;

#[cfg(test)]
mod tests;

use self::frames::{Frames, LAYOUTS};
use super::Machine;
use super::chain::{Chained, Links, Port, State, Step, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::Area;
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::arch::ppc64le::regs::NIP;
use vmcore::kernel::Kernel;

/// ppc64le.
pub(super) static MACHINE: Machine = Machine {
    arch: &vmcore::arch::ppc64le::ARCH,
    symbols: &[
        "_etext",
        "_sinittext",
        "_einittext",
        "ret_from_fork",
        "hardirq_ctx",
        "softirq_ctx",
        "paca_ptrs",
    ],
    engine: |kernel, warnings| {
        let saved_sp = kernel.offset_of("task_struct", "thread.ksp").ok();
        Box::new(Chained::new(kernel, Power { saved_sp }, warnings))
    },
    cpu_stacks: stacks::of_cpu,
    stack_bytes: stacks::stack_bytes,
    saved_sp: "thread.ksp",
};

struct Power {
    /// The offset of `thread.ksp` in a task.
    saved_sp: Option<u64>,
}

impl Links for Power {
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

impl Port for Power {
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
        let above = pages.word(VirtAddr(sp)).ok_or(UnwindError::Stack(sp))?;
        // _switch saves where it goes on as the nip of registers in its frame.
        let next = LAYOUTS.into_iter().find_map(|(_, registers)| {
            let pc = pages.word_at(VirtAddr(sp), registers + NIP as u64 * 8)?;
            Some((pc, kernel.resolve(VirtAddr(pc))?))
        });
        let (pc, symbol) = next.ok_or(UnwindError::Stack(sp))?;
        Ok(State {
            pc,
            sp: above,
            // A new task has not run yet: its address is the first of its function, not behind a call.
            signal: symbol.offset == 0,
            ..State::default()
        })
    }
}
