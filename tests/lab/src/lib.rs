//! The crash laboratory: real kernels, real panics, and whether what they left is right.
//!
//! Kernels come from Debian's packages ([`kernels`]), our binaries from this workspace
//! ([`artefacts`]), the panics from files under `scenarios/` ([`scenario`]); [`runner`] makes them
//! happen through `rehearse` and [`checks`] judges. Whatever the expected truth is, it comes from
//! somebody else: the guest itself, makedumpfile, gdb, drgn.

pub mod apt;
pub mod artefacts;
pub mod bench;
pub mod browser;
pub mod checks;
pub mod compare;
pub mod cores;
pub mod cross;
mod debootstrap;
pub mod demo;
pub mod elf;
pub mod expected;
pub mod faults;
pub mod globals;
pub mod guest;
pub mod holes;
pub mod kernels;
pub mod libkdumpfile;
pub mod measured;
pub mod mirror;
pub mod module;
pub mod nas;
pub mod network;
pub mod nfs;
pub mod oopses;
pub mod page;
pub mod pages;
pub mod peer;
pub mod reboot;
pub mod results;
pub mod runner;
pub mod scenario;
pub mod server;
pub mod servers;
pub mod signed;
pub mod ssh;
pub mod support;
pub mod table;
pub mod tools;
pub mod truth;

use std::path::{Path, PathBuf};

/// The workspace's root.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where everything fetched and made is kept: `target/lab`.
#[must_use]
pub fn cache() -> PathBuf {
    root().join("target/lab")
}
