//! Whole traces on synthetic memory: exceptions, stacks, functions without a frame, scans.

use super::Riscv;
use super::code::{follows_call, keeps_frame};
use crate::unwind::chain::State;
use crate::unwind::chain::rig::{BYTES, Dump, Rig, names};
use crate::unwind::memory::Pages;
use crate::unwind::{End, Frame, StackKind, Trust};
use proptest::prelude::*;
use synth::unwind::Pieces;
use vmcore::addr::VirtAddr;
use vmcore::order::Order;

const TEXT: u64 = 0xffff_ffff_8000_0000;
const TASK: u64 = 0xff20_0000_0080_0000;
const IRQ: u64 = 0xff20_0000_0090_0000;

/// addi sp,sp,-32; sd ra,24(sp); sd s0,16(sp); addi s0,sp,32.
const PROLOGUE: [u32; 4] = [0xfe01_0113, 0x0011_3c23, 0x0081_3823, 0x0201_0413];
/// ld ra,24(sp); ld s0,16(sp); addi sp,sp,32; ret.
const EPILOGUE: [u32; 4] = [0x0181_3083, 0x0101_3403, 0x0201_0113, 0x0000_8067];
/// jal ra.
const CALL: u32 = 0x0000_00ef;
const NOP: u32 = 0x0000_0013;

/// The functions, 0x100 bytes each from TEXT on.
const NAMES: [&str; 8] = [
    "f0",
    "f1",
    "f2",
    "f3",
    "leaf",
    "handle_exception",
    "ret_from_fork",
    "start_kernel",
];

fn text() -> Pieces {
    let mut pieces = Pieces::default();
    for n in 0..NAMES.len() as u64 {
        for at in 0..64_usize {
            let code = match at {
                _ if NAMES[n as usize] == "leaf" => NOP,
                0..4 => PROLOGUE[at],
                60..64 => EPILOGUE[at - 60],
                _ => CALL,
            };
            pieces.put(TEXT + n * 0x100 + at as u64 * 4, &code.to_le_bytes());
        }
    }
    pieces
}

/// A return address inside a function.
fn inside(name: &str) -> u64 {
    let n = NAMES.iter().position(|known| *known == name).unwrap();
    TEXT + n as u64 * 0x100 + 0x40
}

/// The record below `fp`: the caller's frame pointer, and where it goes on.
fn record(pieces: &mut Pieces, fp: u64, caller: u64, ra: u64) {
    pieces.words(fp - 16, &[caller, ra]);
}

/// A pt_regs with epc, sp, s0 and status.
fn pt_regs(pieces: &mut Pieces, at: u64, [epc, sp, s0, status]: [u64; 4]) {
    pieces.words(at, &[0; 36]);
    for (place, word) in [(0, epc), (2, sp), (8, s0), (32, status)] {
        pieces.words(at + place * 8, &[word]);
    }
}

static RIG: Rig<'static> = Rig {
    order: Order::Little,
    text: TEXT,
    names: &NAMES,
    generated: (TEXT - 0x1000_0000, TEXT),
    stacks: &[(StackKind::Task, TASK), (StackKind::Irq(1), IRQ)],
    links: &Riscv { context: None },
};

fn walk(pieces: Pieces, state: State) -> (Vec<Frame>, End) {
    RIG.walk(pieces, state)
}

fn at(name: &str, sp: u64, fp: u64) -> State {
    State {
        pc: inside(name),
        sp,
        fp,
        ..State::default()
    }
}

#[test]
fn an_interrupt_is_followed_to_user_mode() {
    let mut pieces = text();
    // f0 on the interrupt stack, called by f1, which changed to it; f1 was called by the exception's entry.
    record(&mut pieces, IRQ + BYTES, TASK + 0x1000, inside("f1"));
    let regs = TASK + 0x1000;
    record(&mut pieces, regs, TASK + 0x1400, inside("handle_exception"));
    // f2 was interrupted in the kernel; its caller f3 came from user mode.
    pt_regs(
        &mut pieces,
        regs,
        [inside("f2"), TASK + 0x13e0, TASK + 0x1400, 0x120],
    );
    record(&mut pieces, TASK + 0x1400, TASK + 0x1480, inside("f3"));
    let user = TASK + BYTES - 288;
    record(
        &mut pieces,
        TASK + 0x1480,
        0x1234,
        inside("handle_exception"),
    );
    // The frame of f3 ends where the registers of user mode begin.
    pieces.words(TASK + 0x1400 - 16, &[user, inside("f3")]);
    record(
        &mut pieces,
        user,
        0x3f_ffff_0000,
        inside("handle_exception"),
    );
    pt_regs(&mut pieces, user, [0x1_0000, 0x3f_ffff_0000, 0, 0x20]);
    let (frames, end) = walk(pieces, at("f0", IRQ + 0x3f00, IRQ + BYTES));
    assert_eq!(
        names(&frames),
        [
            "f0",
            "f1",
            "handle_exception",
            "*f2",
            "f3",
            "handle_exception",
            "user"
        ]
    );
    assert_eq!(end, End::User);
    assert_eq!(frames[0].stack, StackKind::Irq(1));
    assert!(
        frames[2..6]
            .iter()
            .all(|frame| frame.stack == StackKind::Task)
    );
    let saved = frames[3].registers.as_deref().unwrap();
    assert_eq!(saved.at, Some(VirtAddr(regs)));
    assert_eq!(saved.registers.takes_interrupts(), Some(true));
}

#[test]
fn tasks_end_where_they_began() {
    // A kernel thread: its registers say that it came from the kernel.
    let mut pieces = text();
    let regs = TASK + BYTES - 288;
    record(&mut pieces, regs, inside("f0"), inside("ret_from_fork"));
    pt_regs(&mut pieces, regs, [0, 0, 0, 0x120]);
    let (frames, end) = walk(pieces.clone(), at("f0", TASK + 0x100, regs));
    assert_eq!(
        (names(&frames), end),
        (vec!["f0".into(), "ret_from_fork".into()], End::Kernel)
    );
    // A new process that has not run yet.
    pt_regs(&mut pieces, regs, [0x1_0000, 0x3f_0000_0000, 0, 0x20]);
    let fresh = State {
        pc: TEXT + 0x600,
        signal: true,
        ..at("ret_from_fork", regs, 0)
    };
    let (frames, end) = walk(pieces, fresh);
    assert_eq!(
        (names(&frames), end),
        (vec!["*ret_from_fork".into(), "user".into()], End::User)
    );
    // The first idle task: assembler jumped there, what it left in ra leads nowhere.
    let mut pieces = text();
    record(
        &mut pieces,
        TASK + 0x1000,
        TASK + 0x2000,
        inside("start_kernel"),
    );
    let (frames, end) = walk(pieces, at("f0", TASK + 0x100, TASK + 0x1000));
    assert_eq!(
        (names(&frames), end),
        (vec!["f0".into(), "start_kernel".into()], End::Kernel)
    );
}

#[test]
fn a_function_without_its_frame_is_left_by_ra() {
    let (own, caller) = (TASK + 0x1000, TASK + 0x1100);
    let start = inside("f1") - 0x40;
    // (pc, s0 at that place): before and after the prologue has set s0, after the epilogue has loaded it.
    let places = [
        (start, caller, Trust::Code),
        (start + 12, caller, Trust::Code),
        (start + 16, own, Trust::FramePointer),
        (start + 0xf4, own, Trust::FramePointer),
        (start + 0xf8, caller, Trust::Code),
        (start + 0xfc, caller, Trust::Code),
        (inside("leaf"), caller, Trust::Code),
    ];
    for (pc, fp, trust) in places {
        let mut pieces = text();
        record(&mut pieces, own, caller, inside("f2"));
        record(&mut pieces, caller, TASK + 0x2000, inside("start_kernel"));
        let state = State {
            pc,
            lr: Some(inside("f2")),
            signal: true,
            ..at("f1", TASK + 0xf00, fp)
        };
        let (frames, end) = walk(pieces, state);
        assert_eq!(names(&frames[1..]), ["f2", "start_kernel"], "{pc:#x}");
        assert_eq!(end, End::Kernel);
        assert_eq!(frames[1].trust, trust, "{pc:#x}");
    }
    // One that calls nothing stores s0 alone, right below its frame.
    let mut pieces = text();
    pieces.words(own - 16, &[7, caller]);
    record(&mut pieces, caller, TASK + 0x2000, inside("start_kernel"));
    let state = State {
        lr: Some(inside("f2")),
        signal: true,
        ..at("f1", TASK + 0xf00, own)
    };
    let (frames, _) = walk(pieces, state);
    assert_eq!(names(&frames), ["*f1", "f2", "start_kernel"]);
}

#[test]
fn short_instructions_are_read_by_their_own_length() {
    let mut pieces = Pieces::default();
    // c.addi sp,-16; c.sdsp ra,8(sp); c.sdsp s0,0(sp); c.addi4spn s0,sp,16; c.jalr a5; c.ldsp s0,0(sp); c.jr ra.
    let code: [u16; 7] = [0x1141, 0xe406, 0xe022, 0x0800, 0x9782, 0x6402, 0x8082];
    for (n, code) in code.iter().enumerate() {
        pieces.put(TEXT + n as u64 * 2, &code.to_le_bytes());
    }
    let dump = Dump(pieces, Order::Little);
    let pages = Pages::new(&dump);
    let kept: Vec<_> = (0..7)
        .map(|n| keeps_frame(&pages, TEXT, TEXT + n * 2))
        .collect();
    let expected = [false, false, false, false, true, true, false].map(Some);
    assert_eq!(kept, expected);
    assert_eq!(follows_call(&pages, TEXT + 10), Some(true));
    assert_eq!(follows_call(&pages, TEXT + 8), Some(false));
    assert_eq!(follows_call(&pages, TEXT + 9), Some(false));
}

#[test]
fn a_broken_chain_says_why_and_is_scanned() {
    let mut pieces = text();
    record(&mut pieces, TASK + 0x1000, 0x1230, inside("f1"));
    // Left over from an earlier call, and frames that are still good.
    pieces.words(TASK + 0x1100, &[0, inside("f2")]);
    record(&mut pieces, TASK + 0x1210, TASK + 0x2000, inside("f3"));
    record(&mut pieces, TASK + 0x2000, 0, inside("start_kernel"));
    let (frames, end) = walk(pieces, at("f0", TASK + 0xf00, TASK + 0x1000));
    assert_eq!(names(&frames), ["f0", "f1", "?f2", "?f3", "?start_kernel"]);
    assert!(matches!(end, End::Broken(why) if why.contains("0x1230")));
}

proptest! {
    /// Whatever is on the stacks, a trace ends and is no longer than it may be.
    #[test]
    fn garbage_ends(words in proptest::collection::vec(any::<u16>(), 64..512)) {
        let mut pieces = text();
        for (n, word) in words.iter().enumerate() {
            let near = u64::from(*word);
            let value = match near % 5 {
                0 => TEXT + near % 8 * 0x100 + 0x40,
                1 => TASK + near % BYTES / 8 * 8,
                2 => IRQ + near % BYTES / 8 * 8,
                3 => TEXT + near % 0x800,
                _ => 0,
            };
            for stack in [TASK, IRQ] {
                pieces.words(stack + n as u64 * 8, &[value]);
            }
        }
        let state = State { lr: Some(inside("f3")), signal: true, ..at("leaf", TASK, TASK + 64) };
        let (frames, _) = walk(pieces, state);
        prop_assert!(frames.len() <= crate::unwind::MAX_FRAMES * 2);
    }
}
