//! Whole traces on synthetic memory: exceptions, stacks, leaf functions, signed addresses, scans.

use super::records::Records;
use crate::unwind::chain::State;
use crate::unwind::chain::rig::{BYTES, NAMES, Rig, names};
use crate::unwind::stacks::Range;
use crate::unwind::{End, Frame, StackKind, Trust};
use proptest::prelude::*;
use synth::unwind::Pieces;
use vmcore::addr::VirtAddr;
use vmcore::order::Order;

const TEXT: u64 = 0xffff_8000_8001_0000;
const TASK: u64 = 0xffff_8000_8800_0000;
const IRQ: u64 = 0xffff_8000_8900_0000;
const OTHER: u64 = 0xffff_8000_8a00_0000;
/// pt_regs.stackframe of 6.12.
const RECORD: u64 = 296;
const PAC: u64 = 0xff7f_0000_0000_0000;

const STP: u32 = 0xa9bf_7bfd;
const MOV_FP: u32 = 0x9100_03fd;
const LDP: u32 = 0xa8c1_7bfd;
const RET: u32 = 0xd65f_03c0;
const BL: u32 = 0x9400_0000;
const NOP: u32 = 0xd503_201f;

/// Sixteen functions of 0x100 bytes from TEXT on, the last without a record: stp, mov, calls, ldp, ret.
fn text() -> Pieces {
    let mut pieces = Pieces::default();
    for n in 0..16 {
        let start = TEXT + n * 0x100;
        let code = |at: u64| match at {
            _ if n == 15 => NOP,
            0 => STP,
            1 => MOV_FP,
            62 => LDP,
            63 => RET,
            _ => BL,
        };
        for at in 0..64 {
            pieces.put(start + at * 4, &code(at).to_le_bytes());
        }
    }
    pieces
}

/// A return address inside function `n`.
fn in_function(n: u64) -> u64 {
    RIG.inside(n)
}

fn record(pieces: &mut Pieces, at: u64, fp: u64, lr: u64) {
    pieces.put(at, &fp.to_le_bytes());
    pieces.put(at + 8, &lr.to_le_bytes());
}

/// A pt_regs with x29, sp, pc and pstate, and the record in it.
fn pt_regs(pieces: &mut Pieces, at: u64, words: [u64; 4], link: (u64, u64)) {
    let [fp, sp, pc, pstate] = words;
    for (offset, word) in [(232, fp), (248, sp), (256, pc), (264, pstate)] {
        pieces.put(at + offset, &word.to_le_bytes());
    }
    record(pieces, at + RECORD, link.0, link.1);
}

static RIG: Rig<'static> = Rig {
    order: Order::Little,
    text: TEXT,
    names: &NAMES,
    generated: (0xffff_8000_0000_0000, 0xffff_8000_0100_0000),
    stacks: &[
        (StackKind::Task, TASK),
        (StackKind::Irq(1), IRQ),
        (StackKind::Exception(1, "overflow"), OTHER),
    ],
    links: &Records {
        record: Some(RECORD),
        entry: Some(Range {
            start: TEXT + 0xe00,
            end: TEXT + 0xf00,
        }),
        pac_mask: PAC,
    },
};

fn walk(pieces: Pieces, state: State) -> (Vec<Frame>, End) {
    RIG.walk(pieces, state)
}

fn at(pc: u64, sp: u64, fp: u64) -> State {
    State {
        pc,
        sp,
        fp,
        lr: None,
        signal: false,
    }
}

#[test]
fn an_interrupt_is_followed_to_user_mode() {
    let mut pieces = text();
    // f1 on the interrupt stack, called by f2, which changed to it; f3 took the exception.
    record(&mut pieces, IRQ + 0x3f00, TASK + 0x1000, in_function(2));
    record(
        &mut pieces,
        TASK + 0x1000,
        TASK + 0x1100 + RECORD,
        in_function(3),
    );
    // f4 was interrupted; its caller f5 came from user mode.
    let regs = TASK + 0x1100;
    let words = [TASK + 0x1400, TASK + 0x13f0, in_function(4), 0x8000_0005];
    pt_regs(&mut pieces, regs, words, (TASK + 0x1400, in_function(4)));
    let user = TASK + BYTES - 336;
    record(&mut pieces, TASK + 0x1400, user + RECORD, in_function(5));
    let words = [0x7fff_0000, 0x7ffe_0000, 0x40_1000, 0];
    pt_regs(&mut pieces, user, words, (0, 0));
    let (frames, end) = walk(pieces, at(in_function(1), IRQ + 0x3e00, IRQ + 0x3f00));
    assert_eq!(names(&frames), ["f1", "f2", "f3", "*f4", "f5", "user"]);
    assert_eq!(end, End::User);
    let stacks: Vec<_> = frames.iter().map(|frame| frame.stack).collect();
    assert_eq!(stacks[0], StackKind::Irq(1));
    // The call that changed the stack was made on the one that it left for.
    assert_eq!(stacks[1], StackKind::Irq(1));
    assert!(stacks[2..5].iter().all(|kind| *kind == StackKind::Task));
    let saved = frames[3].registers.as_deref().unwrap();
    assert_eq!((saved.at, saved.full), (Some(VirtAddr(regs)), true));
    assert!(
        frames
            .iter()
            .all(|frame| frame.trust <= Trust::FramePointer)
    );
}

#[test]
fn since_6_13_a_word_says_that_registers_are_around_the_record() {
    let mut pieces = text();
    let regs = TASK + 0x1100;
    record(&mut pieces, TASK + 0x1000, regs + RECORD, in_function(3));
    let words = [TASK + 0x1400, TASK + 0x13f0, in_function(4), 5];
    pt_regs(&mut pieces, regs, words, (0, 0));
    pieces.put(regs + RECORD + 16, &2u64.to_le_bytes());
    record(&mut pieces, TASK + 0x1400, TASK + 0x3f00, in_function(6));
    // A kernel thread's last record.
    record(&mut pieces, TASK + 0x3f00, 0, 0);
    pieces.put(TASK + 0x3f10, &1u64.to_le_bytes());
    let (frames, end) = walk(pieces, at(in_function(1), TASK + 0xf00, TASK + 0x1000));
    assert_eq!(names(&frames), ["f1", "f3", "*f4", "f6"]);
    assert_eq!(end, End::Kernel);
}

#[test]
fn a_function_without_its_record_is_left_by_the_link_register() {
    // (what pc has run in f7, or the leaf f15): the caller f8 is found once, by lr or by the record.
    let own = TASK + 0x1000;
    let caller = TASK + 0x1100;
    let places = [
        (TEXT + 0x700, caller, true),
        (TEXT + 0x704, caller, true),
        (TEXT + 0x708, own, false),
        (TEXT + 0x7f8, own, false),
        (TEXT + 0x7fc, caller, true),
        (TEXT + 0xf40, caller, true),
    ];
    for (pc, fp, by_link) in places {
        let mut pieces = text();
        record(&mut pieces, own, caller, in_function(8));
        record(&mut pieces, caller, TASK + 0x3f00, in_function(9));
        record(&mut pieces, TASK + 0x3f00, 0, 0);
        let state = State {
            lr: Some(in_function(8)),
            signal: true,
            ..at(pc, TASK + 0xff0, fp)
        };
        let (frames, end) = walk(pieces, state);
        assert_eq!(names(&frames[1..]), ["f8", "f9"], "{pc:#x}");
        assert_eq!(end, End::Kernel);
        assert_eq!(frames[1].trust == Trust::Code, by_link, "{pc:#x}");
    }
}

#[test]
fn what_an_exception_interrupted_is_left_by_its_record() {
    // The vector has run nothing: fp is the record of the code that was interrupted, lr a leftover.
    let mut pieces = text();
    record(&mut pieces, TASK + 0x1000, TASK + 0x3f00, in_function(9));
    record(&mut pieces, TASK + 0x3f00, 0, 0);
    let state = State {
        lr: Some(in_function(8)),
        signal: true,
        ..at(TEXT + 0xe00, TASK + 0xff0, TASK + 0x1000)
    };
    let (frames, end) = walk(pieces, state);
    assert_eq!(
        (names(&frames), end),
        (vec!["*f14".into(), "f9".into()], End::Kernel)
    );
}

#[test]
fn signed_return_addresses_are_read() {
    let mut pieces = text();
    let signed = in_function(2) & !PAC | 0x2b2a_0000_0000_0000;
    record(&mut pieces, TASK + 0x1000, TASK + 0x3f00, signed);
    record(&mut pieces, TASK + 0x3f00, 0, 0);
    let (frames, end) = walk(pieces, at(in_function(1), TASK + 0xf00, TASK + 0x1000));
    assert_eq!(
        (names(&frames), end),
        (vec!["f1".into(), "f2".into()], End::Kernel)
    );
}

#[test]
fn a_broken_chain_says_why_and_is_scanned() {
    let mut pieces = text();
    record(&mut pieces, TASK + 0x1000, 0x1234, in_function(2));
    // Left over from an earlier call, and the records that are still good.
    pieces.put(TASK + 0x1100, &in_function(5).to_le_bytes());
    record(&mut pieces, TASK + 0x1200, TASK + 0x3f00, in_function(6));
    record(&mut pieces, TASK + 0x3f00, 0, 0);
    let (frames, end) = walk(pieces, at(in_function(1), TASK + 0xf00, TASK + 0x1000));
    assert_eq!(names(&frames), ["f1", "f2", "?f5", "?f6"]);
    assert!(matches!(end, End::Broken(why) if why.contains("0x1234")));
}

proptest! {
    /// Whatever is on the stacks, a trace ends and is no longer than it may be.
    #[test]
    fn garbage_ends(words in proptest::collection::vec(any::<u16>(), 64..512)) {
        let mut pieces = text();
        for (n, word) in words.iter().enumerate() {
            let near = u64::from(*word);
            let value = match near % 5 {
                0 => in_function(near % 16),
                1 => TASK + near % BYTES / 8 * 8,
                2 => IRQ + near % BYTES / 8 * 8,
                3 => TEXT + near % 0x1000,
                _ => 0,
            };
            for stack in [TASK, IRQ] {
                pieces.put(stack + n as u64 * 8, &value.to_le_bytes());
            }
        }
        let state = State { lr: Some(in_function(3)), signal: true, ..at(TEXT + 0xf10, TASK, TASK + 64) };
        let (frames, _) = walk(pieces, state);
        prop_assert!(frames.len() <= crate::unwind::MAX_FRAMES * 2);
    }
}
