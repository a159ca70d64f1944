//! `cargo xtask test`: everything that must hold, one after the other, and a sum at the end.
//!
//! A step that fails does not keep the next from running. What is listed and did not run counts as
//! failed; what is not listed is named.

use crate::install;
use crate::run::{cargo, root};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
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

/// Runs the set; whether all of it held.
pub fn run(full: bool) -> Result<bool> {
    install::ensure(&[install::MACHINES, install::TRUTH])?;
    let mut total = Count::default();
    let mut summary = Vec::new();
    for (name, command) in steps(full) {
        println!("== {name}");
        let start = Instant::now();
        let count = step(command).with_context(|| format!("Cannot run {name}"))?;
        let seconds = start.elapsed().as_secs();
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

fn steps(full: bool) -> Vec<(&'static str, Command)> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let tests = cargo(&[
        "test",
        "--workspace",
        "--locked",
        "--quiet",
        "--no-fail-fast",
    ]);
    let mut steps = vec![
        ("format", cargo(&["fmt", "--all", "--check"])),
        (
            "lints",
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        ("documents", doc),
        ("tests and fuzz corpora", tests),
    ];
    if full {
        let bounded = [
            "test",
            "--release",
            "--locked",
            "--quiet",
            "-p",
            "vmcore",
            "--test",
            "bounded",
            "--",
            "--ignored",
        ];
        steps.push(("16 TiB of memory map in 16 MiB", cargo(&bounded)));
    }
    let which = if full { "--all" } else { "--ci" };
    let panics = [
        "run",
        "--quiet",
        "--locked",
        "--package",
        "lab",
        "--",
        "crash",
        which,
        "--json",
    ];
    let mut panics = cargo(&panics);
    panics.arg(root().join("target/lab-results.json"));
    steps.push(("real panics", panics));
    steps
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
    if left_out > 0 {
        lines.push(format!(
            "{left_out} tests marked ignored, which take minutes or a core: cargo test --workspace -- --ignored"
        ));
    }
    if !full {
        match unlisted() {
            Ok(names) if names.is_empty() => {}
            Ok(names) => lines.push(format!(
                "{} panics that are not listed in tests/lab/ci.toml ({}): cargo xtask test --full",
                names.len(),
                names.join(" ")
            )),
            Err(error) => lines.push(format!(
                "panics that are not listed (they could not be named: {error:#})"
            )),
        }
    }
    lines.push("the soak of 50 panics: cargo xtask crash --all --soak 50".into());
    lines.push("fuzzing beyond the kept corpora: CONTRIBUTING.md".into());
    lines
}

/// Scenario files that the list does not name.
fn unlisted() -> Result<Vec<String>> {
    let dir = root().join("tests/lab");
    let list = std::fs::read_to_string(dir.join("ci.toml"))?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir.join("scenarios"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".toml")
            && !list.contains(&format!("\"{name}\""))
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
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
