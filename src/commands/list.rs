//! `afterpanic list`: the crashes saved here.

use crate::core_arg::SymbolsArg;
use crate::evidence::{self, MAX_REPORT};
use crate::exit::Exit;
use crate::output::{self, Context};
use crate::saved;
use analysis::report::{self, Options, Report, Section};
use loader::shipping::Sending;
use loader::state::State;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use store::manifest::{DMESG, REPORT_JSON};
use store::{Crash, CrashDir, Foreign};

/// Arguments of `list`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The directory that holds crash directories, or a text that holds a kernel's log [default: those
    /// of the config's targets]
    #[arg(value_name = "DIR")]
    store: Option<PathBuf>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    /// Also hide the message at login until the next crash
    #[arg(long, conflicts_with = "store")]
    ack: bool,
}

#[derive(Serialize)]
struct Row {
    path: String,
    node: String,
    /// UTC; of another suite's directory the local time in its name, as digits.
    time: String,
    state: &'static str,
    /// The manifest's; a crash that was cut off has none.
    verdict: Option<&'static str>,
    signature: Option<String>,
    /// How many of these crashes have this signature.
    seen: Option<usize>,
    bytes: u64,
    /// The targets with `at_boot` where it arrived.
    sent: Vec<String>,
}

#[derive(Serialize)]
struct List {
    crashes: Vec<Row>,
}

/// Prints the crashes, oldest first.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let named = args.store.as_deref();
    if let Some(file) = named.filter(|path| *path == Path::new("-") || path.is_file()) {
        return of_text(args, file, context);
    }
    if args.ack {
        let count = collect::acknowledge(&context.root)?;
        context.hint(&match count {
            0 => "There is no message at login to hide.".to_owned(),
            1 => "1 crash is acknowledged.".to_owned(),
            n => format!("{n} crashes are acknowledged."),
        });
    }
    let saved = saved::crashes(context, args.store.as_deref())?;
    for elsewhere in &saved.elsewhere {
        context.warn(elsewhere);
    }
    // Who may not read the record sees the crashes without it.
    let sent = State::read(&context.root).unwrap_or_default().sent;
    let mut rows: Vec<Row> = saved.crashes.iter().map(|one| row(one, &sent)).collect();
    rows.extend(saved.foreign.iter().map(row_of_foreign));
    rows.sort_by_key(|row| digits(&row.time));
    let mut often: BTreeMap<String, usize> = BTreeMap::new();
    for signature in rows.iter().filter_map(|row| row.signature.clone()) {
        *often.entry(signature).or_default() += 1;
    }
    for row in &mut rows {
        row.seen = row.signature.as_ref().and_then(|s| often.get(s).copied());
    }
    if args.json {
        output::json(
            "afterpanic.list/1",
            &saved.elsewhere,
            &List { crashes: rows },
        )?;
        return Ok(Exit::Done);
    }
    let mut out = output::stdout();
    if rows.is_empty() {
        writeln!(out, "No crash is saved in {}.", saved.places)?;
    }
    for row in &rows {
        let often = match row.seen {
            Some(times) if times > 1 => format!(" (seen {times} times)"),
            _ => String::new(),
        };
        let signature = row.signature.as_deref().unwrap_or("no report");
        let size = output::size(row.bytes);
        let sent = match row.sent.is_empty() {
            true => String::new(),
            false => format!(" (also on {})", row.sent.join(", ")),
        };
        let (when, word) = (readable(&row.time), row.verdict.unwrap_or(row.state));
        writeln!(
            out,
            "{when}  {word:<10} {size:>8}  {signature}{often}  {}{sent}",
            row.path
        )?;
    }
    Ok(Exit::Done)
}

/// One row for a text.
fn of_text(args: &Args, file: &Path, context: &Context) -> anyhow::Result<Exit> {
    let options = Options {
        log_tail: 0,
        sections: &[Section::Reason],
    };
    let (report, ..) = evidence::report(context, Some(file), &SymbolsArg::default(), options)?;
    let row = Row {
        path: file.display().to_string(),
        node: report.system.uts.nodename.clone(),
        time: String::new(),
        state: "text",
        verdict: None,
        signature: Some(report.reason.signature),
        seen: Some(1),
        bytes: std::fs::metadata(file).map_or(0, |metadata| metadata.len()),
        sent: Vec::new(),
    };
    if args.json {
        output::json("afterpanic.list/1", &[], &List { crashes: vec![row] })?;
        return Ok(Exit::Done);
    }
    let signature = row.signature.as_deref().unwrap_or_default();
    let size = output::size(row.bytes);
    let mut out = output::stdout();
    writeln!(
        out,
        "{:<19}  {:<10} {size:>8}  {signature}  {}",
        "", row.state, row.path
    )?;
    Ok(Exit::Done)
}

/// `20261121T231500Z` as `2026-11-21 23:15:00`; the digits of another suite's local time the same way.
fn readable(stamp: &str) -> String {
    if !stamp.contains('T') {
        let padded = format!("{stamp:0<14}");
        let (date, time) = padded.split_at_checked(8).unwrap_or((stamp, ""));
        return readable(&format!("{date}T{time}"));
    }
    let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
    let date = [part(0, 4), part(4, 6), part(6, 8)].join("-");
    let time = [part(9, 11), part(11, 13), part(13, 15)].join(":");
    format!("{date} {time}")
}

/// A log larger than this is not read for a list.
const MAX_LOG: u64 = 64 << 20;

/// What a crash directory's report calls the crash. Where only the log is left, what that tells.
pub(super) fn signature_of(dir: &Path) -> Option<String> {
    let crash = CrashDir::open(dir).ok()?;
    let stored = crash.read(REPORT_JSON, MAX_REPORT).ok();
    let report = stored.and_then(|text| serde_json::from_slice::<Report>(&text).ok());
    let of_manifest = || crash.manifest().ok()?.signature;
    report
        .map(|report| report.reason.signature)
        .or_else(of_manifest)
        .or_else(|| of_log(&crash))
}

/// The signature that the log of a crash directory tells.
fn of_log(crash: &CrashDir) -> Option<String> {
    let text = crash.read(DMESG, MAX_LOG).ok()?;
    let options = Options {
        log_tail: 0,
        sections: &[Section::Reason],
    };
    let report = report::from_text(&mut text.as_slice(), DMESG, options).ok()?;
    (!report.reason.is_blank()).then_some(report.reason.signature)
}

/// A crash directory of another suite.
fn row_of_foreign(found: &Foreign) -> Row {
    let files = CrashDir::open(&found.path).and_then(|dir| dir.files());
    Row {
        path: found.path.display().to_string(),
        node: found.host.clone(),
        time: found.time.clone(),
        state: found.suite.name(),
        verdict: None,
        signature: None,
        seen: None,
        bytes: files
            .unwrap_or_default()
            .iter()
            .map(|(_, bytes)| bytes)
            .sum(),
        sent: Vec::new(),
    }
}

/// The digits of a time, for sorting.
fn digits(time: &str) -> String {
    time.chars().filter(char::is_ascii_digit).collect()
}

fn row(crash: &Crash, sent: &BTreeMap<String, Sending>) -> Row {
    let dir = CrashDir::open(&crash.path).ok();
    let manifest = dir.as_ref().and_then(|dir| dir.manifest().ok());
    let files = dir.and_then(|dir| dir.files().ok()).unwrap_or_default();
    Row {
        path: crash.path.display().to_string(),
        node: crash.node.clone(),
        time: crash.stamp.clone(),
        state: crash.state.name(),
        verdict: manifest.map(|manifest| manifest.verdict.name()),
        signature: signature_of(&crash.path),
        seen: None,
        bytes: files.iter().map(|(_, bytes)| bytes).sum(),
        sent: sent
            .iter()
            .filter(|(_, sending)| sending.has(crash))
            .map(|(target, _)| target.clone())
            .collect(),
    }
}
