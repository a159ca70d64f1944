//! A directory as a ustar stream on a raw disk: how files leave the guest.
//!
//! Source of the facts: POSIX.1-2017 pax, "ustar Interchange Format". Regular files and
//! directories with names under 100 bytes, which is all that a crash directory has.

use crate::disk::Export;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const BLOCK: usize = 512;

/// Writes `dir` to the block device `device`; the number of files.
pub(super) fn export(dir: &Path, device: &Path) -> io::Result<u64> {
    let mut out = OpenOptions::new().write(true).open(device)?;
    out.seek(SeekFrom::Start(Export::START))?;
    let mut tar = Tar {
        out: BufWriter::with_capacity(1 << 20, out),
        written: 0,
        files: 0,
    };
    tar.directory(dir, "")?;
    tar.put(&[0u8; 2 * BLOCK])?;
    let (length, files) = (tar.written, tar.files);
    let mut out = tar
        .out
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    // The head goes last: a stream that was cut off is no stream.
    let mut head = Export::MAGIC.to_vec();
    head.extend(length.to_le_bytes());
    head.resize(BLOCK, 0);
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&head)?;
    out.sync_all()?;
    Ok(files)
}

struct Tar<W: Write> {
    out: W,
    written: u64,
    files: u64,
}

impl<W: Write> Tar<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written = self.written.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn directory(&mut self, dir: &Path, name: &str) -> io::Result<()> {
        let mut entries = fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{name}{}", entry.file_name().to_string_lossy());
            let meta = entry.metadata()?;
            if meta.is_dir() {
                self.put(&header(&format!("{name}/"), &meta, 0, b'5')?)?;
                self.directory(&entry.path(), &format!("{name}/"))?;
            } else if meta.is_file() {
                self.put(&header(&name, &meta, meta.len(), b'0')?)?;
                self.content(&entry.path(), meta.len())?;
                self.files = self.files.saturating_add(1);
            }
        }
        Ok(())
    }

    fn content(&mut self, path: &Path, length: u64) -> io::Result<()> {
        let mut file = File::open(path)?.take(length);
        let mut buffer = vec![0u8; 256 << 10];
        let mut left = length;
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            self.put(buffer.get(..n).unwrap_or_default())?;
            left = left.saturating_sub(n as u64);
        }
        if left > 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let over = usize::try_from(length % BLOCK as u64).unwrap_or(0);
        if over > 0 {
            self.put(&vec![0u8; BLOCK.saturating_sub(over)])?;
        }
        Ok(())
    }
}

fn header(name: &str, meta: &fs::Metadata, length: u64, kind: u8) -> io::Result<Vec<u8>> {
    if name.len() > 99 || length >= 1 << 33 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name} does not fit ustar"),
        ));
    }
    let time = u64::try_from(meta.mtime()).unwrap_or(0);
    // name, mode, uid, gid, size, mtime, checksum (blanks while it is summed up), type, link name,
    // magic and version, user and group names, device numbers, prefix.
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(100, 0);
    for (value, digits) in [
        (u64::from(meta.mode() & 0o7777), 7),
        (0, 7),
        (0, 7),
        (length, 11),
        (time, 11),
    ] {
        bytes.extend(format!("{value:0digits$o}\0").bytes());
    }
    let checksum_at = bytes.len();
    bytes.extend(b"        ");
    bytes.push(kind);
    bytes.resize(257, 0);
    bytes.extend(b"ustar\x0000");
    bytes.resize(BLOCK, 0);
    let sum: u64 = bytes.iter().map(|b| u64::from(*b)).sum();
    bytes.splice(
        checksum_at..checksum_at + 8,
        format!("{sum:06o}\0 ").into_bytes(),
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_goes_onto_a_disk_comes_out_by_tar() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir_all(from.join("host-20260101T000000Z/pstore")).unwrap();
        let sizes = [0usize, 1, 511, 512, 513, 300_000];
        for size in sizes {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let path = from.join("host-20260101T000000Z").join(format!("f{size}"));
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let disk = dir.path().join("disk");
        crate::disk::blank(&disk, 2 << 20).unwrap();
        assert_eq!(export(&from, &disk).unwrap(), sizes.len() as u64);
        let to = dir.path().join("to");
        Export::unpack(&disk, &to).unwrap();
        assert!(to.join("host-20260101T000000Z/pstore").is_dir());
        for size in sizes {
            let path = to.join("host-20260101T000000Z").join(format!("f{size}"));
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.iter().enumerate().all(|(n, b)| *b == (n % 251) as u8));
            assert_eq!(bytes.len(), size);
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }
}
