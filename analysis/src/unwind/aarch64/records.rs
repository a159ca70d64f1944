//! The frame records of aarch64: a link of the chain, and those that `pt_regs` hold.

use super::code::{self, INSTRUCTION};
use crate::unwind::chain::{Links, State, Step, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use crate::unwind::stacks::Range;
use vmcore::addr::VirtAddr;
use vmcore::arch;
use vmcore::arch::aarch64::regs::{Registers, USER_PT_REGS_BYTES};
use vmcore::arch::aarch64::strip_pac;

/// Bytes of a frame record.
const RECORD: u64 = 16;
/// `frame_record_meta.type` (6.13 on) of a record inside a `pt_regs`.
const META_PT_REGS: u64 = 2;

/// What following records takes.
pub(super) struct Records {
    /// Where the frame record is in `pt_regs`.
    pub record: Option<u64>,
    /// The code that exceptions enter by: nobody called it, and what its link register holds is left over.
    pub entry: Option<Range>,
    /// Bits of a return address that are no part of it.
    pub pac_mask: u64,
}

/// What registers say of a frame.
pub(super) fn state(registers: &Registers) -> State {
    State {
        pc: registers.pc,
        sp: registers.sp,
        fp: registers.fp(),
        lr: Some(registers.lr()),
        signal: true,
    }
}

impl Links for Records {
    fn caller(&self, walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
        if let Some(step) = self.by_link(walk, state) {
            return Ok(Some(step));
        }
        let at = state.fp;
        let word = |offset: u64| {
            let at = at.checked_add(offset).map(VirtAddr);
            at.and_then(|at| walk.pages.word(at))
                .ok_or(UnwindError::Stack(state.fp))
        };
        let (fp, lr) = (word(0)?, word(8)?);
        let sp = at.saturating_add(RECORD);
        if (fp, lr) == (0, 0) {
            let saved = self.registers_around(walk.pages, at);
            let inside = word(RECORD) == Ok(META_PT_REGS);
            let goes_on = |all: &Registers| inside || all.user_mode() && all.pc != 0;
            return Ok(saved.filter(|(_, all)| goes_on(all)).map(interrupted));
        }
        // Before 6.13 only the registers themselves tell that the record is among them.
        if let Some(saved) = self.registers_around(walk.pages, at)
            && (saved.1.pc, saved.1.fp()) == (lr, fp)
            && saved.1.sp >= sp
        {
            return Ok(Some(interrupted(saved)));
        }
        Ok(Some(Step::called(self.stripped(lr), sp, fp)))
    }

    fn follows_call(&self, pages: &Pages<'_>, pc: u64) -> Option<bool> {
        match pc.checked_sub(INSTRUCTION) {
            Some(call) if call.is_multiple_of(INSTRUCTION) => {
                code::instruction(pages, call).map(code::is_call)
            }
            _ => Some(false),
        }
    }

    fn found(&self, pages: &Pages<'_>, slot: u64, pc: u64) -> State {
        let below = slot.checked_sub(8).and_then(|at| pages.word(VirtAddr(at)));
        State {
            pc,
            sp: slot.saturating_add(8),
            fp: below.unwrap_or(0),
            ..State::default()
        }
    }

    fn stripped(&self, pc: u64) -> u64 {
        match self.pac_mask {
            0 => pc,
            mask => strip_pac(VirtAddr(pc), mask).0,
        }
    }
}

impl Records {
    /// The caller by the link register: of code that was interrupted while it had no record.
    fn by_link(&self, walk: &Walk<'_>, state: &State) -> Option<Step> {
        let lr = self.stripped(state.lr.filter(|_| state.signal)?);
        if self.entry.is_some_and(|entry| entry.contains(state.pc)) {
            return None;
        }
        let kept = match (walk.name)(state.pc) {
            Some(symbol) => {
                let start = state.pc.checked_sub(symbol.offset)?;
                code::keeps_record(walk.pages, start, state.pc)?
            }
            // A call of a pointer that led nowhere: there was no time for a record.
            None => {
                walk.may_be_generated(state.pc) && code::instruction(walk.pages, state.pc).is_some()
            }
        };
        if kept || !walk.is_return(lr) {
            return None;
        }
        // Its own frame, if any, is somewhere above.
        Some(Step::by_link(lr, state.sp, state.fp))
    }

    /// The `pt_regs` around the record at `at`.
    fn registers_around(&self, pages: &Pages<'_>, at: u64) -> Option<(VirtAddr, Registers)> {
        let base = VirtAddr(at.checked_sub(self.record?)?);
        let bytes = pages.bytes::<USER_PT_REGS_BYTES>(base)?;
        Some((base, Registers::from_pt_regs(&bytes)?))
    }
}

/// The frame that an exception interrupted.
fn interrupted((at, registers): (VirtAddr, Registers)) -> Step {
    Step::interrupted(state(&registers), at, arch::Registers::Aarch64(registers))
}
