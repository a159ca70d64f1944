//! The facts of a report, as `report.json` has them (docs/json.md). Every member may be absent
//! in a report of an older or younger version; addresses are hex strings.

use crate::checks::Check;
use crate::cpus::Cpu;
use crate::locks::{Blocked, Lock};
use crate::memory::Memory;
use crate::modules::Module;
use crate::mounts::Mount;
use crate::notifiers::Notifiers;
use crate::reason::{Location, Reason};
use crate::slabs::Cache;
use crate::system::System;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema's name in JSON. Members are only ever added.
pub const SCHEMA: &str = "afterpanic.report/1";

/// What a report has that is made here, and one of before that did not say.
pub(super) fn schema() -> String {
    SCHEMA.to_owned()
}

/// What is known about a crash. The members after `log_lines` are there when their section was
/// asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    #[serde(default = "schema")]
    pub schema: String,
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
    /// What the report was made from, if not from a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_from: Option<MadeFrom>,
    /// The end of the log, or what begins at the panic's first line, one line each, with the time as
    /// `[    1.234567]`.
    #[serde(default)]
    pub log_tail: Vec<String>,
    /// Lines of the log before `log_tail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_first: Option<u64>,
    /// Lines in the whole log.
    pub log_lines: u64,
    /// The stack of the CPU that panicked, unwound from memory, innermost first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Vec<Location>>,
    /// What each CPU ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Vec<Cpu>>,
    /// Tasks by state letter, threads included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<BTreeMap<char, u64>>,
    /// Tasks in D state and what they wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// The locks that tasks in D state wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<Vec<Lock>>,
    /// The machine's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The largest slab caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slabs: Option<Vec<Cache>>,
    /// The modules loaded, newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<Vec<Module>>,
    /// What was mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Vec<Mount>>,
    /// What was registered to run at a panic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifiers: Option<Notifiers>,
    /// Whether the dump hangs together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<Check>>,
    /// How many of the crashes saved beside this one, itself included, have its signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<usize>,
    /// What could not be read, and why.
    pub warnings: Vec<String>,
    /// How far the dump itself is not what was asked for; known only after it was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dump: Vec<String>,
}

/// The evidence of a report that was made without a core.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MadeFrom {
    /// The name of the text and its form.
    pub what: String,
    /// What such evidence cannot tell.
    pub cannot_tell: String,
}

impl Report {
    /// A report that holds nothing but a reason.
    pub(super) fn of(reason: Reason) -> Self {
        Self {
            schema: schema(),
            system: System::default(),
            crash_time: None,
            crash_time_utc: None,
            uptime_seconds: None,
            reason,
            made_from: None,
            log_tail: Vec::new(),
            log_first: None,
            log_lines: 0,
            stack: None,
            cpus: None,
            tasks: None,
            blocked: None,
            locks: None,
            memory: None,
            slabs: None,
            modules: None,
            mounts: None,
            notifiers: None,
            checks: None,
            seen: None,
            warnings: Vec::new(),
            dump: Vec::new(),
        }
    }
}
