//! The newest crash saved on this machine, and whether the machine crashes in a loop.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use store::{Store, loop_guard};

/// The newest crash directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastCrash {
    /// The directory, with the root prefix.
    pub path: PathBuf,
    /// When the machine died, UTC, `20261121T231500Z`.
    pub time: String,
    /// The manifest's verdict; `None`: it has none, so it was cut off.
    pub verdict: Option<String>,
    /// What died.
    pub signature: Option<String>,
}

/// The newest crash directory in `stores`.
#[must_use]
pub(crate) fn last(stores: &[PathBuf]) -> Option<LastCrash> {
    stores
        .iter()
        .filter_map(|path| newest(&Store::open(path).ok()?))
        .max_by(|a, b| a.time.cmp(&b.time))
}

fn newest(store: &Store) -> Option<LastCrash> {
    let crash = store.list().ok()?.crashes.pop()?;
    let manifest = store.manifest(&crash.name()).ok();
    Some(LastCrash {
        time: crash.stamp,
        verdict: manifest.as_ref().map(|m| m.verdict.name().to_owned()),
        signature: manifest.and_then(|m| m.signature),
        path: crash.path,
    })
}

/// Why the next panic would leave no core, and in which store: a target's own crashes decide for it.
/// `uptime` is the text of /proc/uptime.
#[must_use]
pub(crate) fn in_a_loop(stores: &[PathBuf], uptime: &str) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let uptime = uptime.split('.').next().and_then(|s| s.parse().ok());
    stores.iter().find_map(|path| {
        let why = loop_guard::next(&Store::open(path).ok()?, now.as_secs(), uptime)?;
        Some(format!("{why} in {}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn crash(store: &Path, stamp: &str, signature: &str, time: u64) {
        let dir = store.join(format!("web-{stamp}"));
        std::fs::create_dir_all(&dir).unwrap();
        let manifest = format!(
            r#"{{"schema":1,"afterpanic":"0","verdict":"complete","release":"6","crash_time":{time},
            "signature":"{signature}","uptime_s":9000,"files":[],"soft_errors":[],"steps":[],
            "core":{{"file":"vmcore.elf","format":"elf","level":"all","asked":"all",
            "verdict":"complete","size":1,"pages":{{"ram":1,"kept":1,"zero":0,"missing":0}},
            "kinds":{{}},"threads":1,"classify_s":0,"write_s":0}}}}"#
        );
        std::fs::write(dir.join("manifest.json"), manifest).unwrap();
    }

    #[test]
    fn the_newest_of_all_stores_is_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let stores = ["crash", "other"].map(|name| dir.path().join(name));
        assert_eq!(last(&stores), None);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        for (store, stamp) in [(1, "20260101T020000Z"), (0, "20260101T010000Z")] {
            let time = now.as_secs() - 100;
            crash(&stores[store], stamp, "bug:x:1", time);
        }
        let found = last(&stores).unwrap();
        assert_eq!(found.time, "20260101T020000Z");
        assert!(found.path.starts_with(&stores[1]));
        assert_eq!(found.verdict.as_deref(), Some("complete"));
        // A directory without a manifest was cut off.
        std::fs::create_dir(stores[0].join("web-20260102T000000Z.incomplete")).unwrap();
        assert_eq!(last(&stores).unwrap().verdict, None);
    }

    #[test]
    fn a_loop_is_one_stores_own() {
        let dir = tempfile::tempdir().unwrap();
        let stores = ["crash", "other"].map(|name| dir.path().join(name));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let time = now.as_secs() - 100;
        for (store, stamp) in [(0, "0100"), (0, "0200"), (1, "0300")] {
            crash(
                &stores[store],
                &format!("20260101T{stamp}00Z"),
                "bug:x:1",
                time,
            );
        }
        assert_eq!(in_a_loop(&stores, "9000.00 1.00"), None);
        for stamp in ["0400", "0500"] {
            crash(&stores[1], &format!("20260101T{stamp}00Z"), "bug:x:1", time);
        }
        let why = in_a_loop(&stores, "9000.00 1.00").unwrap();
        assert!(
            why.ends_with(&format!(" in {}", stores[1].display())),
            "{why}"
        );
    }
}
