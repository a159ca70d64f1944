//! The frames of ppc64le: the back chain, and the `pt_regs` that exceptions leave in theirs.

use super::code::{self, Kept};
use crate::unwind::Trust;
use crate::unwind::chain::{Links, State, Step, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::arch::TableRegisters;
use vmcore::arch::ppc64le::regs::{self, LINK, PT_REGS_BYTES};

/// Where a function saves the link register, in its caller's frame.
const LINK_SAVE: u64 = 16;
/// STACK_FRAME_REGS_MARKER: `REGS` since 6.4, `regshere` before.
const MARKERS: [u64; 2] = [0x5347_4552, 0x7265_6773_6865_7265];
/// Where the marker and `pt_regs` are in an exception's frame: since 6.3, and before.
pub(super) const LAYOUTS: [(u64, u64); 2] = [(32, 48), (96, 112)];

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
        // A task that has not run yet begins above its registers, like what an exception called.
        if (!state.signal || state.lr.is_none())
            && let Some((at, registers)) = registers_in(walk.pages, state.sp)
        {
            let all = vmcore::arch::Registers::Table(registers);
            let step = Step::interrupted(self::state(&registers), VirtAddr(at), all);
            return Ok(Some(step));
        }
        let kept = match state.signal {
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
        if state.signal && !is_kernels(state.sp) {
            // The entry of an exception from user mode, interrupted before it took a stack of the kernel's.
            return Ok(None);
        }
        let word = |at: u64| walk.pages.word(VirtAddr(at)).ok_or(UnwindError::Stack(at));
        let above = word(state.sp)?;
        if above == 0 {
            return Ok(None);
        }
        if let (false, Some(lr)) = (kept.link, link) {
            return Ok(Some(by_link(lr, above)));
        }
        let ra = word(above.saturating_add(LINK_SAVE))?;
        Ok(Some(Step::called(ra, above, 0)))
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
