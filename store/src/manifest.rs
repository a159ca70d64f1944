//! `manifest.json`: what is in a crash directory, and how far it can be trusted.
//!
//! Written last but one (the rename is last), read by `list`, `status`, `verify`, rotation and the
//! loop guard. Fields are only ever added; readers take what they know.

use dump::facts::{CoreFacts, Verdict};
use serde::{Deserialize, Serialize};

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
/// The report for a browser, made at the next boot.
pub const REPORT_HTML: &str = "report.html";
/// The panic itself, with notifiers and dumpers.
pub const PANIC_LOG: &str = "panic.log";

/// Space kept from the first step on, so that a full disk still takes log and manifest at the end.
pub const RESERVE: &str = ".reserve";

/// The shape's version.
pub const SCHEMA: u32 = 1;

/// A manifest larger than this is not ours: 65,536 checksums of pieces take 512 KiB.
pub const MAX_MANIFEST: u64 = 2 << 20;

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
    /// Every file but the manifest.
    pub files: Vec<FileFacts>,
    /// The core.
    #[serde(default)]
    pub core: Option<CoreFacts>,
    /// Of a directory that holds log and report only: the name of the crash directory that has the core, on
    /// another target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump_in: Option<String>,
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
