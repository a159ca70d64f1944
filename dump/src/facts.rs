//! What a crash directory's manifest says of a core: pages by kind, the filter's checks, checksums.
//!
//! Fields are only ever added; readers take what they know.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use crate::sums::Sums;

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
    /// There is no core: no capture kernel ran, and only the log was found afterwards.
    #[serde(rename = "log-only")]
    LogOnly,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Degraded => "degraded",
            Self::Incomplete => "incomplete",
            Self::LogOnly => "log-only",
        }
    }
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
    /// Offset and SHA-256 of the seek table (it holds every frame's checksum).
    #[serde(default)]
    pub table: Option<TableFacts>,
    /// Checksums of the whole file, for formats that hold none.
    #[serde(default)]
    pub sums: Option<Sums>,
    /// Pages of the crashed kernel's machine.
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

/// Pages of the crashed kernel's machine.
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

/// Bytes as hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
