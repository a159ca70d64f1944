//! The crash directory of a test, wherever it arrived.

use super::{How, plain, said, under};
use crate::verdict::{self, Looked};
use dump::seal::{self, Identities};
use loader::state::{CrashTest, TestFound};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use store::manifest;
use store::{CrashDir, State as Stage, Store};

/// More of a log is not searched for the id.
const MAX_LOG: u64 = 64 << 20;
/// How long after a test its crash may have been saved: clocks of the capture kernel begin at the RTC.
const SOON: i64 = 900;

/// Looks for the test's crash in its own stores and in `more`; with `read_all` every checksum is compared.
pub(super) fn find(root: &Path, test: &CrashTest, more: &[PathBuf], read_all: bool) -> TestFound {
    let mut stores = test.stores.clone();
    for path in more.iter().map(|path| plain(root, path)) {
        if !stores.contains(&path) {
            stores.push(path);
        }
    }
    // A log that names the test counts more than a sealed crash of its time, wherever that is.
    let ways: [fn(&store::Crash, &CrashTest) -> bool; 2] =
        [|crash, test| names(&crash.path, &test.id), is_sealed_test];
    let all = ways
        .iter()
        .flat_map(|way| stores.iter().map(move |store| (way, store)));
    for (way, store) in all {
        let listed = Store::open(&under(root, store)).and_then(|store| store.list());
        let crashes = listed.unwrap_or_default().crashes;
        let Some(crash) = crashes.iter().rev().find(|crash| way(crash, test)) else {
            continue;
        };
        let sealed = is_sealed(&crash.path);
        let name = crash.path.file_name().unwrap_or_default();
        let dir = store.join(name);
        let mut looked = if sealed {
            verdict::arrived(&crash.path)
        } else if read_all {
            verdict::look(&crash.path, How::dies_in(&test.how), &Identities::default())
        } else {
            glance(&crash.path)
        };
        if crash.state == Stage::Partial {
            looked
                .wrong
                .push("The capture kernel was cut off before it could finish".into());
        }
        return TestFound {
            passed: looked.wrong.is_empty(),
            summary: summary(&dir, &looked, read_all && !sealed, sealed),
            dir: Some(dir),
            wrong: looked.wrong,
        };
    }
    let searched: Vec<String> = stores.iter().map(|s| s.display().to_string()).collect();
    let summary = format!("no core of it has arrived in {}", searched.join(", "));
    TestFound {
        passed: false,
        dir: None,
        wrong: vec![format!("No dmesg.txt there says \"{}\"", said(&test.id))],
        summary,
    }
}

fn names(dir: &Path, id: &str) -> bool {
    let mut log = Vec::new();
    let read = CrashDir::open(dir)
        .and_then(|dir| dir.file(manifest::DMESG))
        .and_then(|file| file.take(MAX_LOG).read_to_end(&mut log));
    let needle = said(id);
    read.is_ok() && log.windows(needle.len()).any(|w| w == needle.as_bytes())
}

/// Whether a crash directory's core is sealed.
fn is_sealed(dir: &Path) -> bool {
    store::open::core_of(dir).is_some_and(|core| seal::is_sealed(&core))
}

/// Whether a crash can only be this test's, where its log cannot be read: it is sealed, and the machine
/// died when the test was made.
fn is_sealed_test(crash: &store::Crash, test: &CrashTest) -> bool {
    let died = CrashDir::open(&crash.path)
        .and_then(|dir| dir.manifest())
        .ok()
        .and_then(|manifest| manifest.crash_time);
    let made = test.at..=test.at.saturating_add(SOON);
    let died = died.and_then(|died| i64::try_from(died).ok());
    died.is_some_and(|died| made.contains(&died)) && is_sealed(&crash.path)
}

/// What the capture kernel itself said about the crash, believed.
fn glance(dir: &Path) -> Looked {
    let mut looked = Looked::default();
    match CrashDir::open(dir).and_then(|dir| dir.manifest()) {
        Ok(manifest) => {
            if manifest.verdict == dump::facts::Verdict::Incomplete {
                looked
                    .wrong
                    .push("The capture kernel calls the dump incomplete".into());
            }
            if manifest.core.is_none() {
                looked.wrong.push("There is no core among the files".into());
            }
            looked.core = manifest.core.as_ref().map(|core| verdict::Core {
                level: core.level.clone(),
                saved: manifest.verdict.name(),
                bytes: core.size,
                pages: core.pages.kept,
            });
        }
        Err(error) => looked
            .wrong
            .push(format!("There is no readable manifest: {error}")),
    }
    let report = fs::read_to_string(dir.join(manifest::REPORT_TXT)).unwrap_or_default();
    looked.reason = verdict::reason(&report);
    looked
}

fn summary(dir: &Path, looked: &Looked, read_all: bool, sealed: bool) -> String {
    let mut text = format!("its core arrived: {}", dir.display());
    match &looked.core {
        Some(core) => {
            let checked = if read_all {
                ", every checksum right"
            } else {
                ""
            };
            let checked = match sealed {
                true => ", sealed: its files are as they were written, and were not read",
                false => checked,
            };
            let checked = if looked.wrong.is_empty() { checked } else { "" };
            text.push_str(&format!(
                ", {}, {} MiB{checked}",
                core.saved,
                core.bytes.div_ceil(1 << 20)
            ));
        }
        None => text = format!("its log arrived without a core: {}", dir.display()),
    }
    if let Some(reason) = &looked.reason {
        text.push_str(&format!("; report: {reason}"));
    }
    text
}
