//! `cargo xtask tarball`: what ships as a tar file with an installer that undoes itself, for systems
//! without a package of ours. Its files are those of the Debian package ([`crate::ship::files`]).

use crate::run::root;
use crate::ship::{self, Wanted};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the tar file; prints its path.
///
/// # Errors
/// Something does not build, or a file is missing.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let wanted = Wanted::of("tarball", arguments)?;
    let program = ship::build(&wanted)?;
    let files = ship::files(&program)?;
    let name = format!("afterpanic-{}-{}", ship::version()?, wanted.arch());
    let to = root().join("target/tarball");
    let dir = to.join(&name);
    // Files of other architectures stay.
    let _ = fs::remove_dir_all(&dir);
    for file in &files {
        place(
            &file.from,
            &dir.join("files").join(ship::elsewhere(&file.to)),
            file.mode,
        )?;
    }
    let beside = root().join("dist/tarball");
    place(&beside.join("install.sh"), &dir.join("install.sh"), 0o755)?;
    place(&beside.join("openrc"), &dir.join("openrc"), 0o644)?;
    println!("{}", pack(&to, &name)?.display());
    Ok(true)
}

fn place(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let parent = to.parent().context("a file without a folder")?;
    fs::create_dir_all(parent)?;
    fs::copy(from, to)
        .with_context(|| format!("Cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Packs the folder. The same files give the same bytes.
fn pack(dir: &Path, name: &str) -> Result<PathBuf> {
    let file = dir.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.current_dir(dir)
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mtime=@0", "--use-compress-program=gzip -n9", "-cf"])
        .arg(&file)
        .arg(name);
    ship::succeed(&mut tar)?;
    if !file.is_file() {
        bail!("tar made no {}", file.display());
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
