//! The last act: reboot, poweroff or halt, even when something hangs.
//!
//! reboot(2) asks every driver to shut down, so a child calls it. After ten seconds PID 1 writes to
//! /proc/sysrq-trigger, which asks no driver. A kernel without CONFIG_MAGIC_SYSRQ has no such file: then
//! PID 1 exits, and the kernel panics and restarts the machine (`panic=`). Nobody feeds a hardware
//! watchdog from here on, so it ends what hangs even then.

use super::console::Console;
use super::supervisor::Supervisor;
use crate::protocol::Job;
use plan::FinalAction;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// How long the polite way may take.
const POLITE: Duration = Duration::from_secs(10);

/// How long the console may take to show a line.
const FLUSH: Duration = Duration::from_secs(1);

/// Ends the machine's run. Never returns.
pub(super) fn act(supervisor: &mut Supervisor, action: FinalAction) -> ! {
    supervisor
        .console()
        .say(&format!("last: {}", action.name()));
    if action == FinalAction::Halt {
        supervisor.release_watchdogs();
    }
    supervisor.run_last(Job::Last(action), POLITE);
    force(supervisor.console(), action)
}

/// One way to end the machine's run without asking any driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Writes this key to /proc/sysrq-trigger (Documentation/admin-guide/sysrq.rst).
    Sysrq(&'static str),
    /// Exits PID 1: the kernel panics, and restarts the machine after kernel.panic seconds.
    Exit,
    /// Stops here.
    Stay,
}

/// What is tried in turn, each after the one before had time to work.
fn ways(action: FinalAction) -> &'static [Way] {
    match action {
        FinalAction::Reboot => &[Way::Sysrq("b"), Way::Exit],
        FinalAction::Poweroff => &[Way::Sysrq("o"), Way::Sysrq("b"), Way::Exit],
        FinalAction::Halt | FinalAction::Exit => &[Way::Stay],
    }
}

/// Ends the machine's run without asking any driver. Never returns.
pub(super) fn force(console: &mut Console, action: FinalAction) -> ! {
    for way in ways(action) {
        match way {
            Way::Sysrq(key) => {
                console.say(&format!("last: sysrq {key}"));
                console.drain(FLUSH);
                let _ = fs::write("/proc/sysrq-trigger", key);
                sleep(POLITE);
            }
            Way::Exit => {
                console
                    .say("last: PID 1 exits, so that the kernel panics and restarts the machine");
                console.drain(FLUSH);
                restart_after_panic();
                std::process::exit(1);
            }
            Way::Stay => {}
        }
    }
    loop {
        sleep(Duration::from_secs(3600));
    }
}

/// The loader puts `panic=` on the command line. Where the config took it away, the kernel would wait
/// without end after the panic.
fn restart_after_panic() {
    const TIMEOUT: &str = "/proc/sys/kernel/panic";
    if fs::read_to_string(TIMEOUT).is_ok_and(|seconds| seconds.trim() == "0") {
        let _ = fs::write(TIMEOUT, "10");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_halt_stays() {
        for action in [FinalAction::Reboot, FinalAction::Poweroff] {
            assert_eq!(ways(action).last(), Some(&Way::Exit));
        }
        assert_eq!(ways(FinalAction::Halt), [Way::Stay]);
    }
}
