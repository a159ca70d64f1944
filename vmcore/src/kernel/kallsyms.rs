//! The kernel's symbol table as it lies in memory (kallsyms).

use super::{KernelError, Memory, Vmcoreinfo};
use crate::addr::VirtAddr;
use std::sync::Arc;

/// The symbol table.
pub struct Symbols {}

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

impl Symbols {
    pub(super) fn find(_: &Arc<Memory>, _: &Vmcoreinfo) -> Result<Self, KernelError> {
        Err(KernelError::MissingKey {
            key: "SYMBOL(kallsyms_names)".to_owned(),
        })
    }

    /// The address of a name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<VirtAddr> {
        self.lookup_many(&[name]).into_iter().next().flatten()
    }

    /// The addresses of several names in one pass over the table.
    #[must_use]
    pub fn lookup_many(&self, names: &[&str]) -> Vec<Option<VirtAddr>> {
        vec![None; names.len()]
    }

    /// The symbol that an address belongs to.
    #[must_use]
    pub fn resolve(&self, _va: VirtAddr) -> Option<Resolved> {
        None
    }
}
