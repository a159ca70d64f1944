//! The frames of s390x: the back chain, and the `pt_regs` above a frame whose chain ends.

use super::code;
use crate::unwind::chain::{BackChain, State, Step, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::arch::s390x::regs::{self, LINK, PT_REGS_BYTES};

/// STACK_FRAME_OVERHEAD: bytes of `stack_frame`, behind which `pt_regs` may be.
const FRAME: u64 = 160;

/// `back_chain` and `gprs[8]`, which holds %r14, of `stack_frame` (arch/s390/include/asm/stacktrace.h, 5.6 to 7.2).
pub(super) static BACK: BackChain = BackChain {
    chain: 152,
    link: 136,
    kept: code::kept,
};

/// The caller; `None` behind the outermost frame.
pub(super) fn caller(walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
    let step = BACK.caller(walk, state)?;
    Ok(step.or_else(|| registers_above(walk.pages, state.sp)))
}

/// What was interrupted, by the registers above the last frame; nothing in a kernel thread, whose are zeros.
fn registers_above(pages: &Pages<'_>, sp: u64) -> Option<Step> {
    let at = VirtAddr(sp.checked_add(FRAME)?);
    let bytes = pages.bytes::<PT_REGS_BYTES>(at)?;
    let all = regs::from_pt_regs(&bytes)?;
    let goes_on = all.pc() != 0 && (all.user_mode() || all.sp() > sp);
    let interrupted = State::of(&all, LINK, None);
    goes_on.then(|| Step::interrupted(interrupted, at, Registers::Table(all)))
}
