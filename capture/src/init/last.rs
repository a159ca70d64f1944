//! The last act: reboot, poweroff or halt, whatever hangs.
//!
//! reboot(2) asks every driver to shut down, so it is called in a child; after ten seconds PID 1
//! writes to /proc/sysrq-trigger, which asks nobody. A hardware watchdog stands behind both: it is
//! no longer fed from here on.

use super::console::Console;
use super::supervisor::Supervisor;
use crate::protocol::Job;
use plan::FinalAction;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// How long the polite way may take.
const POLITE: Duration = Duration::from_secs(10);

/// Ends the machine's run. Never returns.
pub fn act(supervisor: &mut Supervisor, action: FinalAction) -> ! {
    supervisor
        .console()
        .say(&format!("last: {}", action.name()));
    if action == FinalAction::Halt {
        supervisor.release_watchdogs();
    }
    supervisor.run_last(Job::Last(action), POLITE);
    force(supervisor.console(), action)
}

/// The way that asks nobody. Never returns.
pub fn force(console: &mut Console, action: FinalAction) -> ! {
    let key = match action {
        FinalAction::Poweroff => "o",
        FinalAction::Halt | FinalAction::Exit => "",
        FinalAction::Reboot => "b",
    };
    if !key.is_empty() {
        console.say(&format!("last: sysrq {key}"));
        let _ = fs::write("/proc/sysrq-trigger", key);
        sleep(POLITE);
        let _ = fs::write("/proc/sysrq-trigger", "b");
    }
    loop {
        sleep(Duration::from_secs(3600));
    }
}
