//! Whole traces on synthetic memory: exceptions, stacks, functions without a frame, scans.

use super::Power;
use super::code::{follows_call, kept};
use crate::unwind::chain::rig::{BYTES, Dump, NAMES, Rig, names};
use crate::unwind::chain::{Kept, State};
use crate::unwind::memory::Pages;
use crate::unwind::{End, Frame, StackKind, Trust};
use proptest::prelude::*;
use synth::unwind::Pieces;
use vmcore::addr::VirtAddr;
use vmcore::order::Order;

const TEXT: u64 = 0xc000_0000_0000_0000;
const TASK: u64 = 0xc000_0000_0800_0000;
const IRQ: u64 = 0xc000_0000_0900_0000;
const MARKERS: [u64; 2] = [0x7265_6773_6865_7265, 0x5347_4552];

const MFLR: u32 = 0x7c08_02a6;
const STD_LR: u32 = 0xf801_0010;
/// stdu r1,-64(r1)
const STDU: u32 = 0xf821_ffc1;
/// addi r1,r1,64
const ADDI: u32 = 0x3821_0040;
/// ld r0,16(r1)
const LD_LR: u32 = 0xe801_0010;
const MTLR: u32 = 0x7c08_03a6;
const BLR: u32 = 0x4e80_0020;
const BL: u32 = 0x4800_0001;
const NOP: u32 = 0x6000_0000;

/// Eight functions of 0x100 bytes from TEXT on; the last has no frame.
fn text() -> Pieces {
    let mut pieces = Pieces::default();
    for n in 0..8 {
        for at in 0..64_u64 {
            let code = match at {
                _ if n == 7 => NOP,
                0 => MFLR,
                1 => STD_LR,
                2 => STDU,
                60 => ADDI,
                61 => LD_LR,
                62 => MTLR,
                63 => BLR,
                _ => BL,
            };
            pieces.put(TEXT + n * 0x100 + at * 4, &code.to_le_bytes());
        }
    }
    pieces
}

/// A return address inside function `n`.
fn inside(n: u64) -> u64 {
    RIG.inside(n)
}

/// A frame: the one above, and where its own function goes on when what it called returns.
fn frame(pieces: &mut Pieces, at: u64, above: u64, link: u64) {
    pieces.words(at, &[above, 0, link]);
}

/// An exception's frame, with the registers where kernels since 6.3 or before have them.
fn exception(pieces: &mut Pieces, at: u64, new: bool, [nip, sp, msr]: [u64; 3]) {
    let (marker, regs) = if new { (32, 48) } else { (96, 112) };
    pieces.words(at + regs, &[0; 44]);
    pieces.words(at + marker, &[MARKERS[usize::from(new)]]);
    for (place, word) in [(1, sp), (32, nip), (33, msr)] {
        pieces.words(at + regs + place * 8, &[word]);
    }
}

static RIG: Rig<'static> = Rig {
    order: Order::Little,
    text: TEXT,
    names: NAMES.split_at(8).0,
    generated: (0xc008_0000_0000_0000, 0xc009_0000_0000_0000),
    stacks: &[(StackKind::Task, TASK), (StackKind::Irq(1), IRQ)],
    links: &Power,
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
    for new in [true, false] {
        let mut pieces = text();
        // f0 on the interrupt stack; its caller f1 changed to it, called by the exception's entry f2.
        frame(&mut pieces, IRQ + 0x3f00, TASK + 0x1000, 0);
        frame(&mut pieces, TASK + 0x1000, TASK + 0x1100, inside(1));
        let entry = TASK + 0x1100;
        frame(&mut pieces, entry, TASK + 0x1400, inside(2));
        // f3 was interrupted; it was called by the entry f4 of a system call.
        exception(&mut pieces, entry, new, [inside(3), TASK + 0x1400, 1 << 15]);
        let user = TASK + 0x3d00;
        frame(&mut pieces, TASK + 0x1400, user, 0);
        frame(&mut pieces, user, 0, inside(4));
        exception(&mut pieces, user, new, [0x10_0000, 0x7fff_0000, 1 << 14]);
        let (frames, end) = walk(pieces, at(0, IRQ + 0x3f00));
        assert_eq!(
            names(&frames),
            ["f0", "f1", "f2", "*f3", "f4", "user"],
            "{new}"
        );
        assert_eq!(end, End::User);
        assert_eq!(frames[0].stack, StackKind::Irq(1));
        let saved = frames[3].registers.as_deref().unwrap();
        let offset = if new { 48 } else { 112 };
        assert_eq!(saved.at, Some(VirtAddr(entry + offset)));
    }
}

/// An interrupt right at the entry of an exception: r1 is still the stack pointer of user mode, which the machine's mode is
/// not any more.
#[test]
fn an_entry_that_was_interrupted_on_the_users_stack_is_the_end() {
    for new in [true, false] {
        let mut pieces = text();
        let entry = IRQ + 0x3e00;
        frame(&mut pieces, IRQ + 0x3d00, entry, 0);
        frame(&mut pieces, entry, 0x3fff_f90b_e450, inside(1));
        exception(&mut pieces, entry, new, [inside(2), 0x3fff_f90b_e450, 0]);
        let (frames, end) = walk(pieces, at(0, IRQ + 0x3d00));
        assert_eq!(names(&frames), ["f0", "f1", "*f2"], "{new}");
        assert_eq!(end, End::Kernel);
    }
}

#[test]
fn the_chain_ends_with_zero() {
    let mut pieces = text();
    frame(&mut pieces, TASK + 0x1000, TASK + 0x1100, 0);
    frame(&mut pieces, TASK + 0x1100, 0, inside(5));
    let (frames, end) = walk(pieces, at(0, TASK + 0x1000));
    assert_eq!(
        (names(&frames), end),
        (vec!["f0".into(), "f5".into()], End::Kernel)
    );
}

#[test]
fn a_marker_that_is_left_over_is_not_believed() {
    let mut pieces = text();
    frame(&mut pieces, TASK + 0x1000, TASK + 0x1100, 0);
    frame(&mut pieces, TASK + 0x1100, 0, inside(5));
    // What it says was interrupted lies below.
    exception(
        &mut pieces,
        TASK + 0x1100,
        true,
        [inside(3), TASK + 0x800, 0],
    );
    pieces.words(TASK + 0x1100, &[0]);
    let (frames, end) = walk(pieces, at(0, TASK + 0x1000));
    assert_eq!(
        (names(&frames), end),
        (vec!["f0".into(), "f5".into()], End::Kernel)
    );
}

#[test]
fn a_task_that_has_not_run_begins_above_its_registers() {
    let mut pieces = text();
    let sp = TASK + 0x3d00;
    frame(&mut pieces, sp, 0, 0);
    exception(&mut pieces, sp, true, [0x10_0000, 0x7fff_0000, 1 << 14]);
    let fresh = State {
        pc: TEXT + 0x600,
        signal: true,
        ..at(6, sp)
    };
    let (frames, end) = walk(pieces, fresh);
    assert_eq!(
        (names(&frames), end),
        (vec!["*f6".into(), "user".into()], End::User)
    );
}

#[test]
fn a_function_without_its_frame_is_left_by_the_link_register() {
    let (own, above) = (TASK + 0x1000, TASK + 0x1040);
    // (what has run of f1, the stack pointer there, how its caller f2 is found)
    let places = [
        (0, above, Trust::Code),
        (8, above, Trust::Code),
        (12, own, Trust::FramePointer),
        (0xf0, own, Trust::FramePointer),
        (0xf4, above, Trust::Code),
        (0xfc, above, Trust::Code),
    ];
    for (offset, sp, trust) in places {
        let mut pieces = text();
        frame(&mut pieces, own, above, 0);
        frame(&mut pieces, above, TASK + 0x2000, inside(2));
        frame(&mut pieces, TASK + 0x2000, 0, inside(5));
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
    // A function that calls nothing and has no frame at all.
    let mut pieces = text();
    frame(&mut pieces, above, TASK + 0x2000, 0);
    frame(&mut pieces, TASK + 0x2000, 0, inside(5));
    let state = State {
        lr: Some(inside(2)),
        signal: true,
        ..at(7, above)
    };
    assert_eq!(names(&walk(pieces, state).0), ["*f7", "f2", "f5"]);
}

#[test]
fn a_frame_may_be_made_without_saving_the_link_register() {
    let mut pieces = Pieces::default();
    for (n, code) in [STDU, NOP, ADDI, BLR].iter().enumerate() {
        pieces.put(TEXT + n as u64 * 4, &code.to_le_bytes());
    }
    let dump = Dump(pieces, Order::Little);
    let pages = Pages::new(&dump);
    let frame = |frame| Some(Kept { frame, link: false });
    assert_eq!(kept(&pages, TEXT, TEXT), frame(false));
    assert_eq!(kept(&pages, TEXT, TEXT + 8), frame(true));
    assert_eq!(kept(&pages, TEXT, TEXT + 12), frame(false));
    // After the return comes code that is reached from elsewhere.
    assert_eq!(kept(&pages, TEXT, TEXT + 16), frame(true));
    assert_eq!(follows_call(&pages, TEXT + 8), Some(false));
    assert_eq!(follows_call(&pages, TEXT + 6), Some(false));
}

#[test]
fn a_broken_chain_says_why_and_is_scanned() {
    let mut pieces = text();
    frame(&mut pieces, TASK + 0x1000, TASK + 0x100, 0);
    frame(&mut pieces, TASK + 0x100, 0, inside(6));
    // Frames that are still good.
    frame(&mut pieces, TASK + 0x1200, TASK + 0x1300, inside(3));
    frame(&mut pieces, TASK + 0x1300, 0, inside(4));
    let (frames, end) = walk(pieces, at(0, TASK + 0x1000));
    assert_eq!(names(&frames), ["f0", "?f3", "?f4"]);
    assert!(matches!(end, End::Broken(why) if why.contains("above")));
}

proptest! {
    /// Whatever is on the stacks, a trace ends and is no longer than it may be.
    #[test]
    fn garbage_ends(words in proptest::collection::vec(any::<u16>(), 64..512)) {
        let mut pieces = text();
        for (n, word) in words.iter().enumerate() {
            let near = u64::from(*word);
            let value = match near % 5 {
                0 => inside(near % 8),
                1 => TASK + near % BYTES / 8 * 8,
                2 => IRQ + near % BYTES / 8 * 8,
                3 => MARKERS[0],
                _ => 0,
            };
            for stack in [TASK, IRQ] {
                pieces.words(stack + n as u64 * 8, &[value]);
            }
        }
        let state = State { lr: Some(inside(3)), signal: true, ..at(7, TASK) };
        let (frames, _) = walk(pieces, state);
        prop_assert!(frames.len() <= crate::unwind::MAX_FRAMES * 2);
    }
}
