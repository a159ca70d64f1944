//! A toy symbol table in the form that `scripts/kallsyms` gives it.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

use crate::ram::Ram;

/// How addresses are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// 64-bit addresses.
    Absolute,
    /// x86 with SMP, 4.6 to 6.14.
    AbsolutePerCpu,
    /// Base and offset.
    Relative,
    /// Offset from the entry itself (7.0).
    PlaceRelative,
}

/// Where the tables begin.
pub const TABLES: u64 = 0xffff_ffff_8180_0000;
/// `_text` and `_stext`.
pub const TEXT: u64 = 0xffff_ffff_8100_0000;

fn token_text(token: usize) -> Vec<u8> {
    match token {
        // A few real pairs and longer ones, as the compressor would find them.
        0x80 => b"sys_".to_vec(),
        0x81 => b"task".to_vec(),
        0x82 => b"__".to_vec(),
        0x83 => b"tt".to_vec(),
        0x20..=0x7e => vec![token as u8],
        _ => format!("\u{1}{token:x}").into_bytes(),
    }
}

fn compress(symbol: &str) -> Vec<u8> {
    let mut rest = symbol.as_bytes();
    let mut out = Vec::new();
    'outer: while !rest.is_empty() {
        for token in [0x80usize, 0x81, 0x82, 0x83] {
            let text = token_text(token);
            if rest.starts_with(&text) {
                out.push(token as u8);
                rest = &rest[text.len()..];
                continue 'outer;
            }
        }
        out.push(rest[0]);
        rest = &rest[1..];
    }
    out
}

/// Writes the table for `symbols` (address, letter, name; ascending) in the order of sections before
/// 6.2; names its parts in VMCOREINFO if `named`.
pub fn put(ram: &mut Ram, symbols: &[(u64, char, String)], encoding: Encoding, named: bool) {
    put_at(ram, TABLES, symbols, encoding, named);
}

/// The same, with the tables from `tables` on.
pub fn put_at(
    ram: &mut Ram,
    tables: u64,
    symbols: &[(u64, char, String)],
    encoding: Encoding,
    named: bool,
) {
    let mut at = tables;
    let mut place = |ram: &mut Ram, name: &str, bytes: &[u8]| {
        at = (at + 7) & !7;
        let here = at;
        ram.put_image(at, bytes);
        if named {
            ram.line(&format!("SYMBOL(kallsyms_{name})={here:x}"));
        }
        at += bytes.len() as u64;
    };
    let mut addresses = Vec::new();
    for (i, (address, _, _)) in symbols.iter().enumerate() {
        let word = match encoding {
            Encoding::Absolute => {
                addresses.extend_from_slice(&address.to_le_bytes());
                continue;
            }
            Encoding::AbsolutePerCpu if *address < 0x1000_0000 => *address as i64,
            Encoding::AbsolutePerCpu => -1 - (address - TEXT) as i64,
            Encoding::Relative => (address - TEXT) as i64,
            Encoding::PlaceRelative => *address as i64 - (tables as i64 + 4 * i as i64),
        };
        addresses.extend_from_slice(&(word as i32).to_le_bytes());
    }
    let name = if encoding == Encoding::Absolute {
        "addresses"
    } else {
        "offsets"
    };
    place(ram, name, &addresses);
    if matches!(encoding, Encoding::AbsolutePerCpu | Encoding::Relative) {
        place(ram, "relative_base", &TEXT.to_le_bytes());
    }
    let mut names = Vec::new();
    let mut marks = Vec::new();
    for (i, (_, letter, name)) in symbols.iter().enumerate() {
        if i % 256 == 0 {
            marks.extend_from_slice(&(names.len() as u32).to_le_bytes());
        }
        let record = compress(&format!("{letter}{name}"));
        if record.len() < 0x80 {
            names.push(record.len() as u8);
        } else {
            names.push(0x80 | (record.len() & 0x7f) as u8);
            names.push((record.len() >> 7) as u8);
        }
        names.extend_from_slice(&record);
    }
    place(ram, "num_syms", &(symbols.len() as u32).to_le_bytes());
    place(ram, "names", &names);
    place(ram, "markers", &marks);
    let mut table = Vec::new();
    let mut index = Vec::new();
    for token in 0..256 {
        index.extend_from_slice(&(table.len() as u16).to_le_bytes());
        table.extend_from_slice(&token_text(token));
        table.push(0);
    }
    place(ram, "token_table", &table);
    place(ram, "token_index", &index);
    ram.put_image(at, &[0; 4096]);
}
