//! Builds the capture image: the smallest initramfs that can reach the target.
//!
//! Holds the way from the config's targets through `/sys` to every driver involved, through
//! `modules.dep` and its companions to files, then into one archive together with our static binary as
//! `/init` and the plan. The same inputs give the same bytes.
//!
//! - [`build::build`] makes the whole image from a config, [`cache::ensure`] only when an input changed.
//! - [`read`] opens images, ours and those of other suites.
//! - [`archive::Archive`] is the bare writer with nodes, files and modules, for other kinds of initramfs.
//!
//! May name `config` and the crates below it. Never loads anything into the kernel, never writes to a
//! device, and decides nothing about the dump: the config does, and [`plan`] carries it.

pub mod archive;
pub mod binary;
pub mod build;
pub mod cache;
pub mod closure;
pub mod compress;
pub mod cpio;
mod error;
mod explicit;
pub mod files;
mod fill;
mod firmware;
pub mod host_keys;
pub mod kernel;
pub mod machine;
pub mod modules;
pub mod read;
pub mod resolve;
pub mod root;
pub mod why;
