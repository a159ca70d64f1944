//! The tree of a kernel in the cache: `vmlinuz`, `lib/modules`, `release`, and `made-from`, the
//! configuration of a kernel that is compiled here. `made-from` is written last.

use crate::apt::{lock, run};
use anyhow::{Context, Result, bail};
use rehearse::guest::image::KernelFiles;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The kernel's tree in the cache; `make` makes it if it is missing or of another configuration.
/// `config`: the configuration it is compiled with; empty: a package.
pub(super) fn cached(
    name: &str,
    config: &str,
    make: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<KernelFiles> {
    let dir = crate::cache().join("kernels").join(name);
    fs::create_dir_all(dir.parent().unwrap_or(&dir))?;
    // Two runs at once must not unpack into one tree.
    let _lock = lock(&crate::cache().join("kernels/.lock"), &mut |line| {
        eprintln!("lab: {line}");
    })?;
    if !dir.join("release").exists() || !is_made_from(&dir, config) {
        make(&dir)?;
        fs::write(dir.join("made-from"), config)?;
    }
    let release = fs::read_to_string(dir.join("release"))?.trim().to_owned();
    let modules = dir.join("lib/modules").join(&release);
    Ok(KernelFiles {
        image: dir.join("vmlinuz"),
        modules,
        release,
    })
}

/// Whether a tree is of this configuration. A package is always of its own.
fn is_made_from(dir: &Path, config: &str) -> bool {
    config.is_empty() || fs::read_to_string(dir.join("made-from")).is_ok_and(|text| text == config)
}

/// The indexes of the modules, which packages leave to their install script; then the final name.
pub(super) fn finish(root: &Path, release: &str, dir: &Path) -> Result<()> {
    run(Command::new("depmod")
        .arg("-b")
        .arg(root)
        .arg(release)
        .env("PATH", sbin_path()))?;
    fs::write(root.join("release"), format!("{release}\n"))?;
    let _ = fs::remove_dir_all(dir);
    fs::rename(root, dir)?;
    Ok(())
}

pub(super) fn sbin_path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

/// The only name in a directory.
pub(super) fn only_entry(dir: &Path) -> Result<String> {
    let mut names = fs::read_dir(dir)
        .with_context(|| format!("Cannot list {}", dir.display()))?
        .map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => bail!("{} should hold one kernel's modules", dir.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_configuration_is_another_kernel() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_made_from(dir.path(), ""));
        assert!(!is_made_from(dir.path(), "CONFIG_A=y\n"));
        fs::write(dir.path().join("made-from"), "CONFIG_A=y\n").unwrap();
        assert!(is_made_from(dir.path(), "CONFIG_A=y\n"));
        assert!(!is_made_from(dir.path(), "CONFIG_A=m\n"));
    }
}
