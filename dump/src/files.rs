//! New files: 0600 from the first byte, never through a link, never over what existed before.

use crate::facts::hex;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use vmcore::write::OutputFormat;

/// The kinds of pages, in a crash directory.
pub const PAGES_MAP: &str = "pages.map";

/// The core's name in a crash directory.
#[must_use]
pub fn core_name(format: OutputFormat) -> &'static str {
    match format {
        OutputFormat::ElfZst => "vmcore.elf.zst",
        OutputFormat::ElfLz4 => "vmcore.elf.lz4",
        OutputFormat::Elf => "vmcore.elf",
        OutputFormat::KdumpZstd | OutputFormat::KdumpZlib => "vmcore.kdump",
    }
}

/// Makes a new file, readable too (hashes, the seek table's spool).
///
/// # Errors
/// What the system said; there must be nothing of that name.
pub fn create_file(dir: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(dir.join(name))
}

/// A file without a name, in the same filesystem as `dir`.
///
/// # Errors
/// What the system said.
pub fn unnamed_file(dir: &Path, name: &str) -> io::Result<File> {
    let _ = fs::remove_file(dir.join(name));
    let file = create_file(dir, name)?;
    fs::remove_file(dir.join(name))?;
    Ok(file)
}

/// Makes sure that a directory's entries are on the disk.
///
/// # Errors
/// What the system said.
pub fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// SHA-256 of a whole file in hex.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    sha256(File::open(path)?)
}

/// SHA-256 in hex of all that can be read.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(mut file: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 64 << 10];
    loop {
        let n = file.read(&mut buf)?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(buf.get(..n).unwrap_or_default());
    }
}
