//! The crashed kernel's memory as data.
//!
//! It holds, from low to high, each naming only what stands before it:
//! - [`addr`], [`time`]: addresses and times as types; [`escape`]: text of a dump made safe to print;
//! - [`order`]: the order of the bytes in a word;
//! - [`layout`]: on-disk structures of every format, our own note and trailer among them;
//! - [`arch`]: page tables and registers, one module an architecture;
//! - [`dump`]: a dump as physical memory, one module a format read;
//! - [`mod@write`], [`view`]: a dump becomes a file of any format, written at once or read in place;
//! - [`kernel`]: the crashed kernel: VMCOREINFO, translation, symbols, types, per-CPU data;
//! - [`printk`]: its log;
//! - [`mm`]: what each page of it was used for.
//!
//! It names no other crate of the workspace. It decides nothing (which pages are kept is policy), it
//! has no words for the user beyond its errors, and it writes to no file of its own accord.

pub mod addr;
pub mod arch;
pub mod dump;
pub mod escape;
pub mod kernel;
pub mod layout;
pub mod mm;
pub mod order;
pub mod printk;
pub mod time;
pub mod view;
pub mod write;
