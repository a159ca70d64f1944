//! What the HTML page shows besides the report: the code at fault, what the registers point to, each
//! CPU's stack, every task, settings of the kernel, the log with its levels, and how the core was saved.
//!
//! It has a type of its own, so that the capture kernel, which writes a [`super::Report`], holds none of it.
//! In JSON its members stand beside the report's (docs/json.md). Every member may be absent.

mod code;
mod cpus;
mod gather;
mod model;
mod registers;
mod saved;
mod sysctls;

pub use code::CodeAt;
pub use cpus::CpuState;
pub use gather::{add_log, full, full_of_text};
pub use model::{Details, Full, LogLine};
pub use registers::Register;
pub use saved::{FilterCheck, KindOfPage, Saved, SavedStep};
pub use sysctls::Sysctl;
