//! Why a kernel died, from its dump alone: facts from the dump, words in `report::text`.

pub mod reason;
