//! The ways to make a kernel panic from its userspace.
//!
//! Source of the facts: Documentation/admin-guide/sysrq.rst and sysctl/{kernel,vm}.rst, 5.10 to 7.x.

use crate::load_module;
use anyhow::{Context, Result, bail};
use lab::guest::{WANTS_MACHINE_CHECK, WANTS_NMI};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use rehearse::guest::PANICS_NOW;
use rehearse::guest::init::{run, say};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Long enough for any detector of the kernel; then the panic has not come.
const PATIENCE: Duration = Duration::from_secs(120);

/// Panics. Returns only when the kernel did not.
pub(crate) fn panic(how: &[&str]) -> Result<()> {
    say(PANICS_NOW);
    let _ = io::stdout().flush();
    match how {
        ["sysrq", cpu] => {
            pin(cpu.parse().context("no number of a CPU")?)?;
            set("/proc/sys/kernel/sysrq", "1")?;
            set("/proc/sysrq-trigger", "c")?;
        }
        ["init-exits"] => std::process::exit(7),
        ["out-of-memory"] => {
            set("/proc/sys/vm/panic_on_oom", "2")?;
            Command::new("/proc/self/exe")
                .args(["role", "eat"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .context("cannot start the process that eats memory")?;
        }
        ["nmi"] => {
            set("/proc/sys/kernel/unknown_nmi_panic", "1")?;
            say(WANTS_NMI);
        }
        ["machine-check"] => say(WANTS_MACHINE_CHECK),
        ["module", path] => {
            // A module that needs another CPU takes the second one.
            pin(0)?;
            load_module(Path::new(path))?;
        }
        ["command", command @ ..] => {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            run(&command, &[])?;
        }
        other => bail!("no panic is called {other:?}"),
    }
    std::thread::sleep(PATIENCE);
    bail!("the kernel did not panic by {how:?}")
}

fn set(path: &str, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("cannot write {value} to {path}"))
}

fn pin(cpu: usize) -> Result<()> {
    let what = || format!("cannot run on CPU {cpu}");
    let mut set = CpuSet::new();
    set.set(cpu).with_context(what)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(what)
}
