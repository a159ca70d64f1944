//! From the first frame to the last along a chain of frames that functions keep on the stack, and scans where
//! the chain is broken. What a link of the chain looks like is an architecture's own ([`Links`]).

mod back;
mod engine;
#[cfg(test)]
pub(super) mod rig;

pub(super) use back::{BackChain, Kept};
pub(super) use engine::{Chained, Port};

use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::{Area, Areas};
use super::text::Text;
use super::{End, Frame, FrameKind, MAX_FRAMES, Saved, StackKind, Trust};
use vmcore::addr::VirtAddr;
use vmcore::arch::{Registers, TableRegisters};
use vmcore::kernel::Resolved;

/// Most frames that a scan adds.
const MAX_GUESSES: usize = 64;
/// Most bytes of one stack that are looked at: the largest stack there is.
const MAX_BYTES: u64 = 128 << 10;

/// How an architecture's frames hang together.
pub(super) trait Links {
    /// The caller; `None` behind the outermost frame.
    ///
    /// # Errors
    /// Why the walk stopped.
    fn caller(&self, walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError>;

    /// Whether a call instruction stands right before `pc`; `None` where the code cannot be read. Always
    /// false for addresses that no instruction can have.
    fn follows_call(&self, pages: &Pages<'_>, pc: u64) -> Option<bool>;

    /// What would be known of a frame whose return address `pc` a scan found at `slot`.
    fn found(&self, pages: &Pages<'_>, slot: u64, pc: u64) -> State;

    /// A code address without what else its word holds.
    fn stripped(&self, pc: u64) -> u64 {
        pc
    }
}

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
    /// The architecture's part.
    pub links: &'w dyn Links,
}

/// What is known of a frame's registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    /// The next instruction.
    pub pc: u64,
    /// The stack pointer, or a little above it.
    pub sp: u64,
    /// The frame pointer, where there is one.
    pub fp: u64,
    /// The link register, while it is known.
    pub lr: Option<u64>,
    /// Whether `pc` is where it was interrupted, and no return address.
    pub signal: bool,
}

impl State {
    /// What registers say, by the places of the link register and of the frame pointer.
    pub(super) fn of(registers: &TableRegisters, lr: usize, fp: Option<usize>) -> Self {
        Self {
            pc: registers.pc(),
            sp: registers.sp(),
            fp: fp.and_then(|fp| registers.get(fp)).unwrap_or(0),
            lr: registers.get(lr),
            signal: true,
        }
    }

    /// The address whose symbol counts: a return address may be just after the end of its function.
    pub(super) fn key(&self) -> u64 {
        match self.signal {
            true => self.pc,
            false => self.pc.wrapping_sub(1),
        }
    }
}

/// The caller, and its registers where an exception saved them.
pub(super) struct Step {
    /// The caller.
    pub state: State,
    /// Its registers.
    pub saved: Option<Saved>,
    /// How it was found.
    pub trust: Trust,
}

impl Step {
    /// The caller by a link of the chain.
    pub(super) fn called(pc: u64, sp: u64, fp: u64) -> Self {
        Self {
            state: State {
                pc,
                sp,
                fp,
                lr: None,
                signal: false,
            },
            saved: None,
            trust: Trust::FramePointer,
        }
    }

    /// The caller by the link register, of a function that has not saved it.
    pub(super) fn by_link(lr: u64, sp: u64, fp: u64) -> Self {
        Self {
            trust: Trust::Code,
            ..Self::called(lr, sp, fp)
        }
    }

    /// What an exception interrupted, whose registers lie at `at`.
    pub(super) fn interrupted(state: State, at: VirtAddr, registers: Registers) -> Self {
        Self {
            state,
            saved: Some(Saved {
                at: Some(at),
                registers,
                full: true,
            }),
            trust: Trust::FramePointer,
        }
    }
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
        state.pc = self.links.stripped(state.pc);
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
            let next = match self.links.caller(self, &state) {
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

    fn frame(&self, state: &State, kind: FrameKind, trust: Trust, saved: Option<Saved>) -> Frame {
        let stack = match (kind, self.areas.at(state.sp)) {
            (FrameKind::User, _) => StackKind::User,
            (_, Some(area)) => area.kind,
            (_, None) => StackKind::Unknown,
        };
        let symbol = match kind {
            FrameKind::User => None,
            FrameKind::Call => (self.name)(state.key()).map(|mut found| {
                found.offset = found.offset.saturating_add(1);
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
    pub(super) fn is_return(&self, pc: u64) -> bool {
        let Some(call) = pc.checked_sub(1) else {
            return false;
        };
        let text = self.text.is_text(call);
        if !text && !self.text.may_be_generated(call) {
            return false;
        }
        // Assembler sets the return address by hand where a task begins and where tracers return.
        let follows = self.links.follows_call(self.pages, pc).unwrap_or(text);
        follows || text && self.text.is_by_hand(pc)
    }

    /// Whether code outside of kernel and modules stands at `pc`, by what is known of its place.
    pub(super) fn may_be_generated(&self, pc: u64) -> bool {
        self.text.may_be_generated(pc)
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
            let slot = at;
            let word = self.pages.word(VirtAddr(slot));
            let word = word.map(|word| self.links.stripped(word));
            at = at.saturating_add(8);
            let Some(pc) = word.filter(|pc| self.is_return(*pc)) else {
                continue;
            };
            let state = self.links.found(self.pages, slot, pc);
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
