//! The facts of a report, as they stand in `report.json` (docs/json.md). Every member may be absent
//! in a report of an older or younger version; addresses are hex strings.

use crate::reason::Reason;
use crate::system::System;
use serde::{Deserialize, Serialize};

/// The schema's name in JSON. Members are only ever added.
pub const SCHEMA: &str = "afterpanic.report/1";

/// What is known about a crash.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The machine and its kernel.
    pub system: System,
    /// When it died, seconds since the epoch (CRASHTIME).
    pub crash_time: Option<u64>,
    /// The same as text: `2026-11-21T23:15:00Z`.
    pub crash_time_utc: Option<String>,
    /// Seconds the machine had been up, by the clock of its log.
    pub uptime_seconds: Option<u64>,
    /// Why it died.
    pub reason: Reason,
    /// The end of the log, one line each, with the time as `[    1.234567]`.
    pub log_tail: Vec<String>,
    /// Lines in the whole log.
    pub log_lines: u64,
    /// What could not be read, and why.
    pub warnings: Vec<String>,
}
