//! Reading the machine under a root prefix: `/` on a real one, a fixture tree in tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// `path` (absolute) under `root`.
pub(crate) fn under(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The text of a small file, without trailing white space; bytes that are no UTF-8 are replaced.
pub(crate) fn text(root: &Path, path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = fs::read(under(root, path))?;
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
