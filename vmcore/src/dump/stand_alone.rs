//! Stand-alone dumps of s390x: what zipl's dump programs write to a disk, and zgetdump copies from it. Read as the ELF
//! core that they stand for.
//!
//! Facts: s390-tools 2.x, include/dump/s390_dump.h and zdump/dfi_s390.c; z/Architecture Principles of Operation,
//! "Store Status". Everything is big-endian. A header of 4 KiB says how much memory there is and where each CPU's prefix
//! page lies, in which its registers were stored. The plain form has all of memory behind the header. The extended form
//! has segments, a page of header before each, and leaves out stretches of zeros. Both end with `DUMP_END`.
//!
//! One file is one dump: of several volumes each holds a part, which zgetdump joins.

use super::source::{ByteSource, Facts, SourceError};
use crate::addr::PAGE_SIZE;
use crate::layout::{FormatError, elf};
use crate::order::Order::Big;
use std::sync::Arc;

/// DF_S390_MAGIC.
const PLAIN: u64 = 0xa819_0173_618f_23fd;
/// DF_S390_MAGIC_EXT.
const EXTENDED: u64 = 0xa819_0173_618f_23fe;
/// DF_S390_EM_MAGIC, in the first bytes of the end marker.
const END: &[u8; 8] = b"DUMP_END";
/// DF_S390_ARCH_64.
const ARCH_64: u32 = 2;
/// DF_S390_CPU_MAX.
const MOST_CPUS: usize = 512;
/// The least that a segment of the extended form takes: a mebibyte of memory.
const LEAST_SEGMENT: u64 = 1 << 20;
/// Memory that a byte of the extended form may stand for: a machine of which so little is not zero is idle indeed.
const MOST_ZEROS: u64 = 1024;
/// Where in a prefix page the general registers are stored, and behind them the PSW.
const REGISTERS: u64 = 0x1280;
const GENERAL_BYTES: usize = 128;
const PSW_BYTES: usize = 16;
/// Bytes of an NT_PRSTATUS descriptor, and where in it the PSW stands, before the general registers.
const PRSTATUS: usize = 336;
const PR_REG: usize = 112;
/// Bytes of a note before its descriptor: header, and "CORE" with its padding.
const NOTE: usize = 20;

/// Memory that lies in the file as it is.
#[derive(Debug)]
struct Piece {
    start: u64,
    len: u64,
    /// Where in the file.
    at: u64,
}

/// An ELF core made of such a dump: headers and notes, then all of memory.
struct StandAlone {
    inner: Arc<dyn ByteSource>,
    head: Vec<u8>,
    /// Ascending, disjoint; what is in none is zero.
    pieces: Vec<Piece>,
    /// Bytes of memory.
    memory: u64,
    /// Why it does not hold all of it.
    cut_off: Option<String>,
}

/// The dump as an ELF core. `None`: `head` begins no such dump.
///
/// # Errors
/// One that is of another kind than those above, or damaged.
pub(super) fn open(
    source: &Arc<dyn ByteSource>,
    head: &[u8],
) -> Result<Option<Arc<dyn ByteSource>>, FormatError> {
    let magic = Big.u64_at(head, 0);
    let Some(magic @ (PLAIN | EXTENDED)) = magic else {
        return Ok(None);
    };
    let word = |at| {
        Big.u32_at(head, at)
            .ok_or(FormatError::CutOff("the header"))
    };
    let header = u64::from(word(0xc)?);
    let end = Big.u64_at(head, 0x28).unwrap_or(0);
    if word(0x48)? != ARCH_64 {
        return Err(FormatError::unsupported("it is a dump of 31-bit s390"));
    }
    if head.get(0x5c).is_some_and(|volumes| *volumes != 0) {
        return Err(FormatError::unsupported(
            "it is one volume of a stand-alone dump; zgetdump -f elf makes a core of all",
        ));
    }
    if header != PAGE_SIZE || end == 0 || !end.is_multiple_of(PAGE_SIZE) || end >> 52 != 0 {
        return Err(FormatError::damaged(
            "the header of the stand-alone dump contradicts itself",
        ));
    }
    if end / MOST_ZEROS > source.len() {
        return Err(FormatError::damaged(
            "the header of the stand-alone dump says more memory than such a file can hold",
        ));
    }
    let pieces = match magic {
        PLAIN => vec![Piece {
            start: 0,
            len: end,
            at: header,
        }],
        _ => segments(&**source, header, end)?,
    };
    let mut marker = [0; END.len()];
    let behind = pieces.last().map(|last| last.at.saturating_add(last.len));
    let ends = behind.is_some_and(|at| source.read_at(at, &mut marker).is_ok()) && marker == *END;
    let mut made = StandAlone {
        inner: Arc::clone(source),
        head: Vec::new(),
        memory: end,
        pieces,
        cut_off: (!ends).then(|| "the stand-alone dump has no end marker".to_owned()),
    };
    let prefixes = head.get(0x800..).unwrap_or_default().as_chunks::<4>().0;
    let count = Big.u16_at(head, 0x5d).map_or(0, usize::from).min(MOST_CPUS);
    let notes: Vec<u8> = prefixes
        .iter()
        .take(count)
        .flat_map(|prefix| made.note(u64::from(Big.u32(*prefix))))
        .collect();
    made.head = elf_head(&notes, end);
    Ok(Some(Arc::new(made)))
}

/// The segments of the extended form.
fn segments(source: &dyn ByteSource, mut at: u64, end: u64) -> Result<Vec<Piece>, FormatError> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut last = 0;
    while at < source.len() {
        let mut header = [0; 0x1c];
        source
            .read_at(at, &mut header)
            .map_err(|why| FormatError::Read(why.to_string()))?;
        let word = |at| Big.u64_at(&header, at).unwrap_or(0);
        let (start, len, stop) = (word(0), word(8), word(0x10));
        if Big.u32_at(&header, 0x18) != Some(0) {
            return Err(FormatError::unsupported(
                "its memory is compressed; zgetdump -f elf makes a core of it",
            ));
        }
        let place = at.saturating_add(PAGE_SIZE);
        if len > 0 {
            let behind = start.checked_add(len).filter(|behind| *behind <= end);
            let behind = behind.filter(|_| start >= last && len >= LEAST_SEGMENT);
            last = behind.ok_or_else(|| {
                FormatError::damaged(format!("the dump segment at {at:#x} is of no memory"))
            })?;
            pieces.push(Piece {
                start,
                len,
                at: place,
            });
        } else if stop == 0 {
            return Err(FormatError::damaged(format!(
                "there is no segment at {at:#x}"
            )));
        }
        if stop != 0 {
            return Ok(pieces);
        }
        at = place.saturating_add(len);
    }
    // Cut off before its last segment: what is there is read.
    Ok(pieces)
}

/// ELF header, two program headers, the notes, up to a whole page.
fn elf_head(notes: &[u8], memory: u64) -> Vec<u8> {
    const HEADERS: usize = 64 + 2 * 56;
    let len = HEADERS.saturating_add(notes.len());
    let len = len.next_multiple_of(PAGE_SIZE as usize);
    let mut head = Vec::with_capacity(len);
    // e_ident; ET_CORE; e_machine; EV_CURRENT; no entry; program headers at 64.
    head.extend_from_slice(b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0");
    head.extend(Big.of_u16(4));
    head.extend(Big.of_u16(crate::arch::s390x::MACHINE));
    head.extend(Big.of_u32(1));
    for word in [0, 64, 0] {
        head.extend(Big.of_u64(word));
    }
    head.extend(Big.of_u32(0));
    for half in [64, 56, 2, 0, 0, 0] {
        head.extend(Big.of_u16(half));
    }
    // PT_NOTE, PT_LOAD: type, flags, offset, vaddr, paddr, filesz, memsz, align.
    let (at, bytes) = (HEADERS as u64, notes.len() as u64);
    for (kind, [offset, size]) in [(4, [at, bytes]), (1, [len as u64, memory])] {
        head.extend(Big.of_u32(kind));
        head.extend(Big.of_u32(0));
        for word in [offset, 0, 0, size, size, 0] {
            head.extend(Big.of_u64(word));
        }
    }
    head.extend_from_slice(notes);
    head.resize(len, 0);
    head
}

impl StandAlone {
    /// The NT_PRSTATUS of the CPU whose prefix page begins at an address; empty where that is not in the dump.
    fn note(&self, prefix: u64) -> Vec<u8> {
        let mut stored = [0; GENERAL_BYTES + PSW_BYTES];
        if self
            .read_memory(prefix.saturating_add(REGISTERS), &mut stored)
            .is_err()
        {
            return Vec::new();
        }
        let (general, psw) = stored.split_at(GENERAL_BYTES);
        let mut note = Vec::with_capacity(NOTE + PRSTATUS);
        note.extend(Big.of_u32(5));
        note.extend(Big.of_u32(PRSTATUS as u32));
        note.extend(Big.of_u32(elf::NT_PRSTATUS));
        note.extend_from_slice(b"CORE\0\0\0\0");
        note.resize(NOTE + PR_REG, 0);
        note.extend_from_slice(psw);
        note.extend_from_slice(general);
        note.resize(NOTE + PRSTATUS, 0);
        note
    }

    /// Copies from a physical address.
    fn read_memory(&self, mut addr: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let mut rest = buf;
        while !rest.is_empty() {
            let after = self.pieces.partition_point(|piece| piece.start <= addr);
            let piece = after.checked_sub(1).and_then(|n| self.pieces.get(n));
            let inside = piece.and_then(|piece| {
                let inside = addr.checked_sub(piece.start)?;
                let left = piece.len.checked_sub(inside).filter(|left| *left > 0)?;
                Some((piece.at.saturating_add(inside), left))
            });
            let next = self
                .pieces
                .get(after)
                .map_or(self.memory, |piece| piece.start);
            let left = inside.map_or(next.saturating_sub(addr), |(_, left)| left);
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            if n == 0 {
                return Err(SourceError::PastEnd {
                    offset: addr,
                    len: self.memory,
                });
            }
            let (now, then) = rest.split_at_mut(n);
            match inside {
                Some((at, _)) => self.inner.read_at(at, now)?,
                None => now.fill(0),
            }
            rest = then;
            addr = addr.saturating_add(n as u64);
        }
        Ok(())
    }
}

impl ByteSource for StandAlone {
    /// As far as the file goes: the rest of one that was cut off is not there.
    fn len(&self) -> u64 {
        let file = self.inner.len();
        let held = self.pieces.iter().map(|piece| {
            let here = file.saturating_sub(piece.at);
            (here < piece.len).then(|| piece.start.saturating_add(here))
        });
        let memory = held.flatten().next().unwrap_or(self.memory);
        memory.saturating_add(self.head.len() as u64)
    }

    fn facts(&self) -> Facts {
        Facts {
            cut_off: self.cut_off.clone(),
            ..Facts::default()
        }
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let head = usize::try_from(offset)
            .ok()
            .and_then(|at| self.head.get(at..));
        let head = head.unwrap_or_default();
        let n = head.len().min(buf.len());
        let (now, then) = buf.split_at_mut(n);
        now.copy_from_slice(head.get(..n).unwrap_or_default());
        if then.is_empty() {
            return Ok(());
        }
        let addr = offset.saturating_add(n as u64);
        self.read_memory(addr.saturating_sub(self.head.len() as u64), then)
    }
}

#[cfg(test)]
mod tests;
