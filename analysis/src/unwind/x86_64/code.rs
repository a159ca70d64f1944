//! The frame of a function that ORC leaves out, by following its instructions from its start.
//!
//! objtool makes no entries for functions marked STACK_FRAME_NON_STANDARD. One of them is
//! `__crash_kexec` (kernel/kexec_core.c, kernel/crash_core.c, all versions), in which the registers of
//! the panicking CPU are saved: without this the most wanted stack of all could not be unwound.
//! What moves rsp is followed over all jumps inside the function until the wanted instruction is
//! reached. Code that moves rsp in a way not known here gives no answer.

use super::orc::{Base, Bp, Entry, Rule};
use crate::unwind::memory::Pages;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use std::collections::HashSet;
use vmcore::addr::VirtAddr;

/// Most instructions that are followed.
const MAX_STEPS: usize = 4096;
/// The longest instruction.
const MAX_LENGTH: usize = 15;

/// The stack at one instruction, counted from the frame address (the end of the return address).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Depth {
    /// Frame address - rsp.
    sp: i64,
    /// Frame address - rbp, while rbp is a frame pointer.
    bp: Option<i64>,
    /// Frame address - where the caller's rbp was pushed.
    saved_bp: Option<i64>,
}

impl Depth {
    /// The depth after an instruction; `None` when it is not known.
    fn after(mut self, code: &Instruction) -> Option<Self> {
        let sp_is = |operand: u32| {
            code.op_kind(operand) == OpKind::Register && code.op_register(operand) == Register::RSP
        };
        match code.mnemonic() {
            Mnemonic::Push | Mnemonic::Pushfq => {
                self.sp = self.sp.checked_add(8)?;
                let frame_pointer = code.op_count() > 0
                    && code.op_register(0) == Register::RBP
                    && self.bp.is_none();
                if frame_pointer && self.saved_bp.is_none() {
                    self.saved_bp = Some(self.sp);
                }
            }
            Mnemonic::Pop | Mnemonic::Popfq => {
                if code.op_count() > 0 && code.op_register(0) == Register::RBP {
                    self.bp = None;
                    self.saved_bp = None;
                }
                self.sp = self.sp.checked_sub(8)?;
            }
            Mnemonic::Sub if sp_is(0) => self.sp = self.sp.checked_add(immediate(code)?)?,
            Mnemonic::Add if sp_is(0) => self.sp = self.sp.checked_sub(immediate(code)?)?,
            Mnemonic::Leave => {
                self.sp = self.bp.take()?.checked_sub(8)?;
                self.saved_bp = None;
            }
            Mnemonic::Lea if sp_is(0) => {
                let base = match code.memory_base() {
                    Register::RSP => self.sp,
                    Register::RBP => self.bp?,
                    _ => return None,
                };
                let offset = code.memory_displacement64().cast_signed();
                self.sp = base.checked_sub(offset)?;
            }
            Mnemonic::Mov if sp_is(0) => {
                if code.op_register(1) != Register::RBP {
                    return None;
                }
                self.sp = self.bp?;
            }
            Mnemonic::Mov
                if code.op_kind(0) == OpKind::Register
                    && code.op_register(0) == Register::RBP
                    && sp_is(1) =>
            {
                self.bp = Some(self.sp);
            }
            _ if code.op_count() > 0 && sp_is(0) && !reads_only(code.mnemonic()) => return None,
            _ => {}
        }
        (self.sp >= 8).then_some(self)
    }

    fn entry(self) -> Option<Entry> {
        let bp = match self.saved_bp {
            Some(at) => Bp::ByFrame(i16::try_from(at.checked_neg()?).ok()?),
            None => Bp::Same,
        };
        Some(Entry {
            base: Base::Sp,
            offset: i16::try_from(self.sp).ok()?,
            bp,
            rule: Rule::Call,
            signal: false,
        })
    }
}

/// Instructions that name rsp first and do not change it.
fn reads_only(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Call | Mnemonic::Jmp
    )
}

fn immediate(code: &Instruction) -> Option<i64> {
    matches!(
        code.op_kind(1),
        OpKind::Immediate8to64 | OpKind::Immediate32to64
    )
    .then(|| code.immediate(1).cast_signed())
}

/// How an instruction goes on.
enum Flow {
    /// To the next.
    Next,
    /// To the next, if the function that it calls returns.
    Call,
    /// To the next or to another.
    Branch(u64),
    /// To another.
    Jump(u64),
    /// Out of the function, or nobody knows where.
    Out,
}

fn flow(code: &Instruction) -> Flow {
    let near = code.op_count() > 0 && code.op0_kind() == OpKind::NearBranch64;
    match code.mnemonic() {
        Mnemonic::Call => Flow::Call,
        Mnemonic::Jmp if near => Flow::Jump(code.near_branch_target()),
        Mnemonic::Jmp
        | Mnemonic::Ret
        | Mnemonic::Retf
        | Mnemonic::Iretq
        | Mnemonic::Ud2
        | Mnemonic::Int3
        | Mnemonic::Hlt => Flow::Out,
        _ if near => Flow::Branch(code.near_branch_target()),
        _ => Flow::Next,
    }
}

/// The frame at the instruction that holds `key`, in the function that begins at `start` and is
/// `size` bytes long. `None` when the way there is not found.
pub(super) fn frame(pages: &Pages<'_>, start: u64, size: u64, key: u64) -> Option<Entry> {
    let mut found = None;
    follow(pages, start, size, |at, next, depth| {
        let is = at <= key && key < next;
        if is {
            found = depth.entry();
        }
        is
    });
    found
}

/// The frame at every instruction that is found by following the function, ascending.
pub(super) fn frames(pages: &Pages<'_>, start: u64, size: u64) -> Vec<(u64, Entry)> {
    let mut rows = Vec::new();
    follow(pages, start, size, |at, _, depth| {
        rows.extend(depth.entry().map(|entry| (at, entry)));
        false
    });
    rows.sort_unstable_by_key(|(at, _)| *at);
    rows
}

/// Shows each instruction once, with where the next begins and the frame before it, until `visit` has
/// seen enough.
fn follow(
    pages: &Pages<'_>,
    start: u64,
    size: u64,
    mut visit: impl FnMut(u64, u64, Depth) -> bool,
) {
    let end = start.saturating_add(size);
    let first = Depth {
        sp: 8,
        bp: None,
        saved_bp: None,
    };
    let mut seen = HashSet::new();
    // What follows a call comes last: the call may not return, and what comes after it may
    // belong to another path.
    let mut sure = vec![(start, first)];
    let mut behind_calls = Vec::new();
    for _ in 0..MAX_STEPS {
        let Some((at, depth)) = sure.pop().or_else(|| behind_calls.pop()) else {
            return;
        };
        if at < start || at >= end || !seen.insert(at) {
            continue;
        }
        let Some(code) = decode(pages, at) else {
            continue;
        };
        let next = code.next_ip();
        if visit(at, next, depth) {
            return;
        }
        let Some(after) = depth.after(&code) else {
            continue;
        };
        match flow(&code) {
            Flow::Next => sure.push((next, after)),
            Flow::Call => behind_calls.push((next, after)),
            Flow::Branch(target) => {
                sure.push((target, after));
                sure.push((next, after));
            }
            Flow::Jump(target) => sure.push((target, after)),
            Flow::Out => {}
        }
    }
}

fn decode(pages: &Pages<'_>, at: u64) -> Option<Instruction> {
    let mut bytes = [0u8; MAX_LENGTH];
    pages.copy(VirtAddr(at), &mut bytes)?;
    let mut decoder = Decoder::with_ip(64, &bytes, at, DecoderOptions::NONE);
    let code = decoder.decode();
    (!code.is_invalid()).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unwind::memory::Source;

    struct Text(u64, Vec<u8>);

    impl Source for Text {
        fn fill(&self, va: VirtAddr, buf: &mut [u8]) -> bool {
            for (i, byte) in buf.iter_mut().enumerate() {
                let at = va.0 + i as u64;
                let offset = at.checked_sub(self.0).map(|o| o as usize);
                *byte = offset.and_then(|o| self.1.get(o)).copied().unwrap_or(0xcc);
            }
            true
        }
    }

    fn at(code: &[u8], key: u64) -> Option<(i16, Bp)> {
        let text = Text(0x1000, code.to_vec());
        let pages = Pages::new(&text);
        let entry = frame(&pages, 0x1000, code.len() as u64, 0x1000 + key)?;
        assert_eq!((entry.base, entry.rule), (Base::Sp, Rule::Call));
        Some((entry.offset, entry.bp))
    }

    #[test]
    fn a_block_behind_the_epilogue_has_the_depth_of_its_jump() {
        // push %rbx; sub $0xb0,%rsp; test %edi,%edi; je 1f; add $0xb0,%rsp; pop %rbx; ret
        // 1: nop; call *%rax; nop
        let code = [
            0x53, 0x48, 0x81, 0xec, 0xb0, 0, 0, 0, 0x85, 0xff, 0x74, 0x09, 0x48, 0x81, 0xc4, 0xb0,
            0, 0, 0, 0x5b, 0xc3, 0x90, 0xff, 0xd0, 0x90,
        ];
        assert_eq!(at(&code, 0), Some((8, Bp::Same)));
        assert_eq!(at(&code, 1), Some((16, Bp::Same)));
        assert_eq!(at(&code, 20), Some((8, Bp::Same)));
        assert_eq!(at(&code, 21), Some((0xc0, Bp::Same)));
        // The last byte of the call counts as the call.
        assert_eq!(at(&code, 23), Some((0xc0, Bp::Same)));
        assert_eq!(at(&code, 24), Some((0xc0, Bp::Same)));
    }

    #[test]
    fn frame_pointers_are_followed() {
        // push %rbp; mov %rsp,%rbp; and $-16,%rsp would be unknown; sub $32,%rsp; leave; ret
        let code = [
            0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0x90, 0xc9, 0xc3,
        ];
        assert_eq!(at(&code, 8), Some((48, Bp::ByFrame(-16))));
        assert_eq!(at(&code, 10), Some((8, Bp::Same)));
    }

    #[test]
    fn unknown_moves_of_rsp_give_no_answer() {
        // and $-16,%rsp; nop
        assert_eq!(at(&[0x48, 0x83, 0xe4, 0xf0, 0x90], 4), None);
        // mov %rax,%rsp; nop
        assert_eq!(at(&[0x48, 0x89, 0xc4, 0x90], 3), None);
        // jmp to itself ends
        assert_eq!(at(&[0xeb, 0xfe, 0x90], 2), None);
        // pop below the return address
        assert_eq!(at(&[0x58, 0x58, 0x90], 2), None);
    }

    proptest::proptest! {
        #[test]
        fn garbage_ends(code in proptest::collection::vec(proptest::num::u8::ANY, 1..300), key in 0u64..400) {
            let _ = at(&code, key);
        }
    }
}
