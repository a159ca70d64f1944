//! The names of kallsyms: a stream of records of token numbers.
//!
//! Facts: scripts/kallsyms.c. A record is a length (one byte; from 6.1 on two bytes, low seven bits
//! first, when bit 7 is set) and as many token numbers. The first character of the expansion is the
//! type letter. The stream's end is nowhere written: it follows from the number of symbols.

use super::locate::Tables;
use crate::addr::{PAGE_SIZE, VirtAddr};
use crate::kernel::{KernelError, Memory};
use std::sync::Arc;

/// Names between two marks: as many records are gone over, half of them on average, to get at one.
const STRIDE: u32 = 32;
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
    /// The hash of each name, without its letter.
    hashes: Vec<u32>,
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
}

/// A cursor over the stream: what is read and not yet taken is held, a page or two.
struct Cursor<'a> {
    memory: &'a Memory,
    held: Vec<u8>,
    /// How much of `held` was taken.
    taken: usize,
    /// Address of the first byte that was not read.
    next: u64,
    long: bool,
}

impl<'a> Cursor<'a> {
    fn new(memory: &'a Memory, at: VirtAddr, long: bool) -> Self {
        Self {
            memory,
            held: Vec::new(),
            taken: 0,
            next: at.0,
            long,
        }
    }

    /// Address of the next record.
    fn at(&self) -> u64 {
        let left = self.held.len().saturating_sub(self.taken);
        self.next.wrapping_sub(left as u64)
    }

    /// The next `len` bytes, reading on to the end of the page that holds the last of them.
    fn peek(&mut self, len: usize) -> Result<&[u8], KernelError> {
        while self.held.len().saturating_sub(self.taken) < len {
            self.held.drain(..self.taken.min(self.held.len()));
            self.taken = 0;
            let have = self.held.len();
            let in_page = PAGE_SIZE - (self.next & (PAGE_SIZE - 1));
            self.held
                .resize(have + usize::try_from(in_page).unwrap_or(1), 0);
            let fresh = self.held.get_mut(have..).unwrap_or_default();
            if let Err(source) = self.memory.read(VirtAddr(self.next), fresh) {
                self.held.truncate(have);
                return Err(KernelError::Memory {
                    what: "the names of kallsyms".to_owned(),
                    source,
                });
            }
            self.next = self.next.wrapping_add(in_page);
        }
        let end = self.taken.saturating_add(len);
        Ok(self.held.get(self.taken..end).unwrap_or_default())
    }

    /// The next record's tokens.
    fn next(&mut self) -> Result<&[u8], KernelError> {
        let mut head = 1;
        let mut len = self.peek(1)?.first().copied().map_or(0, usize::from);
        if self.long && len & 0x80 != 0 {
            head = 2;
            let high = self.peek(2)?.last().copied().map_or(0, usize::from);
            len = (len & 0x7f) | high << 7;
        }
        self.peek(head + len)?;
        let start = self.taken + head;
        self.taken = start + len;
        Ok(self.held.get(start..self.taken).unwrap_or_default())
    }
}

/// Tells names apart: a name is looked for among the hashes, and decoded only where they agree.
fn hash(name: &[u8]) -> u32 {
    let (words, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let mixed = words
        .iter()
        .chain([&last])
        .fold(name.len() as u64, |hash, word| {
            // The multiplier of Fibonacci hashing: 2^64 divided by the golden ratio.
            (hash.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
    u32::try_from(mixed >> 32).unwrap_or(0)
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
        let mut hashes = Vec::with_capacity(count as usize);
        let mut cursor = Cursor::new(memory, tables.names, long);
        let mut name = Vec::new();
        for index in 0..count {
            if index % STRIDE == 0 {
                let from_start = cursor.at().wrapping_sub(tables.names.0);
                marks.push(u32::try_from(from_start).unwrap_or(u32::MAX));
            }
            let record = cursor.next()?;
            if record.is_empty() {
                return Err(KernelError::Corrupt {
                    what: "The symbol table",
                    why: format!("name {index} of {count} is empty"),
                });
            }
            tokens.expand(record, &mut name);
            hashes.push(hash(name.get(1..).unwrap_or_default()));
        }
        Ok(Self {
            memory: Arc::clone(memory),
            start: tables.names,
            count,
            long,
            marks,
            hashes,
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

    /// Calls `hit` with the index and the type letter of every symbol of that name.
    pub(super) fn find(&self, wanted: &str, mut hit: impl FnMut(u32, char)) {
        let hash = hash(wanted.as_bytes());
        for (index, _) in (0..).zip(&self.hashes).filter(|(_, is)| **is == hash) {
            if let Some((name, kind)) = self.get(index)
                && name == wanted
            {
                hit(index, char::from(kind));
            }
        }
    }
}
