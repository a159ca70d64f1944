//! Crash directories that the capture kernel could not finish.
//!
//! A directory that is still `.partial` was cut off: by power, a watchdog, a hang. It gets the name
//! that says so, and a manifest if it has none, so that rotation and `list` see it.

use crate::directory;
use crate::manifest::{FILE, Manifest, RESERVE, SCHEMA, files_of};
use crate::names::{self, Crash, State};
use dump::facts::Verdict;
use dump::files;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A directory that changed within this time may still be being written by hand.
const QUIET: Duration = Duration::from_secs(60);

/// What was done to a store.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Directories that were cut off, by their new names.
    pub renamed: Vec<PathBuf>,
    /// What could not be done, a sentence each.
    pub problems: Vec<String>,
}

/// Names what was cut off in `store` for what it is.
///
/// # Errors
/// When the store cannot be listed; single directories are problems.
pub fn partials(store: &Path, now: SystemTime) -> io::Result<Settled> {
    let mut settled = Settled::default();
    for crash in names::list(store)? {
        if crash.state != State::Partial || is_busy(&crash.path, now) {
            continue;
        }
        match settle(&crash) {
            Ok(path) => settled.renamed.push(path),
            Err(error) => settled
                .problems
                .push(format!("Cannot settle {}: {error}", crash.path.display())),
        }
    }
    Ok(settled)
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
            class: None,
            uptime_s: None,
            files: files_of(dir)?,
            core: None,
            soft_errors: vec![
                "The capture kernel was cut off before it could finish; collected at the next boot"
                    .into(),
            ],
            steps: Vec::new(),
        };
        let mut file = files::create_file(dir, FILE)?;
        serde_json::to_writer_pretty(&mut file, &manifest)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
    }
    directory::settle(dir, State::Incomplete)
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
}
