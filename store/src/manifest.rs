//! `manifest.json`: what is in a crash directory, and how far it can be trusted.
//!
//! Written last but one (the rename is last), read by `list`, `status`, `verify`, rotation and the
//! loop guard. Fields are only ever added; readers take what they know.

use dump::facts::{CoreFacts, Verdict};
use dump::files::sha256_of;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The manifest's own name.
pub const FILE: &str = "manifest.json";
/// The crashed kernel's log.
pub const DMESG: &str = "dmesg.txt";
/// The small core.
pub const ESSENTIAL: &str = "essential.elf.zst";
/// The capture kernel's log and our steps.
pub const CAPTURE_LOG: &str = "capture.log";
/// The report for programs.
pub const REPORT_JSON: &str = "report.json";
/// The report for people.
pub const REPORT_TXT: &str = "report.txt";
/// The panic itself, with notifiers and dumpers.
pub const PANIC_LOG: &str = "panic.log";

/// Space kept from the first step on, so that a full disk still takes log and manifest at the end.
pub const RESERVE: &str = ".reserve";

/// The shape's version.
pub const SCHEMA: u32 = 1;

/// Files up to this size are hashed whole.
pub const SMALL: u64 = 16 << 20;

/// A crash directory's table of contents.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Who wrote it.
    pub afterpanic: String,
    /// How far it can be trusted.
    pub verdict: Verdict,
    /// The crashed kernel's `uname -r`.
    pub release: String,
    /// When it died, seconds since 1970.
    #[serde(default)]
    pub crash_time: Option<u64>,
    /// What died, in a form that is the same for the same bug; from the report.
    #[serde(default)]
    pub signature: Option<String>,
    /// The kind of death; from the report.
    #[serde(default)]
    pub class: Option<String>,
    /// Seconds from the crashed kernel's boot to its end, from its log.
    #[serde(default)]
    pub uptime_s: Option<u64>,
    /// Every file beside the manifest.
    pub files: Vec<FileFacts>,
    /// The core.
    #[serde(default)]
    pub core: Option<CoreFacts>,
    /// What went wrong without being the end.
    pub soft_errors: Vec<String>,
    /// The steps taken.
    pub steps: Vec<Step>,
}

/// What later steps need to know of the crash. It comes from the report, before the pages are
/// classified.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CrashFacts {
    /// The crashed kernel's `uname -r`.
    pub release: Option<String>,
    /// When it died, seconds since 1970.
    pub crash_time: Option<u64>,
    /// Seconds from the crashed kernel's boot to its end.
    pub uptime_s: Option<u64>,
    /// What died, in a form that is the same for the same bug.
    pub signature: Option<String>,
    /// The kind of death, as in the report: `null-deref`.
    pub class: Option<String>,
}

/// One file of a crash directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 in hex, of small files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// One step and how it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The job's name.
    pub name: String,
    /// `done`, `failed`, `killed by signal 9`, `no answer within 30 s` …
    pub end: String,
    /// Seconds.
    pub seconds: f64,
}

impl Manifest {
    /// Reads the manifest of a crash directory.
    ///
    /// # Errors
    /// When there is none or it is damaged.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let text = std::fs::read(dir.join(FILE))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// The files of a directory, by name, without the manifest.
///
/// # Errors
/// When the directory cannot be listed. A file that cannot be read has no hash.
pub fn files_of(dir: &Path) -> io::Result<Vec<FileFacts>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let meta = entry.metadata()?;
        if name == FILE || !meta.is_file() {
            continue;
        }
        let sha256 = if meta.len() <= SMALL && !name.starts_with("vmcore.") {
            sha256_of(&entry.path()).ok()
        } else {
            None
        };
        files.push(FileFacts {
            name,
            size: meta.len(),
            sha256,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_with_hashes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("dmesg.txt"), "abc").unwrap();
        std::fs::write(dir.path().join("vmcore.elf"), "abc").unwrap();
        std::fs::write(dir.path().join(FILE), "{}").unwrap();
        let files = files_of(dir.path()).unwrap();
        assert_eq!(files.len(), 2);
        // FIPS 180-2, B.1.
        assert_eq!(
            files[0].sha256.as_deref(),
            Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
        assert_eq!((files[1].size, &files[1].sha256), (3, &None));
    }
}
