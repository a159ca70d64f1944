//! `manifest.json`: what is in a crash directory, and how far it can be trusted.
//!
//! Written last but one (the rename is last), read by `list`, `status`, `verify`, rotation and the
//! loop guard. Fields are only ever added; readers take what they know.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The manifest's own name.
pub const FILE: &str = "manifest.json";
/// The crashed kernel's log.
pub const DMESG: &str = "dmesg.txt";
/// The small core.
pub const ESSENTIAL: &str = "essential.elf.zst";
/// The kinds of pages.
pub const PAGES_MAP: &str = "pages.map";
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

/// How far a dump can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All that was asked for.
    Complete,
    /// All of it, but more was kept than asked, or something on the side went wrong.
    Degraded,
    /// Pages or files are missing.
    Incomplete,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Degraded => "degraded",
            Self::Incomplete => "incomplete",
        }
    }
}

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
    pub steps: Vec<crate::protocol::Step>,
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

/// The core as it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoreFacts {
    /// Its file name.
    pub file: String,
    /// Its format's name.
    pub format: String,
    /// The level that it holds.
    pub level: String,
    /// The level that was asked for.
    pub asked: String,
    /// How far this core can be trusted.
    pub verdict: Verdict,
    /// Its length in bytes.
    pub size: u64,
    /// Where the seek table lies and its SHA-256 (it holds every frame's checksum).
    #[serde(default)]
    pub table: Option<TableFacts>,
    /// Checksums of the whole file, for formats that hold none.
    #[serde(default)]
    pub sums: Option<crate::sums::Sums>,
    /// Pages of the dead machine.
    pub pages: PageCounts,
    /// Pages of RAM by kind, and whether they are kept.
    pub kinds: BTreeMap<String, KindFacts>,
    /// Rules of the filter that were off, with the reason.
    #[serde(default)]
    pub rules_off: Vec<RuleOff>,
    /// Checks of the filter.
    #[serde(default)]
    pub checks: Vec<CheckFacts>,
    /// Pages that could not be read: the first of them, as hex page frame numbers.
    #[serde(default)]
    pub missing_first: Vec<String>,
    /// What went wrong, worst first.
    #[serde(default)]
    pub soft_errors: Vec<String>,
    /// Worker threads.
    pub threads: usize,
    /// Seconds for the classification.
    pub classify_s: f64,
    /// Seconds for reading, compressing and writing.
    pub write_s: f64,
    /// Peak of the worker's resident memory, in KiB.
    #[serde(default)]
    pub peak_rss_kib: u64,
}

/// The core's seek table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableFacts {
    /// Its offset in the file.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// Pages of the dead machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PageCounts {
    /// RAM that the source shows.
    pub ram: u64,
    /// Pages in the core.
    pub kept: u64,
    /// Kept pages that hold only zeros.
    pub zero: u64,
    /// Kept pages that could not be read.
    pub missing: u64,
}

/// Pages of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KindFacts {
    /// How many.
    pub pages: u64,
    /// Whether they are in the core.
    pub kept: bool,
}

/// A rule of the filter that was off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleOff {
    /// Its name.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// Whether more was kept because of it.
    pub degrades: bool,
}

/// A check of the filter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckFacts {
    /// Its name.
    pub name: String,
    /// Pages found.
    pub found: u64,
    /// Pages by the kernel's own account.
    pub expected: u64,
    /// `passed`, `failed`, or why it was not made.
    pub verdict: String,
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

/// Bytes as hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of a whole file in hex.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buf = vec![0; 64 << 10];
    loop {
        let n = file.read(&mut buf)?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(buf.get(..n).unwrap_or_default());
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
