//! A Debian system as a directory. It needs root.

use crate::mirror;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// What dpkg's scripts find.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the smallest system of a suite with these packages, by commas, at `base`. The log is beside it.
///
/// # Errors
/// This is not root, or a package cannot be had.
pub(crate) fn make(suite: &str, packages: &str, base: &Path) -> Result<()> {
    eprintln!("lab: debootstrap {suite} (once, some minutes)");
    // One that was broken off cannot be continued.
    let _ = fs::remove_dir_all(base);
    fs::create_dir_all(base)?;
    let mirror = mirror::find(Path::new("/etc/apt"))?;
    let at = base.with_extension("log");
    let log = File::create(&at)?;
    let status = Command::new("debootstrap")
        .args(["--variant=minbase", &format!("--include={packages}")])
        .args([Path::new(suite), base, Path::new(&mirror.uri)])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("Cannot run debootstrap; install it with: apt-get install debootstrap")?;
    if !status.success() {
        bail!(
            "debootstrap failed ({status}; it needs root and a mirror); see {}",
            at.display()
        );
    }
    for archive in fs::read_dir(base.join("var/cache/apt/archives"))?.flatten() {
        if archive.path().is_file() {
            fs::remove_file(archive.path())?;
        }
    }
    Ok(())
}
