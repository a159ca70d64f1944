//! What the program does: PID 1, a child that does one job, or a plan followed by hand.

use crate::protocol::CHILD;
use crate::{init, steps};
use plan::Plan;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs it.
pub(crate) fn run() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return ExitCode::from(steps::child());
    }
    if std::process::id() == 1 {
        init::pid1(steps::follow);
    }
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(plan::PATH),
    };
    if path.as_os_str() == "--version" {
        print!("{}", plan::BANNER);
        return ExitCode::SUCCESS;
    }
    let plan = match std::fs::read(&path) {
        Ok(text) => Plan::parse(&text),
        Err(error) => {
            eprintln!("Cannot read the plan {}: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    match plan {
        Ok(plan) => ExitCode::from(init::by_hand(plan, program, steps::follow)),
        Err(error) => {
            eprintln!("{}: {}", path.display(), vmcore::kernel::chain(&error));
            ExitCode::from(2)
        }
    }
}
