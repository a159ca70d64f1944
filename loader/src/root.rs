//! Reading the machine under a root prefix: `/` on a real one, a fixture tree in tests.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// `path` (absolute) under `root`.
pub(crate) fn under(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// No configuration file is longer, in bytes.
pub(crate) const TEXT: u64 = 16 << 20;

/// No kernel is longer, in bytes.
pub(crate) const KERNEL: u64 = 1 << 30;

/// A regular file of at most `max` bytes. A link may lead to a device without an end, or to a pipe.
pub(crate) fn bytes(root: &Path, path: impl AsRef<Path>, max: u64) -> io::Result<Vec<u8>> {
    let file = vmcore::dump::open_regular(&under(root, path))?;
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// The text of a small file, without trailing white space; bytes that are no UTF-8 are replaced.
pub(crate) fn text(root: &Path, path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = bytes(root, path, TEXT)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end().to_owned())
}

/// The number in a small file: decimal, or hexadecimal with `0x`.
pub(crate) fn number(root: &Path, path: impl AsRef<Path>) -> Option<u64> {
    let text = text(root, path).ok()?;
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The path (without the root prefix) of a program of the system's own directories.
pub(crate) fn tool(root: &Path, name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| under(root, path).exists())
}
