//! What runs in the capture kernel, as a library.
//!
//! [`plan`] is all that is known before the panic; [`policy`] says which kinds of pages are kept;
//! [`crashes`] is where dumps lie. [`init`] is PID 1: it runs the steps of the [`ladder`] in children
//! (module [`steps`]) and trusts none of them. [`pipeline`] is the one way from pages to a file: the
//! CLI's `convert` and `capture` and the benchmark call the very same code on files.

pub mod audit;
pub mod budget;
pub mod classify;
pub mod collect;
pub mod convert;
pub mod crashes;
pub mod directory;
pub mod fault;
pub mod init;
pub mod ladder;
pub mod manifest;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod protocol;
pub mod save;
pub mod space;
pub mod steps;
pub mod sums;
mod sys;
pub mod target;

/// The version and a fingerprint of the sources: equal in the CLI and in the capture binary only when
/// both were built from the same ones.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("AFTERPANIC_SOURCES"));

/// What `afterpanic-capture --version` prints: one piece of text, so that it can be found in the file.
pub const BANNER: &str = concat!(
    "afterpanic-capture ",
    env!("CARGO_PKG_VERSION"),
    "+",
    env!("AFTERPANIC_SOURCES"),
    "\n"
);
