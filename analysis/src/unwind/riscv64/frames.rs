//! The frames of riscv64: a link of the chain below s0, and the `pt_regs` of exceptions.

use super::code;
use crate::unwind::chain::{State, Step, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::arch::riscv64::regs::{self, FP, PT_REGS_BYTES, RA};
use vmcore::arch::{Registers, TableRegisters};

/// Assembler that exceptions enter by; whatever it calls has `pt_regs` at the stack pointer it was called
/// with (arch/riscv/kernel/entry.S, 5.10 to 7.2).
const ENTRY: [&str; 3] = ["handle_exception", "ret_from_exception", "ret_from_syscall"];
/// Assembler that new tasks begin in, with `pt_regs` at the stack pointer.
const FORK: [&str; 4] = [
    "ret_from_fork",
    "ret_from_kernel_thread",
    "ret_from_fork_kernel_asm",
    "ret_from_fork_user_asm",
];
/// The first functions of the idle tasks: assembler jumps to them, and nothing returns there
/// (arch/riscv/kernel/head.S).
const FIRST: [&str; 2] = ["start_kernel", "smp_callin"];

/// The caller; `None` behind the outermost frame.
pub(super) fn caller(walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
    let name = (walk.name)(state.key());
    let name = name.as_ref().map_or("", |symbol| symbol.name.as_str());
    if FIRST.contains(&name) {
        return Ok(None);
    }
    if FORK.contains(&name) {
        // A kernel thread's say that it came from the kernel.
        let saved = registers_at(walk.pages, state.sp)?;
        return Ok((saved.user_mode() && saved.pc() != 0).then(|| interrupted(state.sp, saved)));
    }
    if ENTRY.contains(&name) && !state.signal {
        let saved = registers_at(walk.pages, state.sp)?;
        return Ok(Some(interrupted(state.sp, saved)));
    }
    if let Some(step) = by_link(walk, state) {
        return Ok(Some(step));
    }
    let word = |below: u64| {
        let at = state.fp.checked_sub(below).map(VirtAddr);
        at.and_then(|at| walk.pages.word(at))
            .ok_or(UnwindError::Stack(state.fp))
    };
    let (ra, fp) = (word(8)?, word(16)?);
    Ok(Some(match state.lr {
        // A function that calls nothing stores s0 alone, in the upper word.
        Some(lr) if state.signal && !walk.is_return(ra) && walk.is_return(lr) => {
            Step::called(lr, state.fp, ra)
        }
        _ => Step::called(ra, state.fp, fp),
    }))
}

/// The caller by ra: of code that was interrupted while s0 was the caller's.
fn by_link(walk: &Walk<'_>, state: &State) -> Option<Step> {
    let lr = state.lr.filter(|_| state.signal)?;
    let kept = match (walk.name)(state.pc) {
        Some(symbol) => {
            let start = state.pc.checked_sub(symbol.offset)?;
            code::keeps_frame(walk.pages, start, state.pc)?
        }
        // Code that the kernel made keeps frames of its own; any other place was never code.
        None => walk.may_be_generated(state.pc),
    };
    if kept || !walk.is_return(lr) {
        return None;
    }
    // Its own frame, if any, is somewhere above.
    Some(Step::by_link(lr, state.sp, state.fp))
}

fn registers_at(pages: &Pages<'_>, at: u64) -> Result<TableRegisters, UnwindError> {
    let bytes = pages.bytes::<PT_REGS_BYTES>(VirtAddr(at));
    bytes
        .and_then(|bytes| regs::from_pt_regs(&bytes))
        .ok_or(UnwindError::Stack(at))
}

/// The frame that an exception interrupted.
fn interrupted(at: u64, registers: TableRegisters) -> Step {
    let state = State::of(&registers, RA, Some(FP));
    Step::interrupted(state, VirtAddr(at), Registers::Table(registers))
}
