//! Sections of an ELF64 file of either byte order.
//!
//! Facts: elf(5); the gABI's chapter on sections for SHF_COMPRESSED: a header of type (1 zlib, 2 zstd),
//! size and alignment before the data.

use gimli::RunTimeEndian;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Debug information of a kernel with every driver built in is a quarter of it.
const MAX_SECTION: u64 = 4 << 30;
/// Sections of one file; a vmlinux with one section a function has fewer.
const MAX_SECTIONS: u64 = 1 << 20;
const SECTION_HEADER: usize = 64;
const SHF_COMPRESSED: u64 = 0x800;
const SHT_NOBITS: u64 = 8;

/// A file and its section headers.
pub(super) struct Sections {
    file: File,
    /// Of the words in the file.
    pub(super) order: RunTimeEndian,
    /// Name, type, flags, offset, size.
    headers: Vec<(String, u64, u64, u64, u64)>,
}

impl Sections {
    /// Reads the headers; `None` for what is no ELF64 file.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let mut head = [0u8; 64];
        let read = file.read_exact_at(&mut head, 0);
        let order = match (read, head.first_chunk()) {
            (Ok(()), Some(b"\x7fELF\x02\x01")) => RunTimeEndian::Little,
            (Ok(()), Some(b"\x7fELF\x02\x02")) => RunTimeEndian::Big,
            _ => return Ok(None),
        };
        let number = |bytes: &[u8], at, size| number(order, bytes, at, size);
        let count = number(&head, 60, 2).min(MAX_SECTIONS);
        let table = piece(&file, number(&head, 40, 8), count * SECTION_HEADER as u64)?;
        let rows = || table.chunks_exact(SECTION_HEADER);
        let names = usize::try_from(number(&head, 62, 2)).unwrap_or(usize::MAX);
        let Some(names) = rows().nth(names) else {
            return Ok(None);
        };
        let names = piece(&file, number(names, 24, 8), number(names, 32, 8))?;
        let name = |at: u64| {
            let from = usize::try_from(at).ok().and_then(|at| names.get(at..));
            let text = from.unwrap_or_default().split(|byte| *byte == 0).next();
            String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
        };
        let headers = rows().map(|row| {
            let word = |at| number(row, at, 8);
            let (name, kind) = (name(number(row, 0, 4)), number(row, 4, 4));
            (name, kind, word(8), word(24), word(32))
        });
        let headers = headers.collect();
        Ok(Some(Self {
            file,
            order,
            headers,
        }))
    }

    /// The content of a section, unpacked; empty without such a section.
    pub(super) fn get(&self, wanted: &str) -> io::Result<Vec<u8>> {
        let found = self.headers.iter().find(|(name, ..)| name == wanted);
        let Some((_, kind, flags, offset, size)) = found else {
            return Ok(Vec::new());
        };
        if *kind == SHT_NOBITS {
            return Ok(Vec::new());
        }
        let bytes = piece(&self.file, *offset, *size)?;
        if flags & SHF_COMPRESSED == 0 {
            return Ok(bytes);
        }
        let number = |at, size| number(self.order, &bytes, at, size);
        let (kind, size) = (number(0, 4), number(8, 8));
        let packed = bytes.get(24..).unwrap_or_default();
        let mut plain = Vec::new();
        let limit = size.min(MAX_SECTION);
        match kind {
            1 => flate2::read::ZlibDecoder::new(packed)
                .take(limit)
                .read_to_end(&mut plain)?,
            2 => zstd::Decoder::new(packed)?
                .take(limit)
                .read_to_end(&mut plain)?,
            _ => {
                return Err(io::Error::other(
                    "a section is compressed in an unknown way",
                ));
            }
        };
        Ok(plain)
    }
}

fn piece(file: &File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let held = file.metadata()?.len();
    let end = offset.checked_add(size).filter(|end| *end <= held);
    let fits = end.is_some() && size <= MAX_SECTION;
    let Some(size) = usize::try_from(size).ok().filter(|_| fits) else {
        return Err(io::Error::other("a section reaches past the file's end"));
    };
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// A number of so many bytes; 0 where it is cut off.
fn number(order: RunTimeEndian, bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = at.checked_add(size).and_then(|end| bytes.get(at..end));
    let bytes = bytes.unwrap_or_default().iter();
    let add = |value, byte: &u8| value << 8 | u64::from(*byte);
    match order {
        RunTimeEndian::Little => bytes.rev().fold(0, add),
        RunTimeEndian::Big => bytes.fold(0, add),
    }
}
