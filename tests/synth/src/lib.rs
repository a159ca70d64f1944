//! Synthetic dumps.
pub mod elf;
pub mod memmap;
