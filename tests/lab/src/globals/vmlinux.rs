//! A vmlinux with debug information: its symbols, types, code and variables.
//!
//! Facts: elf(5). Sections are read with offsets of the file itself.

use anyhow::{Context, Result, ensure};
use debuginfo::{DebugFile, Globals, Names, Table, Variable};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use vmcore::kernel::Types;

/// A kernel.
pub(super) struct Vmlinux {
    pub(super) release: String,
    pub(super) types: Arc<Types>,
    /// Address, nm's letter and name, in the order of kallsyms.
    symbols: Vec<(u64, char, String)>,
    pub(super) names: Names,
    /// Those that are in memory when the kernel runs: not those of the initialisation.
    pub(super) variables: Vec<(u64, Variable)>,
    text: (u64, u64),
    /// Addresses where sections with content begin, ascending, with the content.
    content: Vec<(u64, Vec<u8>)>,
}

/// A section: name, type, address, offset, size.
type Section = (String, u64, u64, u64, u64);

impl Vmlinux {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let sections = sections(&file)?;
        let content = |name: &str| -> Result<Vec<u8>> {
            let found = sections.iter().find(|section| section.0 == name);
            let (.., offset, size) = found.with_context(|| format!("it has no {name}"))?;
            piece(&file, *offset, *size)
        };
        let types = Arc::new(Types::parse(content(".BTF")?, None)?);
        let symbols = symbols(&content(".symtab")?, &content(".strtab")?);
        let names = Names::new(symbols.iter().cloned());
        let symbol = |name: &str| {
            names
                .address(name)
                .with_context(|| format!("it has no {name}"))
        };
        let at = |address: u64, size: u64| -> Result<Vec<u8>> {
            let held = |s: &&Section| s.1 == 1 && s.2 != 0 && (s.2..s.2 + s.4).contains(&address);
            let section = sections
                .iter()
                .find(held)
                .context("an address is in no section")?;
            piece(&file, section.3 + (address - section.2), size)
        };
        let text = (symbol("_stext")?, symbol("_etext")?);
        let banner = at(symbol("linux_banner")?, 128)?;
        let banner = String::from_utf8_lossy(&banner).into_owned();
        let release = banner.split(' ').nth(2).context("it has no banner")?;
        let init = (symbol("__init_begin")?, symbol("__init_end")?);
        let is_freed = |address: u64| (init.0..init.1).contains(&address);
        let (mut variables, mut declared) = (Vec::new(), Vec::new());
        DebugFile::open(path)?.for_each(|variable| match variable.address {
            Some(address) if !is_freed(address) => variables.push((address, variable)),
            Some(_) => {}
            None => declared.push(variable),
        })?;
        // What the linker's script defines (jiffies) is declared only.
        let defined = variables.iter().filter(|(_, variable)| !variable.local);
        let defined: HashSet<String> = defined.map(|(_, variable)| variable.name.clone()).collect();
        declared.retain(|variable| !defined.contains(&variable.name) && variable.size.is_some());
        for variable in declared {
            let address = names.address(&variable.name);
            if let Some(address) = address.filter(|address| !is_freed(*address)) {
                variables.push((address, variable));
            }
        }
        variables.sort_by_key(|(address, _)| *address);
        Ok(Self {
            release: release.to_owned(),
            types,
            symbols,
            names,
            variables,
            text,
            content: memory(&file, &sections)?,
        })
    }

    /// The answers about it, with a table or without.
    pub(super) fn globals(&self, table: Option<Table>) -> Globals<'_> {
        let read = |at: u64, bytes: &mut [u8]| {
            let after = self.content.partition_point(|(start, _)| *start <= at);
            let section = after.checked_sub(1).and_then(|n| self.content.get(n));
            let found = section.and_then(|(start, content)| {
                let from = usize::try_from(at - start).ok()?;
                content.get(from..from.checked_add(bytes.len())?)
            });
            found.map(|found| bytes.copy_from_slice(found)).is_some()
        };
        let names = Names::new(self.symbols.iter().cloned());
        let types = Arc::clone(&self.types);
        let globals = Globals::new(types, names, &self.release, vec![self.text], Box::new(read));
        match table {
            Some(table) => globals.with_table(table),
            None => globals,
        }
    }

    /// The symbol that stands for a variable: of a function's own one the compiler may have put a number
    /// behind the name.
    pub(super) fn symbol_of(&self, address: u64, variable: &Variable) -> Option<&str> {
        self.names.at(address).find(|name| {
            let rest = name.strip_prefix(variable.name.as_str());
            rest.is_some_and(|rest| {
                rest.is_empty()
                    || rest.starts_with('.')
                        && rest.bytes().all(|b| b == b'.' || b.is_ascii_digit())
            })
        })
    }
}

/// What is in memory when the kernel runs: code, data, and zeros.
fn memory(file: &File, sections: &[Section]) -> Result<Vec<(u64, Vec<u8>)>> {
    const NOBITS: u64 = 8;
    let mut all = Vec::new();
    for (name, kind, address, offset, size) in sections {
        // Per-CPU variables have addresses of their own.
        if *address == 0 || name.starts_with(".data..percpu") {
            continue;
        }
        let content = match *kind {
            NOBITS => vec![0; usize::try_from(*size)?],
            _ => piece(file, *offset, *size)?,
        };
        all.push((*address, content));
    }
    all.sort_by_key(|(address, _)| *address);
    Ok(all)
}

fn sections(file: &File) -> Result<Vec<Section>> {
    let head = piece(file, 0, 64)?;
    ensure!(head.starts_with(b"\x7fELF\x02\x01"), "it is no ELF64 file");
    let table = piece(file, number(&head, 40, 8), number(&head, 60, 2) * 64)?;
    let rows: Vec<&[u8]> = table.chunks_exact(64).collect();
    let names = rows.get(usize::try_from(number(&head, 62, 2))?);
    let names = names.context("it has no names of sections")?;
    let names = piece(file, number(names, 24, 8), number(names, 32, 8))?;
    let word = |row: &[u8], at| number(row, at, 8);
    let section = |row: &&[u8]| {
        let name = text(&names, number(row, 0, 4));
        (
            name,
            number(row, 4, 4),
            word(row, 16),
            word(row, 24),
            word(row, 32),
        )
    };
    Ok(rows.iter().map(section).collect())
}

/// As kallsyms has them: neither sections nor files, nor what the assembler names for itself.
fn symbols(table: &[u8], strings: &[u8]) -> Vec<(u64, char, String)> {
    let mut all = Vec::new();
    for row in table.chunks_exact(24) {
        let (info, section) = (number(row, 4, 1), number(row, 6, 2));
        let (name, address) = (text(strings, number(row, 0, 4)), number(row, 8, 8));
        let is_named = !name.is_empty() && !name.starts_with(".L") && !name.starts_with('$');
        if section != 0 && info & 15 < 3 && is_named {
            let kind = if info >> 4 == 0 { 'd' } else { 'D' };
            all.push((address, kind, name));
        }
    }
    all.sort_by_key(|(address, ..)| *address);
    all
}

fn piece(file: &File, offset: u64, size: u64) -> Result<Vec<u8>> {
    let held = file.metadata()?.len();
    ensure!(
        offset.checked_add(size).is_some_and(|end| end <= held),
        "it is cut off"
    );
    let mut bytes = vec![0; usize::try_from(size)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn text(strings: &[u8], at: u64) -> String {
    let from = usize::try_from(at).ok().and_then(|at| strings.get(at..));
    let text = from.unwrap_or_default().split(|byte| *byte == 0).next();
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.get(at..at + size).unwrap_or_default().iter().rev();
    bytes.fold(0, |value, byte| value << 8 | u64::from(*byte))
}
