//! Agreement with tools that are not ours. A tool that is missing is a failure that names it.

use super::Found;
use anyhow::{Context, Result, bail};
use rehearse::guest::image::KernelFiles;

/// Makes the named comparison.
///
/// # Errors
/// It does not agree, a tool is missing, or nothing is called that.
pub fn check(word: &str, found: &Found<'_>, kernel: &KernelFiles) -> Result<()> {
    let _ = kernel;
    let core = found.core.as_ref().context("There is no core")?;
    bail!("{}: no comparison is called {word}", core.display())
}
