//! An ELF file with what debuggers take from a debug vmlinux, made from a core alone.
//!
//! Symbols from kallsyms, DWARF from BTF and the types of globals, the notes with the build id, the banner; on x86_64
//! ORC as it lies in memory and `.debug_frame` made from it (elsewhere readers follow the frames that the code keeps). What a debugger reads from
//! memory (code, data) it reads from the core; the file has a page of each part, because crash goes by
//! what kind of section a symbol is in.
//!
//! Readers it was tried with: crash 9.0.2, drgn 0.3.0, gdb 18.1. What each needs is written where it is
//! made.

mod frames;
mod key;
mod layout;
mod modules;
mod padding;
mod pieces;
mod symbols;
mod symtab;
mod variables;

use crate::dwarf::Unit;
use crate::elf::{File, Section, flag, kind};
use crate::error::Error;
use crate::global_types::{GlobalTypes, Source};
use crate::globals::section;
use crate::needed;
use analysis::unwind::rules::Rules;
pub use key::key;
use layout::{Layout, Part};
use padding::Code;
use pieces::Pieces;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use symbols::{Row, Table};
use vmcore::arch::{Arch, ppc64le, riscv64, x86_64};
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
    /// The types of the modules that are loaded, too; with `relocated` their symbols.
    pub modules: bool,
}

/// What was made of what.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// Symbols.
    pub symbols: usize,
    /// Types of BTF.
    pub types: u32,
    /// Modules.
    pub modules: usize,
    /// Those of them that have no types of their own: 5.10, and what was built without BTF.
    pub untyped_modules: Vec<String>,
    /// Globals of the kernel with a type, by who knows it.
    pub globals: BTreeMap<Source, usize>,
    /// Globals without.
    pub untyped: usize,
    /// Names that crash or drgn need and whose type is not known.
    pub missing: Vec<&'static str>,
    /// Arrays that they need and whose length is not known.
    pub unmeasured: Vec<&'static str>,
}

/// The file.
pub struct Vmlinux {
    file: File,
    /// What was made of what.
    pub summary: Summary,
    /// What is missing or doubtful, a sentence each.
    pub warnings: Vec<String>,
    /// Whether the core has everything that the file is made from.
    pub whole: bool,
}

/// The section that says what made the file, then the warnings, a NUL behind each.
const COMMENT: &str = ".comment";

/// The warnings that came with a file which [`Vmlinux::write`] has written.
///
/// # Errors
/// It cannot be read.
pub fn warnings_of(path: &Path) -> io::Result<Vec<String>> {
    let comment = section(path, COMMENT)?;
    let lines = comment.split(|byte| *byte == 0).skip(1);
    let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

impl Vmlinux {
    /// Makes it from the kernel in a core.
    ///
    /// # Errors
    /// The core has no types or no symbols.
    pub fn of(kernel: &Kernel, globals: &dyn GlobalTypes, options: Options) -> Result<Self, Error> {
        let arch = kernel.arch();
        let types = kernel.types().map_err(Error::Types)?;
        let table = Table::read(kernel.symbols().map_err(Error::Symbols)?)?;
        let moved = match options.relocated {
            true => 0,
            false => kernel.vmcoreinfo().kernel_offset().unwrap_or(0),
        };
        let layout = Layout::of(arch, &table, moved)?;
        let code = Code::read(kernel, layout.text);
        let image = Image {
            table,
            layout,
            code,
        };
        let (mut warnings, mut damage) = (Vec::new(), Vec::new());
        let mut summary = Summary {
            symbols: image.table.rows().len(),
            types: types.len(),
            ..Summary::default()
        };

        let blob = types.blob().map_err(Error::Types)?;
        let strings = blob.get(types.strings().range).unwrap_or_default().to_vec();
        let mut unit = Unit::new(arch.order, types, strings)?;
        unit.all_types(&|named| variables::place(&image, named))?;
        let found = variables::write(&mut unit, &image, types, globals)?;
        summary.missing = variables::missing(&image, &found);
        summary.unmeasured = variables::unmeasured(&found);
        (summary.globals, summary.untyped) = (found.typed, found.untyped);
        warnings.extend(needed::warnings("type", &summary.missing));
        warnings.extend(needed::warnings("length", &summary.unmeasured));
        variables::hz(&mut unit, &image, kernel)?;
        unit.end_kernel()?;
        let mut modules = Vec::new();
        if options.modules {
            match modules::read(kernel, &image) {
                Ok(read) => (modules, summary.untyped_modules) = read,
                Err(error) => damage.push(modules::failed(&error)),
            }
        }
        modules::write(&mut unit, kernel, &image, &modules)?;
        summary.modules = modules.len();
        let dwarf = unit.finish();

        let mut pieces = Pieces::new(kernel, &image.table, layout);
        pieces.image(blob, &mut damage);
        let apart = pieces.apart();
        let (mut sections, segments) = pieces.finish();
        // crash and drgn have modules' symbols from the core. crash takes a second one of a name for another
        // function.
        let symbols_of = match options.relocated {
            true => modules.as_slice(),
            false => &[],
        };
        let places = symbols_of.iter();
        sections.extend(places.flat_map(|module| pieces::of_module(module, layout)));
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
            _ if arch.machine != x86_64::MACHINE => {}
            Ok(rules) => {
                let frames = frames::section(kernel, &image, &rules)?;
                add(".debug_frame", frames, 8);
                damage.extend(rules.warnings);
            }
            Err(error) => damage.push(format!(
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
        let whole =
            damage.is_empty() && image.code.whole && modules.iter().all(modules::Module::is_whole);
        warnings.splice(0..0, damage);
        sections.push(comment(&warnings));
        symtab::add(arch.order, &mut sections, &image, &found.sizes, symbols_of)?;
        let file = File {
            machine: arch.machine,
            flags: flags(arch),
            order: arch.order,
            entry: layout.linked(layout.text.start),
            segments,
            sections,
        };
        Ok(Self {
            file,
            summary,
            warnings,
            whole,
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

/// What readers tell the calling conventions by: the System V ABI of ppc64 (EF_PPC64_ABI, 2: ELF V2), that of
/// riscv64 (EF_RISCV_RVC, as kernels are built).
fn flags(arch: &Arch) -> u32 {
    match arch.machine {
        ppc64le::MACHINE => 2,
        riscv64::MACHINE => 1,
        _ => 0,
    }
}

fn comment(warnings: &[String]) -> Section {
    let mut bytes = concat!("afterpanic ", env!("CARGO_PKG_VERSION"), "\0")
        .as_bytes()
        .to_vec();
    for warning in warnings {
        bytes.extend(warning.bytes().filter(|byte| *byte != 0));
        bytes.push(0);
    }
    Section {
        name: COMMENT.to_owned(),
        kind: kind::PROGBITS,
        flags: flag::MERGE | flag::STRINGS,
        bytes,
        align: 1,
        each: 1,
        ..Section::default()
    }
}
