//! The cpio "newc" format, written and read: what the kernel unpacks into its root filesystem.
//!
//! Facts: Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c, unchanged
//! in all versions this project knows. A header is "070701" and 13 fields of 8 hex digits; header and
//! name together, and the data, are padded to 4 bytes.
//!
//! What is written is reproducible: mtime 0, owner 0, inodes counted in the order of writing. Hard
//! links are not written, and read as separate files.

mod header;
mod reader;
mod writer;

pub use header::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
pub use reader::{Entry, Kind, ReadError, Reader};
pub use writer::Writer;

#[cfg(test)]
mod tests;
