//! A kernel's modules: what exists, what it is called, what it needs, and its bytes.
//!
//! Facts: the text files that depmod writes beside the modules (kmod 29 to 34) and the two that the
//! kernel's build adds (`modules.builtin`, `modules.builtin.modinfo`, the latter since 5.2). The
//! binary indexes are not read: the text files say the same.

mod error;
mod file;
mod glob;
mod index;
mod parse;

pub use error::ModuleError;
pub use file::{decompress, read};
pub use index::{Found, Index, Module, Soft};

/// A module's name as the kernel says it: from a path or a name with dashes.
///
/// `kernel/drivers/block/virtio-blk.ko.xz` and `virtio-blk` are both `virtio_blk`.
#[must_use]
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

#[cfg(test)]
mod tests;
