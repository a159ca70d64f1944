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

use self::frames::{BACK, LAYOUTS};
use super::chain::{Chained, Links, Port, State, Step, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::{Machine, stacks as all};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::arch::ppc64le::regs::{LINK, NIP};
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
    engine: |kernel, warnings| Box::new(Chained::new(kernel, Power, warnings)),
    cpu_stacks: stacks::of_cpu,
    stack_bytes: all::thread_size,
    saved_sp: "thread.ksp",
};

struct Power;

impl Links for Power {
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

impl Port for Power {
    fn state(&self, registers: &Registers) -> Option<State> {
        match registers {
            Registers::Table(own) => Some(State::of(own, LINK, None)),
            _ => None,
        }
    }

    fn resumed(
        &self,
        kernel: &Kernel,
        pages: &Pages<'_>,
        _: VirtAddr,
        sp: u64,
    ) -> Result<State, UnwindError> {
        let above = pages.word(VirtAddr(sp)).ok_or(UnwindError::Stack(sp))?;
        // _switch saves where it goes on as the nip of registers in its frame.
        let next = LAYOUTS.into_iter().find_map(|(_, registers)| {
            let pc = pages.word_at(VirtAddr(sp), registers + NIP as u64 * 8)?;
            kernel.resolve(VirtAddr(pc)).map(|_| pc)
        });
        Ok(State {
            pc: next.ok_or(UnwindError::Stack(sp))?,
            sp: above,
            ..State::default()
        })
    }
}
