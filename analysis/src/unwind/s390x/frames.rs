//! The frames of s390x: the back chain, and the `pt_regs` above a frame whose chain ends.

use super::code::{self, Kept};
use crate::unwind::Trust;
use crate::unwind::chain::{Links, State, Step, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::arch::TableRegisters;
use vmcore::arch::s390x::regs::{self, LINK, PT_REGS_BYTES};

/// The offset of `stack_frame.gprs[8]`, which holds %r14 (arch/s390/include/asm/stacktrace.h, 5.6 to 7.2).
pub(super) const LINK_SAVE: u64 = 136;
/// The offset of `stack_frame.back_chain`.
const BACK_CHAIN: u64 = 152;
/// STACK_FRAME_OVERHEAD: bytes of `stack_frame`, behind which `pt_regs` may be.
const FRAME: u64 = 160;

/// What following frames takes.
pub(super) struct Frames;

/// What registers say of a frame.
pub(super) fn state(registers: &TableRegisters) -> State {
    State {
        pc: registers.pc(),
        sp: registers.sp(),
        fp: 0,
        lr: registers.get(LINK),
        signal: true,
    }
}

impl Links for Frames {
    fn caller(&self, walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
        let word = |at: u64, offset: u64| {
            walk.pages
                .word_at(VirtAddr(at), offset)
                .ok_or(UnwindError::Stack(at))
        };
        let kept = match state.signal && state.lr.is_some() {
            true => kept(walk, state),
            false => None,
        };
        let kept = kept.unwrap_or(Kept {
            frame: true,
            link: true,
        });
        let link = state.lr.filter(|lr| walk.is_return(*lr));
        if let (false, Some(lr)) = (kept.frame, link) {
            // Its frame is its caller's.
            return Ok(Some(by_link(lr, state.sp)));
        }
        let above = word(state.sp, BACK_CHAIN)?;
        if above == 0 {
            return Ok(registers_above(walk.pages, state.sp));
        }
        if let (false, Some(lr)) = (kept.link, link) {
            return Ok(Some(by_link(lr, above)));
        }
        Ok(Some(Step::called(word(above, LINK_SAVE)?, above, 0)))
    }

    fn follows_call(&self, pages: &Pages<'_>, pc: u64) -> Option<bool> {
        code::follows_call(pages, pc)
    }

    fn found(&self, _: &Pages<'_>, slot: u64, pc: u64) -> State {
        State {
            pc,
            sp: slot.saturating_sub(LINK_SAVE),
            ..State::default()
        }
    }
}

fn by_link(lr: u64, sp: u64) -> Step {
    Step {
        trust: Trust::Code,
        ..Step::called(lr, sp, 0)
    }
}

/// What the interrupted function has on the stack.
fn kept(walk: &Walk<'_>, state: &State) -> Option<Kept> {
    let Some(symbol) = (walk.name)(state.pc) else {
        // A call of a pointer that led nowhere: there was no time for a frame.
        return (!walk.may_be_generated(state.pc)).then(Kept::default);
    };
    let start = state.pc.checked_sub(symbol.offset)?;
    code::kept(walk.pages, start, state.pc)
}

/// What was interrupted, by the registers above the last frame; nothing in a kernel thread, whose are zeros.
fn registers_above(pages: &Pages<'_>, sp: u64) -> Option<Step> {
    let at = VirtAddr(sp.checked_add(FRAME)?);
    let bytes = pages.bytes::<PT_REGS_BYTES>(at)?;
    let all = regs::from_pt_regs(&bytes)?;
    let goes_on = all.pc() != 0 && (all.user_mode() || all.sp() > sp);
    let registers = vmcore::arch::Registers::Table(all);
    goes_on.then(|| Step::interrupted(state(&all), at, registers))
}
