//! An ELF file with what debuggers take from a debug vmlinux, made from a core alone.
//!
//! Symbols from kallsyms, DWARF from BTF and the types of globals, ORC as it lies in memory and
//! `.debug_frame` made from it, the notes with the build id, the banner. What a debugger reads from
//! memory (code, data) it reads from the core; the file has a page of each part, because crash goes by
//! what kind of section a symbol is in.
//!
//! Readers it was tried with: crash 9.0.2, drgn 0.3.0, gdb 18.1. What each needs is written where it is
//! made.

mod frames;
mod layout;
mod padding;
mod pieces;
mod symbols;
mod symtab;
mod variables;

use crate::dwarf::Unit;
use crate::elf::{File, Section, flag, kind};
use crate::error::Error;
use crate::global_types::{GlobalTypes, Source};
use crate::needed;
use analysis::unwind::rules::Rules;
use layout::{Layout, Part};
use padding::Code;
use pieces::Pieces;
use std::collections::BTreeMap;
use std::io::{self, Write};
use symbols::{Row, Table};
use vmcore::kernel::{Kernel, chain};

/// The kernel's symbols and where they are.
struct Image {
    table: Table,
    layout: Layout,
    code: Code,
}

impl Image {
    /// A symbol's size: of a function, without what fills up to the next.
    fn size(&self, row: &Row) -> u64 {
        let room = self.layout.room(&self.table, row.address);
        match self.layout.part(row.address) {
            Some(Part::Text) => self.code.size(row.address, room),
            _ => room,
        }
    }
}

/// What is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Addresses of the running kernel, as gdb wants them, and not those it was linked for, as crash
    /// and drgn do.
    pub relocated: bool,
}

/// What was made of what.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// Symbols.
    pub symbols: usize,
    /// Types of BTF.
    pub types: u32,
    /// Globals with a type, by who knows it.
    pub globals: BTreeMap<Source, usize>,
    /// Globals without.
    pub untyped: usize,
    /// Names that crash or drgn need and whose type is not known.
    pub missing: Vec<&'static str>,
}

/// The file.
pub struct Vmlinux {
    file: File,
    /// What was made of what.
    pub summary: Summary,
    /// What is missing or doubtful, a sentence each.
    pub warnings: Vec<String>,
}

impl Vmlinux {
    /// Makes it from the kernel in a core.
    ///
    /// # Errors
    /// The core has no types or no symbols.
    pub fn of(kernel: &Kernel, globals: &dyn GlobalTypes, options: Options) -> Result<Self, Error> {
        let types = kernel.types().map_err(Error::Types)?;
        let table = Table::read(kernel.symbols().map_err(Error::Symbols)?)?;
        let moved = match options.relocated {
            true => 0,
            false => kernel.vmcoreinfo().kernel_offset().unwrap_or(0),
        };
        let layout = Layout::of(&table, moved)?;
        let code = Code::read(kernel, layout.text);
        let image = Image {
            table,
            layout,
            code,
        };
        let mut warnings = Vec::new();
        let mut summary = Summary {
            symbols: image.table.rows().len(),
            types: types.len(),
            ..Summary::default()
        };

        let blob = types.blob().map_err(Error::Types)?;
        let strings = blob.get(types.strings().range).unwrap_or_default().to_vec();
        let mut unit = Unit::new(types, strings)?;
        unit.all_types(&|named| variables::place(&image, named))?;
        let found = variables::write(&mut unit, &image, types, globals)?;
        (summary.globals, summary.untyped) = (found.typed, found.untyped);
        summary.missing = variables::missing(&image, &found.names);
        warnings.extend(needed::warnings(&summary.missing));
        let dwarf = unit.finish()?;

        let mut pieces = Pieces::new(kernel, &image.table, layout);
        pieces.image(blob, &mut warnings);
        let apart = pieces.apart();
        let (mut sections, segments) = pieces.finish();
        sections.extend(apart);
        let mut add = |name: &str, bytes, align| {
            sections.push(Section {
                name: name.to_owned(),
                kind: kind::PROGBITS,
                bytes,
                align,
                ..Section::default()
            });
        };
        match Rules::of(kernel) {
            Ok(rules) => {
                let frames = frames::section(kernel, &image, &rules)?;
                add(".debug_frame", frames, 8);
                warnings.extend(rules.warnings);
            }
            Err(error) => warnings.push(format!(
                "there is no .debug_frame, and gdb shows no stacks: {}",
                chain(&error)
            )),
        }
        add(".debug_info", dwarf.info, 1);
        add(".debug_abbrev", dwarf.abbrev, 1);
        add(".debug_aranges", dwarf.ranges, 1);
        sections.push(Section {
            name: ".debug_str".to_owned(),
            kind: kind::PROGBITS,
            flags: flag::MERGE | flag::STRINGS,
            bytes: dwarf.strings,
            align: 1,
            each: 1,
            ..Section::default()
        });
        symtab::add(&mut sections, image)?;
        let file = File {
            entry: layout.linked(layout.text.start),
            segments,
            sections,
        };
        Ok(Self {
            file,
            summary,
            warnings,
        })
    }

    /// Writes it. Answers its length in bytes. The same core gives the same bytes.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<u64> {
        self.file.write(out)
    }
}
