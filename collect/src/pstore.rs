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
    let known = match State::read_or_mend(root) {
        Ok(state) => state.unclaimed,
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
mod tests;
