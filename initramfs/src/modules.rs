//! A kernel's modules: what exists, what it is called, what it needs, and its bytes.
//!
//! Facts: the text files that depmod writes beside the modules (kmod 29 to 34) and the two that the
//! kernel's build adds (`modules.builtin`, `modules.builtin.modinfo`, the latter since 5.2). The
//! binary indexes are not read: the text files say the same.

mod error;
mod file;
mod glob;
mod index;
mod name;
mod parse;

pub use error::ModuleError;
pub use file::{decompress, read};
pub use glob::matches;
pub use index::{Found, Index, Module, Soft};
pub use name::name_of;

#[cfg(test)]
mod tests;
