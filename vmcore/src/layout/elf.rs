//! ELF64 core headers and notes: fields of either byte order in, little-endian ones out.
//!
//! Facts: the System V ABI's ELF chapters and elf(5); `e_phnum == PN_XNUM` puts the real count into
//! `sh_info` of section header 0. Constants are goblin's. 32-bit cores are refused by
//! name. goblin's own parser is not used: it wants the whole file as a slice and stops at 65,535
//! program headers.

use super::FormatError;
use crate::order::Order;
use goblin::elf::header::{
    EI_CLASS, EI_DATA, ELFCLASS64, ELFDATA2LSB, ELFDATA2MSB, ELFMAG, EM_AARCH64, EM_LOONGARCH,
    EM_PPC64, EM_RISCV, EM_S390, ET_CORE, EV_CURRENT, SELFMAG,
};
pub(crate) use goblin::elf::header::{EM_NONE, EM_X86_64};
pub(crate) use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE};

/// e_machine and what `uname -m` calls it, for the architectures that kdump knows.
const MACHINES: [(u16, &str); 8] = [
    (EM_X86_64, "x86_64"),
    (EM_AARCH64, "aarch64"),
    (EM_AARCH64, "arm64"),
    (EM_RISCV, "riscv64"),
    (EM_PPC64, "ppc64le"),
    (EM_PPC64, "ppc64"),
    (EM_S390, "s390x"),
    (EM_LOONGARCH, "loongarch64"),
];

/// The name of an e_machine; `None` for one that kdump does not know.
#[must_use]
pub fn machine_name(machine: u16) -> Option<&'static str> {
    let found = MACHINES.iter().find(|(number, _)| *number == machine);
    found.map(|(_, name)| *name)
}

/// The e_machine of a utsname.machine, EM_NONE for one that is not known.
pub(crate) fn machine_number(name: &str) -> u16 {
    let found = MACHINES.iter().find(|(_, known)| *known == name);
    found.map_or(EM_NONE, |(number, _)| *number)
}

/// Bytes of Elf64_Ehdr.
pub(crate) const EHDR_LEN: usize = 64;
/// Bytes of Elf64_Phdr.
pub(crate) const PHDR_LEN: usize = 56;
/// Bytes of Elf64_Shdr.
pub(crate) const SHDR_LEN: usize = 64;
/// e_phnum when section header 0 holds the count.
pub(crate) const PN_XNUM: u16 = 0xffff;
/// n_type of a register note of owner "CORE".
pub(crate) const NT_PRSTATUS: u32 = 1;

/// One ELF note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The owner, without the trailing NUL.
    pub name: Vec<u8>,
    /// n_type.
    pub n_type: u32,
    /// The descriptor.
    pub desc: Vec<u8>,
}

/// One program header of an ELF core, as far as readers of memory need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// p_vaddr.
    pub vaddr: u64,
    /// p_paddr.
    pub paddr: u64,
    /// p_offset in the (decompressed) file.
    pub offset: u64,
    /// p_filesz.
    pub filesz: u64,
    /// p_memsz.
    pub memsz: u64,
}

/// Notes that are taken from one segment: eight for each CPU of the largest machine.
pub(crate) const NOTES_MAX: usize = 1 << 16;

/// Whether `head` begins like an ELF file of any kind.
#[must_use]
pub(crate) fn is_elf(head: &[u8]) -> bool {
    head.get(..SELFMAG) == Some(ELFMAG.as_slice())
}

/// What a reader needs of Elf64_Ehdr.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// The order of its words, and of the notes' and the memory's.
    pub order: Order,
    /// e_machine.
    pub machine: u16,
    /// e_phoff.
    pub phoff: u64,
    /// e_shoff.
    pub shoff: u64,
    /// e_phnum as it stands, [`PN_XNUM`] included.
    pub phnum: u16,
}

impl Header {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// Which field rules the file out.
    pub(crate) fn parse(buf: &[u8]) -> Result<Self, FormatError> {
        if !is_elf(buf) {
            return Err(FormatError::unsupported(
                "there is no ELF magic at its start",
            ));
        }
        let byte = |at: usize| buf.get(at).copied().unwrap_or(0);
        if byte(EI_CLASS) != ELFCLASS64 {
            return Err(FormatError::unsupported(
                "it is a 32-bit ELF file; only 64-bit cores are supported",
            ));
        }
        let order = match byte(EI_DATA) {
            ELFDATA2LSB => Order::Little,
            ELFDATA2MSB => Order::Big,
            other => {
                let why = format!("its byte order (EI_DATA) is {other}, which is unknown");
                return Err(FormatError::unsupported(why));
            }
        };
        let short = || FormatError::CutOff("the ELF header");
        let e_type = order.u16_at(buf, 16).ok_or_else(short)?;
        if e_type != ET_CORE {
            return Err(FormatError::unsupported(format!(
                "it is an ELF file of type {e_type}, not a core (type {ET_CORE}); \
                 a vmlinux or program is no dump"
            )));
        }
        let version = order.u32_at(buf, 20).ok_or_else(short)?;
        if version != u32::from(EV_CURRENT) {
            let why = format!("its e_version is {version}, not 1");
            return Err(FormatError::unsupported(why));
        }
        let phentsize = order.u16_at(buf, 54).ok_or_else(short)?;
        if usize::from(phentsize) != PHDR_LEN {
            let why = format!("its e_phentsize is {phentsize}, not {PHDR_LEN}");
            return Err(FormatError::unsupported(why));
        }
        Ok(Self {
            order,
            machine: order.u16_at(buf, 18).ok_or_else(short)?,
            phoff: order.u64_at(buf, 32).ok_or_else(short)?,
            shoff: order.u64_at(buf, 40).ok_or_else(short)?,
            phnum: order.u16_at(buf, 56).ok_or_else(short)?,
        })
    }

    /// The header of a core with `phnum` program headers right behind it; with too many of them,
    /// section header 0 stands at `shoff`.
    #[must_use]
    pub(crate) fn encode(machine: u16, phnum: u64, shoff: u64) -> [u8; EHDR_LEN] {
        let extended = phnum >= u64::from(PN_XNUM);
        let field = if extended {
            PN_XNUM
        } else {
            u16::try_from(phnum).unwrap_or(PN_XNUM)
        };
        let mut out = Fields::<EHDR_LEN>::default();
        out.bytes(ELFMAG);
        out.bytes(&[
            ELFCLASS64,
            ELFDATA2LSB,
            EV_CURRENT,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        out.u16(ET_CORE);
        out.u16(machine);
        out.u32(u32::from(EV_CURRENT));
        out.u64(0); // e_entry
        out.u64(EHDR_LEN as u64); // e_phoff
        out.u64(if extended { shoff } else { 0 });
        out.u32(0); // e_flags
        out.u16(64);
        out.u16(56);
        out.u16(field);
        out.u16(if extended { 64 } else { 0 });
        out.u16(u16::from(extended));
        out.u16(0); // e_shstrndx
        out.done()
    }
}

/// Section header 0 of a core whose e_phnum is [`PN_XNUM`].
#[must_use]
pub(crate) fn encode_section_zero(phnum: u64) -> [u8; SHDR_LEN] {
    let mut out = Fields::<SHDR_LEN>::default();
    out.bytes(&[0; 32]); // name, type, flags, addr, offset
    out.u64(1); // sh_size: the number of section headers
    out.u32(0); // sh_link
    out.u32(u32::try_from(phnum).unwrap_or(u32::MAX)); // sh_info
    out.done()
}

/// sh_info of a section header.
#[must_use]
pub(crate) fn section_info(buf: &[u8], order: Order) -> Option<u32> {
    order.u32_at(buf, 44)
}

/// One Elf64_Phdr: its type and the fields readers of memory need.
#[must_use]
pub(crate) fn parse_phdr(buf: &[u8], order: Order) -> Option<(u32, Segment)> {
    let segment = Segment {
        offset: order.u64_at(buf, 8)?,
        vaddr: order.u64_at(buf, 16)?,
        paddr: order.u64_at(buf, 24)?,
        filesz: order.u64_at(buf, 32)?,
        memsz: order.u64_at(buf, 40)?,
    };
    Some((order.u32_at(buf, 0)?, segment))
}

/// The bytes of an Elf64_Phdr with p_align 0, as crash wants it.
#[must_use]
pub(crate) fn encode_phdr(p_type: u32, flags: u32, segment: &Segment) -> [u8; PHDR_LEN] {
    let mut out = Fields::<PHDR_LEN>::default();
    out.u32(p_type);
    out.u32(flags);
    out.u64(segment.offset);
    out.u64(segment.vaddr);
    out.u64(segment.paddr);
    out.u64(segment.filesz);
    out.u64(segment.memsz);
    out.u64(0);
    out.done()
}

/// The notes in `buf`, and what was wrong with the first that could not be read.
///
/// Names and descriptors are padded to 4 bytes. An all-zero header (the kernel's terminator) and an
/// unused tail end the list quietly.
#[must_use]
pub(crate) fn parse_notes(buf: &[u8], order: Order) -> (Vec<Note>, Option<String>) {
    let mut notes = Vec::new();
    let mut at = 0;
    while let (Some(namesz), Some(descsz), Some(n_type)) = (
        order.u32_at(buf, at),
        order.u32_at(buf, at + 4),
        order.u32_at(buf, at + 8),
    ) {
        if namesz == 0 && descsz == 0 && n_type == 0 {
            break;
        }
        let Some((note, next)) = one_note(buf, at, namesz, descsz, n_type) else {
            let why = format!(
                "note {} at byte {at:#x} (name {namesz:#x}, descriptor {descsz:#x} bytes) \
                 passes the end of its segment",
                notes.len() + 1
            );
            return (notes, Some(why));
        };
        if notes.len() >= NOTES_MAX {
            let why = format!("there are more than {NOTES_MAX} notes");
            return (notes, Some(why));
        }
        notes.push(note);
        at = next;
    }
    (notes, None)
}

fn one_note(buf: &[u8], at: usize, namesz: u32, descsz: u32, n_type: u32) -> Option<(Note, usize)> {
    let padded = |n: usize| n.checked_add(3).map(|n| n & !3);
    let (namesz, descsz) = (usize::try_from(namesz).ok()?, usize::try_from(descsz).ok()?);
    let name_at = at.checked_add(12)?;
    let desc_at = name_at.checked_add(padded(namesz)?)?;
    let end = desc_at.checked_add(descsz)?;
    let name = buf.get(name_at..name_at.checked_add(namesz)?)?;
    let name = name.split(|b| *b == 0).next().unwrap_or_default();
    let note = Note {
        name: name.to_vec(),
        n_type,
        desc: buf.get(desc_at..end)?.to_vec(),
    };
    Some((note, desc_at.checked_add(padded(descsz)?)?))
}

/// The bytes of `notes`, one after another.
#[must_use]
pub(crate) fn encode_notes(notes: &[Note]) -> Vec<u8> {
    let mut out = Vec::new();
    let word = |out: &mut Vec<u8>, n: usize| {
        out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
    };
    let pad = |out: &mut Vec<u8>| out.resize(out.len().next_multiple_of(4), 0);
    for note in notes {
        word(&mut out, note.name.len() + 1);
        word(&mut out, note.desc.len());
        out.extend_from_slice(&note.n_type.to_le_bytes());
        out.extend_from_slice(&note.name);
        out.push(0);
        pad(&mut out);
        out.extend_from_slice(&note.desc);
        pad(&mut out);
    }
    out
}

/// The text of the VMCOREINFO note, without a trailing NUL.
#[must_use]
pub(crate) fn vmcoreinfo(notes: &[Note]) -> Option<Vec<u8>> {
    let note = notes.iter().find(|note| note.name == b"VMCOREINFO")?;
    let text = note.desc.split(|b| *b == 0).next().unwrap_or_default();
    Some(text.to_vec())
}

/// Fills a structure of `N` bytes from its start; what does not fit is dropped, what is not written
/// is 0.
pub(crate) struct Fields<const N: usize> {
    buf: [u8; N],
    at: usize,
}

impl<const N: usize> Default for Fields<N> {
    fn default() -> Self {
        Self { buf: [0; N], at: 0 }
    }
}

impl<const N: usize> Fields<N> {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for (to, from) in self.buf.iter_mut().skip(self.at).zip(bytes) {
            *to = *from;
        }
        self.at += bytes.len();
    }

    pub(crate) fn u16(&mut self, n: u16) {
        self.bytes(&n.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, n: u32) {
        self.bytes(&n.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, n: u64) {
        self.bytes(&n.to_le_bytes());
    }

    pub(crate) fn done(self) -> [u8; N] {
        self.buf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_too_many_segments_points_at_section_zero() {
        let few = Header::parse(&Header::encode(62, 0xfffe, 77)).unwrap();
        assert_eq!((few.phnum, few.shoff), (0xfffe, 0));
        let many = Header::parse(&Header::encode(62, 0x12345, 77)).unwrap();
        assert_eq!((many.phnum, many.shoff, many.machine), (0xffff, 77, 62));
        assert_eq!(
            section_info(&encode_section_zero(0x12345), Order::Little),
            Some(0x12345)
        );
    }

    #[test]
    fn other_elf_files_are_refused_by_name() {
        let mut exe = Header::encode(62, 1, 0);
        exe[16] = 2;
        let why = |bytes: &[u8]| Header::parse(bytes).unwrap_err().to_string();
        assert!(why(&exe).contains("not a core"));
        let mut narrow = Header::encode(62, 1, 0);
        narrow[4] = 1;
        assert!(why(&narrow).contains("32-bit"));
        assert_eq!(why(b"\x7fELF\x02\x01"), "the ELF header is cut off");
    }

    #[test]
    fn notes_survive_a_damaged_neighbour() {
        let notes = [
            Note {
                name: b"CORE".to_vec(),
                n_type: 1,
                desc: vec![9; 7],
            },
            Note {
                name: b"VMCOREINFO".to_vec(),
                n_type: 0,
                desc: b"A=1\n\0\0".to_vec(),
            },
        ];
        let mut bytes = encode_notes(&notes);
        assert_eq!(parse_notes(&bytes, Order::Little), (notes.to_vec(), None));
        assert_eq!(vmcoreinfo(&notes).as_deref(), Some(b"A=1\n".as_slice()));
        bytes.extend_from_slice(&[0; 40]);
        assert_eq!(parse_notes(&bytes, Order::Little).0.len(), 2);
        bytes.truncate(30);
        let (some, why) = parse_notes(&bytes, Order::Little);
        assert_eq!(some.len(), 1);
        assert!(
            why.is_none(),
            "a header that is cut off ends the list: {why:?}"
        );
        bytes.extend_from_slice(&[0xff; 30]);
        assert!(parse_notes(&bytes, Order::Little).1.is_some());
    }
}
