//! What the checks share: what they are given, and what they return.

use std::path::Path;

use config::Config;
use initramfs::build::{BuildError, Prepared};
use serde::Serialize;

use crate::status::Status;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// Worth knowing, nothing to do.
    Note,
    /// A dump may be missing, late or less than it could be.
    Warn,
    /// The check could not be made, mostly for want of root.
    NotMade,
    /// A panic now would save nothing, or nothing would arrive.
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// How bad.
    pub level: Level,
    /// What, in a clause without a period.
    pub text: String,
    /// What to do, a command where there is one.
    pub fix: Option<String>,
}

/// What the checks are given.
pub(crate) struct Examined<'a> {
    pub(crate) root: &'a Path,
    pub(crate) config: &'a Config,
    pub(crate) status: Status,
    pub(crate) prepared: Result<Prepared, BuildError>,
    pub(crate) privileged: bool,
}

impl Examined<'_> {
    pub(super) fn release(&self) -> &str {
        self.status.running.as_deref().unwrap_or_default()
    }
}

/// A finding without a fix.
pub(super) fn finding(check: &'static str, level: Level, text: impl Into<String>) -> Finding {
    Finding {
        check,
        level,
        text: text.into(),
        fix: None,
    }
}

impl Finding {
    /// Adds the fix.
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// An error with its sources, joined for one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    out
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 10 << 30 {
        crate::refusal::mib(bytes)
    } else {
        format!("{} GiB", bytes >> 30)
    }
}
