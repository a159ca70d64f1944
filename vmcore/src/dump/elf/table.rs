//! The program headers of an ELF core and its notes, within limits.

use crate::dump::source::{ByteSource, read_up_to};
use crate::layout::FormatError;
use crate::layout::elf::{
    self, Header, Note, PHDR_LEN, PN_XNUM, PT_LOAD, PT_NOTE, SHDR_LEN, Segment, parse_notes,
    parse_phdr,
};
use crate::order::Order;

/// Program headers read at a time.
const PHDR_STEP: u64 = 1024;
/// Program headers of a plain file: those of 256 GiB of RAM with every second page left out, twice.
const PHDRS_MAX: u64 = 1 << 26;
/// Program headers of a compressed file: twice what we write, for the kernel image's entries.
const PHDRS_MAX_COMPRESSED: u64 = 1 << 21;
/// PT_NOTE segments that are read. The kernel writes one.
const NOTE_SEGMENTS_MAX: usize = 64;
/// Bytes of notes that are taken into memory; device dumps (VMCOREDD) can be large.
const NOTES_MAX: u64 = 256 << 20;
/// The same in a compressed file.
const NOTES_MAX_COMPRESSED: u64 = 32 << 20;

/// How much of a file is taken into memory.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    phdrs: u64,
    notes: u64,
}

impl Limits {
    pub(super) fn of(source: &dyn ByteSource) -> Self {
        match source.facts().compression {
            Some(_) => Self {
                phdrs: PHDRS_MAX_COMPRESSED,
                notes: NOTES_MAX_COMPRESSED,
            },
            None => Self {
                phdrs: PHDRS_MAX,
                notes: NOTES_MAX,
            },
        }
    }
}

/// The program headers, sorted by what they are.
#[derive(Default)]
pub(super) struct Table {
    pub loads: Vec<Segment>,
    pub notes: Vec<Segment>,
}

impl Table {
    pub(super) fn read(
        source: &dyn ByteSource,
        header: Header,
        limits: Limits,
        warnings: &mut Vec<String>,
    ) -> Result<Self, FormatError> {
        let mut count = u64::from(header.phnum);
        if header.phnum == PN_XNUM && header.shoff != 0 {
            let section = read_up_to(source, header.shoff, SHDR_LEN as u64)?;
            count = elf::section_info(&section, header.order)
                .map(u64::from)
                .ok_or_else(|| {
                    FormatError::damaged(format!(
                        "e_phnum says that section header 0 at {:#x} holds the number of program \
                     headers, but the file ends before it",
                        header.shoff
                    ))
                })?;
        }
        let room = source.len().saturating_sub(header.phoff) / PHDR_LEN as u64;
        if count > room {
            warnings.push(format!(
                "{count} program headers are announced at {:#x} and the file has room for {room}",
                header.phoff
            ));
            count = room;
        }
        if count == 0 {
            return Err(FormatError::damaged(format!(
                "there are no program headers at {:#x}",
                header.phoff
            )));
        }
        if count > limits.phdrs {
            return Err(FormatError::unsupported(format!(
                "it has {count} program headers; no more than {} are read from such a file",
                limits.phdrs
            )));
        }
        let mut table = Self::default();
        let mut done = 0;
        while done < count {
            let n = PHDR_STEP.min(count - done);
            let at = header.phoff.saturating_add(done * PHDR_LEN as u64);
            let bytes = read_up_to(source, at, n * PHDR_LEN as u64)?;
            for (p_type, segment) in bytes
                .chunks_exact(PHDR_LEN)
                .filter_map(|one| parse_phdr(one, header.order))
            {
                match p_type {
                    PT_LOAD => table.loads.push(segment),
                    PT_NOTE if table.notes.len() < NOTE_SEGMENTS_MAX => table.notes.push(segment),
                    _ => {}
                }
            }
            done += n;
        }
        Ok(table)
    }
}

/// The notes of all PT_NOTE segments. What is wrong with them is a warning.
pub(super) fn read_notes(
    source: &dyn ByteSource,
    segments: &[Segment],
    order: Order,
    limits: Limits,
    warnings: &mut Vec<String>,
) -> Result<Vec<Note>, FormatError> {
    let mut notes = Vec::new();
    let mut budget = limits.notes.min(source.len());
    for segment in segments {
        let here = segment
            .filesz
            .min(source.len().saturating_sub(segment.offset));
        if here < segment.filesz {
            warnings.push(format!(
                "the notes at {:#x} are cut off: {here:#x} of {:#x} bytes",
                segment.offset, segment.filesz
            ));
        }
        if here > budget {
            warnings.push(format!(
                "notes at {:#x} are left out: there are more than {:#x} bytes of notes",
                segment.offset, limits.notes
            ));
            continue;
        }
        budget -= here;
        if notes.len() >= elf::NOTES_MAX {
            warnings.push(format!("there are more than {} notes", elf::NOTES_MAX));
            break;
        }
        let bytes = match read_up_to(source, segment.offset, here) {
            Ok(bytes) => bytes,
            Err(error) => {
                let why = FormatError::from(error);
                warnings.push(format!("the notes at {:#x}: {why}", segment.offset));
                continue;
            }
        };
        let (more, wrong) = parse_notes(&bytes, order);
        notes.extend(more);
        if let Some(why) = wrong {
            warnings.push(format!("in the notes at {:#x}: {why}", segment.offset));
        }
    }
    Ok(notes)
}
