//! From the first frame to the last: checks every step, and scans where there is none.

use super::code;
use super::orc::{Entry, Rule};
use super::step::{State, Step, Stop, step};
use super::tables::Tables;
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use crate::unwind::stacks::{Area, Areas};
use crate::unwind::{End, Frame, FrameKind, MAX_FRAMES, Saved, StackKind, Trust};
use vmcore::addr::VirtAddr;
use vmcore::kernel::Resolved;

/// A trace crosses at most so many stacks (entry or task, interrupt, DB, NMI, MCE, DF).
const MAX_CROSSINGS: usize = 6;

/// How a function begins that keeps a frame pointer: push %rbp, then mov %rsp,%rbp.
const PUSH_RBP: u8 = 0x55;
const MOV_RSP_RBP: [u8; 3] = [0x48, 0x89, 0xe5];
/// Bytes in which these are looked for: endbr64, the call of ftrace, what aligns the stack and what the compiler mixes in
/// come first.
const HEAD: usize = 48;

/// What a walk needs.
pub(super) struct Walk<'w> {
    /// The dump.
    pub pages: &'w Pages<'w>,
    /// The ORC tables.
    pub tables: &'w Tables,
    /// The stacks that may be crossed.
    pub areas: &'w Areas,
    /// Names addresses.
    pub name: &'w dyn Fn(u64) -> Option<Resolved>,
    /// For a return address that is a trampoline: the address it hides (the return address slot is
    /// the second argument), `None` inside when nothing tells.
    pub hidden: &'w dyn Fn(u64, VirtAddr) -> Option<Option<u64>>,
}

/// A step with how far it can be believed.
struct Advance {
    step: Step,
    trust: Trust,
}

impl Walk<'_> {
    /// All frames from `state` outwards. `saved` are the registers it came from.
    #[must_use]
    pub(super) fn run(&self, state: State, saved: Option<Saved>) -> (Vec<Frame>, End) {
        let mut frames = Vec::new();
        let (end, at) = self.follow(&mut frames, state, saved);
        if let (End::Broken(_), Some(sp)) = (&end, at) {
            self.scan(&mut frames, sp);
        }
        (frames, end)
    }

    /// Unwinds as far as it goes; when it broke, also where a scan should begin.
    pub(super) fn follow(
        &self,
        frames: &mut Vec<Frame>,
        state: State,
        saved: Option<Saved>,
    ) -> (End, Option<u64>) {
        let mut state = state;
        let mut saved = saved;
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
            let next = match self.advance(&state) {
                Ok(next) => next,
                Err(Stop::End) => return (End::Kernel, None),
                Err(stop) => return (End::Broken(words(&state, &stop)), Some(state.sp)),
            };
            if let Err(why) = self.check(&state, area, &next.step, &mut left) {
                return (End::Broken(why.to_string()), Some(state.sp));
            }
            trust = trust.max(next.trust);
            let Step {
                state: caller,
                saved: registers,
                slot,
            } = next.step;
            let hidden = slot.and_then(|slot| (self.hidden)(caller.pc, slot));
            state = caller;
            saved = registers;
            if let Some(real) = hidden {
                frames.push(self.frame(&state, FrameKind::Trampoline, trust, None));
                match real {
                    Some(pc) => state.pc = pc,
                    None => {
                        let why = format!(
                            "the return address was replaced by the trampoline at {:#x} and no \
                             record of it was found",
                            state.pc
                        );
                        return (End::Broken(why), Some(state.sp));
                    }
                }
            }
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
            // A trampoline is not returned into, it is jumped to.
            FrameKind::Trampoline | FrameKind::Interrupted => (self.name)(state.pc),
            FrameKind::Call => (self.name)(state.key()).map(|mut found| {
                found.offset = found.offset.saturating_add(1);
                found
            }),
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

    /// The caller by the best rule there is.
    fn advance(&self, state: &State) -> Result<Advance, Stop> {
        let key = state.key();
        if self.tables.is_text(key) {
            let entry = self.tables.entry(self.pages, key);
            if let Some(entry) = entry.filter(|entry| entry.rule != Rule::Undefined) {
                let step = step(self.pages, state, &entry)?;
                return Ok(Advance {
                    step,
                    trust: Trust::Orc,
                });
            }
            return match self.by_code(state, key) {
                Some(advance) => Ok(advance),
                None => self.by_pointer(state, key),
            };
        }
        if self.tables.may_be_generated(key) && self.pages.bytes::<1>(VirtAddr(key)).is_some() {
            let step = step(self.pages, state, &Entry::FRAME_POINTER)?;
            if step.state.sp > state.sp && self.is_return(step.state.pc) {
                return Ok(Advance {
                    step,
                    trust: Trust::FramePointer,
                });
            }
        }
        if state.signal {
            // A call of a pointer that led nowhere: nothing was pushed but the return address.
            let step = step(self.pages, state, &Entry::NOWHERE)?;
            if self.is_return(step.state.pc) {
                return Ok(Advance {
                    step,
                    trust: Trust::Orc,
                });
            }
        }
        Err(Stop::NoRule)
    }

    /// The caller of a function that has no ORC, by its instructions.
    fn by_code(&self, state: &State, key: u64) -> Option<Advance> {
        let symbol = (self.name)(key)?;
        let start = key.checked_sub(symbol.offset)?;
        let entry = code::frame(self.pages, start, symbol.size, key)?;
        let step = step(self.pages, state, &entry).ok()?;
        self.is_return(step.state.pc).then_some(Advance {
            step,
            trust: Trust::Code,
        })
    }

    /// The caller of a function that begins by making rbp its frame pointer, in a kernel without ORC
    /// (CONFIG_UNWINDER_FRAME_POINTER). What enters from an exception leaves the address of its `pt_regs` in rbp,
    /// with the lowest bit set; a system call's `pt_regs` lie at rsp (ENCODE_FRAME_POINTER in
    /// arch/x86/include/asm/frame.h, arch/x86/entry/entry_64.S, 5.10 to 7.x).
    fn by_pointer(&self, state: &State, key: u64) -> Result<Advance, Stop> {
        let symbol = (self.name)(key).ok_or(Stop::NoRule)?;
        let entry = match symbol.name.as_str() {
            name if name.starts_with("ret_from_fork") => return Err(Stop::End),
            name if name.starts_with("entry_SYSCALL_64") => Entry::REGS,
            _ if state.bp & 1 == 1 => Entry::ENCODED_REGS,
            _ => {
                let start = key.checked_sub(symbol.offset).ok_or(Stop::NoRule)?;
                let head = self.pages.bytes::<HEAD>(VirtAddr(start));
                let head = head.ok_or(Stop::Unreadable(start))?;
                let pushed = head.iter().position(|&byte| byte == PUSH_RBP);
                let rest = head.get(pushed.ok_or(Stop::NoRule)?..).unwrap_or_default();
                if !rest.windows(3).any(|code| code == MOV_RSP_RBP) {
                    return Err(Stop::NoRule);
                }
                Entry::FRAME_POINTER
            }
        };
        let step = step(self.pages, state, &entry)?;
        let right = match entry.rule {
            Rule::Regs => {
                let saved = step.saved.as_ref();
                saved.is_some_and(|saved| saved.registers.user_mode())
                    || self.tables.is_text(step.state.pc)
            }
            _ => self.is_return(step.state.pc),
        };
        right
            .then_some(Advance {
                step,
                trust: Trust::FramePointer,
            })
            .ok_or(Stop::NoRule)
    }

    /// Whether a step leads somewhere that it can lead to.
    fn check(
        &self,
        from: &State,
        area: Option<Area>,
        step: &Step,
        left: &mut Vec<StackKind>,
    ) -> Result<(), UnwindError> {
        if let Some(saved) = &step.saved {
            if saved.registers.user_mode() {
                return Ok(());
            }
        } else if !self.tables.is_text(step.state.key())
            && !self.tables.may_be_generated(step.state.key())
        {
            return Err(UnwindError::NotCode(step.state.pc));
        }
        let next = self.areas.at(step.state.sp);
        let (old, new) = (area.map(|a| a.kind), next.map(|a| a.kind));
        if old == new {
            // Without BTF no stack is known, and crossing one may lead downwards: at most as often as
            // there are stacks to cross.
            if step.state.sp < from.sp && new.is_none() && left.len() < MAX_CROSSINGS {
                left.push(StackKind::Unknown);
                return Ok(());
            }
            if step.state.sp <= from.sp {
                return Err(UnwindError::Downwards {
                    from: from.sp,
                    to: step.state.sp,
                });
            }
            return Ok(());
        }
        left.push(old.unwrap_or(StackKind::Unknown));
        if left.contains(&new.unwrap_or(StackKind::Unknown)) {
            return Err(UnwindError::Circle(step.state.sp));
        }
        Ok(())
    }

    /// Whether an address can be where a call returns to: in code, behind a call instruction (if the
    /// code can be read).
    #[must_use]
    pub(super) fn is_return(&self, pc: u64) -> bool {
        let Some(call) = pc.checked_sub(1) else {
            return false;
        };
        let code = self.tables.is_text(call);
        if !code && !self.tables.may_be_generated(call) {
            return false;
        }
        match pc
            .checked_sub(7)
            .and_then(|at| self.pages.bytes::<7>(VirtAddr(at)))
        {
            Some(bytes) => ends_in_call(bytes),
            None => code,
        }
    }
}

/// Whether these bytes end in a call: `call rel32`, or `call *` in its lengths of 2, 3, 4, 6 and 7.
fn ends_in_call(bytes: [u8; 7]) -> bool {
    let [b0, b1, b2, b3, b4, b5, b6] = bytes;
    let indirect = |opcode: u8, modrm: u8, length: usize| {
        let (mode, reg, rm) = (modrm >> 6, (modrm >> 3) & 7, modrm & 7);
        let sib = usize::from(mode != 3 && rm == 4);
        let displacement = match (mode, rm) {
            (0, 5) | (2, _) => 4,
            (1, _) => 1,
            _ => 0,
        };
        opcode == 0xff && reg == 2 && 2 + sib + displacement == length
    };
    b2 == 0xe8
        || indirect(b5, b6, 2)
        || indirect(b4, b5, 3)
        || indirect(b3, b4, 4)
        || indirect(b1, b2, 6)
        || indirect(b0, b1, 7)
}

fn words(state: &State, stop: &Stop) -> String {
    let pc = state.pc;
    match stop {
        Stop::End => format!("the stack ends at {pc:#x}"),
        Stop::NoRule => format!("no unwind rule is known for {pc:#x}"),
        Stop::Register(register) => {
            let name = format!("{register:?}").to_lowercase();
            format!("the frame of {pc:#x} is told by {name}, which was not saved")
        }
        Stop::Unreadable(at) => format!("the stack cannot be read at {at:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::ends_in_call;

    #[test]
    fn calls_are_recognised_by_length() {
        // call rel32
        assert!(ends_in_call([0, 0, 0xe8, 1, 2, 3, 4]));
        // call *%rax; call *%r11
        assert!(ends_in_call([0, 0, 0, 0, 0, 0xff, 0xd0]));
        assert!(ends_in_call([0, 0, 0, 0, 0x41, 0xff, 0xd3]));
        // call *0x18(%rax); call *0x18(%rsp)
        assert!(ends_in_call([0, 0, 0, 0, 0xff, 0x50, 0x18]));
        assert!(ends_in_call([0, 0, 0, 0xff, 0x54, 0x24, 0x18]));
        // call *0x12345678(%rip); call *0x118(%rax); call *disp32(,%rax,8)
        assert!(ends_in_call([0, 0xff, 0x15, 1, 2, 3, 4]));
        assert!(ends_in_call([0, 0xff, 0x90, 0x18, 1, 0, 0]));
        assert!(ends_in_call([0xff, 0x94, 0xc5, 0, 0, 0, 0]));
        // jmp *%rax, push, nops
        assert!(!ends_in_call([0, 0, 0, 0, 0, 0xff, 0xe0]));
        assert!(!ends_in_call([0x90; 7]));
        assert!(!ends_in_call([0, 0, 0, 0, 0, 0xff, 0x50]));
    }
}
