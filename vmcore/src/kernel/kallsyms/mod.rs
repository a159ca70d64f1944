//! The kernel's symbol table as it lies in memory (kallsyms): name to address and back.
//!
//! Facts: kernel/kallsyms.c and scripts/kallsyms.c, 4.6 to 7.2. Only the addresses, the expanded
//! tokens and a mark for every 256th name are held, about 4 bytes a symbol; names are decoded from
//! the dump when asked for, so that 190,000 symbols cost less than a megabyte in the panic kernel.
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
use crate::addr::VirtAddr;
use crate::arch::x86_64::KERNEL_MAP;
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

    fn scan(&self, wanted: &[&str], hit: impl FnMut(usize, u32, char)) -> Result<(), KernelError> {
        match self {
            Self::Kallsyms(names) => names.scan(wanted, hit),
            Self::File(list) => {
                list.scan(wanted, hit);
                Ok(())
            }
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
        let mut marks = [None; 2];
        names.scan(&["_stext", "_end"], |which, index, _| {
            if let Some(slot) = marks.get_mut(which) {
                *slot = Some(index);
            }
        })?;
        let [stext_index, end_index] = marks;
        let stext_index = stext_index.ok_or_else(|| KernelError::Corrupt {
            what: "The symbol table",
            why: "it has no _stext".to_owned(),
        })?;
        let addresses = Addresses::open(memory, tables, names.count(), stext_index, stext)?;
        let end = end_index
            .and_then(|index| addresses.get(index))
            .unwrap_or(u64::MAX);
        Ok(Self {
            names: Table::Kallsyms(names),
            addresses,
            tables: Some(*tables),
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
        self.lookup_many(&[name]).into_iter().next().flatten()
    }

    /// The addresses of several names in one pass over the table.
    #[must_use]
    pub fn lookup_many(&self, names: &[&str]) -> Vec<Option<VirtAddr>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() > CACHE {
            found.clear();
        }
        let unknown: Vec<&str> = names
            .iter()
            .copied()
            .filter(|&name| !found.contains_key(name))
            .collect();
        for (name, address) in unknown.iter().zip(self.search(&unknown)) {
            // What is not there now may yet come with the modules.
            if address.is_some() || self.modules.get().is_some() {
                found.insert((*name).to_owned(), address);
            }
        }
        names
            .iter()
            .map(|&name| found.get(name).copied().flatten())
            .collect()
    }

    fn search(&self, names: &[&str]) -> Vec<Option<VirtAddr>> {
        let mut hits: Vec<Option<(u32, bool)>> = vec![None; names.len()];
        if names.is_empty() {
            return Vec::new();
        }
        let scanned = self.names.scan(names, |which, index, kind| {
            let global = kind.is_ascii_uppercase();
            if let Some(slot) = hits.get_mut(which)
                && slot.is_none_or(|(_, already)| global && !already)
            {
                *slot = Some((index, global));
            }
        });
        if scanned.is_err() {
            log::debug!("the symbol table cannot be read to its end");
        }
        hits.into_iter()
            .zip(names)
            .map(|(hit, name)| {
                hit.and_then(|(index, _)| self.addresses.get(index))
                    .map(VirtAddr)
                    .or_else(|| self.modules.get()?.lookup(name))
            })
            .collect()
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

    fn resolve_afresh(&self, va: VirtAddr) -> Option<Resolved> {
        if va.0 >= self.end {
            return self.modules.get()?.resolve(va);
        }
        let (index, start, next) = self.addresses.find(va.0)?;
        // Below the image only per-CPU offsets stand in the table, and they are no addresses.
        if start < KERNEL_MAP {
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

    /// Lets module symbols be found too, from now on.
    pub(super) fn add_modules(&self, modules: ModuleSymbols) {
        if self.modules.set(modules).is_ok() {
            let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
            resolved.retain(|_, hit| hit.is_some());
        }
    }
}
