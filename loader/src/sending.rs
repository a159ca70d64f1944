//! What was sent to a target with `at_boot`: the part of the state that `afterpanic collect --ship` keeps.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::Crash;

/// What was sent to one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sending {
    /// Crash directories of this machine that were begun there, by path.
    pub crashes: BTreeMap<String, Sent>,
    /// The one that arrived last.
    pub last: Option<Arrived>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
}

/// One crash directory on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its name there, without the suffix that says how far it is.
    pub name: String,
    /// Whether it is there, whole and under its final name.
    pub arrived: bool,
}

/// A crash directory that arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// Its name there.
    pub name: String,
    /// Seconds since 1970.
    pub at: i64,
}

impl Sending {
    /// Whether a crash directory of this machine arrived.
    #[must_use]
    pub fn has(&self, crash: &Crash) -> bool {
        let sent = self.crashes.get(&crash.path.display().to_string());
        sent.is_some_and(|sent| sent.arrived)
    }
}
