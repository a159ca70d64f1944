//! `cargo xtask test`: everything that must hold, one after the other, and a sum at the end.
//!
//! A step that fails does not keep the next from running. What is listed and did not run counts as
//! failed; what is not listed is named. The full set comes in shards, see [`crate::shards`].

use crate::fleet;
use crate::install;
use crate::run::{cargo, root};
use crate::shards::{self, Shard};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// How many things held and how many did not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    /// Marked `#[ignore]` because they take minutes; named at the end.
    left_out: u64,
}

impl Count {
    fn of(good: bool) -> Self {
        Count {
            passed: u64::from(good),
            failed: u64::from(!good),
            left_out: 0,
        }
    }

    fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.left_out += other.left_out;
    }
}

/// How much is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What every change must pass.
    Short,
    /// One shard of the full set.
    Shard(String),
    /// Every shard, one after the other.
    Full,
}

/// Something that must hold.
struct Step {
    name: String,
    command: Command,
    /// Panics that must stand in [`results`] afterwards.
    panics: Vec<String>,
}

/// The variable that names a raw core for the one test that needs one.
const CORE: &str = "AFTERPANIC_CORE";
const NEEDS_CORE: &str = "breaks_on_a_real_core_are_caught";
/// The variable that names the folder below which ukify(1) and its stubs lie, for the one test that runs it.
const UKIFY: &str = "UKIFY_ROOT";
const NEEDS_UKIFY: &str = "what_ukify_makes_is_read";
/// The variable that makes a test fail where a program that it needs is missing.
const NO_SKIP: &str = "AFTERPANIC_NO_SKIP";
/// How the names of tests begin that even `--full` leaves out.
const AN_HOUR: &str = "bounded::sixteen_tib";

/// Runs the set; whether all of it held.
pub(crate) fn run(extent: &Extent) -> Result<bool> {
    let steps = steps(extent)?;
    install::ensure(&needs(extent)?)?;
    let mut total = Count::default();
    let mut summary = Vec::new();
    for one in steps {
        let name = one.name;
        println!("== {name}");
        let start = Instant::now();
        let _ = std::fs::remove_file(results());
        let mut count = step(one.command).with_context(|| format!("Cannot run {name}"))?;
        let seconds = start.elapsed().as_secs();
        let said = std::fs::read_to_string(results()).unwrap_or_default();
        for panic in one.panics.iter().filter(|p| !stands_in(&said, p)) {
            println!("{panic} is listed and did not run");
            count.failed += 1;
        }
        println!(
            "== {name}: {} passed, {} failed, {seconds} s",
            count.passed, count.failed
        );
        summary.push(format!(
            "{name:<28} {:>5} passed {:>3} failed {seconds:>5} s",
            count.passed, count.failed
        ));
        total.add(count);
    }
    println!("\n{}", summary.join("\n"));
    println!("Not run:");
    for line in not_run(extent, total.left_out) {
        println!("    {line}");
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

/// Where the laboratory writes what came of the panics.
fn results() -> PathBuf {
    root().join("target/lab-results.json")
}

/// Whether the laboratory's results have a row for a panic; one that ends in `-` stands for several.
fn stands_in(results: &str, panic: &str) -> bool {
    let end = if panic.ends_with('-') { "" } else { "\"" };
    results.contains(&format!("\"name\": \"{panic}{end}"))
}

/// The shards of an extent; none for the short one.
fn chosen(extent: &Extent) -> Result<Vec<Shard>> {
    let mut all = shards::all()?;
    match extent {
        Extent::Short => all.clear(),
        Extent::Full => {}
        Extent::Shard(name) => {
            let known: Vec<String> = all.iter().map(|shard| shard.name.clone()).collect();
            all.retain(|shard| shard.name == *name);
            if all.is_empty() {
                bail!("No shard is called {name}; there are {}", known.join(", "));
            }
        }
    }
    Ok(all)
}

/// What has to be installed for an extent.
fn needs(extent: &Extent) -> Result<Vec<install::Needs>> {
    let mut needs = vec![install::MACHINES, install::TRUTH, install::CORES];
    if *extent == Extent::Short {
        // One of its panics is on aarch64.
        needs.extend([install::AARCH64, install::CROSS]);
    }
    for shard in chosen(extent)? {
        for word in &shard.needs {
            needs.push(match word.as_str() {
                "server" => install::SERVER,
                "packages" => install::PACKAGES,
                "signed" => install::SIGNED,
                "compile" => install::COMPILE,
                "fleet" => install::FLEET,
                "arm" => install::ARM,
                "dumpers" => install::DUMPERS,
                "cross" => install::CROSS,
                _ => bail!("shard {}: nothing to install is called {word}", shard.name),
            });
        }
    }
    Ok(needs)
}

fn steps(extent: &Extent) -> Result<Vec<Step>> {
    if *extent == Extent::Short {
        let mut steps = code(false);
        steps.push(page());
        let mut cores = lab("cores");
        cores.arg("--essential");
        steps.push(plain("cores of other architectures", cores));
        let kept = ["--ci", "--crashes", fleet::CRASHES];
        steps.push(panics("real panics".into(), &kept, shards::listed()?));
        steps.extend(all(fleet::end_to_end()));
        return Ok(steps);
    }
    let mut steps = Vec::new();
    for shard in chosen(extent)? {
        if shard.code {
            steps.extend(code(true));
            steps.push(page());
        }
        if !shard.scenarios.is_empty() {
            let which = ["--shard", shard.name.as_str(), "--record"];
            steps.push(panics(shard.name.clone(), &which, shard.scenarios.clone()));
        }
        for verb in &shard.lab {
            let mut command = lab(verb);
            command.arg("--record");
            steps.push(plain(&format!("{}: {verb}", shard.name), command));
        }
    }
    Ok(steps)
}

/// Steps without panics.
fn all(steps: Vec<(&str, Command)>) -> impl Iterator<Item = Step> {
    steps
        .into_iter()
        .map(|(name, command)| plain(name, command))
}

fn plain(name: &str, command: Command) -> Step {
    Step {
        name: name.into(),
        command,
        panics: Vec::new(),
    }
}

/// A verb of the laboratory.
fn lab(verb: &str) -> Command {
    cargo(&["run", "--quiet", "--locked", "--package", "lab", "--", verb])
}

/// The page of `report --html` in a browser.
fn page() -> Step {
    plain("the report in a browser", lab("pages"))
}

fn panics(name: String, which: &[&str], panics: Vec<String>) -> Step {
    let mut command = lab("crash");
    command.args(which).arg("--json").arg(results());
    Step {
        name,
        command,
        panics,
    }
}

/// What checks the code itself, with the tests that take minutes or without.
fn code(long: bool) -> Vec<Step> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let tests = [
        "test",
        "--workspace",
        "--locked",
        "--quiet",
        "--no-fail-fast",
    ];
    let mut lints = cargo(&["clippy", "--workspace", "--all-targets"]);
    lints.args(["--locked", "--quiet", "--", "-D", "warnings"]);
    let mut short = cargo(&tests);
    short.env(NO_SKIP, "1");
    let mut steps = vec![
        plain("format", cargo(&["fmt", "--all", "--check"])),
        plain("lints", lints),
        plain("documents", doc),
        plain("tests and fuzz corpora", short),
        plain("book", book("test")),
    ];
    steps.extend(all(fleet::code()));
    if long {
        steps.extend(all(fleet::long()));
        // Optimised: they are marked because they take minutes even so.
        let mut command = cargo(&tests);
        command.args(["--profile", "lab", "--", "--ignored", "--skip", AN_HOUR]);
        if std::env::var_os(CORE).is_none() {
            command.args(["--skip", NEEDS_CORE]);
        }
        if !has_ukify() {
            command.args(["--skip", NEEDS_UKIFY]);
        }
        steps.push(plain("long tests", command));
    }
    steps
}

/// cargo on the program that makes the book. It is a workspace of its own.
pub(crate) fn book(verb: &str) -> Command {
    let manifest = ["--manifest-path", "tests/book/Cargo.toml"];
    let mut command = cargo(&[verb, "--locked", "--quiet"]);
    command
        .args(manifest)
        .args(["--target-dir", "target/tools/book"]);
    command
}

/// Runs a command, shows what it says, and counts what it reports.
///
/// A command that reports no counts is one thing that held or did not.
fn step(mut command: Command) -> Result<Count> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut count = Count::default();
    let mut counted = false;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line?;
            if let Some(found) = counts(&line) {
                counted = true;
                count.add(found);
            }
            // cargo test prints a line of dots per test program.
            if !line.trim().is_empty()
                && !line.chars().all(|c| c == '.')
                && !line.starts_with("running ")
            {
                println!("{line}");
            }
        }
    }
    let good = child.wait()?.success();
    if !counted {
        return Ok(Count::of(good));
    }
    // A test program that did not build or crashed reports nothing.
    if !good && count.failed == 0 {
        count.failed = 1;
    }
    Ok(count)
}

/// The counts in a line of cargo test or of the laboratory.
fn counts(line: &str) -> Option<Count> {
    let line = match line.strip_prefix("test result:") {
        Some(rest) => rest.split_once('.')?.1,
        None if line.ends_with(" failed") => line,
        None => return None,
    };
    let mut count = Count::default();
    for part in line.split([';', ',']) {
        let mut words = part.split_whitespace();
        let Some(number) = words.next().and_then(|w| w.parse::<u64>().ok()) else {
            continue;
        };
        match words.next() {
            Some("passed") => count.passed += number,
            Some("failed") => count.failed += number,
            Some("ignored") => count.left_out += number,
            _ => {}
        }
    }
    Some(count)
}

/// Debian has ukify in a package of its own since trixie, and none before.
fn has_ukify() -> bool {
    std::env::var_os(UKIFY).is_some() || std::path::Path::new("/usr/bin/ukify").exists()
}

fn not_run(extent: &Extent, left_out: u64) -> Vec<String> {
    let mut lines = Vec::new();
    if *extent != Extent::Full {
        if left_out > 0 {
            lines.push(format!(
                "{left_out} tests marked ignored, which take minutes or a core: cargo xtask test --full=code"
            ));
        }
        match shards::all() {
            Ok(all) => {
                let others = all
                    .iter()
                    .filter(|shard| *extent != Extent::Shard(shard.name.clone()));
                let names: Vec<&str> = others.map(|shard| shard.name.as_str()).collect();
                lines.push(format!(
                    "the shards {}: cargo xtask test --full=SHARD",
                    names.join(", ")
                ));
            }
            Err(error) => lines.push(format!("the shards, which cannot be named: {error:#}")),
        }
    }
    if *extent != Extent::Short {
        lines.push(format!(
            "{AN_HOUR}*, each most of an hour: cargo test --profile lab -p capture --test by_hand -- \
             --ignored {AN_HOUR}"
        ));
        if std::env::var_os(CORE).is_none() {
            lines.push(format!(
                "{NEEDS_CORE}, which needs a raw core: {CORE}=FILE cargo xtask test --full=code"
            ));
        }
        if !has_ukify() {
            lines.push(format!(
                "{NEEDS_UKIFY}, which needs ukify(1): {UKIFY}=DIR cargo xtask test --full=code"
            ));
        }
    }
    lines.push("the soak of 50 panics: cargo xtask crash --soak 50 --json FILE".into());
    lines.push("fuzzing beyond the kept corpora: fuzz/Cargo.toml".into());
    lines
}

#[cfg(test)]
mod tests;
