//! `.debug_frame` made from ORC, for gdb, which knows no ORC.
//!
//! Facts: DWARF 4, 6.4 and 7.23; arch/x86/kernel/unwind_orc.c says what an entry means. ORC keeps rsp, rbp
//! and the return address; the other registers of a caller are unknown, unless a whole `pt_regs` was
//! saved. A row holds only what changes since the row before it.

use super::{Range, sleb, uleb};
use crate::error::Error;
use analysis::unwind::{Base, Bp, Entry, Register, Rule};

/// Numbers of registers (System V ABI for x86_64, figure 3.36).
const RAX: u8 = 0;
const RDX: u8 = 1;
const RBX: u8 = 3;
const RDI: u8 = 5;
const RBP: u8 = 6;
const RSP: u8 = 7;
const R10: u8 = 10;
const R13: u8 = 13;
const RETURN: u8 = 16;
/// The offsets of a `pt_regs` (arch/x86/include/asm/ptrace.h) that are not kept otherwise.
const SAVED: [(u8, i64); 13] = [
    (15, 0),
    (14, 8),
    (13, 16),
    (12, 24),
    (RBX, 40),
    (11, 48),
    (10, 56),
    (9, 64),
    (8, 72),
    (RAX, 80),
    (2, 88),
    (RDX, 96),
    (4, 104),
];
const SAVED_DI: (u8, i64) = (RDI, 112);
const SAVED_BP: i64 = 32;
const SAVED_IP: i64 = 128;
const SAVED_SP: i64 = 152;
/// From rip to rsp in what the CPU pushes itself.
const PUSHED_SP: i64 = 24;
/// All offsets are multiples of this one's.
const FACTOR: i64 = -8;

/// DW_CFA_*
mod cfa {
    pub(super) const ADVANCE: u8 = 0x40;
    pub(super) const OFFSET: u8 = 0x80;
    pub(super) const RESTORE: u8 = 0xc0;
    pub(super) const ADVANCE1: u8 = 0x02;
    pub(super) const ADVANCE2: u8 = 0x03;
    pub(super) const ADVANCE4: u8 = 0x04;
    pub(super) const UNDEFINED: u8 = 0x07;
    pub(super) const SAME: u8 = 0x08;
    pub(super) const DEFINE: u8 = 0x0c;
    pub(super) const DEFINE_OFFSET: u8 = 0x0e;
    pub(super) const DEFINE_EXPRESSION: u8 = 0x0f;
    pub(super) const EXPRESSION: u8 = 0x10;
    pub(super) const OFFSET_SIGNED: u8 = 0x11;
    pub(super) const DEFINE_SIGNED: u8 = 0x12;
    pub(super) const VALUE_OFFSET: u8 = 0x14;
}

/// DW_OP_*
const OP_DEREF: u8 = 0x06;
const OP_CONSTS: u8 = 0x11;
const OP_PLUS: u8 = 0x22;
const OP_BREG: u8 = 0x70;

/// The canonical frame address.
#[derive(Clone, PartialEq, Eq)]
enum Cfa {
    Register(u8, i64),
    Expression(Vec<u8>),
}

/// Where a register of the caller is.
#[derive(Clone, PartialEq, Eq)]
enum Where {
    /// As the CIE says.
    Usual,
    Undefined,
    Same,
    /// At the frame address and this.
    At(i64),
    /// At the address of an expression.
    Expression(Vec<u8>),
}

#[derive(Clone, PartialEq, Eq)]
struct Row {
    cfa: Cfa,
    ip: Where,
    sp: Where,
    bp: Where,
    /// Whether the others are in a `pt_regs` at the frame address.
    others: bool,
}

impl Row {
    /// What the CIE says: the state after a call.
    fn first() -> Self {
        Self {
            cfa: Cfa::Register(RSP, 8),
            ip: Where::Usual,
            sp: Where::Usual,
            bp: Where::Usual,
            others: false,
        }
    }

    /// What a rule says; `None`: nothing.
    fn of(entry: &Entry) -> Option<Self> {
        match entry.rule {
            Rule::Undefined => return None,
            Rule::End => return Some(Self::last()),
            Rule::Call | Rule::Regs | Rule::PartialRegs => {}
        }
        let offset = i64::from(entry.offset);
        let cfa = match entry.base {
            Base::Sp => Cfa::Register(RSP, offset),
            Base::Bp => Cfa::Register(RBP, offset),
            Base::Register(register) => Cfa::Register(number(register), offset),
            Base::BpIndirect => {
                let mut expression = vec![OP_BREG + RBP];
                sleb(&mut expression, offset);
                expression.push(OP_DEREF);
                Cfa::Expression(expression)
            }
            Base::SpIndirect => {
                let mut expression = vec![OP_BREG + RSP, 0, OP_DEREF, OP_CONSTS];
                sleb(&mut expression, offset);
                expression.push(OP_PLUS);
                Cfa::Expression(expression)
            }
            Base::Undefined | Base::PrevSp => return None,
        };
        let bp = match entry.bp {
            Bp::Same => Where::Usual,
            Bp::ByFrame(offset) => Where::At(i64::from(offset)),
            Bp::ByPointer(offset) => {
                let mut expression = vec![OP_BREG + RBP];
                sleb(&mut expression, i64::from(offset));
                Where::Expression(expression)
            }
        };
        let row = Self {
            cfa,
            bp,
            ..Self::first()
        };
        Some(match entry.rule {
            Rule::Regs => Self {
                ip: Where::At(SAVED_IP),
                sp: Where::At(SAVED_SP),
                bp: Where::At(SAVED_BP),
                others: true,
                ..row
            },
            Rule::PartialRegs => Self {
                ip: Where::At(0),
                sp: Where::At(PUSHED_SP),
                ..row
            },
            _ => row,
        })
    }

    /// No caller: debuggers stop here. drgn stops only where no register at all is known.
    fn last() -> Self {
        Self {
            ip: Where::Undefined,
            sp: Where::Undefined,
            bp: Where::Undefined,
            ..Self::first()
        }
    }

    /// What leads from `from` to this.
    fn write(&self, from: &Self, out: &mut Vec<u8>) {
        match (&self.cfa, &from.cfa) {
            (to, from) if to == from => {}
            (Cfa::Register(register, offset), Cfa::Register(before, _))
                if register == before && *offset >= 0 =>
            {
                out.push(cfa::DEFINE_OFFSET);
                uleb(out, offset.unsigned_abs());
            }
            (Cfa::Register(register, offset), _) if *offset >= 0 => {
                out.extend([cfa::DEFINE, *register]);
                uleb(out, offset.unsigned_abs());
            }
            (Cfa::Register(register, offset), _) => {
                out.extend([cfa::DEFINE_SIGNED, *register]);
                sleb(out, offset / FACTOR);
            }
            (Cfa::Expression(expression), _) => {
                out.push(cfa::DEFINE_EXPRESSION);
                uleb(out, expression.len() as u64);
                out.extend(expression);
            }
        }
        for (register, to, before) in [
            (RETURN, &self.ip, &from.ip),
            (RSP, &self.sp, &from.sp),
            (RBP, &self.bp, &from.bp),
        ] {
            if to != before {
                place(register, to, out);
            }
        }
        if self.others != from.others {
            for (register, offset) in SAVED.into_iter().chain([SAVED_DI]) {
                let to = match self.others {
                    true => Where::At(offset),
                    false => Where::Usual,
                };
                place(register, &to, out);
            }
        }
    }
}

fn number(register: Register) -> u8 {
    match register {
        Register::Ax => RAX,
        Register::Dx => RDX,
        Register::Di => RDI,
        Register::R10 => R10,
        Register::R13 => R13,
    }
}

fn place(register: u8, to: &Where, out: &mut Vec<u8>) {
    match to {
        Where::Usual => out.push(cfa::RESTORE | register),
        Where::Undefined => out.extend([cfa::UNDEFINED, register]),
        Where::Same => out.extend([cfa::SAME, register]),
        Where::At(offset) if *offset <= 0 => {
            out.push(cfa::OFFSET | register);
            uleb(out, (offset / FACTOR).unsigned_abs());
        }
        Where::At(offset) => {
            out.extend([cfa::OFFSET_SIGNED, register]);
            sleb(out, offset / FACTOR);
        }
        Where::Expression(expression) => {
            out.extend([cfa::EXPRESSION, register]);
            uleb(out, expression.len() as u64);
            out.extend(expression);
        }
    }
}

/// Writes frames.
pub(crate) struct Frames {
    out: Vec<u8>,
    /// Where the CIE of ordinary functions is, and that of functions with an interrupted caller.
    ordinary: u32,
    signal: u32,
}

impl Frames {
    pub(crate) fn new() -> Self {
        let mut out = Vec::new();
        let ordinary = 0;
        cie(&mut out, b"\0");
        let signal = u32::try_from(out.len()).unwrap_or(0);
        // 'S': the caller's address is where it was interrupted, and no return address.
        cie(&mut out, b"zS\0");
        Self {
            out,
            ordinary,
            signal,
        }
    }

    /// A function at `code` with its rules: address (as the ELF has it) and rule, ascending. The first
    /// may begin before the function. Code that no rule says anything about gets no frame.
    pub(crate) fn function(&mut self, code: Range, rules: &[(u64, Entry)]) -> Result<(), Error> {
        let mut run: Vec<(u64, Row)> = Vec::new();
        let mut signal = false;
        for (at, entry) in rules {
            let at = (*at).max(code.start);
            let row = Row::of(entry);
            if row.is_none() || signal != entry.signal {
                self.frame(at, signal, &run)?;
                run.clear();
            }
            signal = entry.signal;
            run.extend(row.map(|row| (at, row)));
        }
        self.frame(code.end, signal, &run)
    }

    /// Code with a rule everywhere, up to `end`.
    fn frame(&mut self, end: u64, signal: bool, run: &[(u64, Row)]) -> Result<(), Error> {
        let Some((start, _)) = run.first().filter(|(start, _)| *start < end) else {
            return Ok(());
        };
        let mut body = Vec::new();
        let usual = Row::first();
        let (mut at, mut before) = (*start, &usual);
        for (from, row) in run.iter().filter(|(from, _)| *from < end) {
            if row == before {
                continue;
            }
            advance(from.saturating_sub(at), &mut body);
            row.write(before, &mut body);
            (at, before) = (*from, row);
        }
        let mut record = Vec::with_capacity(body.len() + 32);
        record.extend(match signal {
            true => self.signal.to_le_bytes(),
            false => self.ordinary.to_le_bytes(),
        });
        record.extend(start.to_le_bytes());
        record.extend(end.saturating_sub(*start).to_le_bytes());
        if signal {
            // Bytes of augmentation.
            record.push(0);
        }
        record.extend(body);
        sized(&mut self.out, &mut record);
        match u32::try_from(self.out.len()) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::TooLarge),
        }
    }

    /// The section.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }
}

fn cie(out: &mut Vec<u8>, augmentation: &[u8]) {
    let mut record = u32::MAX.to_le_bytes().to_vec();
    // Version 1, the augmentation, addresses counted by one.
    record.push(1);
    record.extend(augmentation);
    record.push(1);
    sleb(&mut record, FACTOR);
    record.push(RETURN);
    if augmentation.len() > 1 {
        record.push(0);
    }
    record.extend([cfa::DEFINE, RSP, 8]);
    place(RETURN, &Where::At(-8), &mut record);
    // The caller's rsp is the frame address itself.
    record.extend([cfa::VALUE_OFFSET, RSP, 0]);
    place(RBP, &Where::Same, &mut record);
    for (register, _) in SAVED.into_iter().chain([SAVED_DI]) {
        place(register, &Where::Undefined, &mut record);
    }
    sized(out, &mut record);
}

/// Puts the length before a record and fills it up to whole words.
fn sized(out: &mut Vec<u8>, record: &mut Vec<u8>) {
    while !(record.len() + 4).is_multiple_of(8) {
        // DW_CFA_nop
        record.push(0);
    }
    let len = u32::try_from(record.len()).unwrap_or(0);
    out.extend(len.to_le_bytes());
    out.append(record);
}

fn advance(distance: u64, out: &mut Vec<u8>) {
    match distance {
        0 => {}
        1..0x40 => out.push(cfa::ADVANCE | distance as u8),
        0x40..0x100 => out.extend([cfa::ADVANCE1, distance as u8]),
        0x100..0x1_0000 => {
            out.push(cfa::ADVANCE2);
            out.extend((distance as u16).to_le_bytes());
        }
        _ => {
            out.push(cfa::ADVANCE4);
            out.extend((distance as u32).to_le_bytes());
        }
    }
}
