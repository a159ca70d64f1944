//! The panic notifiers and kmsg dumpers that were registered, and whether they ran.
//!
//! Facts: kernel/panic.c (`panic`, `vpanic` since 6.17), kernel/crash_core.c, kernel/notifier.c,
//! kernel/printk/printk.c (`kmsg_dump`), 5.10 to 7.x. Nothing is attributed to a notifier because of
//! what the log says.

pub mod text;

pub use text::write_panic_log;

use crate::reason::Reason;
use crate::unwind::Unwinder;
use serde::{Deserialize, Serialize};
use vmcore::kernel::Kernel;

/// What was registered for a panic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notifiers {
    /// `crash_kexec_post_notifiers`: whether the notifiers come before the jump to the panic kernel.
    pub post_notifiers: Option<bool>,
    /// What told whether they ran, in one sentence.
    pub evidence: String,
    /// `panic_notifier_list`, in the order of calling.
    pub notifiers: Vec<Hook>,
    /// `dump_list`: the kmsg dumpers, in the order of calling, after the notifiers.
    pub dumpers: Vec<Hook>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// A callback.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// The function; its address in hex when no symbol covers it.
    pub function: String,
    /// Its address, in hex.
    pub address: String,
    /// The module it is in.
    pub module: Option<String>,
    /// The notifier's priority, highest called first. Dumpers have none.
    pub priority: Option<i32>,
    /// Whether it ran.
    pub outcome: Outcome,
    /// How that is known.
    pub evidence: String,
}

/// Whether a callback ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was called. The evidence says if it had not returned.
    Ran,
    /// It was registered and not called.
    NotReached,
    /// The dump does not tell.
    Unknown,
}

/// Reads the lists and says what ran.
#[must_use]
pub fn read(_kernel: &Kernel, _unwinder: &Unwinder<'_>, _reason: &Reason) -> Notifiers {
    Notifiers {
        post_notifiers: None,
        evidence: String::new(),
        notifiers: Vec::new(),
        dumpers: Vec::new(),
        warnings: Vec::new(),
    }
}
