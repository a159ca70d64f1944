//! The types of a kernel's globals.
//!
//! BTF has types for per-CPU variables alone. Others come, the most certain first, from the debug
//! information that the user gave, from a table made of other kernels' ([`Table`]), from calls in the
//! code ([`Calls`]), or from what debuggers need in 6.12 ([`Needed`]). No answer is larger than the distance to
//! the next symbol; an array of another kernel has the length that it has here, or none ([`length`]).

mod calls;
mod counted;
mod dwarf;
mod error;
mod length;
mod names;
mod of_kernel;
mod table;
mod unnamed;

pub use calls::Calls;
pub(crate) use calls::Known;
pub(crate) use dwarf::section;
pub use dwarf::{DebugFile, Field, Structure, Variable};
pub use error::GlobalsError;
pub use names::Names;
pub use table::Table;

use crate::needed::Needed;
use crate::{CType, GlobalType, GlobalTypes, Source};
use length::{Place, settle};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use table::{Answer, Asked};
use unnamed::Unnamed;
use vmcore::kernel::{TypeKind, Types};

/// Knows the types of one kernel's globals, or of one module's.
pub struct Globals<'k> {
    types: Arc<Types>,
    names: Names,
    release: String,
    /// BTF's own variables: name and type.
    variables: HashMap<String, u32>,
    table: Option<Table>,
    needed: Needed,
    /// By address: the type in words.
    dwarf: HashMap<u64, String>,
    /// By name, of what is only declared.
    declared: HashMap<String, String>,
    unnamed: OnceLock<Unnamed>,
    calls: OnceLock<Calls>,
    /// Ranges of code, and how it is read.
    text: Vec<(u64, u64)>,
    read: Box<Read<'k>>,
}

/// Reads memory at an address; false where that cannot be read.
pub(crate) type Read<'k> = dyn Fn(u64, &mut [u8]) -> bool + Send + Sync + 'k;

impl<'k> Globals<'k> {
    /// Of a kernel with these types, symbols and code. `release` chooses among the table's kernels.
    #[must_use]
    pub fn new(
        types: Arc<Types>,
        names: Names,
        release: &str,
        text: Vec<(u64, u64)>,
        read: Box<Read<'k>>,
    ) -> Self {
        let variables = types.variables();
        let variables = variables.map(|(name, id)| (name.to_owned(), id)).collect();
        Self {
            types,
            names,
            release: release.to_owned(),
            variables,
            table: None,
            needed: Needed::default(),
            dwarf: HashMap::new(),
            declared: HashMap::new(),
            unnamed: OnceLock::new(),
            calls: OnceLock::new(),
            text,
            read,
        }
    }

    /// Asks a table, too.
    #[must_use]
    pub fn with_table(mut self, table: Table) -> Self {
        self.table = Some(table);
        self
    }

    /// The types that the answers' numbers are of.
    #[must_use]
    pub fn types(&self) -> &Arc<Types> {
        &self.types
    }

    /// The symbols.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// A type in words over these types; those of DWARF and of the table, unnamed structures too.
    #[must_use]
    pub fn parse(&self, words: &str) -> Option<CType> {
        self.parse_as(words).or_else(|| {
            let clangs = as_clang(words);
            self.parse_as(&clangs).filter(|_| clangs != words)
        })
    }

    fn parse_as(&self, words: &str) -> Option<CType> {
        let unnamed = || Unnamed::of(&self.types);
        match words.contains('{') {
            true => self.unnamed.get_or_init(unnamed).parse(words, &self.types),
            false => CType::parse(words, &self.types),
        }
    }

    /// The type of the symbol `name` at `address`.
    #[must_use]
    pub fn at(&self, name: &str, address: u64) -> Option<GlobalType> {
        self.answer(name, Some(address), self.names.room(address))
    }

    fn answer(&self, name: &str, address: Option<u64>, room: Option<u64>) -> Option<GlobalType> {
        let types = &self.types;
        let said = |ty, source| Some(GlobalType { ty, source });
        let next = || self.alignment(address?.checked_add(room?)?);
        let place = Place {
            address,
            room,
            constant: address.is_some_and(|at| self.is_constant(at)),
            next: &next,
            read: &*self.read,
        };
        let declared = self.declared.get(name);
        let words = declared.or_else(|| self.dwarf.get(&address?));
        if let Some(ty) = words.and_then(|words| self.parse(words)) {
            let ty = match ty.size(types) {
                Some(_) => ty,
                None => settle(ty, &place, types)?,
            };
            return said(ty, Source::Dwarf);
        }
        if let Some(id) = self.variables.get(name) {
            return said(CType::Btf(*id), Source::Btf);
        }
        let known = self.table.as_ref().map_or(Answer::None, |table| {
            table.of(&Asked {
                name,
                rank: address
                    .and_then(|at| self.names.rank(name, at))
                    .unwrap_or(0),
                place,
                release: &self.release,
                parse: &|words| self.parse(words),
                types,
            })
        });
        match known {
            Answer::One(ty) => {
                let ty = counted::counted(name, ty, room, types);
                return said(ty, Source::Table);
            }
            Answer::Several(all) => {
                let address = address?;
                let mut passed = all
                    .into_iter()
                    .filter(|ty| self.calls().agree(address, ty, types));
                return match (passed.next(), passed.next()) {
                    (Some(ty), None) => said(ty, Source::Table),
                    _ => None,
                };
            }
            Answer::None => {}
        }
        let in_calls = || self.calls().of(address?, room?, types);
        if let Some(ty) = in_calls() {
            return said(ty, Source::Code);
        }
        let is_one = address.is_none_or(|at| self.names.rank(name, at).is_none());
        let mut words = self.needed.words(name).filter(|_| is_one);
        let ty = words.find_map(|words| self.parse(words))?;
        let ty = settle(ty, &place, types)?;
        said(counted::counted(name, ty, room, types), Source::Table)
    }

    /// Whether it lies between the marks of the constants (include/asm-generic/vmlinux.lds.h).
    fn is_constant(&self, address: u64) -> bool {
        let mark = |name| self.names.address(name);
        let bounds = mark("__start_rodata").zip(mark("__end_rodata"));
        bounds.is_some_and(|(start, end)| (start..end).contains(&address))
    }

    /// What the number or pointer at an address is aligned to, by the type that the table has.
    fn alignment(&self, address: u64) -> Option<u64> {
        let types = &self.types;
        let table = self.table.as_ref()?;
        let mut words = self
            .names
            .at(address)
            .filter_map(|name| table.near(name, &self.release));
        let ty = self.parse(words.next()?)?;
        let is_number = match ty.unqualified() {
            CType::Pointer(_) => true,
            CType::Btf(id) => matches!(
                types.strip(*id).and_then(|id| types.kind(id)),
                Some(TypeKind::Int | TypeKind::Enum | TypeKind::Enum64 | TypeKind::Ptr)
            ),
            _ => false,
        };
        ty.size(types).filter(|_| is_number)
    }

    /// Found when first asked for: it takes a pass over all code.
    fn calls(&self) -> &Calls {
        self.calls.get_or_init(|| {
            let mut read = |at: u64, bytes: &mut [u8]| (self.read)(at, bytes);
            Calls::scan(&self.names, &self.text, &self.types, &mut read)
        })
    }
}

/// gcc's words with clang's names of the integer types.
fn as_clang(words: &str) -> String {
    [
        ("long long unsigned int", "unsigned long long"),
        ("long unsigned int", "unsigned long"),
        ("short unsigned int", "unsigned short"),
        ("long long int", "long long"),
        ("long int", "long"),
        ("short int", "short"),
    ]
    .iter()
    .fold(words.to_owned(), |words, (gcc, clang)| {
        words.replace(gcc, clang)
    })
}

impl GlobalTypes for Globals<'_> {
    fn of(&self, symbol: &str, size: Option<u64>) -> Option<GlobalType> {
        let address = self.names.address(symbol);
        let room = size.or_else(|| self.names.room(address?));
        self.answer(symbol, address, room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synth::btf::Btf;

    #[test]
    fn a_kernel_that_clang_built_has_other_names_of_integers() {
        let mut btf = Btf::new();
        btf.int("unsigned long", 8, false);
        let types = Arc::new(Types::parse(btf.build(None), None).unwrap());
        let read = |_: u64, _: &mut [u8]| false;
        let names = [(0x1000, 'D', "offsets"), (0x1048, 'D', "end")];
        let names = Names::new(names.map(|(at, kind, name)| (at, kind, name.to_owned())));
        let table = "afterpanic globals 1\nkernels 6.12.9\n:long unsigned int [8192]\n1 offsets\n";
        let table = Table::parse(table).unwrap();
        let globals = Globals::new(
            Arc::clone(&types),
            names,
            "6.6.1",
            Vec::new(),
            Box::new(read),
        );
        let found = globals.with_table(table).of("offsets", None).unwrap();
        assert_eq!(found.ty.declare(&types, ""), "unsigned long[9]");
        assert_eq!(found.source, Source::Table);
    }
}
