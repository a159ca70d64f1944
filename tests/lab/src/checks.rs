//! What is judged of a run: the console, the crash directory, and its agreement with other tools.

use crate::scenario::{SOMETHING, Scenario};
use crate::table::Check;
use anyhow::{Context, ensure};
use rehearse::guest::SAYS;
use rehearse::guest::image::KernelFiles;
use rehearse::session::Crash;
use rehearse::vm::End;
use std::process::Command;

mod bare;
mod found;
mod hosts;
mod interop;
mod kinds;
mod limits;
mod memory;
mod sealed;
mod secret;
mod truth;
mod vmlinux;

pub use self::found::Found;
use self::found::verdict;
pub use self::memory::cue as same_memory;
pub use self::vmlinux::compare_all as debuggers;

fn has(what: &str, text: &str, needle: &str) -> Check {
    let wrong = || format!("does not say \"{needle}\"");
    Check::new(
        format!("{what} says \"{needle}\""),
        if text.contains(needle) {
            Ok(())
        } else {
            Err(wrong())
        },
    )
}

fn equal(what: &str, got: &str, expected: &str) -> Check {
    let wrong = || format!("{got}, expected {expected}");
    Check::new(
        what,
        if got == expected {
            Ok(())
        } else {
            Err(wrong())
        },
    )
}

/// Judges the verdict.
fn saved(got: &str, expected: &str) -> Check {
    let finished = ["complete", "degraded", "incomplete"];
    match expected == SOMETHING && finished.contains(&got) {
        true => Check::new("what was saved", Ok(())),
        false => equal("what was saved", got, expected),
    }
}

/// Judges everything the scenario expects.
#[must_use]
pub fn all(s: &Scenario, found: &Found<'_>, kernel: &KernelFiles) -> Vec<Check> {
    let crash = found.crash;
    let expect = &s.expect;
    let mut checks = vec![
        Check::new("the guest followed its script", guest(crash)),
        equal("the machine ended", &end(&crash.outcome.end), &expect.end),
        saved(&found.saved, &expect.saved),
    ];
    for disk in &crash.untouched {
        let same = match disk.holds() {
            Ok(true) => Ok(()),
            Ok(false) => Err("it was written to".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        checks.push(Check::new(
            format!("disk {} is as it was", disk.serial),
            same,
        ));
    }
    let before: Vec<&str> = crash.lines(false).collect();
    let loaded = before
        .iter()
        .find(|l| l.starts_with(SAYS) && l.contains("afterpanic load"));
    let status = loaded
        .and_then(|l| l.rsplit_once("exit status: ")?.1.split(',').next())
        .unwrap_or("no answer");
    if !s.unarmed {
        checks.push(equal(
            "exit status of load",
            status,
            &expect.load_exit.to_string(),
        ));
    }
    let (before, after) = (
        before.join("\n"),
        crash.lines(true).collect::<Vec<_>>().join("\n"),
    );
    let again = crash.lines_again().collect::<Vec<_>>().join("\n");
    if !expect.dirs.is_empty() {
        let got: Vec<String> = found.dirs.iter().map(|d| verdict(d)).collect();
        let (got, wanted) = (got.join(" "), expect.dirs.join(" "));
        checks.push(equal("crash directories", &got, &wanted));
    }
    let (dmesg, report) = (found.text("dmesg.txt"), found.text("report.txt"));
    let manifest = found.text("manifest.json");
    for (what, text, needles) in [
        ("console before the panic", &before, &expect.console_before),
        ("console after the panic", &after, &expect.console_after),
        ("console after the reboot", &again, &expect.console_again),
        ("dmesg.txt", &dmesg, &expect.dmesg),
        ("report.txt", &report, &expect.report),
        ("manifest.json", &manifest, &expect.manifest),
    ] {
        checks.extend(needles.iter().map(|needle| has(what, text, needle)));
    }
    if expect.saved != "nothing" {
        for file in &expect.files {
            let there = found.dir.as_ref().is_some_and(|d| d.join(file).exists());
            checks.push(Check::new(
                format!("{file} is there"),
                there.then_some(()).ok_or("missing".into()),
            ));
        }
    }
    if !expect.modules.is_empty() {
        checks.push(Check::new(
            "modules and their order",
            modules(&found.text("capture.log"), &expect.modules),
        ));
    }
    if expect.segments > 0 {
        checks.push(Check::new(
            format!("{} segments and more", expect.segments),
            truth::segments(found, expect.segments).map_err(|e| format!("{e:#}")),
        ));
    }
    if let Some(least) = expect.ram_mib {
        checks.push(Check::new(
            format!("the core knows of {least} MiB of RAM"),
            ram(found, least).map_err(|e| format!("{e:#}")),
        ));
    }
    if let Some(most) = expect.image_at_most.filter(|_| found.as_shipped) {
        let lines: Vec<&str> = crash.lines(false).collect();
        checks.push(Check::new(
            format!("the image has {most} bytes at most"),
            limits::image(&lines, most).map_err(|e| format!("{e:#}")),
        ));
    }
    if let Some(mib) = expect.worker_mib {
        checks.push(Check::new(
            format!("no worker needs more than {mib} MiB"),
            limits::workers(found, mib).map_err(|e| format!("{e:#}")),
        ));
    }
    checks.extend(expect.truth.iter().map(|word| {
        Check::new(
            word.clone(),
            truth::check(word, found, kernel).map_err(|e| format!("{e:#}")),
        )
    }));
    checks
}

/// What `afterpanic info` counts as RAM.
fn ram(found: &Found<'_>, least: u64) -> anyhow::Result<()> {
    let core = found.core.as_ref().context("There is no core")?;
    let mut command = Command::new(&found.binaries.afterpanic);
    let output = command.args(["info", "--json"]).arg(core).output()?;
    let info: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let pages = info.get("ram_pages").and_then(serde_json::Value::as_u64);
    let mib = pages.context("afterpanic info counts no pages")? >> 8;
    ensure!(mib >= least, "only of {mib} MiB");
    Ok(())
}

fn guest(crash: &Crash) -> Result<(), String> {
    match crash.guest_failure() {
        Some(said) => Err(said.to_owned()),
        None if crash.times.up.is_none() => Err("it never spoke".into()),
        None => Ok(()),
    }
}

fn end(end: &End) -> String {
    match end {
        End::Reset => "reset".into(),
        End::PowerOff => "poweroff".into(),
        End::Deadline => "at its deadline".into(),
        End::Stopped => "stopped".into(),
        End::Failed(said) => format!("QEMU failed: {said}"),
    }
}

/// Each expected module's line stands in the log, after the one before it.
fn modules(log: &str, expected: &[String]) -> Result<(), String> {
    let mut lines = log.lines();
    for name in expected {
        let spoken = |line: &str| {
            line.contains("module")
                && line
                    .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .any(|w| w == name)
        };
        if !lines.any(spoken) {
            return Err(format!("{name} is missing or out of order"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_modules_counts() {
        let log =
            "0.10 module virtio loaded\n0.20 module virtio_blk loaded\n0.30 module xfs loaded\n";
        let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert!(modules(log, &names(&["virtio", "virtio_blk", "xfs"])).is_ok());
        assert!(modules(log, &names(&["virtio_blk", "virtio"])).is_err());
        assert!(modules(log, &names(&["virtio", "btrfs"])).is_err());
    }
}
