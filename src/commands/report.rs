//! `afterpanic report`: why it died.

use super::list::signature_of;
use crate::core_arg::{self, SymbolsArg};
use crate::evidence::{self, EvidenceArg, MAX_REPORT};
use crate::exit::Exit;
use crate::output::{self, Context, Style};
use analysis::report::{self, Full, Report, Section, html, model::SCHEMA};
use anyhow::Context as _;
use dump::seal::SealError;
use std::io::Write;
use std::path::{Path, PathBuf};
use store::manifest::REPORT_JSON;
use store::{CrashDir, Manifest, Store};

/// Arguments of `report`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: EvidenceArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Print the report that the capture kernel wrote, instead of making a new one
    #[arg(long, conflicts_with_all = ["log_lines", "section"])]
    stored: bool,
    /// Print only these sections: reason, stacks, tasks, blocked, locks, memory, slabs, modules, mounts,
    /// notifiers, log, checks [default: reason stacks tasks blocked log]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = section)]
    section: Vec<Section>,
    /// Print this many lines of the log, from the panic's first line on
    #[arg(long, value_name = "N", default_value_t = 20)]
    log_lines: usize,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    /// With --json: every section, and all that the page of --html shows
    #[arg(long, requires = "json", conflicts_with_all = ["log_lines", "section"])]
    full: bool,
    /// Write the report as a page for a browser to this new file, or with `-` to stdout. CORE may then
    /// be a report.json, too. Example: afterpanic report --html crash.html last
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "log_lines", "section"])]
    html: Option<PathBuf>,
}

/// Prints the report.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.html.is_some() || args.full {
        return whole(args, context);
    }
    let (mut report, dir, incomplete) = if args.stored {
        stored(args, context)?
    } else {
        fresh(args, context)?
    };
    // A check of the filter that failed is known only after the report was made.
    let manifest = dir.as_deref().and_then(manifest_of);
    report.dump = manifest.map_or_else(Vec::new, |manifest| {
        let core = manifest.core.into_iter().flat_map(|core| core.soft_errors);
        core.chain(manifest.soft_errors).collect()
    });
    report.seen = dir.map(|dir| seen(&dir, &report.reason.signature));
    if args.json {
        output::json(SCHEMA, &report.warnings, &report)?;
    } else {
        let mut text = String::new();
        match args.section.as_slice() {
            [] => report::text::write(&report, &mut text)?,
            sections => report::text::write_sections(&report, sections, &mut text)?,
        }
        print(&report, &text)?;
    }
    Ok(exit(&report).of_incomplete(incomplete))
}

fn exit(report: &Report) -> Exit {
    match report.warnings.is_empty() && report.dump.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    }
}

fn manifest_of(dir: &Path) -> Option<Manifest> {
    CrashDir::open(dir).and_then(|dir| dir.manifest()).ok()
}

/// The report with all details, as a page or as JSON.
fn whole(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let core = args.core.core.as_deref();
    let (mut full, dir, incomplete) = if args.stored {
        let (report, dir, incomplete) = stored(args, context)?;
        let identities = context.identities()?;
        let beside = dir.as_deref();
        let beside = beside.and_then(|dir| evidence::of_directory(dir, &identities));
        (beside.unwrap_or_else(|| report.into()), dir, incomplete)
    } else {
        evidence::full(context, core, &args.symbols)?
    };
    if let Some(manifest) = dir.as_deref().and_then(manifest_of) {
        collect::page::add_manifest(&mut full, &manifest);
    }
    if let Some(dir) = dir {
        full.report.seen = Some(seen(&dir, &full.report.reason.signature));
    }
    match &args.html {
        None => output::json(SCHEMA, &full.report.warnings, &full)?,
        Some(file) => page(file, &full)?,
    }
    Ok(exit(&full.report).of_incomplete(incomplete))
}

/// Writes the page. What was there before stays as it is.
fn page(file: &Path, full: &Full) -> anyhow::Result<()> {
    let page = html::page(full);
    if file == Path::new("-") {
        let mut out = output::raw();
        out.write_all(page.as_bytes())?;
        return Ok(out.flush()?);
    }
    dump::write_new(file, |out| out.write_all(page.as_bytes()))?;
    let bytes = u64::try_from(page.len()).unwrap_or(u64::MAX);
    writeln!(
        output::stdout(),
        "{}: {}",
        file.display(),
        output::size(bytes)
    )?;
    Ok(())
}

fn print(report: &Report, text: &str) -> anyhow::Result<()> {
    let culprit = report::text::headline(&report.reason);
    let culprit = vmcore::escape::line(&culprit);
    let doubts = [report::text::OF_THE_DUMP, "not known: "];
    let mut out = output::stdout();
    for (n, line) in text.lines().enumerate() {
        let words = line.trim_start();
        let style = if n == 0 {
            Style::Heading
        } else if words == culprit {
            Style::Culprit
        } else if doubts.iter().any(|doubt| words.starts_with(doubt)) {
            Style::Warning
        } else {
            writeln!(out, "{line}")?;
            continue;
        };
        output::styled(&mut out, style, line)?;
    }
    Ok(())
}

/// How many of the crashes in the same place have this signature, the one at `dir` included.
fn seen(dir: &Path, signature: &str) -> usize {
    let listed = dir
        .parent()
        .map(|store| Store::open(store).and_then(|store| store.list()));
    let others = listed
        .and_then(Result::ok)
        .unwrap_or_default()
        .crashes
        .into_iter();
    let same = others.filter(|crash| crash.path != dir);
    let same = same.filter(|crash| signature_of(&crash.path).as_deref() == Some(signature));
    same.count() + 1
}

/// The report, its crash directory, and whether something of that was lost.
type Found = (Report, Option<PathBuf>, bool);

fn fresh(args: &Args, context: &Context) -> anyhow::Result<Found> {
    let sections = if args.section.is_empty() {
        &Section::USUAL[..]
    } else {
        &args.section
    };
    let options = report::Options {
        log_tail: args.log_lines,
        sections,
    };
    evidence::report(context, args.core.core.as_deref(), &args.symbols, options)
}

fn section(name: &str) -> Result<Section, String> {
    let known = || Section::ALL.map(Section::name).join(", ");
    Section::from_name(name).ok_or_else(|| format!("one of {}", known()))
}

fn stored(args: &Args, context: &Context) -> anyhow::Result<Found> {
    let dir = core_arg::crash_dir(context, args.core.core.as_deref())?;
    let path = dir.join(REPORT_JSON);
    let identities = context.identities()?;
    let opened = CrashDir::open(&dir).map_err(SealError::from);
    let read = opened.and_then(|crash| crash.read_sealed(REPORT_JSON, MAX_REPORT, &identities));
    let text = read.with_context(|| {
        format!(
            "Cannot read {}. Without --stored, the report is made from the core",
            path.display()
        )
    })?;
    let report = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a report", path.display()))?;
    let incomplete = core_arg::is_incomplete(&dir);
    if incomplete {
        core_arg::warn_incomplete(context, &dir);
    }
    Ok((report, Some(dir), incomplete))
}
