//! A report of a text that holds a kernel's log, without a core. Memory stays bounded whatever the
//! text's length.

use super::Options;
use super::build::stamped;
use super::model::{self, MadeFrom, Report};
use super::section::Section;
use crate::evidence::{self, Facts, Form, Line};
use crate::reason::Collector;
use crate::system::System;
use std::collections::VecDeque;
use std::io::{self, BufRead};

/// What only a core tells.
const ONLY_A_CORE: &str = "what other CPUs and tasks did, locks, memory, modules and mounts";

/// Lines of a log's tail that are kept at most.
const MOST_TAIL: usize = 10_000;

/// Builds the report of a text; `name` is what the user calls it.
///
/// # Errors
/// Those of `input`.
pub fn from_text(input: &mut dyn BufRead, name: &str, options: Options<'_>) -> io::Result<Report> {
    keeping(input, name, options, &mut |_| {})
}

/// The same; `keep_line` sees each line.
pub(super) fn keeping(
    input: &mut dyn BufRead,
    name: &str,
    options: Options<'_>,
    keep_line: &mut dyn FnMut(&Line),
) -> io::Result<Report> {
    let mut collector = Collector::new();
    let mut system = System::default();
    let mut tail: VecDeque<Line> = VecDeque::new();
    let wants_log = options.sections.contains(&Section::Log);
    let keep = if wants_log {
        options.log_tail.min(MOST_TAIL)
    } else {
        0
    };
    let facts = evidence::read(input, &mut |line| {
        read_boot(&line.text, &mut system);
        keep_line(&line);
        if keep > 0 {
            if tail.len() == keep {
                tail.pop_front();
            }
            tail.push_back(line.clone());
        }
        collector.push(line);
    })?;
    let mut reason = collector.finish();
    reason.set_apart(&facts.digest());
    if system.uts.release.is_empty() {
        system.uts.release = reason.oops.release.clone().unwrap_or_default();
    }
    let timed = facts.has_times();
    let print = |line: &Line| {
        if timed {
            stamped(line)
        } else {
            line.text.clone()
        }
    };
    Ok(Report {
        schema: model::schema(),
        system,
        uptime_seconds: facts.last_nsec.map(|nsec| nsec / 1_000_000_000),
        log_tail: tail.iter().map(print).collect(),
        log_lines: facts.lines,
        made_from: Some(MadeFrom {
            what: format!("{name}: {}", describe(&facts)),
            cannot_tell: ONLY_A_CORE.to_string(),
        }),
        ..Report::of(reason)
    })
}

/// What the first lines of a boot say of the machine (init/main.c).
fn read_boot(text: &str, system: &mut System) {
    if let Some(rest) = text.strip_prefix("Linux version ") {
        let (release, version) = rest.split_once(' ').unwrap_or((rest, ""));
        system.uts.release = release.to_string();
        system.uts.version = version
            .rsplit_once(" #")
            .map_or(String::new(), |(_, v)| format!("#{v}"));
    } else if let Some(rest) = text.strip_prefix("Kernel command line: ") {
        system.command_line = Some(rest.to_string());
    }
}

/// The form of a text in words.
fn describe(facts: &Facts) -> String {
    let form = match facts.form() {
        _ if facts.pstore => "a pstore record",
        _ if facts.drm_panic => "the text of a panic screen",
        Form::Plain => "a log without times",
        Form::Printk => "a kernel log",
        Form::Level => "a kernel log with levels",
        Form::Syslog => "a log of syslog or journald",
        Form::Extended => "a log of /dev/kmsg or netconsole",
        Form::WallClock => "the output of dmesg with times of day",
    };
    let decoded = if facts.decoded { ", decoded" } else { "" };
    format!("{form}{decoded}, {} lines", facts.lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Class;

    const LOG: &str = "\
Nov 21 23:15:00 box kernel: [    0.000000] Linux version 6.12.1-x (b@h) (gcc) #7 SMP
Nov 21 23:15:00 box kernel: [  100.000000] BUG: kernel NULL pointer dereference, address: 0000000000000018
Nov 21 23:15:00 box kernel: [  100.000001] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
Nov 21 23:15:00 box kernel: [  100.000002] CPU: 2 UID: 0 PID: 212 Comm: x Not tainted 6.12.1-x #7
Nov 21 23:15:00 box kernel: [  100.000003] RIP: 0010:acme_poll+0x41/0x50 [acme]
Nov 21 23:15:00 box kernel: [  100.000004] Call Trace:
Nov 21 23:15:00 box kernel: [  100.000005]  <TASK>
Nov 21 23:15:00 box kernel: [  100.000006]  acme_work+0x174/0x330 [acme]
Nov 21 23:15:00 box kernel: [  100.000007]  </TASK>
Nov 21 23:15:00 box kernel: [  100.000008] Kernel panic - not syncing: Fatal exception
";

    #[test]
    fn a_text_says_what_a_core_would() {
        let report = from_text(&mut LOG.as_bytes(), "log", Options::default()).unwrap();
        assert_eq!(report.reason.class, Class::NullDeref);
        assert_eq!(report.system.uts.release, "6.12.1-x");
        assert_eq!(report.uptime_seconds, Some(100));
        let mut text = String::new();
        super::super::text::write(&report, &mut text).unwrap();
        for expected in [
            "NULL pointer dereference, at 0x18, in acme_poll+0x41 [acme]",
            "made from log: a log of syslog or journald, 10 lines",
            "it cannot tell what other CPUs",
        ] {
            assert!(
                text.contains(expected),
                "{expected:?} is missing in\n{text}"
            );
        }
    }

    #[test]
    fn two_texts_that_say_nothing_have_two_signatures() {
        let sign = |text: &str| {
            let report = from_text(&mut text.as_bytes(), "log", Options::default()).unwrap();
            report.reason.signature
        };
        assert_ne!(sign("a\n"), sign("b\n"));
        assert_eq!(sign("a\n"), sign("a\n"));
    }

    #[test]
    fn a_log_cut_off_anywhere_gets_a_report() {
        for end in 0..LOG.len() {
            let report = from_text(&mut &LOG.as_bytes()[..end], "log", Options::default());
            assert!(report.is_ok(), "cut at {end}");
        }
    }
}
