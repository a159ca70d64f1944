//! From the first frame to the last by frame records, and scans where the chain is broken.

use super::code::{self, INSTRUCTION};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use crate::unwind::stacks::{Area, Areas, Range};
use crate::unwind::text::Text;
use crate::unwind::{End, Frame, FrameKind, MAX_FRAMES, Saved, StackKind, Trust};
use vmcore::addr::VirtAddr;
use vmcore::arch;
use vmcore::arch::aarch64::regs::{Registers, USER_PT_REGS_BYTES};
use vmcore::arch::aarch64::strip_pac;
use vmcore::kernel::Resolved;

/// Most frames that a scan adds.
const MAX_GUESSES: usize = 64;
/// Most bytes of one stack that are looked at: the largest stack there is.
const MAX_BYTES: u64 = 128 << 10;
/// Bytes of a frame record.
const RECORD: u64 = 16;
/// `frame_record_meta.type` (6.13 on) of a record inside a `pt_regs`.
const META_PT_REGS: u64 = 2;

/// What a walk needs.
pub(super) struct Walk<'w> {
    /// The dump.
    pub pages: &'w Pages<'w>,
    /// Where code is.
    pub text: &'w Text,
    /// The stacks that may be crossed.
    pub areas: &'w Areas,
    /// Names addresses.
    pub name: &'w dyn Fn(u64) -> Option<Resolved>,
    /// Where the frame record is in `pt_regs`.
    pub record: Option<u64>,
    /// The code that exceptions enter by: nobody called it, and what its link register holds is left over.
    pub entry: Option<Range>,
    /// Bits of a return address that are no part of it.
    pub pac_mask: u64,
}

/// What is known of a frame's registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State {
    /// The next instruction.
    pub pc: u64,
    /// The stack pointer, or a little above it.
    pub sp: u64,
    /// x29.
    pub fp: u64,
    /// x30, while it is known.
    pub lr: Option<u64>,
    /// Whether `pc` is where it was interrupted, and no return address.
    pub signal: bool,
}

impl State {
    /// From registers.
    pub(super) fn of_registers(registers: &Registers) -> Self {
        Self {
            pc: registers.pc,
            sp: registers.sp,
            fp: registers.fp(),
            lr: Some(registers.lr()),
            signal: true,
        }
    }

    /// The address whose symbol counts: a return address may be just after the end of its function.
    fn key(&self) -> u64 {
        match self.signal {
            true => self.pc,
            false => self.pc.wrapping_sub(INSTRUCTION),
        }
    }
}

/// The caller, and its registers where an exception saved them.
struct Step {
    state: State,
    saved: Option<Saved>,
    trust: Trust,
}

impl Walk<'_> {
    /// All frames from `state` outwards. `saved` are the registers it came from.
    pub(super) fn run(&self, state: State, saved: Option<Saved>) -> (Vec<Frame>, End) {
        let mut frames = Vec::new();
        let (end, at) = self.follow(&mut frames, state, saved);
        if let (End::Broken(_), Some(sp)) = (&end, at) {
            self.scan(&mut frames, sp);
        }
        (frames, end)
    }

    /// Unwinds as far as it goes; when it broke, also where a scan should begin.
    fn follow(
        &self,
        frames: &mut Vec<Frame>,
        state: State,
        saved: Option<Saved>,
    ) -> (End, Option<u64>) {
        let (mut state, mut saved) = (state, saved);
        state.pc = self.stripped(state.pc);
        let mut trust = Trust::Orc;
        // Stacks that were left: none is entered twice.
        let mut left: Vec<StackKind> = Vec::new();
        loop {
            let user = saved.as_ref().is_some_and(|s| s.registers.user_mode());
            let kind = match (user, state.signal) {
                (true, _) => FrameKind::User,
                (false, true) => FrameKind::Interrupted,
                (false, false) => FrameKind::Call,
            };
            let area = self.areas.at(state.sp);
            frames.push(self.frame(&state, kind, trust, saved.take()));
            if user {
                return (End::User, None);
            }
            if frames.len() >= MAX_FRAMES {
                return (End::TooLong, None);
            }
            let next = match self.step(&state) {
                Ok(Some(next)) => next,
                Ok(None) => return (End::Kernel, None),
                Err(why) => return (End::Broken(why.to_string()), Some(state.sp)),
            };
            if let Err(why) = self.check(&state, area, &next, &mut left) {
                return (End::Broken(why.to_string()), Some(state.sp));
            }
            trust = trust.max(next.trust);
            (state, saved) = (next.state, next.saved);
        }
    }

    /// The caller; `None` behind the outermost frame.
    fn step(&self, state: &State) -> Result<Option<Step>, UnwindError> {
        if let Some(step) = self.by_link(state) {
            return Ok(Some(step));
        }
        let at = state.fp;
        let word = |offset: u64| {
            let at = at.checked_add(offset).map(VirtAddr);
            at.and_then(|at| self.pages.word(at))
                .ok_or(UnwindError::Stack(state.fp))
        };
        let (fp, lr) = (word(0)?, word(8)?);
        let sp = at.saturating_add(RECORD);
        if (fp, lr) == (0, 0) {
            let saved = self.registers_around(at);
            let inside = word(RECORD) == Ok(META_PT_REGS);
            let goes_on = |all: &Registers| inside || all.user_mode() && all.pc != 0;
            return Ok(saved.filter(|(_, all)| goes_on(all)).map(interrupted));
        }
        // Before 6.13 only the registers themselves tell that the record is among them.
        if let Some(saved) = self.registers_around(at)
            && (saved.1.pc, saved.1.fp()) == (lr, fp)
            && saved.1.sp >= sp
        {
            return Ok(Some(interrupted(saved)));
        }
        Ok(Some(Step {
            state: State {
                pc: self.stripped(lr),
                sp,
                fp,
                lr: None,
                signal: false,
            },
            saved: None,
            trust: Trust::FramePointer,
        }))
    }

    /// The caller by the link register: of code that was interrupted while it had no record.
    fn by_link(&self, state: &State) -> Option<Step> {
        let lr = self.stripped(state.lr.filter(|_| state.signal)?);
        if self.entry.is_some_and(|entry| entry.contains(state.pc)) {
            return None;
        }
        let kept = match (self.name)(state.pc) {
            Some(symbol) => {
                let start = state.pc.checked_sub(symbol.offset)?;
                code::keeps_record(self.pages, start, state.pc)?
            }
            // A call of a pointer that led nowhere: there was no time for a record.
            None => self.text.may_be_generated(state.pc) && self.readable(state.pc),
        };
        if kept || !self.is_return(lr) {
            return None;
        }
        Some(Step {
            state: State {
                pc: lr,
                // Its own frame, if any, is somewhere above.
                sp: state.sp,
                fp: state.fp,
                lr: None,
                signal: false,
            },
            saved: None,
            trust: Trust::Code,
        })
    }

    fn readable(&self, pc: u64) -> bool {
        code::instruction(self.pages, pc).is_some()
    }

    /// The `pt_regs` around the record at `at`.
    fn registers_around(&self, at: u64) -> Option<(VirtAddr, Registers)> {
        let base = VirtAddr(at.checked_sub(self.record?)?);
        let bytes = self.pages.bytes::<USER_PT_REGS_BYTES>(base)?;
        Some((base, Registers::from_pt_regs(&bytes)?))
    }

    fn stripped(&self, pc: u64) -> u64 {
        match self.pac_mask {
            0 => pc,
            mask => strip_pac(VirtAddr(pc), mask).0,
        }
    }

    fn frame(&self, state: &State, kind: FrameKind, trust: Trust, saved: Option<Saved>) -> Frame {
        let stack = match (kind, self.areas.at(state.sp)) {
            (FrameKind::User, _) => StackKind::User,
            (_, Some(area)) => area.kind,
            (_, None) => StackKind::Unknown,
        };
        let symbol = match kind {
            FrameKind::User => None,
            FrameKind::Call => (self.name)(state.key()).map(|mut found| {
                found.offset = found.offset.saturating_add(INSTRUCTION);
                found
            }),
            _ => (self.name)(state.pc),
        };
        Frame {
            pc: VirtAddr(state.pc),
            sp: VirtAddr(state.sp),
            symbol,
            stack,
            trust,
            kind,
            registers: saved.map(Box::new),
        }
    }

    /// Whether a step leads somewhere that it can lead to.
    fn check(
        &self,
        from: &State,
        area: Option<Area>,
        step: &Step,
        left: &mut Vec<StackKind>,
    ) -> Result<(), UnwindError> {
        match &step.saved {
            Some(saved) if saved.registers.user_mode() => return Ok(()),
            Some(_) => {}
            None if self.is_return(step.state.pc) => {}
            None => return Err(UnwindError::NotCode(step.state.pc)),
        }
        let next = self.areas.at(step.state.sp);
        let (old, new) = (area.map(|a| a.kind), next.map(|a| a.kind));
        if old == new {
            // By the link register the stack pointer stays.
            let stays = step.trust == Trust::Code && step.state.sp == from.sp;
            return match stays || step.state.sp > from.sp {
                true => Ok(()),
                false => Err(UnwindError::Downwards {
                    from: from.sp,
                    to: step.state.sp,
                }),
            };
        }
        left.push(old.unwrap_or(StackKind::Unknown));
        match left.contains(&new.unwrap_or(StackKind::Unknown)) {
            true => Err(UnwindError::Circle(step.state.sp)),
            false => Ok(()),
        }
    }

    /// Whether an address can be where a call returns to: in code, behind a call instruction (if the
    /// code can be read).
    fn is_return(&self, pc: u64) -> bool {
        let Some(call) = pc
            .checked_sub(INSTRUCTION)
            .filter(|at| at % INSTRUCTION == 0)
        else {
            return false;
        };
        let text = self.text.is_text(call);
        if !text && !self.text.may_be_generated(call) {
            return false;
        }
        code::instruction(self.pages, call).map_or(text, |code| {
            // Assembler sets the return address by hand where a task begins and where tracers return.
            code::is_call(code) || text && self.text.is_by_hand(pc)
        })
    }

    /// Adds the code addresses from `sp` to the end of its stack: all marked as guesses. From each the
    /// records are tried again; when they then reach the proper end of the stack, their frames are taken
    /// instead of further words.
    pub(super) fn scan(&self, frames: &mut Vec<Frame>, sp: u64) {
        let Some(area) = self.areas.at(sp) else {
            return;
        };
        let limit = frames.len().saturating_add(MAX_GUESSES);
        let mut at = sp.max(area.range.start).next_multiple_of(8);
        let end = area.range.end.min(at.saturating_add(MAX_BYTES));
        while at < end && frames.len() < limit {
            let below = at
                .checked_sub(8)
                .and_then(|at| self.pages.word(VirtAddr(at)));
            let word = self
                .pages
                .word(VirtAddr(at))
                .map(|word| self.stripped(word));
            at = at.saturating_add(8);
            let Some(pc) = word.filter(|pc| self.is_return(*pc)) else {
                continue;
            };
            let state = State {
                pc,
                sp: at,
                fp: below.unwrap_or(0),
                lr: None,
                signal: false,
            };
            let mut found = Vec::new();
            let (reached, _) = self.follow(&mut found, state, None);
            for frame in &mut found {
                if frame.kind != FrameKind::User {
                    frame.trust = Trust::Guess;
                }
            }
            if matches!(reached, End::User | End::Kernel) {
                frames.extend(found);
                return;
            }
            frames.extend(found.into_iter().next());
        }
    }
}

/// The frame that an exception interrupted.
fn interrupted((at, registers): (VirtAddr, Registers)) -> Step {
    Step {
        state: State::of_registers(&registers),
        saved: Some(Saved {
            at: Some(at),
            registers: arch::Registers::Aarch64(registers),
            full: true,
        }),
        trust: Trust::FramePointer,
    }
}
