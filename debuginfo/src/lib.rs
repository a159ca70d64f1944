//! What debuggers need of a kernel, made from its core alone: the types of its globals, and an ELF with
//! symbols, DWARF and unwind tables that crash, drgn and gdb load in the place of the debug vmlinux. And
//! the directory where such files are kept.
//!
//! May name `vmcore` and `analysis`. Only the CLI names it; it is never in the capture kernel.

mod cache;
mod ctype;
mod dwarf;
mod elf;
mod error;
mod global_types;
mod globals;
mod needed;
mod vmlinux;

pub use cache::Cache;
pub use ctype::CType;
pub use error::Error;
pub use global_types::{GlobalType, GlobalTypes, Source};
pub use globals::{
    Calls, DebugFile, Field, Globals, GlobalsError, Names, Structure, Table, Variable,
};
pub use vmlinux::{Options, Summary, Vmlinux, key, warnings_of};
