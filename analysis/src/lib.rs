//! Why a kernel died, from its dump alone: facts from the dump, words in [`report::text`] and
//! [`notifiers::text`] only.

pub mod locks;
pub mod notifiers;
pub mod reason;
pub mod report;
pub mod system;
pub mod unwind;
