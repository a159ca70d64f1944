//! Synthetic dumps.
pub mod elf;
