//! Kernel images: what a file is, and whether it can be loaded here.
//!
//! Only the x86 bzImage is loaded, by itself or out of a unified kernel image; every other container that
//! a kernel comes in is recognised and refused by name. Nothing in the file is trusted.

pub mod bzimage;
mod container;
mod find;

pub use bzimage::BzImage;
pub use container::ImageError;
pub use find::{find, find_any};
pub(crate) use find::{ukis, uncounted};
