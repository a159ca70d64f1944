//! What the processor says of a fault, where the kernel prints its register: the exception syndrome of
//! aarch64.
//!
//! A program reads the syndromes of its own machine, and of others once it asks for all ([`read_all`]): so the
//! capture kernel holds its own alone.

mod aarch64;

use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// A syndrome in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Syndrome {
    /// The register as the kernel printed it: `0x0000000096000004`.
    pub value: String,
    /// The class of the exception: `data abort in the kernel`.
    pub class: String,
    /// What was wrong: `translation fault, level 0`; for a breakpoint what its number stands for. `None`:
    /// the class says it all, or the code is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// `read`, `write` or `execute`, of an abort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// What else the bits say: `the address register is not valid`, `cache maintenance`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Finds a syndrome in a line of a report and reads it.
type Read = fn(&str) -> Option<Syndrome>;

#[cfg(target_arch = "aarch64")]
static HOST: Option<Read> = Some(aarch64::of_line);
#[cfg(not(target_arch = "aarch64"))]
static HOST: Option<Read> = None;

static KNOWN: OnceLock<Read> = OnceLock::new();

/// From now on syndromes of every architecture are read.
pub(crate) fn read_all() {
    KNOWN.get_or_init(|| aarch64::of_line);
}

/// The syndrome in a line of a report; `None` for every other line.
pub(super) fn of_line(line: &str) -> Option<Syndrome> {
    #[cfg(test)]
    read_all();
    KNOWN.get().copied().or(HOST)?(line)
}
