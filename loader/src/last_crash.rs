//! The newest crash saved on this machine, and whether the machine crashes in a loop.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use store::{Store, loop_guard};

use crate::root;

/// Where crashes are saved unless the config says otherwise.
const STORE: &str = "/var/crash";

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

/// The newest crash directory under `root`.
#[must_use]
pub fn last(root: &Path) -> Option<LastCrash> {
    let store = Store::open(&root::under(root, STORE)).ok()?;
    let crash = store.list().ok()?.crashes.pop()?;
    let manifest = store.manifest(&crash.name()).ok();
    Some(LastCrash {
        time: crash.stamp,
        verdict: manifest.as_ref().map(|m| m.verdict.name().to_owned()),
        signature: manifest.and_then(|m| m.signature),
        path: crash.path,
    })
}

/// Why the next panic would leave no core.
#[must_use]
pub fn in_a_loop(root: &Path) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let uptime = root::text(root, "/proc/uptime").unwrap_or_default();
    let uptime = uptime.split('.').next().and_then(|s| s.parse().ok());
    let store = Store::open(&root::under(root, STORE)).ok()?;
    loop_guard::next(&store, now.as_secs(), uptime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(root: &Path, stamp: &str, signature: &str, time: u64) {
        let dir = root.join("var/crash").join(format!("web-{stamp}"));
        std::fs::create_dir_all(&dir).unwrap();
        let manifest = format!(
            r#"{{"schema":1,"afterpanic":"0","verdict":"complete","release":"6","crash_time":{time},
            "signature":"{signature}","uptime_s":9000,"files":[],"soft_errors":[],"steps":[]}}"#
        );
        std::fs::write(dir.join("manifest.json"), manifest).unwrap();
    }

    #[test]
    fn the_newest_is_the_last() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last(dir.path()), None);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        for (stamp, ago) in [("20260101T000000Z", 300), ("20260101T010000Z", 200)] {
            crash(dir.path(), stamp, "bug:x:1", now.as_secs() - ago);
        }
        crash(
            dir.path(),
            "20260101T020000Z",
            "bug:x:1",
            now.as_secs() - 100,
        );
        let found = last(dir.path()).unwrap();
        assert_eq!(found.time, "20260101T020000Z");
        assert_eq!(found.verdict.as_deref(), Some("complete"));
        // A directory without a manifest was cut off.
        std::fs::create_dir(dir.path().join("var/crash/web-20260102T000000Z.incomplete")).unwrap();
        assert_eq!(last(dir.path()).unwrap().verdict, None);
    }
}
