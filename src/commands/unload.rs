//! `afterpanic unload`: takes the capture kernel out again.

use crate::exit::Exit;
use crate::output::{self, Context};
use loader::arm;
use loader::sys::Linux;
use std::io::Write;

/// Arguments of `unload`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

/// Unloads.
pub(super) fn run(_: &Args, context: &Context) -> anyhow::Result<Exit> {
    arm::unload(&Linux, &context.root)?;
    writeln!(output::stdout(), "unloaded: a panic now would save nothing")?;
    Ok(Exit::Done)
}
