//! The words of a report. All wording of the analysis stands here.

use super::words::class_words;
pub use super::words::{count, duration, size};
use super::{Report, Section, diagnosis, sections};
use crate::reason::{Class, Reason};
use std::fmt::{self, Write};
use vmcore::escape::Lines;

/// What a line begins with that says how far the dump is what was asked for.
pub const OF_THE_DUMP: &str = "the dump: ";

/// Writes the whole report as `afterpanic report` prints it.
///
/// # Errors
/// Only those of `out`.
pub fn write(report: &Report, out: &mut dyn Write) -> fmt::Result {
    write_sections(report, &Section::ALL, out)
}

/// Writes the first line, these sections as far as the report has them, and the warnings.
///
/// # Errors
/// Only those of `out`.
pub fn write_sections(report: &Report, sections: &[Section], out: &mut dyn Write) -> fmt::Result {
    let wants = |section: Section| sections.contains(&section);
    // Each call of writeln! below gives one line, whatever the dump put into it.
    let out: &mut dyn Write = &mut Lines::new(out);
    let system = &report.system;
    let name = if system.uts.nodename.is_empty() {
        "The machine"
    } else {
        &system.uts.nodename
    };
    // A machine that runs, or that a hypervisor dumped while it did.
    let lives = report.crash_time.is_none() && report.reason.message.is_none();
    let name = match &report.made_from {
        Some(_) if system.uts.nodename.is_empty() => "The machine of this log",
        _ => name,
    };
    let state = match (lives, &report.made_from) {
        (false, _) => "panicked",
        (true, None) => "has not panicked",
        (true, Some(_)) => "had no panic that the log shows",
    };
    write!(out, "{name} {state}")?;
    if let Some(time) = &report.crash_time_utc {
        write!(out, " {} UTC", time.replace('T', " ").trim_end_matches('Z'))?;
    }
    if let Some(seconds) = report.uptime_seconds {
        let when = if lives { "in" } else { "after" };
        write!(out, " {when} {} up", duration(seconds))?;
    }
    if system.uts.release.is_empty() {
        writeln!(out)?;
    } else {
        writeln!(out, "  (Linux {})", system.uts.release)?;
    }
    if let Some(made) = &report.made_from {
        writeln!(
            out,
            "  made from {}; it cannot tell {}",
            made.what, made.cannot_tell
        )?;
    }
    // One that runs on may have had an oops all the same.
    let trouble = !lives || report.reason.headline.is_some();
    if trouble && wants(Section::Reason) {
        writeln!(out, "  {}", headline(&report.reason))?;
        diagnosis::explain(&report.reason, out)?;
        write_task(&report.reason, out)?;
    }
    if trouble && (wants(Section::Reason) || wants(Section::Stacks)) {
        diagnosis::stacks(&report.reason, out)?;
        diagnosis::others(&report.reason, out)?;
    }
    if wants(Section::Reason) {
        write_end(report, trouble, out)?;
    }
    sections::write(report, out)?;
    let shown = u64::try_from(report.log_tail.len()).unwrap_or(u64::MAX);
    if shown > 0 {
        let lines = report.log_lines;
        let last = lines.saturating_sub(shown);
        match report.log_first.filter(|first| *first < last) {
            Some(first) => writeln!(
                out,
                "  lines {} to {} of the log's {lines}:",
                first.saturating_add(1),
                first.saturating_add(shown)
            )?,
            None => writeln!(out, "  the log's last {shown} of {lines} lines:")?,
        }
        for line in &report.log_tail {
            writeln!(out, "    {line}")?;
        }
    }
    for warning in &report.warnings {
        writeln!(out, "  not known: {warning}")?;
    }
    for line in &report.dump {
        writeln!(out, "  {OF_THE_DUMP}{line}")?;
    }
    Ok(())
}

/// The panic's message, the machine and the signature.
fn write_end(report: &Report, trouble: bool, out: &mut dyn Write) -> fmt::Result {
    if let Some(message) = &report.reason.message {
        writeln!(out, "  panic message: {message}")?;
    }
    write_machine(report, out)?;
    let seen = match report.seen {
        None | Some(0 | 1) => String::new(),
        Some(2) => ", seen twice here".into(),
        Some(times) => format!(", seen {times} times here"),
    };
    if trouble {
        writeln!(out, "  signature {}{seen}", report.reason.signature)?;
    }
    Ok(())
}

/// The stacks of a reason, as a report prints them.
#[must_use]
pub fn stacks(reason: &Reason) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = diagnosis::stacks(reason, &mut text);
    text
}

/// One line: what happened, and where.
#[must_use]
pub fn headline(reason: &Reason) -> String {
    let mut text = class_words(reason.class).to_string();
    let message = reason.message.as_deref().unwrap_or_default();
    text.push_str(match reason.class {
        Class::Warn if message.contains("panic_on_warn") => ", and panic_on_warn is set",
        Class::HungTask if message.contains("hung_task") => ", and hung_task_panic is set",
        _ => "",
    });
    if let Some(address) = &reason.address {
        let access = match reason.oops.access.as_deref() {
            Some("read") => "reading",
            Some("write") => "writing",
            Some("execute") => "executing",
            _ => "at",
        };
        // Writing into a String cannot fail.
        let _ = write!(text, ", {access} {address}");
    }
    if let Some(place) = &reason.culprit {
        let _ = write!(text, ", in {place}");
    }
    text
}

fn write_task(reason: &Reason, out: &mut dyn Write) -> fmt::Result {
    let oops = &reason.oops;
    let Some(comm) = &oops.comm else {
        return Ok(());
    };
    let mut text = format!("  task {comm}");
    // Writing into a String cannot fail.
    if let Some(pid) = oops.pid {
        let _ = write!(text, " ({pid})");
    }
    if let Some(cpu) = oops.cpu {
        let _ = write!(text, ", CPU {cpu}");
    }
    if let Some(tainted) = oops
        .tainted
        .as_deref()
        .filter(|text| *text != "Not tainted")
    {
        let _ = write!(text, ", tainted {tainted}");
    }
    writeln!(out, "{text}")
}

fn write_machine(report: &Report, out: &mut dyn Write) -> fmt::Result {
    let system = &report.system;
    let mut parts = Vec::new();
    if let Some(online) = system.cpus_online {
        let others = system.cpus_possible.filter(|possible| *possible != online);
        parts.push(match others {
            Some(possible) => format!("{online} of {possible} CPUs"),
            None => format!("{online} CPU{}", if online == 1 { "" } else { "s" }),
        });
    }
    if let Some(bytes) = system.memory_bytes {
        parts.push(format!("{} MiB of memory", bytes >> 20));
    }
    if let Some(hardware) = &report.reason.oops.hardware {
        parts.push(hardware.clone());
    }
    if parts.is_empty() {
        Ok(())
    } else {
        writeln!(out, "  machine: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests;
