//! pstore's records: copied into the crash directory that they belong to.

use dump::files;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use store::names;

/// What was copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copied {
    /// The records, by their new paths.
    pub(crate) records: Vec<PathBuf>,
    /// What could not be done, a sentence each.
    pub(crate) problems: Vec<String>,
}

/// Copies pstore's records into the newest crash's directory, those that are not there yet. The
/// records themselves stay: removing them is the administrator's or systemd-pstore's business.
///
/// # Errors
/// When the store cannot be listed.
pub(crate) fn pstore(store: &Path, records: &Path) -> io::Result<Copied> {
    let mut copied = Copied::default();
    let Ok(entries) = fs::read_dir(records) else {
        return Ok(copied);
    };
    let Some(newest) = names::list(store)?.pop() else {
        return Ok(copied);
    };
    let to = newest.path.join("pstore");
    for entry in entries.flatten().filter(|e| e.path().is_file()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if to.join(&name).exists() {
            continue;
        }
        match copy(&entry.path(), &to, &name) {
            Ok(()) => copied.records.push(to.join(&name)),
            Err(error) => copied
                .problems
                .push(format!("Cannot copy the pstore record {name}: {error}")),
        }
    }
    Ok(copied)
}

/// Directories below systemd-pstore's archive with records that it has moved there since `boot`: it
/// runs before anything may wait for a store (systemd-pstore(8): a directory for each time of a
/// crash, in newer versions with one for each record inside).
#[must_use]
pub(crate) fn archived(archive: &Path, boot: SystemTime) -> Vec<PathBuf> {
    let fresh = |path: &PathBuf| {
        let time = fs::metadata(path).and_then(|meta| meta.modified());
        path.is_dir() && time.is_ok_and(|time| time >= boot)
    };
    let inside = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries.map(|e| e.path()).filter(fresh).collect();
        found.sort();
        found
    };
    let mut found = Vec::new();
    for time in inside(archive) {
        let records = inside(&time);
        found.push(time);
        found.extend(records);
    }
    found
}

fn copy(from: &Path, to: &Path, name: &str) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if !to.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(to)?;
    }
    let mut file = files::create_file(to, name)?;
    io::copy(&mut fs::File::open(from)?, &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn pstore_records_go_to_the_newest_crash_once() {
        let store = tempfile::tempdir().unwrap();
        let records = tempfile::tempdir().unwrap();
        fs::write(records.path().join("dmesg-efi-1"), "panic").unwrap();
        assert!(
            pstore(store.path(), records.path())
                .unwrap()
                .records
                .is_empty()
        );
        for name in ["n-20261121T231500Z", "n-20261121T231600Z"] {
            fs::create_dir(store.path().join(name)).unwrap();
        }
        let done = pstore(store.path(), records.path()).unwrap();
        let want = store.path().join("n-20261121T231600Z/pstore/dmesg-efi-1");
        assert_eq!(done.records, std::slice::from_ref(&want));
        assert_eq!(fs::read(want).unwrap(), b"panic");
        assert!(
            pstore(store.path(), records.path())
                .unwrap()
                .records
                .is_empty()
        );
    }

    #[test]
    fn what_systemd_has_moved_away_in_this_boot_is_found() {
        let archive = tempfile::tempdir().unwrap();
        let record = archive.path().join("1795309800/001");
        fs::create_dir_all(&record).unwrap();
        fs::write(record.join("dmesg-efi-1"), "panic").unwrap();
        let hour = Duration::from_secs(3600);
        let found = archived(archive.path(), SystemTime::now() - hour);
        assert_eq!(found, [archive.path().join("1795309800"), record]);
        assert!(archived(archive.path(), SystemTime::now() + hour).is_empty());
        assert!(archived(&archive.path().join("none"), SystemTime::UNIX_EPOCH).is_empty());
        // A directory among the records is no record.
        let store = tempfile::tempdir().unwrap();
        fs::create_dir(store.path().join("n-20261121T231500Z")).unwrap();
        let done = pstore(store.path(), &found[0]).unwrap();
        assert!(done.records.is_empty() && done.problems.is_empty());
        assert_eq!(pstore(store.path(), &found[1]).unwrap().records.len(), 1);
    }
}
