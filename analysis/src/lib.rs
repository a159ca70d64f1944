//! Why a kernel died, from its dump alone: facts from the dump, words in [`report::text`] only.

pub mod reason;
pub mod report;
pub mod system;
