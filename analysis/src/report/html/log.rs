//! The log: the part from the panic on, and all of it.

use super::out::Out;
use crate::evidence;
use crate::reason;
use crate::report::details::{Full, LogLine};
use std::borrow::Cow;

/// Whether there is a line.
pub(super) fn has(full: &Full) -> bool {
    !full.report.log_tail.is_empty() || full.details.log.as_ref().is_some_and(|log| !log.is_empty())
}

/// The lines that are known: the whole log, or what a report without it has of its end.
pub(super) fn lines(full: &Full) -> Cow<'_, [LogLine]> {
    if let Some(log) = &full.details.log {
        return Cow::Borrowed(log);
    }
    let text = full.report.log_tail.join("\n");
    let mut found = Vec::new();
    let read = evidence::read(&mut text.as_bytes(), &mut |line| found.push(line));
    // Reading out of memory cannot fail.
    let timed = read.is_ok_and(|facts| facts.has_times());
    let lines = found.into_iter().map(|line| LogLine {
        ns: timed.then_some(line.ts_nsec),
        level: line.level,
        caller: None,
        text: line.text,
    });
    Cow::Owned(lines.collect())
}

/// How bad a line is: its level, or for a log without levels what it opens.
pub(super) fn severity(line: &LogLine) -> Severity {
    if reason::opens(&line.text).is_some() {
        return Severity::Report;
    }
    match line.level {
        Some(0..=3) => Severity::Error,
        Some(4) => Severity::Warning,
        _ => Severity::Plain,
    }
}

/// How bad a line is, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Severity {
    /// Notice, information, or not known.
    Plain,
    /// KERN_WARNING.
    Warning,
    /// KERN_ERR and worse.
    Error,
    /// The first line of an oops, a panic or another report.
    Report,
}

impl Severity {
    /// Its class in the page.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "p",
            Self::Warning => "w",
            Self::Error => "e",
            Self::Report => "r",
        }
    }
}

/// `20.847431` of nanoseconds.
pub(super) fn stamp(ns: u64) -> String {
    let micros = ns / 1000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The part from the panic on, and the whole log folded.
pub(super) fn write(full: &Full, out: &mut Out) {
    let report = &full.report;
    if !report.log_tail.is_empty() {
        let shown = report.log_tail.len();
        out.raw("<p>")
            .text(shown)
            .raw(" of ")
            .text(report.log_lines)
            .raw(" lines");
        if let Some(first) = report.log_first {
            out.raw(", from line ")
                .text(first.saturating_add(1))
                .raw(" on");
        }
        out.raw(":</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"The log from the panic on\"><pre>");
        for line in &report.log_tail {
            out.text(line).raw("\n");
        }
        out.raw("</pre></div>\n");
    }
    let Some(log) = full.details.log.as_ref().filter(|log| !log.is_empty()) else {
        return;
    };
    let count = u64::try_from(log.len()).unwrap_or(u64::MAX);
    let before = report.log_lines.saturating_sub(count);
    out.raw("<details class=\"all\"><summary>");
    out.raw(if before == 0 {
        "The whole log"
    } else {
        "The end of the log"
    });
    out.element("span class=\"count\"", count)
        .raw("</summary>\n");
    out.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"The log\">");
    out.raw("<ol class=\"log\"")
        .attr("start", before.saturating_add(1))
        .raw(">\n");
    for line in log {
        out.raw("<li class=\"")
            .raw(severity(line).class())
            .raw("\">");
        if let Some(ns) = line.ns {
            out.element("i", stamp(ns)).raw(" ");
        }
        if let Some(caller) = &line.caller {
            out.element("s", caller).raw(" ");
        }
        out.text(&line.text).raw("</li>\n");
    }
    out.raw("</ol></div>\n</details>\n");
}
