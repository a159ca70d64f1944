//! The unwinder on arbitrary bytes: what the fuzz target `unwind` runs, and the tests that replay its
//! corpus. Not part of any ordinary build.
//!
//! The bytes are a format, registers, an ORC table and stacks; addresses among them are folded into
//! the few regions there are, so that traces lead somewhere.

use super::orc::{Format, Table};
use super::step::State;
use super::tables::{Code, Tables};
use super::walk::Walk;
use crate::unwind::memory::{Pages, Source};
use crate::unwind::stacks::Range;
use crate::unwind::stacks::{Area, Areas};
use crate::unwind::{MAX_FRAMES, Saved, StackKind};
use vmcore::addr::VirtAddr;
use vmcore::arch::x86_64::regs::Registers;
use vmcore::kernel::Resolved;

const TEXT: u64 = 0xffff_ffff_8100_0000;
const TEXT_BYTES: u64 = 0x2000;
const IPS: u64 = 0xffff_ffff_8200_0000;
const ENTRIES: u64 = 0xffff_ffff_8210_0000;
const MODULE: u64 = 0xffff_ffff_c010_0000;
const STACKS: [(StackKind, u64); 3] = [
    (StackKind::Task, 0xffff_c900_0001_0000),
    (StackKind::Irq(0), 0xffff_c900_0002_0000),
    (StackKind::Exception(0, "NMI"), 0xffff_fe00_0001_0000),
];
const STACK_BYTES: u64 = 0x4000;
/// Bytes of the registers and the head before the table.
const HEAD: usize = 2 + 21 * 8;

/// The regions: where each begins, on a page, and what is in it.
struct Memory(Vec<(u64, Vec<u8>)>);

impl Memory {
    fn new(ips: Vec<u8>, entries: &[u8], stack: &[u8]) -> Self {
        // Every fifth byte begins a call.
        let text_bytes = usize::try_from(TEXT_BYTES).unwrap_or(0);
        let mut text = [0xe8, 0, 0, 0, 0].repeat(text_bytes / 5 + 1);
        text.truncate(text_bytes);
        let mut regions = vec![(TEXT, text), (IPS, ips), (ENTRIES, entries.to_vec())];
        // The same bytes on every stack, from other places on.
        let len = stack.len().next_multiple_of(8).max(8);
        let mut round = stack.to_vec();
        round.resize(len, 0);
        for (_, start) in STACKS {
            let from = usize::try_from(((start >> 16) & 0xff) << 3).unwrap_or(0) % len;
            let bytes = usize::try_from(STACK_BYTES).unwrap_or(0);
            let mut all = round.repeat(bytes / len + 2).split_off(from);
            all.truncate(bytes);
            regions.push((start, all));
        }
        Self(regions)
    }
}

impl Source for Memory {
    fn fill(&self, va: VirtAddr, buf: &mut [u8]) -> bool {
        // Pages are read whole, the last of all among them; only what is behind a region's end is missing.
        buf.fill(0);
        let found = self.0.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(va.0.checked_sub(*start)?).ok()?;
            bytes.get(offset..).filter(|rest| !rest.is_empty())
        });
        let Some(rest) = found else { return false };
        let len = buf.len().min(rest.len());
        if let (Some(buf), Some(rest)) = (buf.get_mut(..len), rest.get(..len)) {
            buf.copy_from_slice(rest);
        }
        true
    }
}

/// A word as an address somewhere in the regions, by its lowest bits.
fn fold(word: u64) -> u64 {
    let value = word >> 3;
    match word & 7 {
        0 | 1 => TEXT + value % TEXT_BYTES / 5 * 5,
        2 => TEXT + value % TEXT_BYTES,
        3 => MODULE + value % 0x2000,
        4 => STACKS[0].1 + value % STACK_BYTES,
        5 => STACKS[1].1 + value % STACK_BYTES,
        6 => STACKS[2].1 + value % STACK_BYTES,
        _ => word,
    }
}

/// Unwinds what the bytes describe.
///
/// # Panics
/// When a trace is longer than it may be: that is what is looked for.
pub fn run(data: &[u8]) {
    let Some((head, rest)) = data.split_at_checked(HEAD) else {
        return;
    };
    let (Some(&which), Some(&count)) = (head.first(), head.get(1)) else {
        return;
    };
    let words: Vec<u64> = rest_words(head.get(2..).unwrap_or_default());
    let count = usize::from(count) % 64;
    let split = (count * 6).min(rest.len());
    let (entries, rest) = rest.split_at(split);
    // The table of addresses is sorted in every kernel; offsets come from the entries themselves.
    let ips = (0..count).flat_map(|n| {
        let step = TEXT_BYTES / 64;
        let at = TEXT + n as u64 * step;
        let value = at.wrapping_sub(IPS + n as u64 * 4) as u32;
        value.to_le_bytes()
    });
    let stack: Vec<u8> = rest_words(rest)
        .into_iter()
        .map(fold)
        .flat_map(u64::to_le_bytes)
        .collect();
    let memory = Memory::new(ips.collect(), entries, &stack);
    let formats = [Format::V1, Format::V2, Format::V3, Format::V4];
    let format = formats[usize::from(which) % formats.len()];
    let range = |start, len| Range {
        start,
        end: start + len,
    };
    let kernel = Code {
        text: vec![range(TEXT, TEXT_BYTES)],
        table: Table::new(VirtAddr(IPS), VirtAddr(ENTRIES), count as u64),
    };
    let module = Code {
        text: vec![range(MODULE, 0x1000)],
        table: None,
    };
    let tables = Tables::new(
        format,
        kernel,
        vec![module],
        range(MODULE & !0xfff_ffff, 0x1000_0000),
    );
    let mut areas = Areas::default();
    for (kind, start) in STACKS {
        areas.add(Some(Area {
            kind,
            range: range(start, STACK_BYTES),
        }));
    }
    let word = |n: usize| words.get(n).copied().map_or(0, fold);
    let registers = Registers {
        bp: word(4),
        r10: word(7),
        r13: word(2),
        di: word(14),
        dx: word(12),
        ip: word(16),
        cs: 0x10,
        sp: word(19),
        ..Registers::default()
    };
    let saved = Saved {
        at: None,
        registers: vmcore::arch::Registers::X86_64(registers),
        full: true,
    };
    let pages = Pages::new(&memory);
    let walk = Walk {
        pages: &pages,
        tables: &tables,
        areas: &areas,
        name: &|addr: u64| {
            let offset = addr.checked_sub(TEXT).filter(|at| *at < TEXT_BYTES)?;
            Some(Resolved {
                name: "f".into(),
                offset: offset % 0x80,
                size: 0x80,
                module: None,
            })
        },
        hidden: &|pc: u64, _: VirtAddr| {
            pc.is_multiple_of(97)
                .then_some(Some(TEXT + pc % TEXT_BYTES))
        },
    };
    let (frames, _) = walk.run(State::of_registers(&registers), Some(saved));
    assert!(frames.len() <= MAX_FRAMES * 2, "{} frames", frames.len());
}

fn rest_words(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.as_chunks::<8>().0.iter();
    words.map(|word| u64::from_le_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    /// The corpus, cut and flipped; a seed of mixed bytes is always among it.
    #[test]
    fn the_corpus_ends() {
        let mixed = (0u32..4000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
        synth::corpus::replay("unwind", vec![mixed.collect()], 24, super::run);
    }
}
