//! What can go wrong between an address or a name and its bytes.

use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::{self, paging};
use crate::dump::ReadError;

/// Why an address leads nowhere in a dump.
pub(super) type WalkError = paging::WalkError<ReadError>;

/// A virtual address that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemError {
    /// It leads nowhere.
    #[error("Cannot translate address {va}")]
    Translate {
        /// The address.
        va: VirtAddr,
        /// Why.
        source: WalkError,
    },
    /// It leads to memory that is not to be had.
    #[error("Cannot read address {va} (physical {pa})")]
    Read {
        /// The address.
        va: VirtAddr,
        /// Where it leads.
        pa: PhysAddr,
        /// Why.
        source: ReadError,
    },
    /// The range passes the end of the address space.
    #[error("The range {va} + {len:#x} passes the end of the address space")]
    Overflow {
        /// Where the range starts.
        va: VirtAddr,
        /// Its length in bytes.
        len: u64,
    },
}

/// A question about the crashed kernel that this dump cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// There is no VMCOREINFO note, and its text is not in memory either.
    #[error(
        "The dump has no VMCOREINFO, neither as a note nor in memory. Of a guest, dump it with QEMU's `-device vmcoreinfo`"
    )]
    NoVmcoreinfo,
    /// VMCOREINFO lacks a key that everything rests on.
    #[error("The dump's VMCOREINFO has no usable {key}")]
    MissingKey {
        /// The key as it is written there.
        key: String,
    },
    /// Not a machine that this version knows.
    #[error("The dump is of e_machine {machine}; known: {}", known())]
    Machine {
        /// e_machine.
        machine: u16,
    },
    /// The architecture has no pages of this size.
    #[error("The dump's page size is {size}, which its architecture does not have")]
    PageSize {
        /// What VMCOREINFO says.
        size: u64,
    },
    /// A name is neither in VMCOREINFO nor in kallsyms.
    #[error("The crashed kernel has no symbol {name}")]
    NoSymbol {
        /// The name.
        name: String,
    },
    /// BTF has no such type.
    #[error("The crashed kernel's BTF has no type {name}")]
    NoType {
        /// The name.
        name: String,
    },
    /// A type has no such member.
    #[error("{ty} has no member {member} in the crashed kernel")]
    NoMember {
        /// The type.
        ty: String,
        /// The path asked for.
        member: String,
    },
    /// A path of members (`mm->pgd`) that the types do not allow.
    #[error("{path}: {why}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it, and what to write instead.
        why: String,
    },
    /// A whole table (kallsyms, BTF) is not to be had.
    #[error("{what} of the crashed kernel cannot be used: {why}")]
    Unavailable {
        /// "The symbol table", "The type information".
        what: &'static str,
        /// The first reason.
        why: String,
    },
    /// Something in the dump contradicts itself.
    #[error("{what} is corrupt: {why}")]
    Corrupt {
        /// What.
        what: &'static str,
        /// How that shows.
        why: String,
    },
    /// Memory that was needed could not be read.
    #[error("Cannot read {what}")]
    Memory {
        /// What was to be read.
        what: String,
        /// Why not.
        source: MemError,
    },
}

/// The architectures that are read, by name and number.
fn known() -> String {
    let all = arch::known().iter();
    let words: Vec<String> = all.map(|a| format!("{} ({})", a.name, a.machine)).collect();
    words.join(", ")
}

impl KernelError {
    /// A table that was found to be unusable earlier, with the reason kept from then.
    pub(crate) fn unavailable(what: &'static str, why: &Self) -> Self {
        let why = chain(why);
        Self::Unavailable { what, why }
    }

    /// Names what was being read.
    pub(crate) fn reading(what: impl Into<String>) -> impl FnOnce(MemError) -> Self {
        let what = what.into();
        move |source| Self::Memory { what, source }
    }
}

/// An error and all its sources in one line, for reasons that are kept as text.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
