//! The globals of a vmlinux with debug information: where each is, and its type in C's words.
//!
//! Facts: DWARF 4 and 5, as gcc 10 to 15 write it for Linux. A definition is a DW_TAG_variable whose
//! location is DW_OP_addr alone; name and type may be those of the declaration that it specifies. Addresses
//! are those before KASLR; those of per-CPU variables are offsets up to 6.14.

mod sections;
mod structures;
mod words;

pub use structures::{Field, Structure};

use super::GlobalsError;
use gimli::{DebuggingInformationEntry as Entry, Dwarf, Operation, RunTimeEndian, constants as dw};
use sections::Sections;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use words::{Slice, Words};

/// A section of an ELF file; empty where it has none.
pub(crate) fn section(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    match Sections::open(path)? {
        Some(sections) => sections.get(name),
        None => Ok(Vec::new()),
    }
}

/// A variable at a fixed address, or one that is only declared: the linker's script gives it its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variable {
    /// Its name, as the source has it: a function's own have no number behind them.
    pub name: String,
    /// Its address before KASLR; `None` for one that is only declared.
    pub address: Option<u64>,
    /// Its type in C's words.
    pub words: String,
    /// Its size in bytes, where the type has one.
    pub size: Option<u64>,
    /// Whether it is declared inside a function.
    pub local: bool,
}

/// The debug information of a file.
pub struct DebugFile {
    path: PathBuf,
    order: RunTimeEndian,
    sections: gimli::DwarfSections<Vec<u8>>,
}

impl DebugFile {
    /// Reads the sections of a vmlinux that DWARF needs: some hundreds of MiB.
    ///
    /// # Errors
    /// When it cannot be read, or has none.
    pub fn open(path: &Path) -> Result<Self, GlobalsError> {
        let read = |source| GlobalsError::Read {
            path: path.to_owned(),
            source,
        };
        let none = |why| GlobalsError::NoDwarf {
            path: path.to_owned(),
            why,
        };
        let file = Sections::open(path).map_err(read)?;
        let file = file.ok_or_else(|| none("it is no ELF64 file"))?;
        // Places of local variables and the like tell nothing of globals. gimli reads the head of the
        // line numbers with each unit.
        let wanted = [
            ".debug_info",
            ".debug_abbrev",
            ".debug_str",
            ".debug_line",
            ".debug_line_str",
            ".debug_str_offsets",
            ".debug_addr",
        ];
        let mut found = false;
        let sections = gimli::DwarfSections::load(|id| {
            if !wanted.contains(&id.name()) {
                return Ok(Vec::new());
            }
            let bytes = file.get(id.name())?;
            found |= id == gimli::SectionId::DebugInfo && !bytes.is_empty();
            Ok(bytes)
        });
        let sections = sections.map_err(read)?;
        if !found {
            return Err(none("it has no .debug_info"));
        }
        Ok(Self {
            path: path.to_owned(),
            order: file.order,
            sections,
        })
    }

    /// Calls `visit` with every variable at a fixed address, those inside functions too, and with every
    /// declaration outside functions, once for each name.
    ///
    /// # Errors
    /// When the debug information contradicts itself.
    pub fn for_each(&self, mut visit: impl FnMut(Variable)) -> Result<(), GlobalsError> {
        let borrowed = self
            .sections
            .borrow(|section| Slice::new(section, self.order));
        self.walk(&borrowed, &mut visit)
            .map_err(|source| GlobalsError::Dwarf {
                path: self.path.clone(),
                source,
            })
    }

    /// Calls `visit` with every structure and union of C that has a name and is defined outside functions. Where
    /// several have one name, with each.
    ///
    /// # Errors
    /// When the debug information contradicts itself.
    pub fn structures(&self, mut visit: impl FnMut(Structure)) -> Result<(), GlobalsError> {
        let borrowed = self
            .sections
            .borrow(|section| Slice::new(section, self.order));
        structures::for_each(&borrowed, &mut visit).map_err(|source| GlobalsError::Dwarf {
            path: self.path.clone(),
            source,
        })
    }

    fn walk(
        &self,
        dwarf: &Dwarf<Slice<'_>>,
        visit: &mut impl FnMut(Variable),
    ) -> gimli::Result<()> {
        let mut declared = HashSet::new();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            let unit = dwarf.unit(header)?;
            let words = Words { dwarf, unit: &unit };
            let mut entries = unit.entries_raw(None)?;
            while !entries.is_empty() {
                let (offset, depth) = (entries.next_offset(), entries.next_depth());
                let Some(kind) = entries.read_abbreviation()? else {
                    continue;
                };
                entries.skip_attributes(kind.attributes())?;
                if kind.tag() != dw::DW_TAG_variable {
                    continue;
                }
                let (entry, local) = (unit.entry(offset)?, depth > 1);
                let is_placed = entry.has_attr(dw::DW_AT_location);
                if !is_placed && (local || !is_new(&words, &entry, &mut declared)) {
                    continue;
                }
                if let Some(variable) = variable(&words, &entry, local)? {
                    visit(variable);
                }
            }
        }
        Ok(())
    }
}

/// Whether it declares a name for the first time.
fn is_new<'a>(
    words: &Words<'_, 'a>,
    entry: &Entry<Slice<'a>>,
    known: &mut HashSet<Slice<'a>>,
) -> bool {
    let name = entry.attr_value(dw::DW_AT_name);
    let name = name.and_then(|name| words.dwarf.attr_string(words.unit, name).ok());
    name.is_some_and(|name| known.insert(name))
}

fn variable<'a>(
    words: &Words<'_, 'a>,
    entry: &Entry<Slice<'a>>,
    local: bool,
) -> gimli::Result<Option<Variable>> {
    let address = match entry.attr_value(dw::DW_AT_location) {
        None => None,
        Some(location) => {
            let Some(location) = location.exprloc_value() else {
                return Ok(None);
            };
            let mut operations = location.operations(words.unit.encoding());
            let first = operations.next()?;
            match (first, operations.next()?) {
                (Some(Operation::Address { address }), None) => Some(address),
                _ => return Ok(None),
            }
        }
    };
    // A definition apart from its declaration has no name and often no type.
    let origin = words
        .target(entry, dw::DW_AT_specification)
        .or_else(|| words.target(entry, dw::DW_AT_abstract_origin));
    let origin = origin.map(|at| words.unit.entry(at)).transpose()?;
    let name = words.name(entry);
    let name = name.or_else(|| words.name(origin.as_ref()?));
    let own = words.target(entry, dw::DW_AT_type);
    let ty = own.or_else(|| words.target(origin.as_ref()?, dw::DW_AT_type));
    let (Some(name), Some(ty)) = (name, ty) else {
        return Ok(None);
    };
    Ok(Some(Variable {
        name,
        address,
        words: words.of(Some(ty))?,
        size: words.size(ty),
        local,
    }))
}
