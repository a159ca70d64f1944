//! The last step on a target: writes the log and the manifest, then gives the crash directory its final
//! name.

use super::raw;
use crate::protocol::{self, Event, Facts, say};
use crate::screen::PREFIX;
use dump::Level;
use dump::facts::Verdict;
use dump::files::core_name;
use dump::seal::Sealer;
use dump::settings::ManifestWords;
use nix::fcntl::OFlag;
use plan::Plan;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use store::manifest::{
    CAPTURE_LOG, CrashFacts, DMESG, ESSENTIAL, Manifest, REPORT_TXT, RESERVE, SCHEMA,
};
use store::{State, Store};
use vmcore::write::OutputFormat;

/// Most bytes of the capture kernel's log.
const LOG_MAX: usize = 4 << 20;

pub(super) fn run(plan: &Plan, dir: &Path, facts: &Facts) -> Result<(), String> {
    // Room for what follows, kept since the first step.
    let _ = fs::remove_file(dir.join(RESERVE));
    let sealer = plan.dump.sealer();
    let verdict = judge(plan, &sealer, dir, facts);
    if verdict == Verdict::Complete && !plan.dump.keep_essential && facts.core.is_some() {
        raw::remove(dir, &sealer.core_name(ESSENTIAL));
    }
    // A sealed file takes nothing more: there the manifest alone says it.
    if !sealer.covers_logs()
        && let Err(error) = add_to_report(dir, facts)
    {
        protocol::soft(format!("Cannot add to {REPORT_TXT}: {error}"));
    }
    if let Err(error) = write_log(dir, &sealer, facts) {
        protocol::soft(format!("Cannot write {CAPTURE_LOG}: {error}"));
    }
    let settled = settle(plan, dir, facts, verdict)
        .map_err(|error| format!("Cannot finish {}: {error}", dir.display()))?;
    raw::append(&settled)?;
    raw::name(&settled)?;
    say(&Event::Directory(settled.to_string_lossy().into_owned()));
    say(&Event::Verdict(verdict));
    protocol::log(format!("{}: {}", settled.display(), verdict.name()));
    Ok(())
}

/// Writes the manifest and gives the directory the name that says how it ended.
fn settle(plan: &Plan, dir: &Path, facts: &Facts, verdict: Verdict) -> io::Result<PathBuf> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let store = Store::open(dir.parent().unwrap_or(Path::new("/")))?;
    if facts
        .core
        .as_ref()
        .is_none_or(|core| core.verdict == Verdict::Incomplete)
    {
        give_back(&store, &plan.dump.sealer(), &name);
    }
    store.write_manifest(&name, &manifest(plan, &store, &name, facts, verdict)?)?;
    let state = match verdict {
        Verdict::Complete | Verdict::Degraded => State::Done,
        Verdict::Incomplete | Verdict::LogOnly => State::Incomplete,
    };
    Ok(store.path_of(&store.settle(&name, state)?))
}

/// Gives back the space reserved for the rest of a core that was cut off.
fn give_back(store: &Store, sealer: &Sealer, name: &str) {
    for format in OutputFormat::ALL {
        // A failure costs space only.
        let core = sealer.core_name(core_name(format));
        let _ = store.place().trim(name, &core);
    }
}

fn judge(plan: &Plan, sealer: &Sealer, dir: &Path, facts: &Facts) -> Verdict {
    let wants_core = plan.dump.format.is_some() && plan.dump.level != Level::Essential;
    let core = match &facts.core {
        // All of what goes here; and no better than the dump itself.
        _ if facts.report_only => match &facts.dump {
            Some(dump) if facts.report => dump.verdict,
            _ => Verdict::Incomplete,
        },
        Some(core) => core.verdict,
        None if wants_core && !(facts.skipped.is_some() && facts.essential) => Verdict::Incomplete,
        None => Verdict::Complete,
    };
    let log = if dir.join(sealer.log_name(DMESG)).is_file() {
        Verdict::Complete
    } else {
        Verdict::Incomplete
    };
    let soft = if facts.soft_errors.is_empty() {
        Verdict::Complete
    } else {
        Verdict::Degraded
    };
    core.max(log).max(soft)
}

fn manifest(
    plan: &Plan,
    store: &Store,
    name: &str,
    facts: &Facts,
    verdict: Verdict,
) -> io::Result<Manifest> {
    let minimal = !plan.dump.recipients.is_empty() && plan.dump.manifest == ManifestWords::Minimal;
    let crash = match minimal {
        true => CrashFacts {
            crash_time: facts.crash.crash_time,
            release: Some(String::new()),
            ..CrashFacts::default()
        },
        false => facts.crash.clone(),
    };
    let mut files = store.files(name)?;
    raw::add_files(&store.path_of(name), &mut files);
    Ok(Manifest {
        schema: SCHEMA,
        afterpanic: env!("CARGO_PKG_VERSION").into(),
        verdict,
        release: crash.release.unwrap_or_else(|| plan.kernel.release.clone()),
        crash_time: crash.crash_time,
        signature: crash.signature,
        class: crash.class,
        uptime_s: crash.uptime_s,
        files,
        core: facts.core.clone(),
        dump_in: facts
            .dump
            .as_ref()
            .filter(|_| facts.report_only)
            .map(|dump| dump.name.clone()),
        soft_errors: facts.soft_errors.clone(),
        steps: facts.steps.clone(),
    })
}

/// Adds the soft errors of the core to the report, which was made before.
fn add_to_report(dir: &Path, facts: &Facts) -> io::Result<()> {
    let core = facts.core.iter().flat_map(|core| &core.soft_errors);
    let lines: Vec<&String> = core.chain(&facts.soft_errors).collect();
    let path = dir.join(REPORT_TXT);
    if lines.is_empty() || !path.is_file() {
        return Ok(());
    }
    let mut file = OpenOptions::new()
        .append(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    for line in lines {
        let line = vmcore::escape::line(line);
        writeln!(file, "  {}{line}", analysis::report::text::OF_THE_DUMP)?;
    }
    file.sync_all()
}

/// The capture kernel's own log with our lines in it; those of our lines that did not reach it follow.
fn write_log(dir: &Path, sealer: &Sealer, facts: &Facts) -> io::Result<()> {
    let _ = fs::remove_file(dir.join(sealer.log_name(CAPTURE_LOG)));
    let mut out = sealer.create(dir, CAPTURE_LOG)?;
    let capture_kernel = std::os::unix::process::parent_id() == 1;
    let last = if capture_kernel {
        copy_kmsg(&mut out)?
    } else {
        None
    };
    for line in after(&facts.log, last.as_deref()) {
        writeln!(out, "{line}")?;
    }
    out.close()
}

/// The lines of a log after the last line that ends with `text`, or all lines when no line does.
fn after<'a>(log: &'a [String], text: Option<&str>) -> &'a [String] {
    let last = text.and_then(|text| log.iter().rposition(|line| line.ends_with(text)));
    let from = last.map_or(0, |at| at.saturating_add(1));
    log.get(from..).unwrap_or_default()
}

/// Copies the kernel log; answers our last line in it.
fn copy_kmsg(out: &mut dyn Write) -> io::Result<Option<String>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open("/dev/kmsg");
    let Ok(mut kmsg) = opened else {
        return Ok(None);
    };
    let (mut last, mut written) = (None, 0);
    let mut record = vec![0_u8; 8192];
    while written < LOG_MAX {
        match next_record(&mut kmsg, &mut record) {
            None => break,
            Some(text) => {
                out.write_all(text.as_bytes())?;
                written += text.len();
                if let Some((_, ours)) = text.trim_end().split_once(PREFIX) {
                    last = Some(ours.to_owned());
                }
            }
        }
    }
    Ok(last)
}

/// One record of /dev/kmsg as dmesg prints it: `prio,seq,usec,flags;text` (Documentation/ABI/testing/
/// dev-kmsg).
fn next_record(kmsg: &mut File, buf: &mut [u8]) -> Option<String> {
    for _ in 0..16 {
        match kmsg.read(buf) {
            Ok(0) => return None,
            Ok(n) => {
                let record = String::from_utf8_lossy(buf.get(..n)?).into_owned();
                return Some(formatted(&record));
            }
            // The record was overwritten. The next read goes on with the oldest one.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => return None,
        }
    }
    None
}

fn formatted(record: &str) -> String {
    let (head, text) = record.split_once(';').unwrap_or(("", record));
    let usec: u64 = head
        .split(',')
        .nth(2)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0);
    // Lines after the first that begin with a blank are the record's dictionary.
    let text = text.lines().next().unwrap_or_default();
    format!("[{:5}.{:06}] {text}\n", usec / 1_000_000, usec % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_records_read_like_dmesg() {
        let record = "6,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n";
        assert_eq!(formatted(record), "[    5.140900] NET: Registered\n");
    }

    #[test]
    fn lines_that_the_kernel_log_lacks_are_added() {
        let log = ["[ 0.1] one", "[ 0.2] two", "[ 0.3] three"].map(str::to_owned);
        assert_eq!(after(&log, None), log);
        assert_eq!(after(&log, Some("none of ours")), log);
        assert_eq!(after(&log, Some("two")), ["[ 0.3] three"]);
        assert!(after(&log, Some("three")).is_empty());
    }
}
