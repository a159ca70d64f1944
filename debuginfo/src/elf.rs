//! An ELF64 file of any machine, sections and segments as given.
//!
//! Facts: System V ABI, "Object Files". The sections have the few bytes that readers take from the file;
//! the core has the memory.

use crate::error::Error;
use std::io::{self, Write};
use vmcore::order::Order;

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
    /// e_machine.
    pub machine: u16,
    /// e_flags.
    pub flags: u32,
    pub order: Order,
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
pub(crate) fn symbols(order: Order, symbols: &mut [Symbol]) -> Result<(Vec<u8>, u32), Error> {
    symbols.sort_by_key(|symbol| symbol.binding != 0);
    let locals = symbols.partition_point(|symbol| symbol.binding == 0);
    let mut bytes = vec![0; SYMBOL as usize];
    for symbol in symbols {
        bytes.extend(order.of_u32(symbol.name));
        bytes.extend([symbol.binding << 4 | symbol.ty, 0]);
        bytes.extend(order.of_u16(symbol.section));
        bytes.extend(order.of_u64(symbol.value));
        bytes.extend(order.of_u64(symbol.size));
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
            header(self.order, &mut headers, section, name, at, size);
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
        header(
            self.order,
            &mut headers,
            &last,
            own,
            at,
            last.bytes.len() as u64,
        );
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
        let order = self.order;
        // 64 bits, version 1.
        let data = match order {
            Order::Little => 1,
            Order::Big => 2,
        };
        let mut head = b"\x7fELF\x02".to_vec();
        head.extend([data, 1]);
        head.resize(16, 0);
        head.extend(order.of_u16(ET_EXEC));
        head.extend(order.of_u16(self.machine));
        head.extend(order.of_u32(1));
        for word in [self.entry, HEADER, table] {
            head.extend(order.of_u64(word));
        }
        head.extend(order.of_u32(self.flags));
        for half in [
            HEADER as u16,
            PROGRAM as u16,
            count(self.segments.len())?,
            SECTION as u16,
            sections,
            sections.saturating_sub(1),
        ] {
            head.extend(order.of_u16(half));
        }
        for segment in &self.segments {
            head.extend(order.of_u32(PT_LOAD));
            head.extend(order.of_u32(segment.flags));
            let at = places.get(segment.section).copied().unwrap_or(0);
            let section = self.sections.get(segment.section);
            let bytes = section.map_or(0, |section| section.bytes.len() as u64);
            let (address, physical) = (segment.address, segment.physical);
            // No alignment: the place in the file is any.
            for word in [at, address, physical, bytes, segment.size, 1] {
                head.extend(order.of_u64(word));
            }
        }
        out.write(&head)
    }
}

fn header(order: Order, out: &mut Vec<u8>, section: &Section, name: usize, at: u64, size: u64) {
    out.extend(order.of_u32(u32::try_from(name).unwrap_or(0)));
    out.extend(order.of_u32(section.kind));
    for word in [section.flags, section.address, at, size] {
        out.extend(order.of_u64(word));
    }
    out.extend(order.of_u32(section.link));
    out.extend(order.of_u32(section.info));
    for word in [section.align.max(1), section.each] {
        out.extend(order.of_u64(word));
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

#[cfg(test)]
mod tests {
    use super::{File, Section, Segment, Symbol, kind, symbols};
    use goblin::elf::Elf;
    use vmcore::order::Order;

    #[test]
    fn a_file_has_the_order_of_its_machine() {
        for (order, machine) in [(Order::Little, 21), (Order::Big, 22)] {
            let mut all = [Symbol {
                name: 1,
                binding: 1,
                ty: 2,
                section: 1,
                value: 0x1_0000,
                size: 8,
            }];
            let (table, info) = symbols(order, &mut all).unwrap();
            let section = |name: &str, kind, bytes: &[u8]| Section {
                name: name.to_owned(),
                kind,
                bytes: bytes.to_vec(),
                ..Section::default()
            };
            let mut symtab = section(".symtab", kind::SYMTAB, &table);
            (symtab.link, symtab.info, symtab.each) = (2, info, 24);
            let file = File {
                machine,
                flags: 2,
                order,
                entry: 0x1_0000,
                segments: vec![Segment {
                    flags: 5,
                    address: 0x1_0000,
                    physical: 0,
                    size: 8,
                    section: 1,
                }],
                sections: vec![symtab, section(".strtab", kind::STRTAB, b"\0main\0")],
            };
            let mut bytes = Vec::new();
            file.write(&mut bytes).unwrap();
            let elf = Elf::parse(&bytes).unwrap();
            let header = (elf.header.e_machine, elf.header.e_flags, elf.little_endian);
            assert_eq!(header, (machine, 2, order == Order::Little));
            assert_eq!(elf.program_headers[0].p_vaddr, 0x1_0000);
            let symbol = elf.syms.iter().nth(1).unwrap();
            assert_eq!((symbol.st_value, symbol.st_size), (0x1_0000, 8));
            assert_eq!(elf.strtab.get_at(symbol.st_name), Some("main"));
        }
    }
}
