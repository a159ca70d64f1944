//! The cpio "newc" format, written and read: what the kernel unpacks into its root filesystem.
//!
//! Facts: Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c, unchanged
//! in all versions this project knows. A header is "070701" and 13 fields of 8 hex digits; header and
//! name together, and the data, are padded to 4 bytes.
//!
//! What is written is reproducible: mtime 0, owner 0, inodes counted in the order of writing. Hard
//! links are not written, and read as separate files.

mod reader;
mod writer;

pub use reader::{Entry, Kind, ReadError, Reader};
pub use writer::Writer;

/// Bytes of a header before the name.
const HEADER: usize = 110;

/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// The file type's bits in a mode.
pub const S_IFMT: u32 = 0o170_000;
/// A directory.
pub const S_IFDIR: u32 = 0o040_000;
/// A regular file.
pub const S_IFREG: u32 = 0o100_000;
/// A symbolic link.
pub const S_IFLNK: u32 = 0o120_000;
/// A character device.
pub const S_IFCHR: u32 = 0o020_000;
/// A block device.
pub const S_IFBLK: u32 = 0o060_000;

#[cfg(test)]
mod tests;
