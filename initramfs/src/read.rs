//! Images opened: ours and those of other suites.
//!
//! An image is archives one after another, each plain or packed (init/initramfs.c): early microcode
//! comes plain and first, the rest packed behind it. Nothing in it is trusted; unpacked it may be
//! 2 GiB at most.

mod contents;
mod error;
mod extract;
mod section;
mod unpack;

pub use contents::Contents;
pub use error::ImageError;
pub use extract::{Extracted, extract};
pub use section::Section;

#[cfg(test)]
mod tests;
