//! pstore's records: copied into the crash directory that they belong to.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use store::{Crash, Store};

/// The directory of the records inside a crash directory.
const PSTORE: &str = "pstore";

/// What was copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copied {
    /// The records, by their new paths.
    pub(crate) records: Vec<PathBuf>,
    /// What could not be done, a sentence each.
    pub(crate) problems: Vec<String>,
}

/// Records larger than this are cut: pstore's own are a few KiB.
const MAX_RECORD: u64 = 4 << 20;

/// Copies pstore's records into a crash's directory, those that are not there yet. The records
/// themselves stay: removing them is left to the administrator or systemd-pstore. The crash
/// directory and `pstore/` in it are opened without following a link, so no link can lead this elsewhere.
pub(crate) fn copy_all(store: &Store, crash: &Crash, records: &Path) -> Copied {
    let mut copied = Copied::default();
    let entries = fs::read_dir(records).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    for name in names {
        let copy = || -> io::Result<()> {
            let mut from = fs::File::open(records.join(&name))?.take(MAX_RECORD);
            let file = format!("{PSTORE}/{name}");
            store.place().write(&crash.name(), &file, &mut from)
        };
        match copy() {
            Ok(()) => copied.records.push(crash.path.join(PSTORE).join(&name)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => copied
                .problems
                .push(format!("cannot copy the pstore record {name}: {error}")),
        }
    }
    copied
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const CRASH: &str = "n-20261121T231600Z";

    fn saved() -> (tempfile::TempDir, Store, Crash) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name = store.begin("n", "20261121T231600Z").unwrap();
        assert_eq!(store.settle(&name, store::State::Done).unwrap(), CRASH);
        let crash = store.list().unwrap().crashes.remove(0);
        (dir, store, crash)
    }

    #[test]
    fn records_are_copied_once() {
        let (dir, store, crash) = saved();
        let records = tempfile::tempdir().unwrap();
        fs::write(records.path().join("dmesg-efi-1"), "panic").unwrap();
        let done = copy_all(&store, &crash, records.path());
        let want = dir.path().join(CRASH).join("pstore/dmesg-efi-1");
        assert_eq!(done.records, std::slice::from_ref(&want));
        assert_eq!(fs::read(want).unwrap(), b"panic");
        let again = copy_all(&store, &crash, records.path());
        assert!(again.records.is_empty() && again.problems.is_empty());
    }

    #[test]
    fn a_link_in_place_of_the_directory_leads_nowhere() {
        let (dir, store, crash) = saved();
        let elsewhere = tempfile::tempdir().unwrap();
        let link = dir.path().join(CRASH).join("pstore");
        std::os::unix::fs::symlink(elsewhere.path(), link).unwrap();
        let records = tempfile::tempdir().unwrap();
        fs::write(records.path().join("job"), "* * * * * root true").unwrap();
        let done = copy_all(&store, &crash, records.path());
        assert_eq!((done.records.len(), done.problems.len()), (0, 1));
        assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
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
        let (_dir, store, crash) = saved();
        let done = copy_all(&store, &crash, &found[0]);
        assert!(done.records.is_empty() && done.problems.is_empty());
        assert_eq!(copy_all(&store, &crash, &found[1]).records.len(), 1);
    }
}
