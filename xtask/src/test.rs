//! `cargo xtask test`: everything that must hold, one after the other, and a sum at the end.
//!
//! A step that fails does not keep the next from running. What is listed and did not run counts as
//! failed; what is not listed is named.

use crate::install;
use crate::run::{cargo, root};
use anyhow::{Context, Result};
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

/// Something that must hold.
struct Step {
    name: &'static str,
    command: Command,
    /// Panics that must stand in [`results`] afterwards.
    panics: Vec<String>,
}

/// The variable that names a raw core for the one test that needs one.
const CORE: &str = "AFTERPANIC_CORE";
const NEEDS_CORE: &str = "breaks_on_a_real_core_are_caught";
/// How the names of tests begin that even `--full` leaves out.
const AN_HOUR: &str = "bounded::sixteen_tib";

/// Runs the set; whether all of it held.
pub fn run(full: bool) -> Result<bool> {
    install::ensure(&[install::MACHINES, install::TRUTH])?;
    if full {
        install::ensure(&[install::SERVER, install::SIGNED, install::COMPILE])?;
    }
    let mut total = Count::default();
    let mut summary = Vec::new();
    for one in steps(full)? {
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
    for line in not_run(full, total.left_out) {
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

fn steps(full: bool) -> Result<Vec<Step>> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let tests = [
        "test",
        "--workspace",
        "--locked",
        "--quiet",
        "--no-fail-fast",
    ];
    let lints = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    let plain = |name, command| Step {
        name,
        command,
        panics: Vec::new(),
    };
    let mut steps = vec![
        plain("format", cargo(&["fmt", "--all", "--check"])),
        plain("lints", cargo(&lints)),
        plain("documents", doc),
        plain("tests and fuzz corpora", cargo(&tests)),
    ];
    if full {
        // Optimised: they are marked because they take minutes even so.
        let mut long = cargo(&tests);
        long.args(["--profile", "lab", "--", "--ignored", "--skip", AN_HOUR]);
        if std::env::var_os(CORE).is_none() {
            long.args(["--skip", NEEDS_CORE]);
        }
        steps.push(plain("long tests", long));
    }
    let (listed, others) = panics()?;
    let which = if full { "--all" } else { "--ci" };
    let mut command = cargo(&["run", "--quiet", "--locked", "--package", "lab", "--"]);
    command.args(["crash", which, "--json"]).arg(results());
    steps.push(Step {
        name: "real panics",
        command,
        panics: if full {
            [listed, others].concat()
        } else {
            listed
        },
    });
    if full {
        let lab = |verb| cargo(&["run", "--quiet", "--locked", "--package", "lab", "--", verb]);
        steps.push(plain("fast reboot", lab("reboot")));
        steps.push(plain("a Debian server", lab("server")));
    }
    Ok(steps)
}

/// The panics that ci.toml lists, and the others that there are.
fn panics() -> Result<(Vec<String>, Vec<String>)> {
    let dir = root().join("tests/lab");
    let list = std::fs::read_to_string(dir.join("ci.toml")).context("Cannot read ci.toml")?;
    // Only this key's strings: the soak has a list of its own.
    let list = list
        .split_once("scenarios = [")
        .map_or("", |(_, rest)| rest);
    let list = list.split(']').next().unwrap_or_default();
    let listed: Vec<String> = list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    let mut others = Vec::new();
    for entry in std::fs::read_dir(dir.join("scenarios"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".toml")
            && !listed.iter().any(|l| l == name)
        {
            let text = std::fs::read_to_string(entry.path())?;
            let several = if text.contains("[matrix]") { "-" } else { "" };
            others.push(format!("{name}{several}"));
        }
    }
    others.sort();
    Ok((listed, others))
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

fn not_run(full: bool, left_out: u64) -> Vec<String> {
    let mut lines = Vec::new();
    if full {
        lines.push(format!(
            "{AN_HOUR}*, each most of an hour: cargo test --profile lab -p capture --test by_hand -- \
             --ignored {AN_HOUR}"
        ));
        if std::env::var_os(CORE).is_none() {
            lines.push(format!(
                "{NEEDS_CORE}, which needs a raw core: {CORE}=FILE cargo xtask test --full"
            ));
        }
    } else {
        if left_out > 0 {
            lines.push(format!(
                "{left_out} tests marked ignored, which take minutes or a core: cargo xtask test --full"
            ));
        }
        match panics() {
            Ok((_, names)) => lines.push(format!(
                "{} panics that are not listed in tests/lab/ci.toml ({}): cargo xtask test --full",
                names.len(),
                names.join(" ")
            )),
            Err(error) => lines.push(format!(
                "panics that are not listed (they could not be named: {error:#})"
            )),
        }
    }
    if !full {
        let lives = "fast reboots, and a Debian server's life (as root): cargo xtask test --full";
        lines.push(lives.into());
    }
    lines.push("the soak of 50 panics: cargo xtask crash --soak 50 --json FILE".into());
    lines.push("fuzzing beyond the kept corpora: CONTRIBUTING.md".into());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_both_kinds_of_line() {
        let cargo = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.2s";
        assert_eq!(
            counts(cargo),
            Some(Count {
                passed: 12,
                failed: 0,
                left_out: 1
            })
        );
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            counts(bad),
            Some(Count {
                passed: 3,
                failed: 2,
                left_out: 0
            })
        );
        assert_eq!(
            counts("14 passed, 2 failed"),
            Some(Count {
                passed: 14,
                failed: 2,
                left_out: 0
            })
        );
        assert_eq!(counts("the test passed"), None);
    }

    #[test]
    fn the_plan_names_every_panic_there_is_and_misses_none_that_did_not_run() {
        let (listed, others) = panics().unwrap();
        assert!(listed.iter().any(|p| p == "sysrq"), "{listed:?}");
        let of = |full| {
            let mut steps = steps(full).unwrap().into_iter();
            steps.find(|s| !s.panics.is_empty()).unwrap()
        };
        assert_eq!(of(false).panics, listed);
        assert_eq!(of(true).panics.len(), listed.len() + others.len());
        for name in &listed {
            let file = root().join(format!("tests/lab/scenarios/{name}.toml"));
            assert!(file.is_file(), "{name}");
        }
        let results = r#"{"scenarios": [{ "name": "sysrq-6.1-xfs", "passed": true }]}"#;
        assert!(stands_in(results, "sysrq-6.1-xfs"));
        assert!(!stands_in(results, "sysrq"));
        assert!(stands_in(results, "sysrq-6.1-"));
        let steps = steps(true).unwrap();
        assert!(steps.iter().any(|s| s.name == "long tests"));
        assert!(not_run(false, 2)[0].starts_with("2 tests marked ignored"));
    }

    #[test]
    fn a_command_without_counts_is_one_thing() {
        assert_eq!(
            step(Command::new("true")).unwrap(),
            Count {
                passed: 1,
                failed: 0,
                left_out: 0
            }
        );
        assert_eq!(
            step(Command::new("false")).unwrap(),
            Count {
                passed: 0,
                failed: 1,
                left_out: 0
            }
        );
        let mut liar = Command::new("sh");
        liar.args(["-c", "echo 5 passed, 0 failed; exit 1"]);
        assert_eq!(
            step(liar).unwrap(),
            Count {
                passed: 5,
                failed: 1,
                left_out: 0
            }
        );
    }
}
