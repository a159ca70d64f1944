//! `afterpanic list`: the crashes saved here.

use crate::exit::Exit;
use crate::output::{self, Context};
use analysis::report::Report;
use anyhow::Context as _;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use store::manifest::{self, Manifest};
use store::names::{self as crashes, Crash};

/// Arguments of `list`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where the crash directories stand [default: /var/crash]
    #[arg(value_name = "DIR")]
    store: Option<PathBuf>,
    /// One JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    path: String,
    node: String,
    time: String,
    state: &'static str,
    /// The manifest's; a crash that was cut off has none.
    verdict: Option<&'static str>,
    signature: Option<String>,
    /// How many of these crashes have this signature.
    seen: Option<usize>,
    bytes: u64,
}

#[derive(Serialize)]
struct List {
    crashes: Vec<Row>,
}

/// Prints the crashes, oldest first.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let store = args
        .store
        .clone()
        .unwrap_or_else(|| context.path("/var/crash"));
    let crashes = match crashes::list(&store) {
        Err(error) if error.kind() == ErrorKind::NotFound && args.store.is_none() => Vec::new(),
        other => other.with_context(|| format!("Cannot list {}", store.display()))?,
    };
    let mut rows: Vec<Row> = crashes.iter().map(row).collect();
    let mut often: BTreeMap<String, usize> = BTreeMap::new();
    for signature in rows.iter().filter_map(|row| row.signature.clone()) {
        *often.entry(signature).or_default() += 1;
    }
    for row in &mut rows {
        row.seen = row.signature.as_ref().and_then(|s| often.get(s).copied());
    }
    if args.json {
        output::json("afterpanic.list/1", &[], &List { crashes: rows })?;
        return Ok(Exit::Done);
    }
    let mut out = std::io::stdout().lock();
    if rows.is_empty() {
        writeln!(out, "No crash is saved in {}.", store.display())?;
    }
    for row in &rows {
        let often = match row.seen {
            Some(times) if times > 1 => format!(" (seen {times} times)"),
            _ => String::new(),
        };
        let signature = row.signature.as_deref().unwrap_or("no report");
        let size = output::size(row.bytes);
        let (when, word) = (readable(&row.time), row.verdict.unwrap_or(row.state));
        writeln!(
            out,
            "{when}  {word:<10} {size:>8}  {signature}{often}  {}",
            row.path
        )?;
    }
    Ok(Exit::Done)
}

/// `20261121T231500Z` as `2026-11-21 23:15:00`.
fn readable(stamp: &str) -> String {
    let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
    let date = [part(0, 4), part(4, 6), part(6, 8)].join("-");
    let time = [part(9, 11), part(11, 13), part(13, 15)].join(":");
    format!("{date} {time}")
}

/// What a crash directory's report calls the crash.
pub(super) fn signature_of(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join("report.json")).ok()?;
    let report: Report = serde_json::from_str(&text).ok()?;
    Some(report.reason.signature)
}

fn row(crash: &Crash) -> Row {
    let manifest = std::fs::read_to_string(crash.path.join(manifest::FILE))
        .ok()
        .and_then(|text| serde_json::from_str::<Manifest>(&text).ok());
    Row {
        path: crash.path.display().to_string(),
        node: crash.node.clone(),
        time: crash.stamp.clone(),
        state: crash.state.name(),
        verdict: manifest.map(|manifest| manifest.verdict.name()),
        signature: signature_of(&crash.path),
        seen: None,
        bytes: size_of_dir(&crash.path),
    }
}

/// Bytes of the files that stand directly in a crash directory.
fn size_of_dir(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}
