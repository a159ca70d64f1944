//! Synthetic dumps.
pub mod elf;
pub mod kdump;
pub mod memmap;
pub mod unwind;
