//! From the start of a debugger to its first answer: processor time and memory, beside the debug vmlinux.

use super::{beside, crash_command};
use crate::tools;
use anyhow::{Context, Result, ensure};
use rehearse::guest::image::KernelFiles;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Rounds, each with both files in turn; the middle one counts.
const ROUNDS: usize = 3;
/// Ours divided by theirs, at most.
const CRASH_TIME: f64 = 1.0;
const CRASH_MEMORY: f64 = 0.3;
const DRGN_LOAD: f64 = 0.2;

/// Runs a command and prints its processor time in seconds and its memory in KiB.
const MEASURE: &str = "\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
";
/// Loads a vmlinux, asks for something of every task, and prints the processor time of both.
const LOAD: &str = "\
import sys, time
import drgn
from drgn.helpers.linux import for_each_task
prog = drgn.Program()
prog.set_core_dump(sys.argv[2])
start = time.process_time()
prog.load_debug_info([sys.argv[1]], default=False)
assert [task.comm.string_() for task in for_each_task(prog)]
print(time.process_time() - start)
";

/// Compares.
///
/// # Errors
/// A tool cannot be had, or ours takes too much.
pub(super) fn check(ours: &Path, theirs: &Path, core: &Path, kernel: &KernelFiles) -> Result<()> {
    let both = [ours, theirs];
    let script = beside(core, "first.cmd");
    fs::write(&script, "bt\nexit\n")?;
    let mut crash = [Vec::new(), Vec::new()];
    let mut memory = [Vec::new(), Vec::new()];
    let mut drgn = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (side, vmlinux) in both.into_iter().enumerate() {
            let command = crash_command(&script, vmlinux, core, &kernel.release)?;
            let mut python = tools::reader("python3")?;
            python.args(["-c", MEASURE]).arg(command.get_program());
            python.args(command.get_args());
            let [seconds, kib] = numbers(&mut python)?;
            push(&mut crash, side, seconds);
            push(&mut memory, side, kib);
            let mut python = tools::reader("python3")?;
            python.args(["-c", LOAD]).args([vmlinux, core]);
            let [seconds] = numbers(&mut python)?;
            push(&mut drgn, side, seconds);
        }
    }
    for (what, values, bar) in [
        ("crash: seconds to the first answer", crash, CRASH_TIME),
        ("crash: KiB", memory, CRASH_MEMORY),
        ("drgn: seconds to load and answer", drgn, DRGN_LOAD),
    ] {
        let [ours, theirs] = values.map(median);
        let ratio = ours / theirs;
        println!("  {what}: {ours:.2} and {theirs:.2}: {ratio:.2} (at most {bar})");
        ensure!(ratio <= bar, "{what}: {ratio:.2} of the debug vmlinux's");
    }
    Ok(())
}

fn push(values: &mut [Vec<f64>; 2], side: usize, value: f64) {
    if let Some(values) = values.get_mut(side) {
        values.push(value);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a program prints, as so many numbers.
fn numbers<const N: usize>(command: &mut Command) -> Result<[f64; N]> {
    let name = command.get_args().last().map(OsStr::to_owned);
    let output = command.output().context("Cannot run python3")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let all: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong = || format!("{name:?}: {} {text} {said}", output.status);
    all.try_into().ok().with_context(wrong)
}
