//! `afterpanic report`: why it died.

use super::CoreArg;
use crate::core_arg;
use crate::exit::Exit;
use crate::output::{self, Context};
use analysis::report::{self, Report, Section, model::SCHEMA};
use anyhow::Context as _;
use capture::manifest::Manifest;
use std::io::Write;

/// Arguments of `report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    core: CoreArg,
    /// Show what the panic kernel wrote instead of computing it afresh
    #[arg(long)]
    stored: bool,
    /// Only these parts: reason, stacks, tasks, blocked, memory, slabs, modules, mounts,
    /// notifiers, log [default: reason stacks tasks blocked log]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = section)]
    section: Vec<Section>,
    /// Lines of the log's end
    #[arg(long, value_name = "N", default_value_t = 20)]
    log_lines: usize,
    /// One JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

/// Prints the report.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let report = if args.stored {
        stored(args, context)?
    } else {
        fresh(args, context)?
    };
    if args.json {
        output::json(SCHEMA, &report.warnings, &report)?;
    } else {
        let mut text = String::new();
        report::text::write(&report, &mut text)?;
        std::io::stdout().lock().write_all(text.as_bytes())?;
    }
    Ok(if report.warnings.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    })
}

fn fresh(args: &Args, context: &Context) -> anyhow::Result<Report> {
    let (found, kernel) = core_arg::kernel(context, args.core.core.as_deref())?;
    let sections = if args.section.is_empty() {
        &Section::USUAL[..]
    } else {
        &args.section
    };
    let mut report = report::build(
        &kernel,
        report::Options {
            log_tail: args.log_lines,
            sections,
        },
    );
    // What the panic kernel could not do as asked: a check of the filter that failed is among it.
    let manifest = found.dir.and_then(|dir| Manifest::read(&dir).ok());
    if let Some(core) = manifest.and_then(|manifest| manifest.core) {
        report.warnings.extend(core.soft_errors);
    }
    Ok(report)
}

fn section(name: &str) -> Result<Section, String> {
    let known = || Section::ALL.map(Section::name).join(", ");
    Section::from_name(name).ok_or_else(|| format!("one of {}", known()))
}

fn stored(args: &Args, context: &Context) -> anyhow::Result<Report> {
    let dir = core_arg::crash_dir(context, args.core.core.as_deref())?;
    let path = dir.join("report.json");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "Cannot read {}; without --stored the core is asked",
            path.display()
        )
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))
}
