//! `afterpanic-capture-ssh [PLAN]`: `afterpanic-capture` for plans with targets over SSH.
//!
//! The sources are those of `capture`, compiled here again: that crate is a binary, so that nobody links
//! it, and what SSH needs is not in its image. The one module that differs is [`remote`]: it mounts the
//! server's directory. Every step writes there as on a local disk.
//!
//! May name `ssh`, `plan` and below.
//!
//! Never runs the SSH library in PID 1 or in a step: a process of its own holds the connection.

/// The sources of `capture`.
#[path = "../../capture/src"]
mod sources {
    pub(crate) mod fault;
    pub(crate) mod init;
    pub(crate) mod ladder;
    pub(crate) mod modules;
    pub(crate) mod program;
    pub(crate) mod protocol;
    pub(crate) mod screen;
    pub(crate) mod steps;
    pub(crate) mod sys;
    pub(crate) mod target;
}
mod remote;

// They name each other by these paths.
use sources::{fault, init, ladder, modules, program, protocol, screen, steps, sys, target};
use std::process::ExitCode;

fn main() -> ExitCode {
    match remote::is_asked_for() {
        true => remote::serve(),
        false => program::run(),
    }
}
