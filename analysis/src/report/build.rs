//! Gathers a report. Nothing here fails: what cannot be read is named in the report's warnings.

use super::model::Report;
use crate::reason::{Line, Reason};
use crate::system::System;
use vmcore::kernel::{Kernel, chain};
use vmcore::printk::{self, LogError};

/// What a report should hold.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Lines of the log's end.
    pub log_tail: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { log_tail: 20 }
    }
}

/// Builds the report of a dead kernel.
#[must_use]
pub fn build(kernel: &Kernel, options: Options) -> Report {
    let mut warnings = Vec::new();
    let system = System::read(kernel, &mut warnings);
    let log = match log_lines(kernel) {
        Ok((lines, soft)) => {
            warnings.extend(soft);
            lines
        }
        Err(why) => {
            warnings.push(format!("the log: {}", chain(&why)));
            Vec::new()
        }
    };
    let reason = Reason::from_log(&log);
    let crash_time = kernel.vmcoreinfo().crashtime();
    let tail = log.len().saturating_sub(options.log_tail);
    Report {
        system,
        crash_time,
        crash_time_utc: crash_time.and_then(utc),
        uptime_seconds: log.last().map(|line| line.ts_nsec / 1_000_000_000),
        reason,
        log_tail: log
            .get(tail..)
            .unwrap_or_default()
            .iter()
            .map(stamped)
            .collect(),
        log_lines: u64::try_from(log.len()).unwrap_or(u64::MAX),
        warnings,
    }
}

/// The log as lines, oldest first, and what of it was lost.
///
/// # Errors
/// When the ring buffer cannot be found or read.
pub fn log_lines(kernel: &Kernel) -> Result<(Vec<Line>, Vec<String>), LogError> {
    let log = printk::records(kernel)?;
    let mut lines = Vec::new();
    for record in &log.records {
        for text in String::from_utf8_lossy(&record.text).lines() {
            lines.push(Line {
                ts_nsec: record.ts_nsec,
                text: text.to_string(),
            });
        }
    }
    Ok((lines, log.warnings))
}

/// `[    1.234567] text`, as the kernel's own console prints it.
fn stamped(line: &Line) -> String {
    let micros = line.ts_nsec / 1000;
    format!(
        "[{:5}.{:06}] {}",
        micros / 1_000_000,
        micros % 1_000_000,
        line.text
    )
}

/// Seconds since the epoch as `2026-11-21T23:15:00Z`.
fn utc(seconds: u64) -> Option<String> {
    let stamp = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
