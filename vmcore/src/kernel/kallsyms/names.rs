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
/// Hashes that are looked through at once.
const BLOCK: usize = 256;
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
            .map(|bytes| memory.order().u16(*bytes))
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

/// What a piece of a name adds to its hash. A name is looked for among the hashes, and decoded only
/// where they agree. The hash is a polynomial in the bytes, modulo 2^64, so that it follows from the
/// hashes of the tokens: no name has to be put together for it.
#[derive(Clone, Copy)]
struct Piece {
    /// The hash of the piece alone.
    sum: u64,
    /// The base to the power of its length.
    power: u64,
}

impl Piece {
    /// The multiplier of Fibonacci hashing: 2^64 divided by the golden ratio.
    const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
    const EMPTY: Self = Self { sum: 0, power: 1 };

    fn of(bytes: &[u8]) -> Self {
        bytes.iter().fold(Self::EMPTY, |piece, byte| {
            piece.then(Self {
                sum: u64::from(*byte) + 1,
                power: Self::BASE,
            })
        })
    }

    fn then(self, next: Self) -> Self {
        Self {
            sum: self.sum.wrapping_mul(next.power).wrapping_add(next.sum),
            power: self.power.wrapping_mul(next.power),
        }
    }

    /// The high half, which depends on every byte.
    fn hash(self) -> u32 {
        u32::try_from(self.sum.wrapping_mul(Self::BASE) >> 32).unwrap_or(0)
    }
}

/// The pieces of all tokens, and of all tokens without their first character: a name's first one
/// begins with the type letter.
struct Pieces {
    whole: [Piece; 256],
    headless: [Piece; 256],
}

impl Pieces {
    fn new(tokens: &Tokens) -> Self {
        let piece = |token: usize, from| {
            let text = u8::try_from(token).map_or(&[][..], |token| tokens.get(token));
            Piece::of(text.get(from..).unwrap_or_default())
        };
        Self {
            whole: std::array::from_fn(|token| piece(token, 0)),
            headless: std::array::from_fn(|token| piece(token, 1)),
        }
    }

    /// The hash of the name that a record stands for, without its letter.
    fn hash(&self, record: &[u8]) -> u32 {
        let Some((first, rest)) = record.split_first() else {
            return Piece::EMPTY.hash();
        };
        let of = |pieces: &[Piece; 256], token: &u8| {
            let piece = pieces.get(usize::from(*token)).copied();
            piece.unwrap_or(Piece::EMPTY)
        };
        rest.iter()
            .fold(of(&self.headless, first), |name, token| {
                name.then(of(&self.whole, token))
            })
            .hash()
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
        let mut hashes = Vec::with_capacity(count as usize);
        let mut cursor = Cursor::new(memory, tables.names, long);
        let pieces = Pieces::new(&tokens);
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
            hashes.push(pieces.hash(record));
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
        let hash = Piece::of(wanted.as_bytes()).hash();
        // Looking through a block at once takes a fraction of looking at one after the other.
        let blocks = (0..).step_by(BLOCK).zip(self.hashes.chunks(BLOCK));
        let alike = blocks
            .filter(|(_, block)| block.contains(&hash))
            .flat_map(|(start, block)| (start..).zip(block))
            .filter(|(_, is)| **is == hash);
        for (index, _) in alike {
            if let Some((name, kind)) = self.get(index)
                && name == wanted
            {
                hit(index, char::from(kind));
            }
        }
    }
}
