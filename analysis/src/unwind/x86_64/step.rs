//! One step from a frame to its caller's, by an ORC entry.
//!
//! Facts: arch/x86/kernel/unwind_orc.c (`unwind_next_frame`), 5.10 to 7.x.

use super::orc::{Base, Bp, Entry, Register, Rule};
use crate::unwind::Saved;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::arch;
use vmcore::arch::x86_64::regs::{PT_REGS_BYTES, Registers};

/// The offset of rip in `pt_regs`: the part before it is missing when only the CPU saved.
const IRET_OFFSET: u64 = 128;

/// What is known of a frame's registers.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The next instruction.
    pub pc: u64,
    /// rsp.
    pub sp: u64,
    /// rbp.
    pub bp: u64,
    /// The rest, from the last whole `pt_regs`; lost at the first return address.
    pub others: Option<Box<Registers>>,
    /// Whether `pc` is where it was interrupted, and no return address.
    pub signal: bool,
}

impl State {
    /// From registers.
    #[must_use]
    pub(super) fn of_registers(registers: &Registers) -> Self {
        Self {
            pc: registers.ip,
            sp: registers.sp,
            bp: registers.bp,
            others: Some(Box::new(*registers)),
            signal: true,
        }
    }

    /// The address whose table entry and symbol count: a return address may be just after the end of
    /// its function.
    #[must_use]
    pub(super) fn key(&self) -> u64 {
        if self.signal {
            self.pc
        } else {
            self.pc.wrapping_sub(1)
        }
    }

    fn register(&self, register: Register) -> Option<u64> {
        let others = self.others.as_deref()?;
        Some(match register {
            Register::Ax => others.ax,
            Register::Dx => others.dx,
            Register::Di => others.di,
            Register::R10 => others.r10,
            Register::R13 => others.r13,
        })
    }
}

/// A step that was made.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The caller.
    pub state: State,
    /// The caller's registers, when something saved them.
    pub saved: Option<Saved>,
    /// Where the return address was read, when it was one.
    pub slot: Option<VirtAddr>,
}

/// Why a step cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// The outermost frame.
    End,
    /// This code has no rule.
    NoRule,
    /// A register is needed that is not known here.
    Register(Register),
    /// The stack cannot be read here.
    Unreadable(u64),
}

fn reading(pages: &Pages<'_>, at: u64) -> Result<u64, Stop> {
    pages.word(VirtAddr(at)).ok_or(Stop::Unreadable(at))
}

/// The frame address.
fn frame_address(pages: &Pages<'_>, state: &State, entry: &Entry) -> Result<u64, Stop> {
    let offset = i64::from(entry.offset);
    Ok(match entry.base {
        Base::Sp => state.sp.wrapping_add_signed(offset),
        Base::Bp => state.bp.wrapping_add_signed(offset),
        Base::SpIndirect => reading(pages, state.sp)?.wrapping_add_signed(offset),
        Base::BpIndirect => reading(pages, state.bp.wrapping_add_signed(offset))?,
        Base::Register(register) => state.register(register).ok_or(Stop::Register(register))?,
        Base::Undefined | Base::PrevSp => return Err(Stop::NoRule),
    })
}

/// Goes to the caller.
///
/// # Errors
/// [`Stop`] says why there is none.
pub(super) fn step(pages: &Pages<'_>, state: &State, entry: &Entry) -> Result<Step, Stop> {
    match entry.rule {
        Rule::End => return Err(Stop::End),
        Rule::Undefined => return Err(Stop::NoRule),
        Rule::Call | Rule::Regs | Rule::PartialRegs => {}
    }
    let cfa = frame_address(pages, state, entry)?;
    let bp = match entry.bp {
        Bp::Same => state.bp,
        Bp::ByFrame(offset) => reading(pages, cfa.wrapping_add_signed(i64::from(offset)))?,
        Bp::ByPointer(offset) => reading(pages, state.bp.wrapping_add_signed(i64::from(offset)))?,
    };
    match entry.rule {
        Rule::Regs => {
            let bytes = pages
                .bytes::<PT_REGS_BYTES>(VirtAddr(cfa))
                .ok_or(Stop::Unreadable(cfa))?;
            let registers = Registers::from_pt_regs(&bytes).ok_or(Stop::Unreadable(cfa))?;
            let mut state = State::of_registers(&registers);
            state.signal = entry.signal;
            Ok(Step {
                state,
                saved: Some(Saved {
                    at: Some(VirtAddr(cfa)),
                    registers: arch::Registers::X86_64(registers),
                    full: true,
                }),
                slot: None,
            })
        }
        Rule::PartialRegs => {
            let word = |i: u64| reading(pages, cfa.wrapping_add(i * 8));
            let registers = Registers {
                ip: word(0)?,
                cs: word(1)?,
                flags: word(2)?,
                sp: word(3)?,
                ss: word(4)?,
                ..Registers::default()
            };
            Ok(Step {
                state: State {
                    pc: registers.ip,
                    sp: registers.sp,
                    bp,
                    others: state.others.clone(),
                    signal: entry.signal,
                },
                saved: Some(Saved {
                    at: Some(VirtAddr(cfa.wrapping_sub(IRET_OFFSET))),
                    registers: arch::Registers::X86_64(registers),
                    full: false,
                }),
                slot: None,
            })
        }
        _ => {
            let slot = cfa.wrapping_sub(8);
            let pc = reading(pages, slot)?;
            Ok(Step {
                state: State {
                    pc,
                    sp: cfa,
                    bp,
                    others: None,
                    signal: entry.signal,
                },
                saved: None,
                slot: Some(VirtAddr(slot)),
            })
        }
    }
}
