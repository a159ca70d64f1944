//! Room on the target: what is removed before a dump, and when a machine that dies in a loop writes
//! no more cores.
//!
//! Only directories with a manifest of ours are ever removed, oldest first, and never the only
//! complete core, nor the first with the signature of the present death: it is the one that
//! explains the others.

use crate::keep::Keep;
use crate::manifest::{CrashFacts, Manifest};
use crate::names::{self, State};
use dump::facts::Verdict;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Dumps with one signature in [`DAY`] after which only small files are written.
const LOOP_DUMPS: usize = 3;
/// The window for them, in seconds.
const DAY: u64 = 24 * 3600;
/// A death this soon after boot counts as an early one, in seconds.
const EARLY: u64 = 300;

/// An earlier crash, as far as its removal is concerned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Earlier {
    /// Its directory.
    pub path: PathBuf,
    /// Bytes that its removal gives back.
    pub bytes: u64,
    /// Whether its core is whole.
    pub whole: bool,
    /// Its signature.
    pub signature: Option<String>,
    /// When it happened, seconds since 1970.
    pub crash_time: Option<u64>,
    /// Uptime at its death.
    pub uptime_s: Option<u64>,
}

/// Crashes below `base` that have a manifest, oldest first. One that is being written, or was cut
/// off, has none and is nobody's to remove here.
///
/// # Errors
/// When the directory cannot be listed.
pub fn earlier(base: &Path) -> io::Result<Vec<Earlier>> {
    let found = names::list(base)?
        .into_iter()
        .filter(|crash| crash.state != State::Partial)
        .filter_map(|crash| {
            let manifest = Manifest::read(&crash.path).ok()?;
            let whole = manifest
                .core
                .as_ref()
                .is_some_and(|core| core.verdict != Verdict::Incomplete);
            Some(Earlier {
                bytes: manifest.files.iter().map(|file| file.size).sum(),
                path: crash.path,
                whole,
                signature: manifest.signature,
                crash_time: manifest.crash_time,
                uptime_s: manifest.uptime_s,
            })
        })
        .collect();
    Ok(found)
}

/// What must go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removals {
    /// The directories, oldest first.
    pub paths: Vec<PathBuf>,
    /// Whether the dump fits then.
    pub fits: bool,
}

/// Decides what must go so that a dump of `need` bytes fits beside what always stays free.
#[must_use]
pub fn removals(
    earlier: &[Earlier],
    this: &CrashFacts,
    keep: &Keep,
    free: u64,
    need: u64,
) -> Removals {
    let wanted = need.saturating_add(keep.free);
    if keep.dumps == 0 {
        return Removals {
            paths: Vec::new(),
            fits: free >= wanted,
        };
    }
    let whole = earlier.iter().filter(|crash| crash.whole).count();
    let first = this.signature.as_ref().and_then(|signature| {
        earlier
            .iter()
            .position(|crash| crash.signature.as_ref() == Some(signature))
    });
    let removable = |at: usize, crash: &Earlier| {
        let only = crash.whole && whole == 1;
        Some(at) != first && !only
    };
    let mut paths = Vec::new();
    let mut gone = 0_u64;
    // How many stay is a rule of its own.
    let most = usize::try_from(keep.dumps.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut surplus = earlier.len().saturating_sub(most);
    let mut whole_left = whole;
    for (at, crash) in earlier.iter().enumerate() {
        let fits = free.saturating_add(gone) >= wanted;
        if (surplus == 0 && fits) || !removable(at, crash) {
            continue;
        }
        if crash.whole {
            if whole_left == 1 {
                continue;
            }
            whole_left -= 1;
        }
        surplus = surplus.saturating_sub(1);
        gone = gone.saturating_add(crash.bytes);
        paths.push(crash.path.clone());
    }
    let fits = free.saturating_add(gone) >= wanted;
    if !fits {
        // Removing for space that is not enough anyway helps nobody; the count still holds.
        let surplus = earlier.len().saturating_sub(most);
        paths.truncate(surplus);
    }
    Removals { paths, fits }
}

/// Removes a crash directory: its files, then itself. It holds no directories but `pstore`.
///
/// # Errors
/// What the system said.
pub fn remove(dir: &Path) -> io::Result<()> {
    // The manifest goes last, so that what is left of an interrupted removal is still ours.
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != crate::manifest::FILE {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir_all(dir)
}

/// Free bytes for us on the filesystem of `path`.
///
/// # Errors
/// What the system said.
pub fn free(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// Why no core is written any more, if this machine dies in a loop.
#[must_use]
pub fn in_a_loop(earlier: &[Earlier], this: &CrashFacts) -> Option<String> {
    let recent = |crash: &&Earlier| match (crash.crash_time, this.crash_time) {
        (Some(then), Some(now)) => now.abs_diff(then) <= DAY,
        _ => false,
    };
    if let Some(signature) = &this.signature {
        let same = earlier
            .iter()
            .filter(recent)
            .filter(|crash| crash.signature.as_ref() == Some(signature))
            .count();
        if same >= LOOP_DUMPS {
            return Some(format!(
                "{same} dumps with signature {signature} within 24 hours"
            ));
        }
    }
    let early = |uptime: Option<u64>| uptime.is_some_and(|seconds| seconds < EARLY);
    let last: Vec<_> = earlier.iter().rev().take(LOOP_DUMPS).collect();
    let all_early = last.len() == LOOP_DUMPS
        && last
            .iter()
            .all(|crash| recent(crash) && early(crash.uptime_s))
        && early(this.uptime_s);
    all_early.then(|| format!("{LOOP_DUMPS} panics within {} minutes of boot", EARLY / 60))
}

/// Why the next death would write no core: as [`in_a_loop`] for one of the signatures known below
/// `base`, at `now` (seconds since 1970) on a machine that has been up for `uptime_s`.
#[must_use]
pub fn guard(base: &Path, now: u64, uptime_s: Option<u64>) -> Option<String> {
    let earlier = earlier(base).ok()?;
    let mut signatures: Vec<Option<String>> = earlier.iter().map(|e| e.signature.clone()).collect();
    signatures.sort();
    signatures.dedup();
    signatures.into_iter().find_map(|signature| {
        let crash = CrashFacts {
            signature,
            crash_time: Some(now),
            uptime_s,
            ..CrashFacts::default()
        };
        in_a_loop(&earlier, &crash)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(n: u64, whole: bool, signature: &str) -> Earlier {
        Earlier {
            path: format!("/c/{n}").into(),
            bytes: 100,
            whole,
            signature: Some(signature.into()),
            crash_time: Some(1000 + n),
            uptime_s: Some(10_000),
        }
    }

    fn present(signature: &str) -> CrashFacts {
        CrashFacts {
            signature: Some(signature.into()),
            crash_time: Some(2000),
            uptime_s: Some(10_000),
            ..CrashFacts::default()
        }
    }

    fn keep(dumps: u32, free: u64) -> Keep {
        Keep {
            dumps,
            free,
            ..Keep::default()
        }
    }

    fn gone(removals: &Removals) -> Vec<&str> {
        removals.paths.iter().map(|p| p.to_str().unwrap()).collect()
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_needed() {
        let all: Vec<_> = (0..5).map(|n| crash(n, true, "x")).collect();
        let plenty = removals(&all, &present("y"), &keep(5, 10), 1000, 50);
        assert_eq!((gone(&plenty), plenty.fits), (vec!["/c/0"], true));
        let tight = removals(&all, &present("y"), &keep(50, 10), 20, 130);
        assert_eq!((gone(&tight), tight.fits), (vec!["/c/0", "/c/1"], true));
        let none = removals(&all, &present("y"), &keep(50, 10), 60, 50);
        assert_eq!((gone(&none), none.fits), (vec![], true));
    }

    #[test]
    fn what_cannot_fit_removes_nothing_for_space() {
        let all: Vec<_> = (0..5).map(|n| crash(n, true, "x")).collect();
        let huge = removals(&all, &present("y"), &keep(50, 10), 20, 100_000);
        assert_eq!((gone(&huge), huge.fits), (vec![], false));
        let counted = removals(&all, &present("y"), &keep(4, 10), 20, 100_000);
        assert_eq!(
            (gone(&counted), counted.fits),
            (vec!["/c/0", "/c/1"], false)
        );
    }

    #[test]
    fn the_only_whole_core_and_the_first_of_its_kind_stay() {
        let all = [
            crash(0, true, "x"),
            crash(1, false, "x"),
            crash(2, false, "y"),
        ];
        let one = removals(&all, &present("z"), &keep(1, 0), 1000, 0);
        assert_eq!(gone(&one), ["/c/1", "/c/2"]);
        let all = [
            crash(0, true, "x"),
            crash(1, true, "x"),
            crash(2, true, "y"),
        ];
        let first = removals(&all, &present("x"), &keep(1, 0), 1000, 0);
        assert_eq!(gone(&first), ["/c/1", "/c/2"]);
        let last_whole = removals(&all, &present("z"), &keep(1, 0), 1000, 0);
        assert_eq!(gone(&last_whole), ["/c/0", "/c/1"]);
    }

    #[test]
    fn zero_keeps_everything() {
        let all: Vec<_> = (0..9).map(|n| crash(n, true, "x")).collect();
        let full = removals(&all, &present("y"), &keep(0, 10), 20, 130);
        assert_eq!((gone(&full), full.fits), (vec![], false));
    }

    #[test]
    fn what_lies_there_tells_whether_the_next_death_is_guarded() {
        let base = tempfile::tempdir().unwrap();
        for n in 0..3 {
            let dir = base.path().join(format!("h-2026010{n}T000000Z"));
            fs::create_dir(&dir).unwrap();
            let manifest = format!(
                r#"{{"schema": 1, "afterpanic": "x", "verdict": "complete", "release": "6",
                    "crash_time": {}, "signature": "null-deref", "uptime_s": 9000,
                    "files": [], "soft_errors": [], "steps": []}}"#,
                1_000_000 + n
            );
            fs::write(dir.join("manifest.json"), manifest).unwrap();
        }
        let why = guard(base.path(), 1_000_100, Some(9000)).unwrap();
        assert!(why.contains("3 dumps with signature null-deref"), "{why}");
        assert_eq!(guard(base.path(), 1_000_100 + 2 * DAY, Some(9000)), None);
        fs::remove_dir_all(base.path().join("h-20260100T000000Z")).unwrap();
        assert_eq!(guard(base.path(), 1_000_100, Some(9000)), None);
    }

    #[test]
    fn loops_are_noticed() {
        let all: Vec<_> = (0..3).map(|n| crash(n, true, "x")).collect();
        assert!(
            in_a_loop(&all, &present("x"))
                .unwrap()
                .contains("signature x")
        );
        assert_eq!(in_a_loop(&all, &present("y")), None);
        assert_eq!(in_a_loop(&all[..2], &present("x")), None);
        let mut later = present("x");
        later.crash_time = Some(2000 + DAY);
        assert_eq!(in_a_loop(&all, &later), None);
        let mut boots: Vec<_> = (0..3).map(|n| crash(n, true, &format!("s{n}"))).collect();
        for boot in &mut boots {
            boot.uptime_s = Some(20);
        }
        let mut now = present("t");
        assert_eq!(in_a_loop(&boots, &now), None);
        now.uptime_s = Some(299);
        assert!(in_a_loop(&boots, &now).unwrap().contains("of boot"));
    }

    #[test]
    fn only_directories_with_a_manifest_are_seen() {
        let base = tempfile::tempdir().unwrap();
        let text = r#"{"schema":1,"afterpanic":"x","verdict":"incomplete","release":"r",
            "files":[{"name":"dmesg.txt","size":5}],"soft_errors":[],"steps":[]}"#;
        for (name, manifest) in [
            ("a-20261121T231500Z", true),
            ("b-20261121T231501Z", false),
            ("c-20261121T231502Z.partial", true),
            ("d-20261121T231503Z.incomplete", true),
        ] {
            fs::create_dir(base.path().join(name)).unwrap();
            if manifest {
                fs::write(base.path().join(name).join("manifest.json"), text).unwrap();
            }
        }
        let seen = earlier(base.path()).unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].bytes, seen[0].whole), (5, false));
        assert!(seen[1].path.ends_with("d-20261121T231503Z.incomplete"));
        remove(&seen[1].path).unwrap();
        assert_eq!(earlier(base.path()).unwrap().len(), 1);
    }
}
