//! The kernel's symbol table as it lies in memory (kallsyms): name to address and back.
//!
//! Facts: kernel/kallsyms.c and scripts/kallsyms.c, 4.6 to 7.2. Only the addresses, a hash of every
//! name, the expanded tokens and a mark for every 32nd name are held, about 8 bytes a symbol; names
//! are decoded from the dump when asked for, so that 190,000 symbols cost 1.5 MiB in the capture kernel.
//! Symbols of modules are in their own tables; see [`super::modules`]. Where the dump has no usable
//! table, the names of a file beside it serve ([`file`]).

mod addresses;
mod file;
mod locate;
mod names;
#[cfg(test)]
mod tests;

use super::modules::ModuleSymbols;
use super::{KernelError, Memory, Vmcoreinfo};
use crate::addr::{PAGE_SIZE, VirtAddr};
use addresses::Addresses;
pub use file::{SymbolFile, SymbolFileError};
pub(super) use locate::{Tables, search};
use names::Names;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Answers remembered by [`Symbols::lookup`] and [`Symbols::resolve`].
const CACHE: usize = 4096;

/// The symbol table.
pub struct Symbols {
    names: Table,
    addresses: Addresses,
    /// Where kallsyms was found.
    tables: Option<Tables>,
    /// Nothing of the kernel proper lies below it.
    start: u64,
    /// `_end`: nothing of the kernel proper lies past it.
    end: u64,
    found: Mutex<HashMap<String, Option<VirtAddr>>>,
    resolved: Mutex<HashMap<u64, Option<Resolved>>>,
    modules: OnceLock<ModuleSymbols>,
}

/// Where the names come from.
enum Table {
    Kallsyms(Names),
    File(file::List),
}

impl Table {
    fn count(&self) -> u32 {
        match self {
            Self::Kallsyms(names) => names.count(),
            Self::File(list) => list.count(),
        }
    }

    fn get(&self, index: u32) -> Option<(String, u8)> {
        match self {
            Self::Kallsyms(names) => names.get(index),
            Self::File(list) => list.get(index),
        }
    }

    fn all(&self, visit: impl FnMut(u32, &[u8], u8)) -> Result<(), KernelError> {
        match self {
            Self::Kallsyms(names) => names.all(visit),
            Self::File(list) => {
                list.all(visit);
                Ok(())
            }
        }
    }

    fn find(&self, wanted: &str, hit: impl FnMut(u32, char)) {
        match self {
            Self::Kallsyms(names) => names.find(wanted, hit),
            Self::File(list) => list.find(wanted, hit),
        }
    }
}

/// What an address belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// The symbol.
    pub name: String,
    /// Bytes from its start.
    pub offset: u64,
    /// Its size, as far as the next symbol's address tells.
    pub size: u64,
    /// The module it is in; `None` for the kernel itself.
    pub module: Option<String>,
}

impl std::fmt::Display for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{:#x}", self.name, self.offset)?;
        match &self.module {
            Some(module) => write!(f, " [{module}]"),
            None => Ok(()),
        }
    }
}

/// One symbol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its address, or for per-CPU symbols before 6.15 its offset in the per-CPU area.
    pub address: VirtAddr,
    /// The letter that nm would print. 7.x reports most data as `t` or `T`.
    pub kind: char,
}

impl Symbols {
    /// Finds and checks the table.
    pub(super) fn find(memory: &Arc<Memory>, info: &Vmcoreinfo) -> Result<Self, KernelError> {
        let tables = match Tables::from_vmcoreinfo(info) {
            Some(tables) => tables,
            None => locate::scan(memory, info)?,
        };
        Self::open(memory, info, &tables)
    }

    /// Opens the table at known places.
    pub(super) fn open(
        memory: &Arc<Memory>,
        info: &Vmcoreinfo,
        tables: &Tables,
    ) -> Result<Self, KernelError> {
        // 6.1 gave the length byte a second meaning from 0x80 up.
        let long_names = info
            .release_numbers()
            .is_none_or(|release| release >= (6, 1));
        let names = Names::open(memory, tables, long_names)?;
        let stext = info
            .symbol("_stext")
            .ok_or_else(|| KernelError::MissingKey {
                key: "SYMBOL(_stext)".to_owned(),
            })?;
        let index_of = |name| {
            let mut found = None;
            names.find(name, |index, _| found = Some(index));
            found
        };
        let (stext_index, end_index) = (index_of("_stext"), index_of("_end"));
        let stext_index = stext_index.ok_or_else(|| KernelError::Corrupt {
            what: "The symbol table",
            why: "it has no _stext".to_owned(),
        })?;
        let addresses = Addresses::open(memory, tables, names.count(), stext_index, stext)?;
        // Without data symbols (CONFIG_KALLSYMS_ALL off) there is no `_end`: the last function is short.
        let last = addresses.get(names.count().saturating_sub(1));
        let end = end_index
            .and_then(|index| addresses.get(index))
            .or_else(|| last?.checked_add(PAGE_SIZE))
            .unwrap_or(u64::MAX);
        Ok(Self {
            names: Table::Kallsyms(names),
            addresses,
            tables: Some(*tables),
            start: memory.layout().code_start,
            end,
            found: Mutex::default(),
            resolved: Mutex::default(),
            modules: OnceLock::new(),
        })
    }

    /// The table of a file instead of the dump's own. `None` when the file is of another kernel.
    pub(super) fn from_file(file: &SymbolFile, info: &Vmcoreinfo) -> Option<Self> {
        let (list, addresses) = file.placed(info)?;
        let end = list
            .position("_end")
            .and_then(|index| addresses.get(usize::try_from(index).ok()?).copied());
        Some(Self {
            names: Table::File(list),
            addresses: Addresses::absolute(addresses),
            tables: None,
            start: file::floor(info),
            end: end.unwrap_or(u64::MAX),
            found: Mutex::default(),
            resolved: Mutex::default(),
            modules: OnceLock::new(),
        })
    }

    /// Where the tables of kallsyms are, by the names that VMCOREINFO gives them since 6.0.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, VirtAddr)> {
        self.tables.iter().flat_map(Tables::named)
    }

    /// How many symbols the kernel proper has.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.names.count()
    }

    /// Whether there is none, which no kernel's table is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.count() == 0
    }

    /// The address of a name. Of several symbols with that name the first global one, else the first.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<VirtAddr> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found.get(name) {
            return *known;
        }
        let address = self.search(name);
        // What is not there now may yet come with the modules.
        if address.is_some() || self.modules.get().is_some() {
            if found.len() > CACHE {
                found.clear();
            }
            found.insert(name.to_owned(), address);
        }
        address
    }

    /// The addresses of several names.
    #[must_use]
    pub fn lookup_many(&self, names: &[&str]) -> Vec<Option<VirtAddr>> {
        names.iter().map(|name| self.lookup(name)).collect()
    }

    fn search(&self, name: &str) -> Option<VirtAddr> {
        let mut found: Option<(u32, bool)> = None;
        self.names.find(name, |index, kind| {
            let global = kind.is_ascii_uppercase();
            if found.is_none_or(|(_, already)| global && !already) {
                found = Some((index, global));
            }
        });
        found
            .and_then(|(index, _)| self.addresses.get(index))
            .map(VirtAddr)
            .or_else(|| self.modules.get()?.lookup(name))
    }

    /// The symbol that an address belongs to.
    #[must_use]
    pub fn resolve(&self, va: VirtAddr) -> Option<Resolved> {
        let cached = {
            let resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
            resolved.get(&va.0).cloned()
        };
        if let Some(hit) = cached {
            return hit;
        }
        let answer = self.resolve_afresh(va);
        if answer.is_some() || self.modules.get().is_some() {
            let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
            if resolved.len() > CACHE {
                resolved.clear();
            }
            resolved.insert(va.0, answer.clone());
        }
        answer
    }

    /// Modules lie above the image on x86_64 and ppc64le, below it on aarch64, riscv64 and s390x.
    fn resolve_afresh(&self, va: VirtAddr) -> Option<Resolved> {
        let own = self.resolve_in_image(va);
        own.or_else(|| self.modules.get()?.resolve(va))
    }

    fn resolve_in_image(&self, va: VirtAddr) -> Option<Resolved> {
        if va.0 >= self.end {
            return None;
        }
        let (index, start, next) = self.addresses.find(va.0)?;
        // Below the image the table has only per-CPU offsets, which are no addresses.
        if start < self.start {
            return None;
        }
        let (name, _) = self.names.get(index)?;
        Some(Resolved {
            name,
            offset: va.0.checked_sub(start)?,
            size: next.unwrap_or(self.end).min(self.end).saturating_sub(start),
            module: None,
        })
    }

    /// Calls `visit` with every symbol of the kernel proper, in the table's order.
    ///
    /// # Errors
    /// When the table cannot be read to its end.
    pub fn for_each(&self, mut visit: impl FnMut(Symbol)) -> Result<(), KernelError> {
        self.names.all(|index, name, kind| {
            if let Some(address) = self.addresses.get(index) {
                visit(Symbol {
                    name: String::from_utf8_lossy(name).into_owned(),
                    address: VirtAddr(address),
                    kind: char::from(kind),
                });
            }
        })
    }

    /// Calls `visit` with the name of the module and every symbol in it, of all modules; nothing before
    /// [`super::Kernel::modules`] has read them. nm's letter is not told: it is `?`.
    pub fn for_each_of_modules(&self, mut visit: impl FnMut(&str, Symbol)) {
        let Some(modules) = self.modules.get() else {
            return;
        };
        modules.for_each(|module, name, address| {
            let symbol = Symbol {
                name,
                address,
                kind: '?',
            };
            visit(module, symbol);
        });
    }

    /// Lets module symbols be found too, from now on.
    pub(super) fn add_modules(&self, modules: ModuleSymbols) {
        if self.modules.set(modules).is_ok() {
            let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
            resolved.retain(|_, hit| hit.is_some());
        }
    }
}
