//! Why a kernel died, from its dump alone: facts from the dump, words in [`report::text`] and
//! [`notifiers::text`] only.

pub mod checks;
pub mod cpus;
pub mod disassembly;
pub mod essential;
pub mod evidence;
pub mod hex;
pub mod locks;
pub mod memory;
pub mod modules;
pub mod mounts;
pub mod notifiers;
pub mod reason;
pub mod report;
pub mod slabs;
pub mod system;
pub mod tasks;
pub mod unwind;
pub mod values;
pub mod what;

#[cfg(test)]
mod toy;
