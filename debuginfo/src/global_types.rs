//! The question that both halves of this crate share: which type does a global have, and who says so?

use crate::ctype::CType;

/// Where a global's type is known from, the most certain first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// DWARF of this very kernel, which the user gave.
    Dwarf,
    /// A variable in the kernel's own BTF (per-CPU variables).
    Btf,
    /// The table that ships with afterpanic, made from other kernels' DWARF.
    Table,
    /// Calls in the code that pass the global's address to a function whose prototype BTF has.
    Code,
}

/// The type of a global.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GlobalType {
    /// The type; its numbers are those of the [`vmcore::kernel::Types`] that the answer was asked with.
    pub ty: CType,
    /// Who says so.
    pub source: Source,
}

/// Knows the types of globals.
pub trait GlobalTypes {
    /// The type of the global that kallsyms calls `symbol`. `size` is the distance to the next symbol
    /// in bytes where that is known: an answer is never larger, and an array's length comes from it.
    fn of(&self, symbol: &str, size: Option<u64>) -> Option<GlobalType>;
}
