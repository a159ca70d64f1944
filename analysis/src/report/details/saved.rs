//! How the core was saved, as the crash directory's manifest tells it. `collect` fills it in.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a core was saved.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// `complete`, `degraded` or `incomplete`.
    pub verdict: String,
    /// The core's file name; absent when only the log and the report arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The core's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The level that the core holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The level that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Length of the core in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Pages of the machine's memory.
    #[serde(default)]
    pub ram_pages: u64,
    /// Pages in the core.
    #[serde(default)]
    pub kept_pages: u64,
    /// Pages of the core that could not be read.
    #[serde(default)]
    pub missing_pages: u64,
    /// Pages by kind.
    #[serde(default)]
    pub kinds: BTreeMap<String, KindOfPage>,
    /// What the filter's answers were compared with.
    #[serde(default)]
    pub checks: Vec<FilterCheck>,
    /// Rules of the filter that were off: the rule and why.
    #[serde(default)]
    pub rules_off: Vec<(String, String)>,
    /// The steps of the capture kernel, in order.
    #[serde(default)]
    pub steps: Vec<SavedStep>,
    /// Seconds for telling what each page is.
    #[serde(default)]
    pub classify_s: f64,
    /// Seconds for reading, compressing and writing pages.
    #[serde(default)]
    pub write_s: f64,
}

/// Pages of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KindOfPage {
    /// How many.
    pub pages: u64,
    /// Whether they are in the core.
    pub kept: bool,
}

/// A check of the filter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FilterCheck {
    /// Its name.
    pub name: String,
    /// Pages found.
    pub found: u64,
    /// Pages by the kernel's own account.
    pub expected: u64,
    /// `passed`, `failed`, or why it was not made.
    pub verdict: String,
}

/// A step of the capture kernel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SavedStep {
    /// Its name.
    pub name: String,
    /// `done`, or how it ended.
    pub end: String,
    /// How long it took.
    pub seconds: f64,
}
