//! `panic.log`: the panic itself in one file, for people.

use super::{Hook, Notifiers, Outcome};
use crate::evidence::{Line, Log};
use crate::reason::{Reason, class};
use std::io::{self, Write};
use vmcore::escape::Printer;

/// Writes panic.log: the message, the oops block, what was registered for a panic with what is known
/// of each, and the log after the panic message as one block.
///
/// # Errors
/// When `out` does not take it.
pub fn write_panic_log(
    out: &mut dyn Write,
    reason: &Reason,
    log: &Log,
    notifiers: &Notifiers,
) -> io::Result<()> {
    // Each call of writeln! below gives one line, whatever the dump put into it.
    let mut out = Printer::new(out);
    let out: &mut dyn Write = &mut out;
    match &reason.message {
        Some(message) => writeln!(out, "Kernel panic: {message}")?,
        None => writeln!(out, "No panic message is in the log.")?,
    }
    let panics = |line: &Line| class::panic_message(&line.text).is_some();
    let panic_at = log.tail.iter().rposition(panics);
    let first = reason.first_line.saturating_sub(log.skipped);
    let before = log
        .tail
        .get(first..panic_at.unwrap_or(log.tail.len()))
        .unwrap_or_default();
    if !before.is_empty() {
        writeln!(out)?;
        writeln!(out, "== What led to it, as the kernel reported it")?;
        lines(out, before)?;
    }

    writeln!(out)?;
    writeln!(out, "== Registered for a panic")?;
    let flag = match notifiers.post_notifiers {
        Some(true) => "on",
        Some(false) => "off",
        None => "not known",
    };
    writeln!(out, "crash_kexec_post_notifiers: {flag}")?;
    writeln!(out, "{}.", notifiers.evidence)?;
    hooks(out, "panic notifiers", &notifiers.notifiers)?;
    hooks(out, "kmsg dumpers", &notifiers.dumpers)?;
    for warning in &notifiers.warnings {
        writeln!(out, "warning: {warning}")?;
    }

    if let Some(at) = panic_at {
        writeln!(out)?;
        writeln!(out, "== The log from the panic message on")?;
        lines(out, log.tail.get(at..).unwrap_or_default())?;
    }
    Ok(())
}

fn lines(out: &mut dyn Write, lines: &[Line]) -> io::Result<()> {
    for line in lines {
        let micros = line.ts_nsec / 1000;
        let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
        writeln!(out, "[{whole:5}.{part:06}] {}", line.text)?;
    }
    Ok(())
}

fn hooks(out: &mut dyn Write, what: &str, hooks: &[Hook]) -> io::Result<()> {
    if hooks.is_empty() {
        writeln!(out)?;
        return writeln!(out, "{what}: none");
    }
    writeln!(out)?;
    writeln!(out, "{what}, in the order of calling:")?;
    let name = |hook: &Hook| match &hook.module {
        Some(module) => format!("{} [{module}]", hook.function),
        None => hook.function.clone(),
    };
    let width = hooks.iter().map(|hook| name(hook).len()).max().unwrap_or(0);
    let same = hooks.iter().all(|hook| {
        hooks
            .first()
            .is_some_and(|first| first.evidence == hook.evidence)
    });
    for hook in hooks {
        let outcome = match hook.outcome {
            Outcome::Ran => "ran",
            Outcome::NotReached => "not reached",
            Outcome::Unknown => "unknown",
        };
        let priority = hook
            .priority
            .map(|priority| format!("{priority:>11}  "))
            .unwrap_or_else(|| " ".repeat(2));
        let evidence = match same {
            true => String::new(),
            false => format!(": {}", hook.evidence),
        };
        writeln!(out, "{priority}{:width$}  {outcome}{evidence}", name(hook))?;
    }
    if same && let Some(first) = hooks.first() {
        writeln!(out, "  ({})", first.evidence)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::Hex;

    #[test]
    fn the_log_is_one_block_and_each_hook_has_a_line() {
        let log: Vec<Line> = [
            "sysrq: Trigger a crash",
            "Kernel panic - not syncing: sysrq triggered crash",
            "CPU: 1 PID: 1 Comm: init",
        ]
        .iter()
        .map(|text| Line {
            ts_nsec: 1_500_000_000,
            text: (*text).to_string(),
            ..Line::default()
        })
        .collect();
        let hook = |function: &str, outcome, evidence: &str| Hook {
            function: function.into(),
            address: Hex(1),
            module: Some("m".into()),
            priority: Some(-7),
            outcome,
            evidence: evidence.into(),
        };
        let notifiers = Notifiers {
            post_notifiers: Some(true),
            evidence: "Told by a test".into(),
            notifiers: vec![
                hook("one", Outcome::Ran, "first"),
                hook("two", Outcome::NotReached, "second"),
            ],
            dumpers: Vec::new(),
            warnings: Vec::new(),
        };
        let mut out = Vec::new();
        let log = Log::of(log);
        write_panic_log(&mut out, &log.reason, &log, &notifiers).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("Kernel panic: sysrq triggered crash\n"),
            "{text}"
        );
        assert!(
            text.contains("         -7  one [m]  ran: first\n"),
            "{text}"
        );
        assert!(text.contains("two [m]  not reached: second\n"), "{text}");
        assert!(text.contains("kmsg dumpers: none\n"), "{text}");
        let tail = "[    1.500000] Kernel panic - not syncing: sysrq triggered crash\n\
                    [    1.500000] CPU: 1 PID: 1 Comm: init\n";
        assert!(text.ends_with(tail), "{text}");
    }
}
