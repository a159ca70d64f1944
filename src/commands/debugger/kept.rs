//! The vmlinux of a core in the user's cache: `$XDG_CACHE_HOME/afterpanic`, else `~/.cache/afterpanic`.

use crate::output::Context;
use anyhow::{Context as _, bail};
use debuginfo::{Cache, Globals, Options, Vmlinux, key, warnings_of};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use vmcore::kernel::Kernel;

/// The file for this kernel, made now if it is not there. Its warnings are printed either way; whether
/// there are any is the second answer.
pub(crate) fn kept(
    kernel: &Kernel,
    options: Options,
    context: &Context,
) -> anyhow::Result<(PathBuf, bool)> {
    let dir = directory()?;
    let cache = Cache::open(&dir).with_context(|| format!("Cannot use {}", dir.display()))?;
    let name = key(kernel, options, &program()?)?;
    if let Some(path) = cache.get(&name) {
        let warnings = warnings_of(&path)?;
        warnings.iter().for_each(|why| context.warn(why));
        return Ok((path, !warnings.is_empty()));
    }
    let made = Vmlinux::of(kernel, &Globals::of_kernel(kernel, None)?, options)?;
    made.warnings.iter().for_each(|why| context.warn(why));
    // Made from a core that lacks something: good for this core, and never taken for another.
    let name = match made.whole {
        true => name,
        false => format!("{name}-partial"),
    };
    let path = cache
        .put(&name, &mut |out| made.write(out).map(drop))
        .with_context(|| format!("Cannot write to {}", dir.display()))?;
    Ok((path, !made.warnings.is_empty()))
}

fn directory() -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
    let base = base.or_else(|| Some(variable("HOME")?.join(".cache")));
    match base.filter(|dir| dir.is_absolute()) {
        Some(dir) => Ok(dir.join("afterpanic")),
        None => bail!("Neither XDG_CACHE_HOME nor HOME names a directory to keep files in"),
    }
}

/// This program: another build may make other files.
fn program() -> anyhow::Result<String> {
    let path = std::env::current_exe()?;
    let data = path.metadata()?;
    Ok(format!(
        "{} {} {} {}",
        env!("CARGO_PKG_VERSION"),
        data.len(),
        data.mtime(),
        data.mtime_nsec()
    ))
}
