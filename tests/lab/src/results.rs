//! What came of the scenarios when they last ran: docs/support/results.json.
//!
//! A result says what is true on every machine: the commit, the day, the kernel's release, and
//! which checks held. How long it took and how large the core was is not in it.

use crate::table::Row;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCHEMA: &str = "afterpanic.support/1";

/// The results by name: a scenario's, `server/KIND`, `reboot/MACHINE` or `cores/MACHINE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    schema: String,
    /// The last result of each.
    pub results: BTreeMap<String, Outcome>,
}

/// The last result of one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The commit that was tested; with a `+` behind it there were changes on top.
    pub commit: String,
    /// The day, UTC, as 2026-01-31.
    pub date: String,
    /// The release of the kernel that crashed; empty where there are several.
    pub kernel: String,
    /// Whether everything held.
    pub passed: bool,
    /// How many checks were made.
    pub checks: usize,
    /// Those that did not hold.
    pub failed: Vec<String>,
}

/// What is tested: a commit on a day.
#[derive(Debug, Clone)]
pub struct Stamp {
    commit: String,
    date: String,
}

impl Stamp {
    /// The commit of this workspace, and today.
    ///
    /// # Errors
    /// git cannot be asked.
    pub fn now() -> Result<Self> {
        let mut commit = git(&["rev-parse", "--short=10", "HEAD"])?;
        // The results themselves change while shards run one after the other.
        if !git(&["status", "--porcelain", "--", ".", ":!docs/support"])?.is_empty() {
            commit.push('+');
        }
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        Ok(Self { commit, date })
    }

    /// The day and the commit.
    #[must_use]
    pub fn into_parts(self) -> (String, String) {
        (self.date, self.commit)
    }
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(crate::root())
        .args(arguments)
        .output()
        .context("Cannot run git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// One result to record.
#[derive(Debug)]
pub struct Entry {
    /// The name, see [`Results`].
    pub name: String,
    /// The kernel's release; empty where there are several.
    pub kernel: String,
    /// How many checks were made.
    pub checks: usize,
    /// Those that did not hold.
    pub failed: Vec<String>,
}

impl From<&Row> for Entry {
    fn from(row: &Row) -> Self {
        let wrong = row.checks.iter().filter(|check| !check.holds());
        Entry {
            name: row.name.clone(),
            kernel: row.kernel.clone(),
            checks: row.checks.len(),
            failed: wrong.map(|check| check.what.clone()).collect(),
        }
    }
}

impl Default for Results {
    fn default() -> Self {
        Self {
            schema: SCHEMA.into(),
            results: BTreeMap::new(),
        }
    }
}

impl Results {
    /// Where they are kept.
    #[must_use]
    pub fn path() -> PathBuf {
        crate::root().join("docs/support/results.json")
    }

    /// Reads them.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("Cannot read {}", path.display()))?;
        let read: Self = serde_json::from_str(&text)
            .with_context(|| format!("Cannot parse {}", path.display()))?;
        if read.schema != SCHEMA {
            bail!(
                "{} has schema {}, not {SCHEMA}",
                path.display(),
                read.schema
            );
        }
        Ok(read)
    }

    /// Writes them in place of what was there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("Cannot write {}", path.display()))
    }

    /// Takes a result in, in place of the last one of that name.
    pub fn put(&mut self, entry: &Entry, stamp: &Stamp) {
        let outcome = Outcome {
            commit: stamp.commit.clone(),
            date: stamp.date.clone(),
            kernel: entry.kernel.clone(),
            passed: entry.failed.is_empty(),
            checks: entry.checks,
            failed: entry.failed.clone(),
        };
        self.results.insert(entry.name.clone(), outcome);
    }
}

/// Takes results into the file at once, so that a run that is broken off has recorded what it did.
///
/// # Errors
/// The file cannot be read or written.
pub fn record(path: &Path, entries: &[Entry], stamp: &Stamp) -> Result<()> {
    let mut results = Results::read(path)?;
    for entry in entries {
        results.put(entry, stamp);
    }
    results.write(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_result_is_kept_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        Results::default().write(&path).unwrap();
        let entry = |name: &str, failed: &[&str]| Entry {
            name: name.into(),
            kernel: "6.12.1".into(),
            checks: 3,
            failed: failed.iter().map(|one| (*one).to_owned()).collect(),
        };
        let stamp = |date: &str| Stamp {
            commit: "0123456789".into(),
            date: date.into(),
        };
        let first = [entry("a", &[]), entry("b", &[])];
        record(&path, &first, &stamp("2026-01-01")).unwrap();
        record(&path, &[entry("b", &["verify"])], &stamp("2026-01-02")).unwrap();
        let read = Results::read(&path).unwrap();
        assert_eq!(read.results.len(), 2);
        let (a, b) = (&read.results["a"], &read.results["b"]);
        assert!(a.passed && a.date == "2026-01-01");
        assert!(!b.passed && b.date == "2026-01-02" && b.failed == ["verify"]);
    }

    #[test]
    fn another_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        fs::write(&path, r#"{"schema": "other/1", "results": {}}"#).unwrap();
        assert!(Results::read(&path).is_err());
        assert!(Results::read(&dir.path().join("none")).is_err());
    }
}
