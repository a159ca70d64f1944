//! Files that a user names, opened without waiting for anybody.
//!
//! open(2) of a FIFO waits for a writer, and reading a terminal or /dev/zero never ends. So a file is
//! opened with O_NONBLOCK, and only a regular file is taken, or a block device where bytes are read by
//! their offset. /proc/vmcore and /proc/kcore are regular files.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Opens a regular file for reading. Links are followed: the user chose them.
///
/// # Errors
/// What the system said; `InvalidInput` names the kind of a file that is not regular.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open(path, false)
}

/// The same, or a block device.
pub(crate) fn open_random(path: &Path) -> io::Result<File> {
    open(path, true)
}

fn open(path: &Path, devices: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match kind.is_file() || devices && kind.is_block_device() {
        true => Ok(file),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is {}, not a regular file", name(kind)),
        )),
    }
}

/// The kind of a file that is not regular.
fn name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_block_device() => "a block device",
        _ => "a character device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        assert!(open_regular(&at("file")).is_ok() && open_random(&at("link")).is_ok());
        let status = std::process::Command::new("mkfifo")
            .arg(at("fifo"))
            .status();
        assert!(status.unwrap().success());
        let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (path, word) in [
            (at("fifo"), "a pipe"),
            ("/dev/zero".into(), "a character device"),
        ] {
            let why = open_random(&path).unwrap_err().to_string();
            assert!(why.contains(word), "{why}");
        }
        // open(2) of a socket is ENXIO.
        assert!(open_regular(&at("socket")).is_err());
        assert!(open_regular(dir.path()).is_err());
        drop(socket);
    }
}
