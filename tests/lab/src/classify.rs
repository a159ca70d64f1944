//! What it costs to tell the pages of a core apart, beside makedumpfile's "Excluding unnecessary pages",
//! in turn on the same core.
//!
//! makedumpfile prints the time of that step with `--message-level 31`; it has the ELF core in the
//! system's cache as we do, since each side reads it before.

use crate::tools;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;
use vmcore::dump::map::MapWriter;
use vmcore::kernel::Kernel;
use vmcore::mm::{Rules, walk_threads};

/// Seconds of the rounds, one by one.
#[derive(Debug, Default)]
struct Side {
    what: String,
    seconds: Vec<f64>,
}

impl Side {
    fn best(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn line(&self) -> String {
        let all: Vec<_> = self.seconds.iter().map(|s| format!("{s:.3}")).collect();
        format!(
            "{:<34} best {:.3} s of {}",
            self.what,
            self.best(),
            all.join(" ")
        )
    }
}

/// Compares on an unfiltered ELF core.
///
/// # Errors
/// A tool is missing or the core cannot be read.
pub fn compare(core: &Path, rounds: usize) -> Result<bool> {
    let side = |what: &str| Side {
        what: what.into(),
        ..Side::default()
    };
    let mut theirs = side("makedumpfile, one thread");
    let mut ours = [
        (1, false, side("ours, one thread")),
        (1, true, side("ours, one thread, pages.map")),
        (2, true, side("ours, two threads, pages.map")),
    ];
    let mut pages = 0;
    for _ in 0..rounds {
        theirs.seconds.push(makedumpfile(core)?);
        for (threads, map, side) in &mut ours {
            let (found, seconds) = walk(core, *threads, *map)?;
            pages = found;
            side.seconds.push(seconds);
        }
    }
    println!("{}: {pages} pages, {rounds} rounds in turn", core.display());
    println!("{}", theirs.line());
    let best = theirs.best();
    let mut fits = true;
    for (_, _, side) in &ours {
        let ratio = side.best() / best;
        fits &= ratio <= 1.5;
        println!("{}, {ratio:.2} of theirs", side.line());
    }
    Ok(fits)
}

/// The seconds of the one step, as it says.
fn makedumpfile(core: &Path) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let output = tools::makedumpfile()?
        .args(["-l", "-d", "31", "--message-level", "31"])
        .arg(core)
        .arg(dir.path().join("out"))
        .stdin(Stdio::null())
        .output()
        .context("makedumpfile cannot be run")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "makedumpfile: {}", output.status);
    // STEP [Excluding unnecessary pages] : 0.059 seconds; one line a cycle.
    let steps: Vec<f64> = said
        .split(['\n', '\r'])
        .filter(|line| line.contains("STEP [Excluding unnecessary pages]"))
        .filter_map(|line| line.split_whitespace().rev().nth(1)?.parse().ok())
        .collect();
    ensure!(!steps.is_empty(), "makedumpfile does not tell its time");
    Ok(steps.iter().sum())
}

/// Pages found and seconds, the core open already.
fn walk(core: &Path, threads: usize, map: bool) -> Result<(u64, f64)> {
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    let rules = Rules::of(&kernel);
    let begun = Instant::now();
    let summary = match map {
        false => walk_threads(&kernel, &rules, threads, &mut |_| Ok(()))?,
        true => {
            let mut writer = MapWriter::new(Vec::new())?;
            let summary = walk_threads(&kernel, &rules, threads, &mut |run| writer.push(run))?;
            writer.finish()?;
            summary
        }
    };
    Ok((summary.counts.total(), begun.elapsed().as_secs_f64()))
}
