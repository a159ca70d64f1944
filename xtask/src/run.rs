//! Running cargo and the laboratory.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A cargo command in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments)
        .current_dir(root())
        // The variable would replace the flags that make the binaries static.
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    command
}

/// Whether a verb of the laboratory went well.
///
/// # Errors
/// cargo cannot be run.
pub(crate) fn lab(verb: &str, rest: &[String]) -> Result<bool> {
    let mut command = cargo(&["run", "--quiet", "--locked", "--package", "lab", "--", verb]);
    let status = command.args(rest).status().context("Cannot run cargo")?;
    Ok(status.success())
}
