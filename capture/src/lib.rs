//! What runs in the panic kernel, as a library.
//!
//! [`plan`] is all that is known before the panic; [`policy`] says which kinds of pages are kept;
//! [`crashes`] is where dumps lie. The one pipeline, the targets and PID 1 follow them. The CLI's
//! `convert` and `capture` and the benchmark call the very same code on files.

pub mod crashes;
pub mod plan;
pub mod policy;
