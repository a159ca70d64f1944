//! The hidden verbs that packages call: man pages and shell completions, out of the same texts as
//! `--help`.

mod examples;
mod man;

use crate::exit::Exit;
use crate::output;
use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub(crate) struct ManArgs {
    /// Directory for the pages
    dir: PathBuf,
}

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes afterpanic.1, one page a verb, and afterpanic.toml.5.
pub(super) fn man(args: &ManArgs, command: Command) -> anyhow::Result<Exit> {
    man::write(command, &args.dir)
        .with_context(|| format!("Cannot write man pages into {}", args.dir.display()))?;
    Ok(Exit::Done)
}

/// Prints the completions of one shell.
pub(super) fn completions(args: &CompletionArgs, command: &mut Command) -> anyhow::Result<Exit> {
    // Into memory first: clap_complete panics on a closed pipe.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "afterpanic", &mut text);
    let mut out = output::raw();
    out.write_all(&text)?;
    out.flush()?;
    Ok(Exit::Done)
}
