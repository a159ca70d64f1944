//! How files leave the guest: a raw disk that holds a magic, a length and a tar stream.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The first bytes of the disk.
const MAGIC: [u8; 16] = *b"AFTERPANIC-TAR-1";
/// Where the tar stream begins; its length follows the magic as a little-endian u64.
const START: u64 = 4096;

/// Why nothing came out of a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The guest wrote no files onto the disk.
    #[error("The guest wrote no files on {0}")]
    Nothing(PathBuf),
    /// A file failed.
    #[error("Cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// In the guest: writes what is in `dir` to the block device `device`.
pub(crate) fn write(dir: &Path, device: &Path) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).open(device)?;
    out.seek(SeekFrom::Start(START))?;
    let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, out));
    tar.sparse(false);
    tar.append_dir_all("", dir)?;
    let mut out = tar.into_inner()?;
    out.flush()?;
    let mut out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let end = out.stream_position()?;
    // The head goes last: a stream that was cut off is no stream.
    let mut head = MAGIC.to_vec();
    head.extend(end.saturating_sub(START).to_le_bytes());
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&head)?;
    out.sync_all()
}

/// On the host: unpacks what the guest wrote on the disk `image` into `to`.
///
/// # Errors
/// Nothing was written, or a file cannot be made.
pub(crate) fn unpack(image: &Path, to: &Path) -> Result<(), ExportError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Io { what, path, source }
    };
    fs::create_dir_all(to).map_err(failed("create", to))?;
    let mut file = File::open(image).map_err(failed("open", image))?;
    let (mut magic, mut length) = ([0u8; 16], [0u8; 8]);
    file.read_exact(&mut magic).map_err(failed("read", image))?;
    file.read_exact(&mut length)
        .map_err(failed("read", image))?;
    if magic != MAGIC {
        return Err(ExportError::Nothing(image.to_owned()));
    }
    file.seek(SeekFrom::Start(START))
        .map_err(failed("read", image))?;
    let mut tar = tar::Archive::new(file.take(u64::from_le_bytes(length)));
    tar.unpack(to).map_err(failed("unpack files into", to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_goes_onto_a_disk_comes_out() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        let long = format!("host-20260101T000000Z/{}", "x".repeat(120));
        fs::create_dir_all(from.join("host-20260101T000000Z/pstore")).unwrap();
        let sizes = [0usize, 1, 511, 512, 513, 300_000];
        let bytes = |size: usize| -> Vec<u8> { (0..size).map(|n| (n % 251) as u8).collect() };
        for size in sizes {
            let path = from.join("host-20260101T000000Z").join(format!("f{size}"));
            fs::write(&path, bytes(size)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(from.join(&long), "name").unwrap();
        let disk = dir.path().join("disk");
        crate::disk::blank(&disk, 2 << 20).unwrap();
        write(&from, &disk).unwrap();
        let to = dir.path().join("to");
        unpack(&disk, &to).unwrap();
        assert!(to.join("host-20260101T000000Z/pstore").is_dir());
        assert_eq!(fs::read(to.join(long)).unwrap(), b"name");
        for size in sizes {
            let path = to.join("host-20260101T000000Z").join(format!("f{size}"));
            assert_eq!(fs::read(&path).unwrap(), bytes(size));
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_blank_disk_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("out");
        crate::disk::blank(&image, 1 << 20).unwrap();
        let error = unpack(&image, &dir.path().join("to")).unwrap_err();
        assert!(matches!(error, ExportError::Nothing(_)), "{error}");
    }
}
