//! Return addresses that tracers replaced, on made-up stacks.

use super::*;
use crate::unwind::memory::Source;
use crate::unwind::stacks::Range;
use crate::unwind::x86_64::orc::Format;
use crate::unwind::x86_64::tables::Code;
use synth::unwind::Pieces;

const TASK: u64 = 0xffff_8880_0001_0000;
const RECORDS: u64 = 0xffff_8880_0002_0000;
const SLOT: u64 = 0xffff_c900_0000_3f00;
const TEXT: u64 = 0xffff_ffff_8100_0000;
const RETHOOK: u64 = TEXT + 0x100;
const GRAPH: u64 = TEXT + 0x200;

struct Dump(Pieces);

impl Source for Dump {
    fn fill(&self, va: VirtAddr, buf: &mut [u8]) -> bool {
        self.0.read(va.0, buf)
    }
}

fn hidden(pieces: Pieces, pc: u64) -> Option<Option<u64>> {
    let dump = Dump(pieces);
    let pages = Pages::new(&dump);
    let code = Code {
        text: vec![Range::sized(TEXT, 0x1000).unwrap()],
        table: None,
    };
    let nowhere = Range { start: 0, end: 0 };
    let tables = Tables::new(Format::V3, code, Vec::new(), nowhere);
    let trampolines = Trampolines {
        at: vec![(RETHOOK, Records::List), (GRAPH, Records::Stack)],
        list: Some(Members {
            head: 0x40,
            link: 16,
            ret: 32,
            slot: 40,
        }),
        stack: Some(Members {
            head: 0x48,
            link: 0,
            ret: 0,
            slot: 16,
        }),
    };
    trampolines.hidden(&pages, &tables, Some(VirtAddr(TASK)), pc, VirtAddr(SLOT))
}

/// Two records: {…, next, hook, ret, slot}; the first hides the trampoline again.
fn listed(last: u64) -> Pieces {
    let mut pieces = Pieces::default();
    pieces.words(TASK + 0x40, &[RECORDS + 16, RECORDS + 0x200]);
    pieces.words(RECORDS, &[1, 2, 3, 4, RETHOOK, SLOT]);
    pieces.words(RECORDS + 16, &[RECORDS + 0x100 + 16]);
    pieces.words(RECORDS + 0x100, &[1, 2, last, 4, TEXT + 0x321, SLOT]);
    // The graph tracer's stack: other words, then {ret, func, slot}.
    pieces.words(RECORDS + 0x200, &[7, 8, TEXT + 0x432, TEXT + 0x400, SLOT]);
    pieces
}

#[test]
fn records_give_back_what_was_replaced() {
    assert_eq!(hidden(listed(0), RETHOOK), Some(Some(TEXT + 0x321)));
    assert_eq!(hidden(listed(0), GRAPH), Some(Some(TEXT + 0x432)));
    assert_eq!(hidden(listed(0), TEXT + 0x300), None);
}

#[test]
fn without_a_record_only_the_trampoline_is_known() {
    assert_eq!(hidden(Pieces::default(), RETHOOK), Some(None));
    assert_eq!(hidden(Pieces::default(), GRAPH), Some(None));
    // A list that runs in a circle and holds no record of this slot.
    let mut pieces = listed(RECORDS + 16);
    pieces.words(RECORDS + 40, &[1]);
    pieces.words(RECORDS + 0x100 + 40, &[1]);
    assert_eq!(hidden(pieces, RETHOOK), Some(None));
    // A record that points outside the code is ignored.
    let mut pieces = listed(0);
    pieces.words(RECORDS + 0x100 + 32, &[0x1234]);
    assert_eq!(hidden(pieces, RETHOOK), Some(None));
}
