//! An ELF64 file for x86_64, sections and segments as given.
//!
//! Facts: System V ABI, "Object Files". The sections have the few bytes that readers take from the file;
//! the core has the memory.

use crate::error::Error;
use std::io::{self, Write};

/// SHT_*
pub(crate) mod kind {
    pub(crate) const PROGBITS: u32 = 1;
    pub(crate) const SYMTAB: u32 = 2;
    pub(crate) const STRTAB: u32 = 3;
    pub(crate) const NOTE: u32 = 7;
    pub(crate) const NOBITS: u32 = 8;
}

/// SHF_*
pub(crate) mod flag {
    pub(crate) const WRITE: u64 = 1;
    pub(crate) const ALLOC: u64 = 2;
    pub(crate) const EXEC: u64 = 4;
    pub(crate) const MERGE: u64 = 0x10;
    pub(crate) const STRINGS: u64 = 0x20;
}

/// Bytes of the file's header, of a program header, of a section header, of a symbol.
const HEADER: u64 = 64;
const PROGRAM: u64 = 56;
const SECTION: u64 = 64;
const SYMBOL: u64 = 24;
const ET_EXEC: u16 = 2;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;

/// A section.
#[derive(Default)]
pub(crate) struct Section {
    pub name: String,
    pub kind: u32,
    pub flags: u64,
    pub address: u64,
    pub bytes: Vec<u8>,
    /// Without bytes in the file ([`kind::NOBITS`]): how many there are in memory.
    pub size: u64,
    pub link: u32,
    pub info: u32,
    pub align: u64,
    pub each: u64,
}

/// A stretch of memory: the bytes of a section, if it has any, and zeros behind it.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub flags: u32,
    pub address: u64,
    pub physical: u64,
    pub size: u64,
    /// Which of the sections it begins with.
    pub section: usize,
}

/// The file.
pub(crate) struct File {
    pub entry: u64,
    pub segments: Vec<Segment>,
    /// Without the first, which is empty, and the last, which has the names.
    pub sections: Vec<Section>,
}

/// A symbol.
pub(crate) struct Symbol {
    /// Offset of its name in the names.
    pub name: u32,
    /// STB_* and STT_*.
    pub binding: u8,
    pub ty: u8,
    pub section: u16,
    pub value: u64,
    pub size: u64,
}

/// A symbol table: the local symbols first, as its section says.
pub(crate) fn symbols(symbols: &mut [Symbol]) -> Result<(Vec<u8>, u32), Error> {
    symbols.sort_by_key(|symbol| symbol.binding != 0);
    let locals = symbols.partition_point(|symbol| symbol.binding == 0);
    let mut bytes = vec![0; SYMBOL as usize];
    for symbol in symbols {
        bytes.extend(symbol.name.to_le_bytes());
        bytes.extend([symbol.binding << 4 | symbol.ty, 0]);
        bytes.extend(symbol.section.to_le_bytes());
        bytes.extend(symbol.value.to_le_bytes());
        bytes.extend(symbol.size.to_le_bytes());
    }
    let first = u32::try_from(locals).map_err(|_| Error::TooLarge)?;
    Ok((bytes, first.saturating_add(1)))
}

impl File {
    /// Writes it. Answers its length in bytes.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<u64> {
        let mut names = vec![0];
        let mut headers = vec![0; SECTION as usize];
        let mut at = HEADER + PROGRAM * self.segments.len() as u64;
        let mut places = Vec::with_capacity(self.sections.len());
        for section in &self.sections {
            let name = names.len();
            names.extend(section.name.as_bytes());
            names.push(0);
            at = align(at, section.align);
            let size = match section.kind {
                kind::NOBITS => section.size,
                _ => section.bytes.len() as u64,
            };
            header(&mut headers, section, name, at, size);
            places.push(at);
            at = at.saturating_add(section.bytes.len() as u64);
        }
        let own = names.len();
        names.extend(b".shstrtab\0");
        let last = Section {
            kind: kind::STRTAB,
            align: 1,
            bytes: names,
            ..Section::default()
        };
        header(&mut headers, &last, own, at, last.bytes.len() as u64);
        places.push(at);
        let table = align(at.saturating_add(last.bytes.len() as u64), 8);

        let mut out = Counted { out, written: 0 };
        self.head(&mut out, table, &places)?;
        for (section, place) in self.sections.iter().chain([&last]).zip(places) {
            out.pad(place)?;
            out.write(&section.bytes)?;
        }
        out.pad(table)?;
        out.write(&headers)?;
        Ok(out.written)
    }

    fn head(&self, out: &mut Counted<'_>, table: u64, places: &[u64]) -> io::Result<()> {
        let count = |n: usize| u16::try_from(n).map_err(|_| io::Error::other("too many sections"));
        let sections = count(self.sections.len().saturating_add(2))?;
        // 64 bits, little-endian, version 1.
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        head.extend(ET_EXEC.to_le_bytes());
        head.extend(EM_X86_64.to_le_bytes());
        head.extend(1_u32.to_le_bytes());
        for word in [self.entry, HEADER, table] {
            head.extend(word.to_le_bytes());
        }
        head.extend(0_u32.to_le_bytes());
        for half in [
            HEADER as u16,
            PROGRAM as u16,
            count(self.segments.len())?,
            SECTION as u16,
            sections,
            sections.saturating_sub(1),
        ] {
            head.extend(half.to_le_bytes());
        }
        for segment in &self.segments {
            head.extend(PT_LOAD.to_le_bytes());
            head.extend(segment.flags.to_le_bytes());
            let at = places.get(segment.section).copied().unwrap_or(0);
            let section = self.sections.get(segment.section);
            let bytes = section.map_or(0, |section| section.bytes.len() as u64);
            let (address, physical) = (segment.address, segment.physical);
            // No alignment: the place in the file is any.
            for word in [at, address, physical, bytes, segment.size, 1] {
                head.extend(word.to_le_bytes());
            }
        }
        out.write(&head)
    }
}

fn header(out: &mut Vec<u8>, section: &Section, name: usize, at: u64, size: u64) {
    out.extend(u32::try_from(name).unwrap_or(0).to_le_bytes());
    out.extend(section.kind.to_le_bytes());
    for word in [section.flags, section.address, at, size] {
        out.extend(word.to_le_bytes());
    }
    out.extend(section.link.to_le_bytes());
    out.extend(section.info.to_le_bytes());
    for word in [section.align.max(1), section.each] {
        out.extend(word.to_le_bytes());
    }
}

fn align(at: u64, to: u64) -> u64 {
    at.checked_next_multiple_of(to.max(1)).unwrap_or(at)
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written = self.written.saturating_add(bytes.len() as u64);
        self.out.write_all(bytes)
    }

    fn pad(&mut self, to: u64) -> io::Result<()> {
        let missing = to.saturating_sub(self.written).min(1 << 20);
        self.write(&vec![0; missing as usize])
    }
}
