//! What waits to be sent: one file each in /var/lib/afterpanic/notify.
//!
//! `collect` runs early and without a network. What needs one, and what a sandboxed unit may not write,
//! is put here; afterpanic-notify.path starts `afterpanic collect --notify` while the directory is not
//! empty. A request is removed before it is carried out: one that never ends is not tried again at every
//! boot.

use crate::under;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory.
const SPOOL: &str = "/var/lib/afterpanic/notify";
/// The request to write the metrics anew. No crash directory is called so.
const METRICS: &str = "metrics";
/// No path is longer, in bytes.
const MAX_PATH: u64 = 4096;
/// Requests that are looked at in one run.
const MOST: usize = 256;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Announce the crash in this directory.
    Crash(PathBuf),
    /// Write the metrics.
    Metrics,
}

/// Asks to announce a crash.
///
/// # Errors
/// What the system said.
pub(crate) fn crash(root: &Path, path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Two stores may hold directories of one name.
    let parent = path.parent().unwrap_or(path).as_os_str().as_bytes();
    let sum = parent
        .iter()
        .fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    put(
        root,
        &format!("{name}-{sum:08x}"),
        path.as_os_str().as_bytes(),
    )
}

/// Asks to write the metrics.
///
/// # Errors
/// What the system said.
pub(crate) fn metrics(root: &Path) -> io::Result<()> {
    put(root, METRICS, b"")
}

/// The file appears whole: it is written beside the directory first.
fn put(root: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let spool = under(root, SPOOL);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&spool)?;
    let parent = spool.parent().unwrap_or(root);
    let temporary = parent.join(format!("notify.{}.new", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| fs::rename(&temporary, spool.join(name)));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Takes every request out, in the order of their names.
///
/// # Errors
/// The directory cannot be read, or a request not removed.
pub(crate) fn take(root: &Path) -> io::Result<Vec<Request>> {
    let spool = under(root, SPOOL);
    let entries = match fs::read_dir(&spool) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries.take(MOST) {
        names.push(entry?.file_name());
    }
    names.sort();
    let mut requests = Vec::new();
    for name in names {
        let path = spool.join(&name);
        let request = match name == METRICS {
            true => Some(Request::Metrics),
            false => read(&path).map(Request::Crash),
        };
        fs::remove_file(&path)?;
        requests.extend(request);
    }
    Ok(requests)
}

/// The path in a request.
fn read(request: &Path) -> Option<PathBuf> {
    use std::io::Read;
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::new();
    let file = fs::File::open(request).ok()?;
    file.take(MAX_PATH).read_to_end(&mut bytes).ok()?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(take(root).unwrap(), []);
        for store in ["a", "b"] {
            crash(
                root,
                &Path::new("/srv").join(store).join("n-20201121T231500Z"),
            )
            .unwrap();
        }
        metrics(root).unwrap();
        metrics(root).unwrap();
        let taken = take(root).unwrap();
        assert_eq!(taken.len(), 3, "{taken:?}");
        assert!(taken.contains(&Request::Crash("/srv/b/n-20201121T231500Z".into())));
        assert!(taken.contains(&Request::Metrics));
        assert_eq!(take(root).unwrap(), []);
        let left = fs::read_dir(under(root, "/var/lib/afterpanic")).unwrap();
        assert_eq!(left.count(), 1);
    }
}
