//! A file that appears under its name only when it is whole.

use crate::convert::{ConvertError, Workplace, folder_of, publish, workplace};
use crate::files;
use std::fs::{self, DirBuilder};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Output buffer, in bytes.
const BUFFER: usize = 1 << 20;

/// Makes the file OUT of what `write` writes: in a hidden directory beside it ([`workplace`]), on the
/// disk before it gets its name. Answers what `write` does.
///
/// # Errors
/// OUT exists, or cannot be written. There is no file OUT then.
pub fn write_new<T>(
    out: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> Result<T, ConvertError> {
    let io = |source| ConvertError::Io {
        path: out.to_path_buf(),
        source,
    };
    if fs::symlink_metadata(out).is_ok() {
        return Err(ConvertError::Exists {
            path: out.to_path_buf(),
        });
    }
    let work = Workplace(workplace(out).ok_or_else(|| io(io::ErrorKind::InvalidInput.into()))?);
    DirBuilder::new().mode(0o700).create(&work.0).map_err(io)?;
    let make = || {
        let file = files::create_file(&work.0, "file")?;
        Ok(BufWriter::with_capacity(BUFFER, file))
    };
    let mut file = make().map_err(io)?;
    let answer = write(&mut file).map_err(io)?;
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    publish(&work.0.join("file"), out).map_err(io)?;
    files::sync(folder_of(out)).map_err(io)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::write_new;
    use std::fs;
    use std::io;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let failed = write_new(&out, |file| {
            file.write_all(b"half")?;
            Err::<(), _>(io::Error::other("no more"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        write_new(&out, |file| file.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"whole");
        let again = write_new(&out, |file| file.write_all(b"other")).unwrap_err();
        assert!(again.to_string().contains("exists"), "{again}");
        assert_eq!(fs::read(&out).unwrap(), b"whole");
    }
}
