//! The names of kallsyms: a stream of records of token numbers.
//!
//! Facts: scripts/kallsyms.c. A record is a length (one byte; from 6.1 on two bytes, low seven bits
//! first, when bit 7 is set) and as many token numbers. The first character of the expansion is the
//! type letter. The stream's end is nowhere written: it follows from the number of symbols.

use super::locate::Tables;
use crate::addr::{PAGE_SIZE, VirtAddr};
use crate::kernel::{KernelError, Memory};
use std::sync::Arc;

/// Names between two marks. It is the kernel's own choice too, but any would do.
const STRIDE: u32 = 256;
/// KSYM_NAME_LEN is 512 since 6.1; a longer expansion is damage.
const MAX_NAME: usize = 1024;
/// Ten times the symbols of the largest kernel.
const MAX_SYMBOLS: u32 = 4_000_000;

/// The names.
pub(super) struct Names {
    memory: Arc<Memory>,
    start: VirtAddr,
    count: u32,
    long: bool,
    /// Where every [`STRIDE`]th record begins, from `start`.
    marks: Vec<u32>,
    tokens: Tokens,
}

/// The 256 tokens: where each begins and ends in `text`.
struct Tokens {
    text: Vec<u8>,
    bounds: Vec<(u16, u16)>,
}

impl Tokens {
    fn read(memory: &Memory, tables: &Tables) -> Result<Self, KernelError> {
        let what = "the tokens of kallsyms";
        let raw: [u8; 512] = memory
            .read_bytes(tables.token_index)
            .map_err(KernelError::reading(what))?;
        let starts: Vec<u16> = raw
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| u16::from_le_bytes(*bytes))
            .collect();
        let last = starts.last().copied().unwrap_or(0);
        let tail = memory
            .read_cstr(tables.token_table.wrapping_add(u64::from(last)), MAX_NAME)
            .map_err(KernelError::reading(what))?;
        let mut text = vec![0; usize::from(last) + tail.len()];
        memory
            .read(tables.token_table, &mut text)
            .map_err(KernelError::reading(what))?;
        let bounds = starts
            .iter()
            .map(|&start| {
                let rest = text.get(usize::from(start)..).unwrap_or_default();
                let len = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
                let end = usize::from(start) + len;
                (start, u16::try_from(end).unwrap_or(start))
            })
            .collect();
        Ok(Self { text, bounds })
    }

    fn get(&self, token: u8) -> &[u8] {
        self.bounds
            .get(usize::from(token))
            .and_then(|&(start, end)| self.text.get(usize::from(start)..usize::from(end)))
            .unwrap_or_default()
    }

    fn expand(&self, record: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for &token in record {
            out.extend_from_slice(self.get(token));
            if out.len() > MAX_NAME {
                break;
            }
        }
    }

    fn length(&self, record: &[u8]) -> usize {
        record
            .iter()
            .filter_map(|&token| self.bounds.get(usize::from(token)))
            .map(|&(start, end)| usize::from(end - start))
            .sum()
    }
}

/// A cursor over the stream that holds one page.
struct Cursor<'a> {
    memory: &'a Memory,
    /// Address of `page`'s first byte.
    base: u64,
    page: Vec<u8>,
    at: u64,
    record: Vec<u8>,
    long: bool,
}

impl<'a> Cursor<'a> {
    fn new(memory: &'a Memory, at: VirtAddr, long: bool) -> Self {
        Self {
            memory,
            base: 0,
            page: Vec::new(),
            at: at.0,
            record: Vec::with_capacity(256),
            long,
        }
    }

    /// The rest of the page that holds the next byte.
    fn rest(&mut self) -> Result<&[u8], KernelError> {
        let base = self.at & !(PAGE_SIZE - 1);
        if self.base != base || self.page.is_empty() {
            self.page.resize(crate::addr::PAGE_BYTES, 0);
            self.base = base;
            if let Err(source) = self.memory.read(VirtAddr(base), &mut self.page) {
                self.page.clear();
                return Err(KernelError::Memory {
                    what: "the names of kallsyms".to_owned(),
                    source,
                });
            }
        }
        let skip = usize::try_from(self.at - base).unwrap_or(0);
        Ok(self.page.get(skip..).unwrap_or_default())
    }

    fn byte(&mut self) -> Result<u8, KernelError> {
        let byte = self.rest()?.first().copied().unwrap_or(0);
        self.at = self.at.wrapping_add(1);
        Ok(byte)
    }

    /// The next record's tokens.
    fn next(&mut self) -> Result<&[u8], KernelError> {
        let mut len = usize::from(self.byte()?);
        if self.long && len & 0x80 != 0 {
            len = (len & 0x7f) | usize::from(self.byte()?) << 7;
        }
        self.record.clear();
        while self.record.len() < len {
            let want = len - self.record.len();
            let have: Vec<u8>;
            {
                let rest = self.rest()?;
                have = rest
                    .get(..want.min(rest.len()))
                    .unwrap_or_default()
                    .to_vec();
            }
            self.at = self.at.wrapping_add(have.len() as u64);
            self.record.extend_from_slice(&have);
        }
        Ok(&self.record)
    }
}

impl Names {
    pub(super) fn open(
        memory: &Arc<Memory>,
        tables: &Tables,
        long: bool,
    ) -> Result<Self, KernelError> {
        let count = memory
            .read_u32(tables.num_syms)
            .map_err(KernelError::reading("kallsyms_num_syms"))?;
        if count == 0 || count > MAX_SYMBOLS {
            return Err(KernelError::Corrupt {
                what: "The symbol table",
                why: format!("it claims {count} symbols"),
            });
        }
        let tokens = Tokens::read(memory, tables)?;
        let mut marks = Vec::with_capacity(count.div_ceil(STRIDE) as usize);
        let mut cursor = Cursor::new(memory, tables.names, long);
        for index in 0..count {
            if index % STRIDE == 0 {
                let from_start = cursor.at.wrapping_sub(tables.names.0);
                marks.push(u32::try_from(from_start).unwrap_or(u32::MAX));
            }
            if cursor.next()?.is_empty() {
                return Err(KernelError::Corrupt {
                    what: "The symbol table",
                    why: format!("name {index} of {count} is empty"),
                });
            }
        }
        Ok(Self {
            memory: Arc::clone(memory),
            start: tables.names,
            count,
            long,
            marks,
            tokens,
        })
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The name at `index` and its type letter.
    pub(super) fn get(&self, index: u32) -> Option<(String, u8)> {
        if index >= self.count {
            return None;
        }
        let mark = *self.marks.get((index / STRIDE) as usize)?;
        let mut cursor = Cursor::new(
            &self.memory,
            self.start.wrapping_add(u64::from(mark)),
            self.long,
        );
        for _ in 0..index % STRIDE {
            cursor.next().ok()?;
        }
        let mut name = Vec::new();
        self.tokens.expand(cursor.next().ok()?, &mut name);
        let (&kind, name) = name.split_first()?;
        Some((String::from_utf8_lossy(name).into_owned(), kind))
    }

    /// Calls `visit` with every index, name and type letter.
    pub(super) fn all(&self, mut visit: impl FnMut(u32, &[u8], u8)) -> Result<(), KernelError> {
        let mut cursor = Cursor::new(&self.memory, self.start, self.long);
        let mut name = Vec::new();
        for index in 0..self.count {
            self.tokens.expand(cursor.next()?, &mut name);
            if let Some((&kind, name)) = name.split_first() {
                visit(index, name, kind);
            }
        }
        Ok(())
    }

    /// Looks for several names at once; calls `hit` with the position in `wanted`, the symbol's
    /// index and its type letter, for every symbol of such a name.
    pub(super) fn scan(
        &self,
        wanted: &[&str],
        mut hit: impl FnMut(usize, u32, char),
    ) -> Result<(), KernelError> {
        // Most names are told apart by their length, without expanding them.
        let mut lengths = [false; MAX_NAME];
        for name in wanted {
            if let Some(slot) = lengths.get_mut(name.len() + 1) {
                *slot = true;
            }
        }
        let mut cursor = Cursor::new(&self.memory, self.start, self.long);
        let mut expanded = Vec::new();
        for index in 0..self.count {
            let record = cursor.next()?;
            let length = self.tokens.length(record);
            if !lengths.get(length).copied().unwrap_or(false) {
                continue;
            }
            self.tokens.expand(record, &mut expanded);
            let Some((&kind, name)) = expanded.split_first() else {
                continue;
            };
            for (which, want) in wanted.iter().enumerate() {
                if want.as_bytes() == name {
                    hit(which, index, char::from(kind));
                }
            }
        }
        Ok(())
    }
}
