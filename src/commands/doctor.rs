//! `afterpanic doctor`: what would keep a dump from happening or arriving, and each fix.

use crate::exit::Exit;
use crate::output::{self, Context};
use initramfs::binary;
use loader::bootloader::BootLoader;
use loader::doctor::{Level, Report, examine};
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `doctor`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

/// Looks, changes nothing. 3: a panic now would save nothing; 4: warnings, or checks not made.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let config = context.load_config()?;
    let installed = || PathBuf::from("/usr/lib/afterpanic/afterpanic-capture");
    let capture = binary::find().unwrap_or_else(|_| installed());
    let report = examine(&context.root, &config, capture);
    if args.json {
        output::json("afterpanic.doctor/1", &[], &report)?;
    } else {
        print(&report)?;
    }
    let any = |level| report.count(level) > 0;
    Ok(if any(Level::Fail) {
        Exit::No
    } else if any(Level::Warn) || any(Level::NotMade) {
        Exit::Degraded
    } else {
        Exit::Done
    })
}

fn boot_loader(which: BootLoader) -> String {
    match which.name() {
        "" => String::new(),
        name => format!(", {name}"),
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let machine = &report.machine;
    let cpus = if machine.cpus == 1 { "CPU" } else { "CPUs" };
    writeln!(
        out,
        "{}: Linux {}, {} {cpus}, {}{}, {}",
        machine.hostname,
        machine.release,
        machine.cpus,
        output::size(machine.ram),
        boot_loader(report.boot_loader),
        machine.platform
    )?;
    for finding in &report.findings {
        let word = match finding.level {
            Level::Ok => "ok",
            Level::Note => "--",
            Level::Warn => "warn",
            Level::NotMade => "??",
            Level::Fail => "FAIL",
        };
        writeln!(out, "  {word:<5} {:<9} {}", finding.check, finding.text)?;
        if let Some(fix) = &finding.fix {
            writeln!(out, "                  fix: {fix}")?;
        }
    }
    writeln!(out, "{}", verdict(report))?;
    if let Some(next) = &report.next {
        writeln!(out, "Next: {next}")?;
    }
    Ok(())
}

fn verdict(report: &Report) -> String {
    let counted = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let counts: Vec<String> = [
        counted(report.count(Level::Fail), "problem"),
        counted(report.count(Level::Warn), "warning"),
        counted(report.count(Level::NotMade), "check").map(|c| c + " not made"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let end = if report.count(Level::Fail) > 0 {
        "a panic now would save nothing"
    } else if report.armed {
        "a panic now would be saved, as far as can be seen from here"
    } else {
        "nothing is loaded yet"
    };
    if counts.is_empty() {
        format!("No problem: {end}.")
    } else {
        format!("{}: {end}.", counts.join(", "))
    }
}
