//! pstore's records: copied into the crash directory that they belong to.

use loader::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
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
/// A record and a crash this far apart are of one panic; two clocks read the time.
const NEAR: Duration = Duration::from_secs(600);
/// How far the start of this boot is off: uptime is read in whole seconds.
const ROUNDED: Duration = Duration::from_secs(2);
/// The longest that a capture kernel takes from the panic to the next boot.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// One record of pstore.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its name, as pstore gave it: `dmesg-efi-…`.
    pub(crate) name: String,
    /// When it was written; `None` where pstore does not keep that (console, pmsg, some backends).
    pub(crate) time: Option<SystemTime>,
}

/// The records in a directory, by name. pstore sets a file's time of change to the record's time, or to
/// the time of its own mount, at the start of this boot, where it knows none (fs/pstore/inode.c,
/// pstore_mkfile). systemd-pstore(8) writes new files, below a directory that is named after the time
/// where the backend has one.
pub(crate) fn records(dir: &Path, boot: SystemTime) -> Vec<Record> {
    let archived = dir.ancestors().take(2).find_map(seconds_in_name);
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<Record> = entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let changed = meta.modified().ok()?;
            let mounted = boot.checked_sub(ROUNDED)?..=boot.checked_add(NEAR)?;
            Some(Record {
                path: entry.path(),
                name: entry.file_name().to_string_lossy().into_owned(),
                time: archived.or_else(|| (!mounted.contains(&changed)).then_some(changed)),
            })
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// A directory's name as seconds since 1970, of this century.
fn seconds_in_name(dir: &Path) -> Option<SystemTime> {
    let name = dir.file_name()?.to_str().filter(|name| name.len() == 10)?;
    let seconds: u64 = name.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Which of the crashes, by their times, a record belongs to: the nearest one within ten minutes of it;
/// for a record without a time, the newest one, if it came at most two hours before this boot.
pub(crate) fn owner(record: &Record, crashes: &[SystemTime], boot: SystemTime) -> Option<usize> {
    let apart = |a: SystemTime, b: SystemTime| {
        a.duration_since(b)
            .unwrap_or_else(|earlier| earlier.duration())
    };
    let numbered = crashes.iter().copied().enumerate();
    match record.time {
        Some(time) => numbered
            .map(|(n, crash)| (apart(crash, time), n))
            .filter(|(apart, _)| *apart <= NEAR)
            .min()
            .map(|(_, n)| n),
        None => numbered
            .max_by_key(|(_, crash)| *crash)
            .filter(|(_, crash)| apart(*crash, boot) <= LONGEST)
            .map(|(n, _)| n),
    }
}

/// What is said about records that belong to no crash, once for each of them. A panic or an oops left
/// them (`dmesg-…`); the others are written without one.
pub(crate) fn unclaimed(records: &[Record], root: &Path) -> Vec<String> {
    let known = match State::change(root, |state| state.unclaimed.clone()) {
        Ok(known) => known,
        Err(why) => return vec![why.to_string()],
    };
    let key = |record: &Record| {
        let time = record.time?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(format!("{}@{}", record.name, time.as_secs()))
    };
    let left: BTreeMap<String, &Record> = (records.iter())
        .filter(|record| record.name.starts_with("dmesg-"))
        .map(|record| (key(record).unwrap_or_else(|| record.name.clone()), record))
        .collect();
    let mut said: Vec<String> = (left.iter())
        .filter(|(key, _)| !known.contains(*key))
        .map(|(_, record)| {
            let path = record.path.display();
            format!("The pstore record {path} belongs to no crash that is saved: it stays there")
        })
        .collect();
    let left: BTreeSet<String> = left.into_keys().collect();
    if left != known {
        let written = State::change(root, |state| state.unclaimed = left);
        said.extend(written.err().map(|why| why.to_string()));
    }
    said
}

/// Copies a record into a crash's directory, unless it is there. The record itself stays: removing it is
/// left to the administrator or systemd-pstore. The crash directory and `pstore/` in it are opened
/// without following a link, so no link can lead this elsewhere.
pub(crate) fn copy(store: &Store, crash: &Crash, record: &Record, copied: &mut Copied) {
    let name = &record.name;
    let copy = || -> io::Result<()> {
        let mut from = fs::File::open(&record.path)?.take(MAX_RECORD);
        let file = format!("{PSTORE}/{name}");
        store.place().write(&crash.name(), &file, &mut from)
    };
    match copy() {
        Ok(()) => copied.records.push(crash.path.join(PSTORE).join(name)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => copied
            .problems
            .push(format!("cannot copy the pstore record {name}: {error}")),
    }
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

    const CRASH: &str = "n-20261121T231600Z";

    fn saved() -> (tempfile::TempDir, Store, Crash) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name = store.begin("n", "20261121T231600Z").unwrap();
        assert_eq!(store.settle(&name, store::State::Done).unwrap(), CRASH);
        let crash = store.list().unwrap().crashes.remove(0);
        (dir, store, crash)
    }

    fn copy_all(store: &Store, crash: &Crash, dir: &Path) -> Copied {
        let mut copied = Copied::default();
        for record in records(dir, SystemTime::now()) {
            copy(store, crash, &record, &mut copied);
        }
        copied
    }

    #[test]
    fn a_record_belongs_to_the_crash_of_its_time() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let boot = at(1_795_310_000);
        let crashes = [at(1_795_300_000), at(1_795_309_700)];
        let owner_at = |time| {
            let record = Record {
                path: PathBuf::new(),
                name: "dmesg-efi-1".into(),
                time,
            };
            owner(&record, &crashes, boot)
        };
        assert_eq!(owner_at(Some(at(1_795_300_600))), Some(0));
        assert_eq!(owner_at(Some(at(1_795_300_601))), None);
        assert_eq!(owner_at(Some(at(1_795_309_500))), Some(1));
        assert_eq!(owner_at(None), Some(1));
        let record = Record {
            path: PathBuf::new(),
            name: "console-ramoops-0".into(),
            time: None,
        };
        assert_eq!(owner(&record, &crashes, at(1_795_309_700 + 7201)), None);
        assert_eq!(owner(&record, &[], boot), None);
    }

    #[test]
    fn a_record_has_its_own_time_or_its_directorys() {
        let dir = tempfile::tempdir().unwrap();
        let archived = dir.path().join("1795309800/001");
        fs::create_dir_all(&archived).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let boot = at(1_795_310_000);
        let put = |path: &Path, time| {
            let file = fs::File::create(path).unwrap();
            file.set_modified(time).unwrap();
        };
        put(&dir.path().join("dmesg-efi-1"), at(1_795_309_000));
        put(&dir.path().join("console-ramoops-0"), at(1_795_310_003));
        put(&archived.join("dmesg-efi-2"), at(1_795_310_004));
        let times = |dir: &Path| -> Vec<Option<SystemTime>> {
            records(dir, boot)
                .iter()
                .map(|record| record.time)
                .collect()
        };
        assert_eq!(times(dir.path()), [None, Some(at(1_795_309_000))]);
        assert_eq!(times(&archived), [Some(at(1_795_309_800))]);
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
