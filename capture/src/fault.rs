//! Faults on demand: `afterpanic.fault=STEP:WHAT` on the capture kernel's command line
//! (`capture_kernel.cmdline_add` in the config) lets one step go wrong, so that a rehearsal shows what
//! still arrives. Without that word nothing here does anything. An unknown fault is ignored.
//!
//! STEP is a step's name as the log has it (`target`, `log`, `essential`, `report`, `core`, `finish`,
//! …). WHAT is `kill` (the step's process is killed), `hang` (it stops for good), `memory` (it takes
//! memory until none is left), `panic` (the capture kernel panics), all a moment after the step began;
//! or `freeze` (PID 1 itself stops and feeds no watchdog any more).

use crate::protocol;
use nix::sys::signal::{Signal, raise};
use std::fs;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The word on the command line.
const WORD: &str = "afterpanic.fault=";

/// How long a step runs before its fault.
const MOMENT: Duration = Duration::from_millis(300);

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The step's process is killed.
    Kill,
    /// It stops for good.
    Hang,
    /// It takes memory until none is left.
    Memory,
    /// The capture kernel panics.
    Panic,
    /// PID 1 stops.
    Freeze,
}

/// The fault of a step, if the command line wants one.
#[must_use]
pub(crate) fn of(step: &str) -> Option<Fault> {
    static CMDLINE: OnceLock<String> = OnceLock::new();
    let cmdline = CMDLINE.get_or_init(|| fs::read_to_string("/proc/cmdline").unwrap_or_default());
    parse(cmdline, step)
}

fn parse(cmdline: &str, step: &str) -> Option<Fault> {
    cmdline
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(WORD)?.split_once(':'))
        .filter(|(name, _)| *name == step)
        .find_map(|(_, what)| match what {
            "kill" => Some(Fault::Kill),
            "hang" => Some(Fault::Hang),
            "memory" => Some(Fault::Memory),
            "panic" => Some(Fault::Panic),
            "freeze" => Some(Fault::Freeze),
            _ => None,
        })
}

/// The child's side: starts the fault, which comes [`MOMENT`] later. A step that is done earlier waits
/// for it.
pub(crate) fn arm(step: &str) -> Option<JoinHandle<()>> {
    let fault = of(step).filter(|fault| *fault != Fault::Freeze)?;
    protocol::log(format!("{step}: the command line asks for {fault:?}"));
    let started = thread::Builder::new().spawn(move || {
        thread::sleep(MOMENT);
        happen(fault);
    });
    if let Err(error) = &started {
        protocol::log(format!("the fault cannot happen: {error}"));
    }
    started.ok()
}

fn happen(fault: Fault) {
    match fault {
        Fault::Kill => drop(raise(Signal::SIGKILL)),
        Fault::Hang => drop(raise(Signal::SIGSTOP)),
        Fault::Panic => drop(fs::write("/proc/sysrq-trigger", "c")),
        Fault::Freeze => {}
        Fault::Memory => {
            let mut taken = Vec::new();
            loop {
                taken.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_step_that_is_named_goes_wrong() {
        let line = "console=ttyS0 afterpanic.fault=core:kill afterpanic.fault=report:hang quiet\n";
        assert_eq!(parse(line, "core"), Some(Fault::Kill));
        assert_eq!(parse(line, "report"), Some(Fault::Hang));
        for (line, step) in [
            (line, "log"),
            ("", "core"),
            ("afterpanic.fault=core", "core"),
            ("afterpanic.fault=core:dance", "core"),
            ("xafterpanic.fault=core:kill", "core"),
        ] {
            assert_eq!(parse(line, step), None, "{line}");
        }
    }
}
