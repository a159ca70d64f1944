//! A machine for tests of chains: a text of functions of 0x100 bytes each, and stacks.

use super::{Links, State, Walk};
use crate::unwind::memory::{Pages, Source};
use crate::unwind::stacks::{Area, Areas, Range};
use crate::unwind::text::Text;
use crate::unwind::{End, Frame, FrameKind, StackKind, Trust};
use synth::unwind::Pieces;
use vmcore::addr::VirtAddr;
use vmcore::kernel::Resolved;
use vmcore::order::Order;

/// Bytes of a stack.
pub(in crate::unwind) const BYTES: u64 = 0x4000;

/// The machine.
pub(in crate::unwind) struct Rig<'a> {
    pub order: Order,
    /// Where the functions begin, one behind the other, and what they are called.
    pub text: u64,
    pub names: &'a [&'a str],
    /// Where code is that the kernel made.
    pub generated: (u64, u64),
    pub stacks: &'a [(StackKind, u64)],
    pub links: &'a (dyn Links + Sync),
}

/// Names of functions where these mean nothing.
pub(in crate::unwind) const NAMES: [&str; 16] = [
    "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14",
    "f15",
];

/// Memory.
pub(in crate::unwind) struct Dump(pub Pieces, pub Order);

impl Source for Dump {
    fn fill(&self, va: VirtAddr, buf: &mut [u8]) -> bool {
        self.0.read(va.0, buf)
    }

    fn order(&self) -> Order {
        self.1
    }
}

impl Rig<'_> {
    /// A return address inside function `n`.
    pub(in crate::unwind) fn inside(&self, n: u64) -> u64 {
        self.text + n * 0x100 + 0x40
    }

    /// Puts words.
    pub(in crate::unwind) fn words(&self, pieces: &mut Pieces, at: u64, words: &[u64]) {
        for (n, word) in words.iter().enumerate() {
            pieces.put(at + n as u64 * 8, &self.order.of_u64(*word));
        }
    }

    /// All frames.
    pub(in crate::unwind) fn walk(&self, pieces: Pieces, state: State) -> (Vec<Frame>, End) {
        let dump = Dump(pieces, self.order);
        let mut areas = Areas::default();
        for (kind, start) in self.stacks {
            let range = Range::sized(*start, BYTES);
            areas.add(range.map(|range| Area { kind: *kind, range }));
        }
        let range = |start, end| Range { start, end };
        let (start, end) = self.generated;
        let text = range(self.text, self.text + self.names.len() as u64 * 0x100);
        Walk {
            pages: &Pages::new(&dump),
            text: &Text::new(vec![text], range(start, end), Vec::new()),
            areas: &areas,
            name: &|at| {
                let n = usize::try_from(at.checked_sub(self.text)? / 0x100).ok()?;
                Some(Resolved {
                    name: (*self.names.get(n)?).to_owned(),
                    offset: at % 0x100,
                    size: 0x100,
                    module: None,
                })
            },
            links: self.links,
        }
        .run(state, None)
    }
}

/// The frames in short: `*` was interrupted, `?` is a guess.
pub(in crate::unwind) fn names(frames: &[Frame]) -> Vec<String> {
    let name = |frame: &Frame| {
        let mark = if frame.trust == Trust::Guess { "?" } else { "" };
        match (&frame.symbol, frame.kind) {
            (_, FrameKind::User) => "user".to_owned(),
            (Some(symbol), FrameKind::Interrupted) => format!("*{}", symbol.name),
            (Some(symbol), _) => format!("{mark}{}", symbol.name),
            (None, _) => frame.pc.to_string(),
        }
    };
    frames.iter().map(name).collect()
}
