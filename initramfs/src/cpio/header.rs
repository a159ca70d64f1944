//! Constants of the format.

/// Bytes of a header before the name.
pub(super) const HEADER: usize = 110;

/// The name that ends an archive.
pub(super) const TRAILER: &str = "TRAILER!!!";

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
