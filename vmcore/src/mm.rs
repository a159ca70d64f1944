//! What a page is. Facts only: which kinds are kept is policy: `dump::policy`.
//!
//! [`rules`] says how each kind is recognised on each kernel, [`mod@walk`] applies the rules to the
//! memory map in one pass, [`check`] proves the outcome against the kernel's own counters and
//! page tables. A rule that the dump does not support is off and its pages are kept.

pub mod check;
mod classify;
mod error;
mod guard;
mod memmap;
mod rules;
mod walk;

#[cfg(test)]
mod toy;

pub use crate::layout::page_kind::{Kind, KindCounts, KindRun};
pub use classify::{Evidence, Findings};
pub use error::WalkError;
pub use guard::guarded;
pub use rules::{Rule, Rules};
pub use walk::{Summary, struct_page, walk, walk_ranges, walk_threads};
