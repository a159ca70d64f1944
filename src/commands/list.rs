//! `afterpanic list`: the crashes saved here.

use crate::exit::Exit;
use crate::output::{self, Context};
use analysis::report::Report;
use anyhow::Context as _;
use capture::crashes::{self, Crash};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

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
    signature: Option<String>,
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
    let rows: Vec<Row> = crashes.iter().map(row).collect();
    if args.json {
        output::json("afterpanic.list/1", &[], &List { crashes: rows })?;
        return Ok(Exit::Done);
    }
    let mut out = std::io::stdout().lock();
    if rows.is_empty() {
        writeln!(out, "No crash is saved in {}.", store.display())?;
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        let often = row.signature.as_deref().map_or(0, |signature| {
            let count = seen.entry(signature).or_default();
            *count += 1;
            *count
        });
        let often = if often > 1 {
            format!(" (seen {often} times)")
        } else {
            String::new()
        };
        let signature = row.signature.as_deref().unwrap_or("no report");
        let size = output::size(row.bytes);
        writeln!(
            out,
            "{}  {:<10} {size:>8}  {signature}{often}",
            row.path, row.state
        )?;
    }
    Ok(Exit::Done)
}

fn row(crash: &Crash) -> Row {
    let report = std::fs::read_to_string(crash.path.join("report.json"))
        .ok()
        .and_then(|text| serde_json::from_str::<Report>(&text).ok());
    Row {
        path: crash.path.display().to_string(),
        node: crash.node.clone(),
        time: crash.stamp.clone(),
        state: crash.state.name(),
        signature: report.map(|report| report.reason.signature),
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
