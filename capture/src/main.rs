//! `afterpanic-capture [PLAN]`: PID 1 of the capture kernel, or the same steps by hand on a plan.
//!
//! There are no options: the plan says everything. Started by its own supervisor it is a child that
//! does one job.
//!
//! Holds [`init`], PID 1: it runs the steps of the [`ladder`] in children ([`steps`]) and trusts none of
//! them. Both sides talk by [`protocol`]. Only this file joins the two: `init` does not name `steps`.
//!
//! May name `plan` and below.
//!
//! Never parses anything but the plan, and never writes to a target that is not proven to be the
//! armed one.

mod fault;
mod init;
mod ladder;
mod modules;
mod protocol;
mod screen;
mod steps;
mod sys;
mod target;

use plan::Plan;
use protocol::CHILD;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
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
