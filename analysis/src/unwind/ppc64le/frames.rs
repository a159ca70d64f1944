//! The frames of ppc64le: the back chain, and the `pt_regs` that exceptions leave in theirs.

use super::code;
use crate::unwind::chain::{BackChain, State, Step, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::arch::ppc64le::regs::{self, LINK, PT_REGS_BYTES};
use vmcore::arch::{Registers, TableRegisters};

/// STACK_FRAME_REGS_MARKER: `REGS` since 6.4, `regshere` before.
const MARKERS: [u64; 2] = [0x5347_4552, 0x7265_6773_6865_7265];
/// Where the marker and `pt_regs` are in an exception's frame: since 6.3, and before.
pub(super) const LAYOUTS: [(u64, u64); 2] = [(32, 48), (96, 112)];

/// A function saves the link register in its caller's frame.
pub(super) static BACK: BackChain = BackChain {
    chain: 0,
    link: 16,
    kept: code::kept,
};

/// The caller; `None` behind the outermost frame.
pub(super) fn caller(walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
    // A task that has not run yet begins above its registers, like what an exception called.
    if (!state.signal || state.lr.is_none())
        && let Some((at, own)) = registers_in(walk.pages, state.sp)
    {
        let interrupted = State::of(&own, LINK, None);
        let step = Step::interrupted(interrupted, VirtAddr(at), Registers::Table(own));
        return Ok(Some(step));
    }
    if state.signal && !is_kernels(state.sp) {
        // The entry of an exception from user mode, interrupted before it took a stack of the kernel's.
        return Ok(None);
    }
    BACK.caller(walk, state)
}

/// Whether an address is the kernel's: 0xc and what lies above (Documentation/arch/powerpc, 64-bit memory maps).
fn is_kernels(address: u64) -> bool {
    address >> 60 >= 0xc
}

/// The `pt_regs` in the frame at `sp`, if it is an exception's.
fn registers_in(pages: &Pages<'_>, sp: u64) -> Option<(u64, TableRegisters)> {
    LAYOUTS.into_iter().find_map(|(marker, registers)| {
        if !MARKERS.contains(&pages.word_at(VirtAddr(sp), marker)?) {
            return None;
        }
        let at = sp.checked_add(registers)?;
        let bytes = pages.bytes::<PT_REGS_BYTES>(VirtAddr(at))?;
        let all = regs::from_pt_regs(&bytes)?;
        // A marker may be left over: what was interrupted lies above, or is of user mode.
        let above = all.user_mode() || all.sp() > sp || !is_kernels(all.sp());
        (above && all.pc() != 0).then_some((at, all))
    })
}
