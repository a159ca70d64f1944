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

/// How the paths of private keys begin.
pub(crate) const KEYS: &str = "ssh/key-";

/// Whether a file of an image is a private key. Its content is never shown and never written out.
#[must_use]
pub fn is_private(path: &str) -> bool {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    path.starts_with(KEYS)
}

#[cfg(test)]
mod tests;
