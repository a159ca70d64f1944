//! pstore's records: copied into the crash directory that they belong to.

use dump::seal::Sealer;
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

/// What systemd-pstore(8) calls the records of a directory that it has joined.
const JOINED: &str = "dmesg.txt";
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
    // systemd-pstore(8) joins the records of a directory in dmesg.txt, beside them.
    if found.iter().any(|record| record.name.starts_with("dmesg-")) {
        found.retain(|record| record.name != JOINED);
    }
    for record in found.iter_mut().filter(|record| record.name == JOINED) {
        let parts = dir.iter().rev().take(2).collect::<Vec<_>>();
        let parts = parts.iter().rev().map(|part| part.to_string_lossy());
        record.name = format!("dmesg-{}.txt", parts.collect::<Vec<_>>().join("-"));
    }
    found
}

impl Record {
    /// Its text, where it is no compressed record.
    pub(crate) fn text(&self) -> Option<String> {
        let mut bytes = Vec::new();
        let file = fs::File::open(&self.path).ok()?;
        file.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
        (!self.name.ends_with(".z")).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What tells it from other records: name and time, or name and content. A backend without times
    /// gives the records of every boot the same names.
    pub(crate) fn key(&self) -> String {
        let seconds = self
            .time
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        match seconds {
            Some(time) => format!("{}@{}", self.name, time.as_secs()),
            None => {
                // FNV-1a.
                let text = self.text().unwrap_or_default();
                let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
                format!("{}#{hash:016x}", self.name)
            }
        }
    }

    /// Whether a dump of the log left it: a panic or an oops.
    pub(crate) fn is_dump(&self) -> bool {
        self.name.starts_with("dmesg-")
    }
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

/// Whether a record has a time, and exactly one crash is near it: then no other can be meant.
pub(crate) fn is_alone(record: &Record, crashes: &[SystemTime]) -> bool {
    let near = |time: SystemTime| {
        let apart = |crash: &&SystemTime| {
            let apart = crash.duration_since(time);
            apart.unwrap_or_else(|earlier| earlier.duration()) <= NEAR
        };
        crashes.iter().filter(apart).count()
    };
    record.time.is_some_and(|time| near(time) == 1)
}

/// What is said about records that belong to no crash and that no crash directory was made of, once for
/// each of them. A panic or an oops left them (`dmesg-…`); the others are written without one. `all` are
/// the keys of every record there is: one that was reported or taken over stays known while it exists.
pub(crate) fn unclaimed(
    left: &[&Record],
    taken: &[&Record],
    all: &BTreeSet<String>,
    root: &Path,
) -> Vec<String> {
    let known = match State::read_or_mend(root) {
        Ok(state) => state.unclaimed,
        Err(why) => return vec![why.to_string()],
    };
    let left: BTreeMap<String, &&Record> = (left.iter())
        .filter(|record| record.is_dump())
        .map(|record| (record.key(), record))
        .collect();
    let mut said: Vec<String> = (left.iter())
        .filter(|(key, _)| !known.contains(*key))
        .map(|(_, record)| {
            let path = record.path.display();
            format!("The pstore record {path} belongs to no crash that is saved: it stays there")
        })
        .collect();
    let mut now: BTreeSet<String> = known.intersection(all).cloned().collect();
    now.extend(left.into_keys());
    now.extend(taken.iter().map(|record| record.key()));
    if now != known {
        let written = State::change(root, |state| state.unclaimed = now);
        said.extend(written.err().map(|why| why.to_string()));
    }
    said
}

/// Copies a record into a crash's directory, unless it is there. The record itself stays: removing it is
/// left to the administrator or systemd-pstore. The crash directory and `pstore/` in it are opened
/// without following a link, so no link can lead this elsewhere.
pub(crate) fn copy(
    store: &Store,
    sealer: &Sealer,
    crash: &Crash,
    record: &Record,
    copied: &mut Copied,
) {
    let name = &sealer.log_name(&record.name);
    let copy = || -> io::Result<()> {
        let mut bytes = Vec::new();
        let from = fs::File::open(&record.path)?;
        from.take(MAX_RECORD).read_to_end(&mut bytes)?;
        let file = format!("{PSTORE}/{name}");
        let sealed = sealer.seal_log(&bytes)?;
        store
            .place()
            .write(&crash.name(), &file, &mut sealed.as_slice())
    };
    match copy() {
        Ok(()) => copied.records.push(crash.path.join(PSTORE).join(name)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => copied
            .problems
            .push(format!("cannot copy the pstore record {name}: {error}")),
    }
}

/// Records that systemd-pstore has moved into its archive since `boot`: it runs before anything may wait
/// for a store. Records that a time is known for are below a directory for each time, in newer versions
/// with one for each dump inside; the others (ramoops, console) are in the archive itself
/// (systemd-pstore(8), src/pstore/pstore.c of 243 to 258).
pub(crate) fn archived(archive: &Path, boot: SystemTime) -> Vec<Record> {
    let fresh = |path: &Path| {
        let time = fs::metadata(path).and_then(|meta| meta.modified());
        time.is_ok_and(|time| time >= boot)
    };
    let inside = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let all = entries.map(|entry| entry.path());
        let mut found: Vec<PathBuf> = all.filter(|path| path.is_dir() && fresh(path)).collect();
        found.sort();
        found
    };
    let mut found = records(archive, boot);
    found.retain(|record| fresh(&record.path));
    for time in inside(archive) {
        found.extend(records(&time, boot));
        for dump in inside(&time) {
            found.extend(records(&dump, boot));
        }
    }
    found
}

#[cfg(test)]
mod tests;
