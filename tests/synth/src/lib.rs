//! Synthetic dumps.

pub mod arm;
pub mod board;
pub mod btf;
pub mod corpus;
pub mod elf;
pub mod endless;
pub mod kallsyms;
pub mod kdump;
pub mod kernel;
pub mod machine;
pub mod memmap;
pub mod power;
pub mod printk;
pub mod ram;
pub mod riscv;
pub mod unwind;
