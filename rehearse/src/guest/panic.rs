//! The ways to make a kernel panic from its userspace.
//!
//! Source of the facts: Documentation/admin-guide/sysrq.rst and sysctl/{kernel,vm}.rst, 5.10 to 7.x.

use super::init::{GuestError, cannot, load_module, run, say};
use super::{How, PANICS_NOW, WANTS_MACHINE_CHECK, WANTS_NMI};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Long enough for any detector of the kernel; then the panic has not come.
const PATIENCE: Duration = Duration::from_secs(120);

/// Panics. Returns only when the kernel did not.
pub(super) fn panic(how: &How) -> Result<(), GuestError> {
    say(PANICS_NOW);
    let _ = io::stdout().flush();
    match how {
        How::Sysrq { cpu } => {
            if let Some(cpu) = cpu {
                pin(*cpu)?;
            }
            set("/proc/sys/kernel/sysrq", "1")?;
            set("/proc/sysrq-trigger", "c")?;
        }
        How::InitExits => std::process::exit(7),
        How::OutOfMemory => {
            set("/proc/sys/vm/panic_on_oom", "2")?;
            Command::new("/proc/self/exe")
                .args(["guest-init", "eat"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .map_err(cannot("start the process that eats memory"))?;
        }
        How::Nmi => {
            set("/proc/sys/kernel/unknown_nmi_panic", "1")?;
            say(WANTS_NMI);
        }
        How::MachineCheck => say(WANTS_MACHINE_CHECK),
        How::Module { path, parameters } => {
            // A module that needs another CPU takes the second one.
            pin(0)?;
            load_module(path, parameters)?;
        }
        How::Command(command) => run(command, &[])?,
    }
    std::thread::sleep(PATIENCE);
    Err(cannot(format!("panic by {how:?}"))(io::Error::from(
        io::ErrorKind::TimedOut,
    )))
}

fn set(path: &str, value: &str) -> Result<(), GuestError> {
    fs::write(path, value).map_err(cannot(format!("write {value} to {path}")))
}

fn pin(cpu: u32) -> Result<(), GuestError> {
    let what = format!("run on CPU {cpu}");
    let mut set = CpuSet::new();
    let index = usize::try_from(cpu).unwrap_or(usize::MAX);
    set.set(index).map_err(cannot(what.clone()))?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(cannot(what))
}
