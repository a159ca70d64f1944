//! Whole traces on synthetic memory: crossing stacks, hidden return addresses, scans, and garbage.

use super::orc::{Format, Table};
use super::step::State;
use super::tables::{Code, Tables};
use super::walk::Walk;
use crate::unwind::memory::{Pages, Source};
use crate::unwind::stacks::Range;
use crate::unwind::stacks::{Area, Areas};
use crate::unwind::{End, Frame, FrameKind, MAX_FRAMES, Saved, StackKind, Trust};
use proptest::prelude::*;
use synth::unwind::{OrcLayout, OrcRule, Pieces, orc_table, pt_regs};
use vmcore::addr::VirtAddr;
use vmcore::arch::x86_64::regs::Registers;
use vmcore::kernel::Resolved;

const TEXT: u64 = 0xffff_ffff_8100_0000;
const IPS: u64 = 0xffff_ffff_8200_0000;
const ENTRIES: u64 = 0xffff_ffff_8210_0000;
const TASK: u64 = 0xffff_c900_0001_0000;
const IRQ: u64 = 0xffff_c900_0002_0000;
const NMI: u64 = 0xffff_fe00_0001_0000;
const MODULE: u64 = 0xffff_ffff_c010_0000;
const BYTES: u64 = 0x4000;

struct Dump(Pieces);

impl Source for Dump {
    fn fill(&self, va: VirtAddr, buf: &mut [u8]) -> bool {
        self.0.read(va.0, buf)
    }
}

fn format(layout: OrcLayout) -> Format {
    match layout {
        OrcLayout::Oldest => Format::V1,
        OrcLayout::Signal => Format::V2,
        OrcLayout::Types => Format::V3,
        OrcLayout::Renumbered => Format::V4,
    }
}

/// Functions of 0x100 bytes from TEXT on, numbered; each is filled with `call` instructions so that any
/// multiple of five is a return address.
fn text(pieces: &mut Pieces, functions: u64) {
    for call in 0..functions * 0x100 / 5 + 1 {
        pieces.put(TEXT + call * 5, &[0xe8, 0, 0, 0, 0]);
    }
}

/// A return address inside function `n`.
fn in_function(n: u64) -> u64 {
    TEXT + (n * 0x100 + 0x40) / 5 * 5
}

fn x86(saved: &Saved) -> Registers {
    match saved.registers {
        vmcore::arch::Registers::X86_64(registers) => registers,
        other => panic!("{other:?}"),
    }
}

fn areas() -> Areas {
    let mut areas = Areas::default();
    for (kind, start) in [
        (StackKind::Task, TASK),
        (StackKind::Irq(1), IRQ),
        (StackKind::Exception(1, "NMI"), NMI),
    ] {
        areas.add(Range::sized(start, BYTES).map(|range| Area { kind, range }));
    }
    areas
}

fn tables(format: Format, table: Option<Table>, functions: u64) -> Tables {
    let code = Code {
        text: vec![Range::sized(TEXT, functions * 0x100).unwrap()],
        table,
    };
    let module = Code {
        text: vec![Range::sized(MODULE, 0x1000).unwrap()],
        table: None,
    };
    let generated = Range {
        start: 0xffff_ffff_c000_0000,
        end: 0xffff_ffff_ff00_0000,
    };
    Tables::new(format, code, vec![module], generated)
}

fn name(addr: u64) -> Option<Resolved> {
    let n = addr.checked_sub(TEXT)? / 0x100;
    (n < 16).then(|| Resolved {
        name: format!("f{n}"),
        offset: (addr - TEXT) % 0x100,
        size: 0x100,
        module: None,
    })
}

type Hidden<'h> = &'h dyn Fn(u64, VirtAddr) -> Option<Option<u64>>;

fn run(
    dump: &Dump,
    tables: &Tables,
    registers: &Registers,
    hidden: Hidden<'_>,
) -> (Vec<Frame>, End) {
    run_named(dump, tables, registers, hidden, &name)
}

fn run_named(
    dump: &Dump,
    tables: &Tables,
    registers: &Registers,
    hidden: Hidden<'_>,
    name: &dyn Fn(u64) -> Option<Resolved>,
) -> (Vec<Frame>, End) {
    let pages = Pages::new(dump);
    let walk = Walk {
        pages: &pages,
        tables,
        areas: &areas(),
        name,
        hidden,
    };
    let saved = Saved {
        at: None,
        registers: vmcore::arch::Registers::X86_64(*registers),
        full: true,
    };
    walk.run(State::of_registers(registers), Some(saved))
}

fn shown(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| {
            let mark = if frame.trust == Trust::Guess { "?" } else { "" };
            let name = frame.symbol.as_ref().map_or_else(
                || format!("{:?}", frame.kind).to_lowercase(),
                |symbol| symbol.name.clone(),
            );
            format!("{mark}{name}@{:?}", frame.stack)
        })
        .collect()
}

/// f0 runs on the NMI stack, which interrupted f2 on the interrupt stack, which interrupted f5 on the
/// task's, which a system call from user mode entered through f6.
fn crossing(layout: OrcLayout) -> (Dump, Tables, Registers) {
    let mut pieces = Pieces::default();
    text(&mut pieces, 8);
    let function = |n: u64| TEXT + n * 0x100;
    let plain = |n: u64, offset: i16| OrcRule::call(function(n), offset);
    let rules = [
        plain(0, 24),
        OrcRule {
            what: "regs",
            ..plain(1, 0)
        },
        OrcRule {
            base: "bp",
            bp: ("prev", -16),
            ..plain(2, 16)
        },
        OrcRule {
            base: "[sp]",
            ..plain(3, 8)
        },
        OrcRule {
            what: "iret",
            ..plain(4, 8)
        },
        plain(5, 16),
        OrcRule {
            what: "regs",
            ..plain(6, 0)
        },
        OrcRule {
            base: "none",
            what: "end",
            ..plain(7, 0)
        },
    ];
    let (ips, entries) = orc_table(layout, &rules, IPS);
    pieces.put(IPS, &ips).put(ENTRIES, &entries);
    // f0 was called by the NMI's entry f1, above which lie the registers of f2.
    let sp0 = NMI + 0x3e00;
    let regs = sp0 + 24;
    pieces.words(sp0 + 16, &[in_function(1)]);
    pieces.words(
        regs,
        &pt_regs(&[
            ("ip", in_function(2)),
            ("cs", 0x10),
            ("sp", IRQ + 0x3f00),
            ("bp", IRQ + 0x3f20),
        ]),
    );
    // f2 keeps a frame pointer: saved rbp, return into f3.
    pieces.words(IRQ + 0x3f20, &[0xb0b0, in_function(3)]);
    // f3 saved the task's stack pointer at the top of the interrupt stack.
    pieces.words(IRQ + 0x3f30, &[TASK + 0x3e00]);
    // There lies the return into f4, above which the CPU pushed where f5 was interrupted.
    pieces.words(TASK + 0x3e00, &[in_function(4)]);
    let iret = TASK + 0x3e00 + 8 + 8;
    pieces.words(iret, &[in_function(5), 0x10, 0x246, TASK + 0x3f48, 0x18]);
    // f5 returns into f6, above which lie the registers of user mode.
    pieces.words(TASK + 0x3f50, &[in_function(6)]);
    pieces.words(
        TASK + 0x3f58,
        &pt_regs(&[
            ("ip", 0x40_1000),
            ("cs", 0x33),
            ("sp", 0x7fff_0000),
            ("ss", 0x2b),
        ]),
    );
    let table = Table::new(VirtAddr(IPS), VirtAddr(ENTRIES), rules.len() as u64);
    let registers = Registers {
        ip: in_function(0) + 1,
        sp: sp0,
        cs: 0x10,
        ..Registers::default()
    };
    let tables = tables(format(layout), table, 8);
    (Dump(pieces), tables, registers)
}

/// A kernel with frame pointers and without ORC: f1 was interrupted, its exception's entry f2 called f0 on the way to
/// the panic; f1 was called by f3, which the entry of a system call, f4, called. Each moves rsp in ways that its
/// instructions do not tell.
#[test]
fn without_orc_frame_pointers_are_followed() {
    let mut pieces = Pieces::default();
    text(&mut pieces, 8);
    for n in [0, 1, 2, 3] {
        // push %rbp; mov %rsp,%rbp; and $-64,%rsp
        pieces.put(
            TEXT + n * 0x100,
            &[0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xc0],
        );
    }
    let (inner, regs, outer) = (TASK + 0x3000, TASK + 0x3200, TASK + 0x3c00);
    // f0's frame: what f2 left in rbp, the return into f2.
    pieces.words(inner, &[regs + 1, in_function(2)]);
    pieces.words(
        regs,
        &pt_regs(&[
            ("ip", in_function(1) + 1),
            ("cs", 0x10),
            ("sp", outer - 0x40),
            ("bp", outer),
        ]),
    );
    // f1's frame, then f3's: a system call begins with no frame pointer.
    pieces.words(outer, &[outer + 0x40, in_function(3)]);
    pieces.words(outer + 0x40, &[0, in_function(4)]);
    pieces.words(
        outer + 0x50,
        &pt_regs(&[
            ("ip", 0x40_1000),
            ("cs", 0x33),
            ("sp", 0x7fff_0000),
            ("ss", 0x2b),
        ]),
    );
    let registers = Registers {
        ip: in_function(0) + 1,
        sp: inner - 0x40,
        bp: inner,
        cs: 0x10,
        ..Registers::default()
    };
    let named = |addr: u64| {
        let mut found = name(addr)?;
        if found.name == "f4" {
            found.name = "entry_SYSCALL_64_after_hwframe".into();
        }
        Some(found)
    };
    let (dump, tables) = (Dump(pieces), tables(Format::V3, None, 8));
    let (frames, end) = run_named(&dump, &tables, &registers, &|_, _| None, &named);
    let names: Vec<_> = shown(&frames)
        .iter()
        .map(|f| f.split('@').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "f0",
            "f2",
            "f1",
            "f3",
            "entry_SYSCALL_64_after_hwframe",
            "user"
        ]
    );
    assert_eq!(end, End::User);
    assert!(
        frames[1..]
            .iter()
            .all(|frame| frame.trust == Trust::FramePointer)
    );
    assert_eq!(x86(frames[2].registers.as_deref().unwrap()).bp, outer);
}

#[test]
fn stacks_are_crossed_in_every_layout() {
    for layout in OrcLayout::ALL {
        let (dump, tables, registers) = crossing(layout);
        let (frames, end) = run(&dump, &tables, &registers, &|_, _| None);
        assert_eq!(
            shown(&frames),
            [
                "f0@Exception(1, \"NMI\")",
                "f1@Exception(1, \"NMI\")",
                "f2@Irq(1)",
                "f3@Irq(1)",
                "f4@Task",
                "f5@Task",
                "f6@Task",
                "user@User",
            ],
            "{layout:?}"
        );
        assert_eq!(end, End::User);
        let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
        assert_eq!(kinds[2], FrameKind::Interrupted, "{layout:?}");
        assert_eq!(kinds[3], FrameKind::Call);
        assert_eq!(kinds[5], FrameKind::Interrupted);
        let saved = frames[5].registers.as_deref().unwrap();
        assert!(!saved.full);
        assert_eq!(x86(saved).flags, 0x246);
        let user = frames[7].registers.as_deref().unwrap();
        assert_eq!((user.full, x86(user).sp), (true, 0x7fff_0000));
    }
}

#[test]
fn unknown_stacks_are_crossed_too() {
    let (dump, tables, registers) = crossing(OrcLayout::Types);
    let pages = Pages::new(&dump);
    let walk = Walk {
        pages: &pages,
        tables: &tables,
        areas: &Areas::default(),
        name: &name,
        hidden: &|_, _| None,
    };
    let (frames, end) = walk.run(State::of_registers(&registers), None);
    assert_eq!((frames.len(), end), (8, End::User));
    assert_eq!(frames[2].stack, StackKind::Unknown);
}

#[test]
fn the_outermost_kernel_frame_ends_the_trace() {
    let (mut dump, tables, mut registers) = crossing(OrcLayout::Types);
    // Straight into f5, which returns into f7.
    registers.ip = in_function(5);
    registers.sp = TASK + 0x3f48;
    dump.0.words(TASK + 0x3f50, &[in_function(7)]);
    let (frames, end) = run(&dump, &tables, &registers, &|_, _| None);
    assert_eq!(shown(&frames), ["f5@Task", "f7@Task"]);
    assert_eq!(end, End::Kernel);
}

#[test]
fn a_trampoline_is_named_and_passed() {
    let (mut dump, tables, mut registers) = crossing(OrcLayout::Types);
    registers.ip = in_function(5);
    registers.sp = TASK + 0x3f48;
    let slot = TASK + 0x3f50;
    dump.0.words(slot, &[in_function(2)]);
    let hidden = |known: Option<u64>| {
        move |pc: u64, at: VirtAddr| (pc == in_function(2) && at.0 == slot).then_some(known)
    };
    let (frames, end) = run(&dump, &tables, &registers, &hidden(Some(in_function(7))));
    assert_eq!(shown(&frames), ["f5@Task", "f2@Task", "f7@Task"]);
    assert_eq!(frames[1].kind, FrameKind::Trampoline);
    assert_eq!(end, End::Kernel);
    let (frames, end) = run(&dump, &tables, &registers, &hidden(None));
    assert_eq!(frames[1].kind, FrameKind::Trampoline);
    assert!(matches!(end, End::Broken(_)));
    // What is left of the stack was scanned: the user registers at its end.
    assert_eq!(shown(&frames[2..]), ["?user@User"]);
}

#[test]
fn a_wild_jump_returns_by_its_return_address() {
    let (mut dump, tables, mut registers) = crossing(OrcLayout::Types);
    for pc in [0, 0x1234_5678_9abc, 0xdead_beef_dead_beef] {
        registers.ip = pc;
        registers.sp = TASK + 0x3f40;
        dump.0.words(TASK + 0x3f40, &[in_function(5)]);
        let (frames, end) = run(&dump, &tables, &registers, &|_, _| None);
        assert_eq!(
            shown(&frames),
            ["interrupted@Task", "f5@Task", "f6@Task", "user@User"],
            "{pc:#x}"
        );
        assert_eq!(end, End::User);
    }
}

#[test]
fn where_orc_fails_the_stack_is_scanned() {
    let (mut dump, tables, mut registers) = crossing(OrcLayout::Types);
    registers.ip = in_function(5);
    registers.sp = TASK + 0x3800;
    // A return address that is none, then some that are, the last of which unwinds to the end.
    dump.0.words(
        TASK + 0x3808,
        &[
            0x1111,
            in_function(5) + 1,
            in_function(0),
            0,
            in_function(5),
        ],
    );
    dump.0.words(TASK + 0x3830, &[0, in_function(7)]);
    let (frames, end) = run(&dump, &tables, &registers, &|_, _| None);
    assert_eq!(
        shown(&frames),
        ["f5@Task", "?f0@Task", "?f5@Task", "?f7@Task"]
    );
    assert_eq!(
        end,
        End::Broken("the return address 0x1111 is not in any code".into())
    );
}

#[test]
fn an_overflown_stack_is_scanned_from_its_start() {
    let (mut dump, tables, mut registers) = crossing(OrcLayout::Types);
    registers.ip = in_function(5);
    registers.sp = TASK - 0x800;
    dump.0
        .words(TASK + 0x100, &[in_function(5), 0, in_function(7)]);
    let (frames, end) = run(&dump, &tables, &registers, &|_, _| None);
    assert_eq!(shown(&frames), ["f5@Unknown", "?f5@Task", "?f7@Task"]);
    assert!(matches!(end, End::Broken(_)));
}

#[test]
fn a_stack_is_not_entered_twice() {
    let (mut dump, tables, registers) = crossing(OrcLayout::Types);
    // The task's interrupted registers point back to the interrupt stack.
    let iret = TASK + 0x3e10;
    dump.0
        .words(iret, &[in_function(5), 0x10, 0x246, IRQ + 0x3f00, 0x18]);
    let (frames, end) = run(&dump, &tables, &registers, &|_, _| None);
    assert!(frames.len() < 100);
    let End::Broken(why) = end else {
        panic!("{end:?}")
    };
    assert!(why.contains("left before"), "{why}");
}

#[test]
fn modules_and_text_are_told_apart() {
    let tables = tables(Format::V3, None, 8);
    assert!(tables.is_text(TEXT) && tables.is_text(TEXT + 0x7ff));
    assert!(!tables.is_text(TEXT + 0x800) && !tables.is_text(TEXT - 1));
    assert!(tables.is_text(MODULE) && !tables.is_text(MODULE + 0x1000));
    assert!(!tables.may_be_generated(MODULE) && tables.may_be_generated(MODULE + 0x1000));
    assert!(!tables.may_be_generated(TEXT));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Garbage on all stacks, with pointers that look right among it: bounded, and no panic.
    #[test]
    fn garbage_stacks_end(
        words in proptest::collection::vec((0u8..8, any::<u64>()), 64..600),
        pc in 0u64..0x800, sp in 0u64..0x4000, bp in 0u64..0x4000,
    ) {
        let (mut dump, tables, mut registers) = crossing(OrcLayout::Types);
        let starts = [TASK, IRQ, NMI];
        for (i, (kind, value)) in words.iter().enumerate() {
            let i = i as u64;
            let start = starts[(i % 3) as usize];
            let word = match kind {
                0 | 1 => TEXT + value % 0x800,
                2 => TEXT + value % 0x800 / 5 * 5,
                3 => TASK + value % BYTES,
                4 => IRQ + value % BYTES,
                5 => NMI + value % BYTES,
                6 => MODULE + value % 0x2000,
                _ => *value,
            };
            dump.0.words(start + (i * 104) % (BYTES - 8) / 8 * 8, &[word]);
        }
        registers.ip = TEXT + pc;
        registers.sp = starts[(sp % 3) as usize] + sp;
        registers.bp = starts[(bp % 3) as usize] + bp;
        let (frames, _) = run(&dump, &tables, &registers, &|_, _| None);
        prop_assert!(frames.len() <= MAX_FRAMES * 2);
    }

    /// Garbage tables of every format.
    #[test]
    fn garbage_tables_end(
        ips in proptest::collection::vec(any::<u8>(), 64),
        entries in proptest::collection::vec(any::<u8>(), 96),
        small in proptest::collection::vec(0i32..0x1000, 16),
        count in 0u64..40, which in 0usize..4, use_small in any::<bool>(),
    ) {
        let (mut dump, _, registers) = crossing(OrcLayout::Types);
        dump.0.put(IPS, &ips).put(ENTRIES, &entries);
        if use_small {
            let relative = (TEXT.wrapping_sub(IPS)).cast_signed();
            for (i, offset) in small.iter().enumerate() {
                let value = i32::try_from(relative).unwrap() + offset;
                dump.0.put(IPS + i as u64 * 4, &value.to_le_bytes());
            }
        }
        let format = format(OrcLayout::ALL[which]);
        let table = Table::new(VirtAddr(IPS), VirtAddr(ENTRIES), count);
        let tables = tables(format, table, 8);
        let (frames, _) = run(&dump, &tables, &registers, &|_, _| None);
        prop_assert!(frames.len() <= MAX_FRAMES * 2);
    }

    /// Every entry decodes to something or to nothing, and what it says is what was written.
    #[test]
    fn entries_decode(bytes in any::<[u8; 6]>()) {
        for layout in OrcLayout::ALL {
            if let Some(entry) = format(layout).decode(bytes) {
                prop_assert_eq!(entry.offset, i16::from_le_bytes([bytes[0], bytes[1]]));
            }
        }
    }
}
