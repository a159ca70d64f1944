//! The fallback: addresses of code that lie on the stack, where ORC cannot go on.
//!
//! What is found may be left over from earlier calls, so all of it is marked as a guess. Only words
//! behind a call instruction count. From each, ORC is tried again: when it then reaches the proper
//! end of the stack, its frames are taken instead of further words.

use super::stacks::previous;
use super::step::State;
use super::walk::Walk;
use crate::unwind::memory::Pages;
use crate::unwind::stacks::Area;
use crate::unwind::{End, Frame, FrameKind, StackKind, Trust};
use vmcore::addr::VirtAddr;
use vmcore::arch;
use vmcore::arch::x86_64::regs::{PT_REGS_BYTES, Registers};

/// Most frames that a scan adds.
const MAX_GUESSES: usize = 64;
/// Most bytes of one stack that are looked at: the largest stack there is (KASAN) is 64 KiB.
const MAX_BYTES: u64 = 64 << 10;
/// How far below a stack its pointer may have run for the stack to count as overflown.
const OVERFLOW: u64 = 64 << 10;

impl Walk<'_> {
    /// Adds the code addresses from `sp` to the end of its stack and of the stacks before it.
    pub(super) fn scan(&self, frames: &mut Vec<Frame>, sp: u64) {
        let mut sp = sp;
        let mut area = self.areas.at(sp).or_else(|| self.overflown(sp));
        let mut left: Vec<StackKind> = Vec::new();
        let limit = frames.len().saturating_add(MAX_GUESSES);
        while let Some(now) = area {
            if self.scan_area(frames, now, sp, limit) {
                return;
            }
            if now.kind == StackKind::Task {
                frames.extend(self.user_frame(now));
                return;
            }
            left.push(now.kind);
            let Some(before) = previous(&now, |at| self.pages.word(at)) else {
                return;
            };
            sp = before;
            area = self.areas.at(sp).filter(|area| !left.contains(&area.kind));
        }
    }

    /// The task's stack, when `sp` ran out of it downwards.
    fn overflown(&self, sp: u64) -> Option<Area> {
        self.areas
            .of_kind(StackKind::Task)
            .filter(|area| sp < area.range.start && area.range.start.saturating_sub(sp) <= OVERFLOW)
    }

    /// True when there is nothing to add any more.
    fn scan_area(&self, frames: &mut Vec<Frame>, area: Area, sp: u64, limit: usize) -> bool {
        let start = sp.max(area.range.start).next_multiple_of(8);
        let end = area.range.end.min(start.saturating_add(MAX_BYTES));
        let mut at = start;
        while at < end {
            if frames.len() >= limit {
                return true;
            }
            let slot = VirtAddr(at);
            at = at.saturating_add(8);
            let Some(word) = self.pages.word(slot) else {
                continue;
            };
            if !self.is_return(word) {
                continue;
            }
            let state = State {
                pc: word,
                sp: at,
                bp: 0,
                others: None,
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
                return true;
            }
            frames.extend(found.into_iter().next());
        }
        false
    }

    /// The registers that the task entered the kernel with: they stand at the end of its stack, below
    /// the 16 bytes that FRED keeps there (CONFIG_X86_FRED, 6.9 on).
    fn user_frame(&self, task: Area) -> Option<Frame> {
        [0, 16].iter().find_map(|padding| {
            let at = task
                .range
                .end
                .checked_sub(PT_REGS_BYTES as u64)?
                .checked_sub(*padding)?;
            user_registers(self.pages, VirtAddr(at))
        })
    }
}

/// The user mode frame whose `pt_regs` lies at `at`, if one does.
fn user_registers(pages: &Pages<'_>, at: VirtAddr) -> Option<Frame> {
    /// __USER_CS, __USER32_CS, __USER_DS: arch/x86/include/asm/segment.h, all versions.
    const USER_CODE: [u64; 2] = [0x33, 0x23];
    const USER_DATA: u64 = 0x2b;
    let registers = Registers::from_pt_regs(&pages.bytes::<PT_REGS_BYTES>(at)?)?;
    let plausible = USER_CODE.contains(&(registers.cs & 0xffff))
        && registers.ss & 0xffff == USER_DATA
        && registers.ip < 1 << 56;
    plausible.then(|| Frame {
        pc: VirtAddr(registers.ip),
        sp: VirtAddr(registers.sp),
        symbol: None,
        stack: StackKind::User,
        trust: Trust::Guess,
        kind: FrameKind::User,
        registers: Some(Box::new(crate::unwind::Saved {
            at: Some(at),
            registers: arch::Registers::X86_64(registers),
            full: true,
        })),
    })
}
