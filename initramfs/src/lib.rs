//! Builds the capture kernel's world: the smallest image that can reach the disk.
//!
//! What goes in follows from the target: from its path or device through `/sys` to every driver
//! involved, through `modules.dep` and its companions to files, then into one archive together with
//! our static binary as `/init` and the plan. The same inputs give the same bytes.
//!
//! - [`build::build`] makes the whole image from a config, [`cache::ensure`] only when an input changed.
//! - [`read`] opens images, ours and those of other suites.
//! - [`archive::Archive`] is the bare writer with nodes, files and modules, for whoever needs another
//!   kind of initramfs.
//!
//! It decides nothing about the dump: that is the config's, carried into [`plan`].

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
pub mod kernel;
pub mod modules;
pub mod read;
pub mod resolve;
pub mod root;
pub mod why;
