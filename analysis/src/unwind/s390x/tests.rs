//! Whole traces on synthetic memory: exceptions, stacks, functions without a frame, scans.

use super::Mainframe;
use super::code::{follows_call, kept};
use crate::unwind::chain::rig::{BYTES, Dump, NAMES, Rig, names};
use crate::unwind::chain::{Kept, State};
use crate::unwind::memory::Pages;
use crate::unwind::{End, Frame, StackKind, Trust};
use proptest::prelude::*;
use synth::unwind::Pieces;
use vmcore::addr::VirtAddr;
use vmcore::order::Order;

const TEXT: u64 = 0x3ff_e010_0000;
const TASK: u64 = 0x800_0000;
const ASYNC: u64 = 0x900_0000;

/// stmg %r6,%r15,72(%r15); lay %r15,-160(%r15).
const PROLOGUE: [[u8; 6]; 2] = [
    [0xeb, 0x6f, 0xf0, 0x48, 0x00, 0x24],
    [0xe3, 0xf0, 0xff, 0x60, 0xff, 0x71],
];
/// lmg %r6,%r15,232(%r15).
const LMG: [u8; 6] = [0xeb, 0x6f, 0xf0, 0xe8, 0x00, 0x04];
/// br %r14.
const BR: [u8; 2] = [0x07, 0xfe];
/// brasl %r14.
const CALL: [u8; 6] = [0xc0, 0xe5, 0, 0, 0, 0];
/// nopr.
const NOP: [u8; 2] = [0x07, 0x07];

fn words(pieces: &mut Pieces, at: u64, words: &[u64]) {
    RIG.words(pieces, at, words);
}

/// Eight functions of 0x100 bytes from TEXT on; the last has no frame.
fn text() -> Pieces {
    let mut pieces = Pieces::default();
    for n in 0..8 {
        let start = TEXT + n * 0x100;
        for at in (0..0x100).step_by(2) {
            pieces.put(start + at, &NOP);
        }
        if n == 7 {
            continue;
        }
        for (at, code) in (0..).step_by(6).zip(PROLOGUE) {
            pieces.put(start + at, &code);
        }
        for at in (12..0xf0).step_by(6) {
            pieces.put(start + at, &CALL);
        }
        pieces.put(start + 0xf6, &LMG);
        pieces.put(start + 0xfc, &BR);
    }
    pieces
}

/// A return address inside function `n`.
fn inside(n: u64) -> u64 {
    TEXT + n * 0x100 + 12 + 6 * 9
}

/// A frame: the one above, and where what it called has to go on.
fn frame(pieces: &mut Pieces, at: u64, above: u64, link: u64) {
    words(pieces, at + 136, &[link, 0, above]);
}

/// The registers above a frame whose chain ends: the PSW and r15.
fn pt_regs(pieces: &mut Pieces, frame: u64, mask: u64, pc: u64, sp: u64) {
    words(pieces, frame + 160, &[0; 20]);
    words(pieces, frame + 160 + 8, &[mask, pc]);
    words(pieces, frame + 160 + 24 + 15 * 8, &[sp]);
}

static RIG: Rig<'static> = Rig {
    order: Order::Big,
    text: TEXT,
    names: NAMES.split_at(8).0,
    generated: (TEXT - 0x1000_0000, TEXT),
    stacks: &[(StackKind::Task, TASK), (StackKind::Irq(1), ASYNC)],
    links: &Mainframe,
};

fn walk(pieces: Pieces, state: State) -> (Vec<Frame>, End) {
    RIG.walk(pieces, state)
}

fn at(n: u64, sp: u64) -> State {
    State {
        pc: inside(n),
        sp,
        ..State::default()
    }
}

#[test]
fn an_interrupt_is_followed_to_user_mode() {
    let mut pieces = text();
    // f0 on the interrupt stack; its caller f1 changed to it, called by the exception's entry f2.
    frame(&mut pieces, ASYNC + 0x3e00, TASK + 0x1000, 0);
    frame(&mut pieces, TASK + 0x1000, TASK + 0x1100, inside(1));
    frame(&mut pieces, TASK + 0x1100, 0, inside(2));
    // f3 was interrupted; it was called by the entry f4 of a system call.
    pt_regs(
        &mut pieces,
        TASK + 0x1100,
        0x0704_c001_8000_0000,
        inside(3),
        TASK + 0x1400,
    );
    let user = TASK + 0x3c00;
    frame(&mut pieces, TASK + 0x1400, user, 0);
    frame(&mut pieces, user, 0, inside(4));
    pt_regs(
        &mut pieces,
        user,
        0x0705_2001_8000_0000,
        0x100_0000,
        0x3ff_ffff_0000,
    );
    let (frames, end) = walk(pieces, at(0, ASYNC + 0x3e00));
    assert_eq!(names(&frames), ["f0", "f1", "f2", "*f3", "f4", "user"]);
    assert_eq!(end, End::User);
    assert_eq!(frames[0].stack, StackKind::Irq(1));
    let saved = frames[3].registers.as_deref().unwrap();
    assert_eq!(saved.at, Some(VirtAddr(TASK + 0x1100 + 160)));
    assert_eq!(saved.registers.takes_interrupts(), Some(true));
}

#[test]
fn tasks_end_where_they_began() {
    // A kernel thread: the registers above its first frame are zeros.
    let mut pieces = text();
    frame(&mut pieces, TASK + 0x1000, TASK + 0x3e00, 0);
    frame(&mut pieces, TASK + 0x3e00, 0, inside(5));
    pt_regs(&mut pieces, TASK + 0x3e00, 0, 0, 0);
    let (frames, end) = walk(pieces, at(0, TASK + 0x1000));
    assert_eq!(
        (names(&frames), end),
        (vec!["f0".into(), "f5".into()], End::Kernel)
    );
    // A process that has not run yet.
    let mut pieces = text();
    frame(&mut pieces, TASK + 0x3c00, 0, 0);
    pt_regs(
        &mut pieces,
        TASK + 0x3c00,
        1 << 48,
        0x100_0000,
        0x3ff_ffff_0000,
    );
    let fresh = State {
        pc: TEXT + 0x600,
        signal: true,
        ..at(6, TASK + 0x3c00)
    };
    let (frames, end) = walk(pieces, fresh);
    assert_eq!(
        (names(&frames), end),
        (vec!["*f6".into(), "user".into()], End::User)
    );
}

#[test]
fn a_function_without_its_frame_is_left_by_the_link_register() {
    let (own, above) = (TASK + 0x1000, TASK + 0x10a0);
    // (what has run of f1, the stack pointer there, how its caller f2 is found)
    let places = [
        (0, above, Trust::Code),
        (6, above, Trust::Code),
        (12, own, Trust::FramePointer),
        (0xf6, own, Trust::FramePointer),
        (0xfc, above, Trust::Code),
    ];
    for (offset, sp, trust) in places {
        let mut pieces = text();
        frame(&mut pieces, own, above, 0);
        frame(&mut pieces, above, TASK + 0x3e00, inside(2));
        frame(&mut pieces, TASK + 0x3e00, 0, inside(5));
        pt_regs(&mut pieces, TASK + 0x3e00, 0, 0, 0);
        let state = State {
            pc: TEXT + 0x100 + offset,
            lr: Some(inside(2)),
            signal: true,
            ..at(1, sp)
        };
        let (frames, end) = walk(pieces, state);
        assert_eq!(names(&frames[1..]), ["f2", "f5"], "{offset:#x}");
        assert_eq!(end, End::Kernel);
        assert_eq!(frames[1].trust, trust, "{offset:#x}");
    }
}

#[test]
fn instructions_are_read_by_their_own_length() {
    let dump = Dump(text(), Order::Big);
    let pages = Pages::new(&dump);
    let both = |frame, link| Some(Kept { frame, link });
    assert_eq!(kept(&pages, TEXT, TEXT), both(false, false));
    assert_eq!(kept(&pages, TEXT, TEXT + 6), both(false, true));
    assert_eq!(kept(&pages, TEXT, TEXT + 12), both(true, true));
    assert_eq!(kept(&pages, TEXT, TEXT + 0xfc), both(false, false));
    // After the return comes code that is reached from elsewhere.
    assert_eq!(kept(&pages, TEXT, TEXT + 0xfe), both(true, true));
    assert_eq!(follows_call(&pages, inside(0)), Some(true));
    assert_eq!(follows_call(&pages, TEXT + 12), Some(false));
    assert_eq!(follows_call(&pages, TEXT + 13), Some(false));
}

#[test]
fn a_broken_chain_says_why_and_is_scanned() {
    let mut pieces = text();
    frame(&mut pieces, TASK + 0x1000, TASK + 0x100, 0);
    frame(&mut pieces, TASK + 0x100, 0, inside(6));
    // Frames that are still good.
    frame(&mut pieces, TASK + 0x1200, TASK + 0x3e00, inside(3));
    frame(&mut pieces, TASK + 0x3e00, 0, inside(4));
    pt_regs(&mut pieces, TASK + 0x3e00, 0, 0, 0);
    let (frames, end) = walk(pieces, at(0, TASK + 0x1000));
    assert_eq!(names(&frames), ["f0", "?f3", "?f4"]);
    assert!(matches!(end, End::Broken(why) if why.contains("above")));
}

proptest! {
    /// Whatever is on the stacks, a trace ends and is no longer than it may be.
    #[test]
    fn garbage_ends(random in proptest::collection::vec(any::<u16>(), 64..512)) {
        let mut pieces = text();
        for (n, word) in random.iter().enumerate() {
            let near = u64::from(*word);
            let value = match near % 4 {
                0 => inside(near % 8),
                1 => TASK + near % BYTES / 8 * 8,
                2 => ASYNC + near % BYTES / 8 * 8,
                _ => 0,
            };
            for stack in [TASK, ASYNC] {
                words(&mut pieces, stack + n as u64 * 8, &[value]);
            }
        }
        let state = State { lr: Some(inside(3)), signal: true, ..at(7, TASK) };
        let (frames, _) = walk(pieces, state);
        prop_assert!(frames.len() <= crate::unwind::MAX_FRAMES * 2);
    }
}
