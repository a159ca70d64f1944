//! The symbol table: kallsyms as ELF symbols.
//!
//! kallsyms has no sizes: a symbol reaches to the next address that has one. Its letters are those of
//! nm up to 6.x; 7.x says `t` and `T` of most data, so that the part of the image decides what a symbol
//! is and the letter only whether it is global.

use crate::error::Error;
use std::collections::HashMap;
use vmcore::kernel::Symbols;

/// A symbol of kallsyms.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// Its address in the running kernel, or its per-CPU offset.
    pub address: u64,
    /// Where its name begins in the names.
    pub name: u32,
    len: u32,
    /// nm's letter.
    pub letter: u8,
}

impl Row {
    /// Whether other files of the kernel see it.
    pub(super) fn external(&self) -> bool {
        self.letter.is_ascii_uppercase()
    }

    pub(super) fn weak(&self) -> bool {
        matches!(self.letter, b'w' | b'W' | b'v' | b'V')
    }
}

/// All symbols of the kernel proper, in the order of their addresses.
pub(super) struct Table {
    rows: Vec<Row>,
    /// The names with a NUL behind each: `.strtab`, which begins with an empty one.
    names: Vec<u8>,
    /// The row of each name, the global one or the first of several; and how many there are.
    by_name: HashMap<Box<[u8]>, (u32, u32)>,
}

impl Table {
    /// Reads them.
    pub(super) fn read(symbols: &Symbols) -> Result<Self, Error> {
        let count = symbols.len() as usize;
        let (mut rows, mut names) = (Vec::with_capacity(count), vec![0]);
        let mut too_large = false;
        symbols
            .for_each(|symbol| {
                let at = u32::try_from(names.len());
                let len = u32::try_from(symbol.name.len());
                match (at, len, u8::try_from(symbol.kind)) {
                    (Ok(name), Ok(len), Ok(letter)) => rows.push(Row {
                        address: symbol.address.0,
                        name,
                        len,
                        letter,
                    }),
                    _ => too_large = true,
                }
                names.extend(symbol.name.as_bytes());
                names.push(0);
            })
            .map_err(Error::Symbols)?;
        if too_large {
            return Err(Error::TooLarge);
        }
        // Stable: of several names at one address the table's own order is kept.
        rows.sort_by_key(|row| row.address);
        let mut table = Self {
            rows,
            names,
            by_name: HashMap::with_capacity(count),
        };
        for (index, row) in (0..).zip(&table.rows) {
            let name = table.bytes(row).into();
            let (best, times) = table.by_name.entry(name).or_insert((index, 0));
            let known = table.rows.get(*best as usize);
            if row.external() && known.is_some_and(|known| !known.external()) {
                *best = index;
            }
            *times += 1;
        }
        Ok(table)
    }

    fn bytes(&self, row: &Row) -> &[u8] {
        let start = row.name as usize;
        self.names
            .get(start..start.saturating_add(row.len as usize))
            .unwrap_or_default()
    }

    /// The symbols.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A symbol's name.
    pub(super) fn name(&self, row: &Row) -> &str {
        std::str::from_utf8(self.bytes(row)).unwrap_or_default()
    }

    /// Whether another symbol has the same address.
    pub(super) fn is_shared(&self, row: &Row) -> bool {
        let first = self
            .rows
            .partition_point(|other| other.address < row.address);
        let second = self.rows.get(first.saturating_add(1));
        second.is_some_and(|second| second.address == row.address)
    }

    /// The symbol of a name, and how many have it.
    pub(super) fn find(&self, name: &str) -> Option<(&Row, u32)> {
        let (index, times) = self.by_name.get(name.as_bytes())?;
        Some((self.rows.get(*index as usize)?, *times))
    }

    /// The address of a name.
    pub(super) fn address(&self, name: &str) -> Option<u64> {
        self.find(name).map(|(row, _)| row.address)
    }

    /// The names, for `.strtab`.
    pub(super) fn names(&self) -> &[u8] {
        &self.names
    }

    /// The address of the next symbol behind an address.
    pub(super) fn next_after(&self, address: u64) -> Option<u64> {
        let after = self.rows.partition_point(|row| row.address <= address);
        self.rows.get(after).map(|next| next.address)
    }
}
