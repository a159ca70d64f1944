//! Symbols of a file: System.map or a vmlinux.
//!
//! Facts: System.map is the output of nm, `ffffffff81000000 T _stext` a line; a vmlinux is an ELF64
//! file with .symtab (gABI, chapter 4) and its build id in a note (type 3, owner "GNU"). Both hold
//! the addresses before KASLR moved the image: the distance of `_stext` tells by how much, and every
//! other symbol that VMCOREINFO names must agree. Values below the image are per-CPU offsets and
//! stay as they are.

use crate::addr::VirtAddr;
use crate::arch::x86_64::KERNEL_MAP;
use crate::kernel::Vmcoreinfo;
use crate::layout::{le16, le32, le64};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Largest section read: the strings of a kernel with every driver built in are a tenth of it.
const MAX_SECTION: u64 = 256 << 20;
const SHT_SYMTAB: u32 = 2;
const SHT_NOTE: u32 = 7;

/// Why a file of symbols cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolFileError {
    /// It cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds no symbols.
    #[error("{} holds no symbols: a System.map or a vmlinux with its symbol table is wanted", path.display())]
    NoSymbols {
        /// The file.
        path: PathBuf,
    },
    /// It is of another kernel than the dump.
    #[error("{} is of another kernel: {why}", path.display())]
    OtherKernel {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: String,
    },
}

/// The symbols of a file.
#[derive(Debug)]
pub struct SymbolFile {
    path: PathBuf,
    build_id: Option<String>,
    /// Address, type letter and name, by address.
    symbols: Vec<(u64, u8, Box<str>)>,
}

/// Names and type letters, in the order of their addresses.
pub(super) struct List(Vec<(u8, Box<str>)>);

impl SymbolFile {
    /// Reads a System.map or a vmlinux.
    ///
    /// # Errors
    /// [`SymbolFileError`], with the file.
    pub fn open(path: &Path) -> Result<Self, SymbolFileError> {
        let read = |source| SymbolFileError::Read {
            path: path.to_owned(),
            source,
        };
        let file = crate::dump::open_regular(path).map_err(read)?;
        let mut head = [0u8; 64];
        let is_elf = file.read_exact_at(&mut head, 0).is_ok() && head.starts_with(b"\x7fELF");
        let (build_id, mut symbols) = if is_elf {
            elf(&file, &head).map_err(read)?
        } else {
            (None, map(BufReader::new(file)).map_err(read)?)
        };
        if !symbols.iter().any(|(_, _, name)| &**name == "_stext") {
            return Err(SymbolFileError::NoSymbols {
                path: path.to_owned(),
            });
        }
        symbols.sort_by_key(|&(address, ..)| address);
        Ok(Self {
            path: path.to_owned(),
            build_id,
            symbols,
        })
    }

    /// Whether it belongs to the kernel of a dump.
    ///
    /// # Errors
    /// [`SymbolFileError::OtherKernel`] says how it does not.
    pub fn check(&self, info: &Vmcoreinfo) -> Result<(), SymbolFileError> {
        let other = |why: String| SymbolFileError::OtherKernel {
            path: self.path.clone(),
            why,
        };
        if let (Some(own), Some(dump)) = (self.build_id.as_deref(), info.build_id())
            && own != dump
        {
            return Err(other(format!("its build id is {own}, the dump's {dump}")));
        }
        let shift = self
            .shift(info)
            .ok_or_else(|| other("VMCOREINFO has no _stext to compare".to_owned()))?;
        let floor = floor(info);
        let wrong = info.symbols().find_map(|(name, at)| {
            let own = self.address(name)?;
            // VMCOREINFO gives an array's content where the symbol is a pointer (mem_section).
            (own >= floor && at.0 >= floor && own.wrapping_add(shift) != at.0)
                .then(|| format!("{name} does not lie where the dump's VMCOREINFO says, {at}"))
        });
        wrong.map_or(Ok(()), |why| Err(other(why)))
    }

    /// Where one symbol is in the dump.
    #[must_use]
    pub fn lookup(&self, name: &str, info: &Vmcoreinfo) -> Option<VirtAddr> {
        let own = self.address(name).filter(|own| *own >= floor(info))?;
        Some(VirtAddr(own.wrapping_add(self.shift(info)?)))
    }

    fn address(&self, name: &str) -> Option<u64> {
        let found = self.symbols.iter().find(|(_, _, have)| &**have == name);
        found.map(|&(address, ..)| address)
    }

    /// By how much the dump's image was moved, modulo 2^64.
    fn shift(&self, info: &Vmcoreinfo) -> Option<u64> {
        let stext = info.symbol("_stext")?;
        Some(stext.0.wrapping_sub(self.address("_stext")?))
    }

    /// The table with the addresses of the dump; `None` when the file is of another kernel.
    pub(super) fn placed(&self, info: &Vmcoreinfo) -> Option<(List, Vec<u64>)> {
        self.check(info).ok()?;
        let shift = self.shift(info)?;
        let floor = floor(info);
        let moved = |address: u64| match address >= floor {
            true => address.wrapping_add(shift),
            false => address,
        };
        let addresses = self.symbols.iter().map(|&(address, ..)| moved(address));
        let names = self.symbols.iter();
        let list = names.map(|(_, kind, name)| (*kind, name.clone())).collect();
        Some((List(list), addresses.collect()))
    }
}

/// The lowest address of the kernel image: below are per-CPU offsets. arm64 says where its modules begin,
/// which is below the image; x86_64 has one place for all its kernels.
pub(super) fn floor(info: &Vmcoreinfo) -> u64 {
    let modules = info.number("MODULES_VADDR").map(i64::cast_unsigned);
    modules.unwrap_or(KERNEL_MAP)
}

impl List {
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, index: u32) -> Option<(String, u8)> {
        let (kind, name) = self.0.get(usize::try_from(index).ok()?)?;
        Some((name.to_string(), *kind))
    }

    pub(super) fn position(&self, wanted: &str) -> Option<u32> {
        let at = self.0.iter().position(|(_, name)| &**name == wanted)?;
        u32::try_from(at).ok()
    }

    pub(super) fn all(&self, mut visit: impl FnMut(u32, &[u8], u8)) {
        for ((kind, name), index) in self.0.iter().zip(0..) {
            visit(index, name.as_bytes(), *kind);
        }
    }

    pub(super) fn find(&self, wanted: &str, mut hit: impl FnMut(u32, char)) {
        for ((kind, name), index) in self.0.iter().zip(0..) {
            if **name == *wanted {
                hit(index, char::from(*kind));
            }
        }
    }
}

/// The lines of a System.map.
fn map(lines: impl BufRead) -> io::Result<Vec<(u64, u8, Box<str>)>> {
    let mut symbols = Vec::new();
    for line in lines.split(b'\n') {
        let line = line?;
        let Ok(line) = std::str::from_utf8(&line) else {
            continue;
        };
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if let (Ok(address), [kind]) = (u64::from_str_radix(address, 16), kind.as_bytes()) {
            symbols.push((address, *kind, name.into()));
        }
    }
    Ok(symbols)
}

type Parsed = (Option<String>, Vec<(u64, u8, Box<str>)>);

/// The symbol table and build id of an ELF file. Only these sections are read.
fn elf(file: &File, head: &[u8]) -> io::Result<Parsed> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let bad = || wrong("its section headers make no sense");
    let word = |bytes: &[u8], at: usize| le64(bytes, at).ok_or_else(bad);
    let headers_at = word(head, 40)?;
    let count = u64::from(le16(head, 60).ok_or_else(bad)?);
    let headers = section(file, headers_at, count * 64)?;
    let header = |n: u32| headers.chunks_exact(64).nth(usize::try_from(n).ok()?);
    let mut build_id = None;
    let mut symbols = Vec::new();
    for one in headers.chunks_exact(64) {
        let kind = le32(one, 4).ok_or_else(bad)?;
        match kind {
            SHT_NOTE if build_id.is_none() => {
                build_id = gnu_build_id(&section(file, word(one, 24)?, word(one, 32)?)?);
            }
            SHT_SYMTAB => {
                let entries = section(file, word(one, 24)?, word(one, 32)?)?;
                let strings = le32(one, 40).and_then(header).ok_or_else(bad)?;
                let strings = section(file, word(strings, 24)?, word(strings, 32)?)?;
                symbols = entries
                    .chunks_exact(24)
                    .filter_map(|entry| symbol(entry, &strings))
                    .collect();
            }
            _ => {}
        }
    }
    Ok((build_id, symbols))
}

fn section(file: &File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let whole = file.metadata()?.len();
    let fits = at.checked_add(len).is_some_and(|end| end <= whole);
    if len > MAX_SECTION || !fits {
        let what = "a section passes the end of the file";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Elf64_Sym: name, info, other, shndx, value, size. The letters are those of nm, as far as the
/// table here tells them apart.
fn symbol(entry: &[u8], strings: &[u8]) -> Option<(u64, u8, Box<str>)> {
    let (info, section) = (*entry.get(4)?, le16(entry, 6)?);
    let (kind, global) = (info & 0xf, info >> 4 != 0);
    // Sections, files and what is not defined here are no symbols of kallsyms either.
    if kind > 2 || section == 0 {
        return None;
    }
    let rest = strings.get(usize::try_from(le32(entry, 0)?).ok()?..)?;
    let name = rest.split(|b| *b == 0).next()?;
    let name = std::str::from_utf8(name).ok().filter(|n| !n.is_empty())?;
    let letter = if kind == 2 { b't' } else { b'd' };
    let letter = if global {
        letter.to_ascii_uppercase()
    } else {
        letter
    };
    Some((le64(entry, 8)?, letter, name.into()))
}

/// The GNU build id among ELF notes, in hex.
fn gnu_build_id(mut notes: &[u8]) -> Option<String> {
    loop {
        let size = |at: usize| usize::try_from(le32(notes, at)?).ok();
        let (name_len, len, kind) = (size(0)?, size(4)?, size(8)?);
        let name = notes.get(12..12_usize.checked_add(name_len)?)?;
        let start = 12_usize
            .checked_add(name_len)?
            .checked_next_multiple_of(4)?;
        let end = start.checked_add(len)?;
        let data = notes.get(start..end)?;
        if kind == 3 && name == b"GNU\0" {
            return Some(data.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "000000000001f000 D runqueues\nffffffff81000000 T _stext\n\
                       ffffffff81000100 t helper\nffffffff82000000 D init_task\n";

    fn file(text: &[u8]) -> Result<SymbolFile, SymbolFileError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("symbols");
        std::fs::write(&path, text).unwrap();
        SymbolFile::open(&path)
    }

    #[test]
    fn a_map_is_moved_with_the_image() {
        let file = file(MAP.as_bytes()).unwrap();
        let info = Vmcoreinfo::parse(
            b"SYMBOL(_stext)=ffffffff91000000\nSYMBOL(init_task)=ffffffff92000000\n",
        );
        file.check(&info).unwrap();
        assert_eq!(
            file.lookup("helper", &info),
            Some(VirtAddr(0xffff_ffff_9100_0100))
        );
        assert_eq!(file.lookup("runqueues", &info), None);
        let (list, addresses) = file.placed(&info).unwrap();
        assert_eq!(list.get(0), Some(("runqueues".to_owned(), b'D')));
        assert_eq!(addresses[0], 0x1f000);
        assert_eq!(addresses[3], 0xffff_ffff_9200_0000);
    }

    #[test]
    fn another_kernels_map_is_refused() {
        let file = file(MAP.as_bytes()).unwrap();
        let info = Vmcoreinfo::parse(
            b"SYMBOL(_stext)=ffffffff91000000\nSYMBOL(init_task)=ffffffff92000040\n",
        );
        let why = file.check(&info).unwrap_err().to_string();
        assert!(why.contains("another kernel: init_task"), "{why}");
        let pointer = Vmcoreinfo::parse(
            b"SYMBOL(_stext)=ffffffff91000000\nSYMBOL(init_task)=ffff8ae7bffd6000\n",
        );
        file.check(&pointer).unwrap();
        assert!(file.placed(&info).is_none());
        assert!(file.check(&Vmcoreinfo::default()).is_err());
    }

    #[test]
    fn what_is_no_symbol_file_is_refused() {
        for text in [&b"hello\n"[..], b"", b"\x7fELF", &[0x7f; 4096]] {
            assert!(file(text).is_err());
        }
        let mut elf = vec![0xff; 4096];
        elf[..4].copy_from_slice(b"\x7fELF");
        assert!(file(&elf).is_err(), "section headers lead nowhere");
    }
}
