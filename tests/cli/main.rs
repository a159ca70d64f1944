//! The command line as a user meets it: no VM, no root, no network, nothing of this machine.
//!
//! `harness` runs the binary on a root prefix of its own; the other modules hold one verb or one
//! promise each. Miscellaneous tests have no home here on purpose.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod arm;
mod config;
mod convert;
mod crash_test;
mod debuggers;
mod evidence;
mod frontpage;
mod golden;
mod harness;
mod hypervisor;
mod image;
mod incomplete;
mod json_docs;
mod links;
mod list;
mod notify;
mod package;
mod pages;
mod report_html;
mod ship;
mod usage;
mod verify;
mod vmlinux;
mod workspace;
