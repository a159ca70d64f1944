//! `afterpanic-capture [PLAN]`: PID 1 of the capture kernel, or the same steps by hand on a plan.
//!
//! There are no options: the plan says everything. Started by its own supervisor it is a child that
//! does one job.
//!
//! Holds [`init`], PID 1: it runs the steps of the [`ladder`] in children ([`steps`]) and trusts none of
//! them. Both sides talk by [`protocol`]. Only [`program`] joins the two: `init`
//! does not name `steps`. `capture-ssh` compiles these files again, with another [`remote`].
//!
//! May name `plan` and below.
//!
//! Never parses anything but the plan, and never writes to a target that is not proven to be the
//! armed one.

mod fault;
mod init;
mod ladder;
mod modules;
mod program;
mod protocol;
mod remote;
mod screen;
mod steps;
mod sys;
mod target;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run()
}
