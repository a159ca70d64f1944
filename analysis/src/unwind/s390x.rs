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

use self::frames::BACK;
use super::chain::{Chained, Links, Port, State, Step, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::{Machine, stacks as all};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::arch::s390x::regs::LINK;
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
    engine: |kernel, warnings| Box::new(Chained::new(kernel, Mainframe, warnings)),
    cpu_stacks: stacks::of_cpu,
    stack_bytes: all::thread_size,
    saved_sp: "thread.ksp",
};

struct Mainframe;

impl Links for Mainframe {
    fn caller(&self, walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
        frames::caller(walk, state)
    }

    fn follows_call(&self, pages: &Pages<'_>, pc: u64) -> Option<bool> {
        code::follows_call(pages, pc)
    }

    fn found(&self, _: &Pages<'_>, slot: u64, pc: u64) -> State {
        BACK.found(slot, pc)
    }
}

impl Port for Mainframe {
    fn state(&self, registers: &Registers) -> Option<State> {
        match registers {
            Registers::Table(own) => Some(State::of(own, LINK, None)),
            _ => None,
        }
    }

    fn resumed(
        &self,
        _: &Kernel,
        pages: &Pages<'_>,
        _: VirtAddr,
        sp: u64,
    ) -> Result<State, UnwindError> {
        // __switch_to stores its registers in its caller's frame.
        let pc = pages.word_at(VirtAddr(sp), BACK.link);
        Ok(State {
            pc: pc.ok_or(UnwindError::Stack(sp))?,
            sp,
            ..State::default()
        })
    }
}
