//! At the next boot: what the capture kernel could not finish, and what firmware kept.
//!
//! A directory that is still `.partial` was cut off: by power, a watchdog, a hang. It gets the name
//! that says so, and a manifest if it has none, so that rotation and `list` see it. Records of pstore
//! are copied into the directory of the crash they belong to. Words for the journal and SELinux
//! labels are the caller's business.

use crate::crashes::{self, Crash, State};
use crate::directory;
use crate::manifest::{FILE, Manifest, RESERVE, SCHEMA, Verdict, files_of};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A directory that changed within this time may still be being written by hand.
const QUIET: Duration = Duration::from_secs(60);

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Directories that were cut off, by their new names.
    pub renamed: Vec<PathBuf>,
    /// pstore records copied, by their new paths.
    pub pstore: Vec<PathBuf>,
    /// What could not be done, a sentence each.
    pub problems: Vec<String>,
}

/// Names what was cut off in `store` for what it is.
///
/// # Errors
/// When the store cannot be listed; single directories are problems.
pub fn partials(store: &Path, now: SystemTime) -> io::Result<Collected> {
    let mut collected = Collected::default();
    for crash in crashes::list(store)? {
        if crash.state != State::Partial || is_busy(&crash.path, now) {
            continue;
        }
        match settle(&crash) {
            Ok(path) => collected.renamed.push(path),
            Err(error) => collected
                .problems
                .push(format!("Cannot settle {}: {error}", crash.path.display())),
        }
    }
    Ok(collected)
}

fn is_busy(dir: &Path, now: SystemTime) -> bool {
    let Ok(entries) = fs::read_dir(dir) else {
        return false;
    };
    entries.flatten().any(|entry| {
        entry
            .metadata()
            .and_then(|meta| meta.modified())
            .is_ok_and(|time| now.duration_since(time).unwrap_or_default() < QUIET)
    })
}

fn settle(crash: &Crash) -> io::Result<PathBuf> {
    let dir = &crash.path;
    for leftover in [RESERVE, ".table", ".manifest.json"] {
        let _ = fs::remove_file(dir.join(leftover));
    }
    if Manifest::read(dir).is_err() {
        let _ = fs::remove_file(dir.join(FILE));
        let manifest = Manifest {
            schema: SCHEMA,
            afterpanic: env!("CARGO_PKG_VERSION").into(),
            verdict: Verdict::Incomplete,
            release: String::new(),
            crash_time: None,
            signature: None,
            uptime_s: None,
            files: files_of(dir)?,
            core: None,
            soft_errors: vec![
                "The capture kernel was cut off before it could finish; collected at the next boot"
                    .into(),
            ],
            steps: Vec::new(),
        };
        let mut file = directory::create_file(dir, FILE)?;
        serde_json::to_writer_pretty(&mut file, &manifest)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
    }
    directory::settle(dir, State::Incomplete)
}

/// Copies pstore's records into the newest crash's directory, those that are not there yet. The
/// records themselves stay: removing them is the administrator's or systemd-pstore's business.
///
/// # Errors
/// When the store cannot be listed.
pub fn pstore(store: &Path, records: &Path) -> io::Result<Collected> {
    let mut collected = Collected::default();
    let Ok(entries) = fs::read_dir(records) else {
        return Ok(collected);
    };
    let Some(newest) = crashes::list(store)?.pop() else {
        return Ok(collected);
    };
    let to = newest.path.join("pstore");
    for entry in entries.flatten().filter(|e| e.path().is_file()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if to.join(&name).exists() {
            continue;
        }
        match copy(&entry.path(), &to, &name) {
            Ok(()) => collected.pstore.push(to.join(&name)),
            Err(error) => collected
                .problems
                .push(format!("Cannot copy the pstore record {name}: {error}")),
        }
    }
    Ok(collected)
}

/// Directories below systemd-pstore's archive with records that it has moved there since `boot`: it
/// runs before anything may wait for a store (systemd-pstore(8): a directory for each time of a
/// crash, in newer versions with one for each record inside).
#[must_use]
pub fn archived(archive: &Path, boot: SystemTime) -> Vec<PathBuf> {
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
    let mut file = directory::create_file(to, name)?;
    io::copy(&mut fs::File::open(from)?, &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_off_gets_its_name() {
        let store = tempfile::tempdir().unwrap();
        let cut = store.path().join("n-20261121T231500Z.partial");
        fs::create_dir(&cut).unwrap();
        fs::write(cut.join("dmesg.txt"), "log").unwrap();
        fs::write(cut.join(RESERVE), "space").unwrap();
        fs::create_dir(store.path().join("n-20261121T231600Z")).unwrap();
        // Somebody may still be writing it.
        assert!(
            partials(store.path(), SystemTime::now())
                .unwrap()
                .renamed
                .is_empty()
        );
        let later = SystemTime::now() + Duration::from_secs(3600);
        let done = partials(store.path(), later).unwrap();
        assert_eq!(done.renamed.len(), 1);
        assert!(done.renamed[0].ends_with("n-20261121T231500Z.incomplete"));
        let manifest = Manifest::read(&done.renamed[0]).unwrap();
        assert_eq!(manifest.verdict, Verdict::Incomplete);
        assert_eq!(manifest.files.len(), 1);
        assert!(partials(store.path(), later).unwrap().renamed.is_empty());
    }

    #[test]
    fn pstore_records_go_to_the_newest_crash_once() {
        let store = tempfile::tempdir().unwrap();
        let records = tempfile::tempdir().unwrap();
        fs::write(records.path().join("dmesg-efi-1"), "panic").unwrap();
        assert!(
            pstore(store.path(), records.path())
                .unwrap()
                .pstore
                .is_empty()
        );
        for name in ["n-20261121T231500Z", "n-20261121T231600Z"] {
            fs::create_dir(store.path().join(name)).unwrap();
        }
        let done = pstore(store.path(), records.path()).unwrap();
        let want = store.path().join("n-20261121T231600Z/pstore/dmesg-efi-1");
        assert_eq!(done.pstore, std::slice::from_ref(&want));
        assert_eq!(fs::read(want).unwrap(), b"panic");
        assert!(
            pstore(store.path(), records.path())
                .unwrap()
                .pstore
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
        assert!(done.pstore.is_empty() && done.problems.is_empty());
        assert_eq!(pstore(store.path(), &found[1]).unwrap().pstore.len(), 1);
    }
}
