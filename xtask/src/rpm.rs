//! `cargo xtask rpm`: the RPM package, by cargo-generate-rpm. Its files are those of the Debian package
//! ([`crate::ship::files`]); names, scripts and dependencies are in `[package.metadata.generate-rpm]`.

use crate::run::root;
use crate::ship::{self, Placed, Wanted};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that is installed where the program is missing.
const VERSION: &str = "0.21.1";

/// Builds the package; prints its path.
///
/// # Errors
/// Something does not build, or a file is missing.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let package = build(&Wanted::of("rpm", arguments)?)?;
    println!("{}", package.display());
    Ok(true)
}

/// Builds the package.
fn build(wanted: &Wanted<'_>) -> Result<PathBuf> {
    let program = ship::build(wanted)?;
    let files = ship::files(&program)?;
    // Below the root: cargo-generate-rpm splits its argument at commas.
    let assets = "target/dist/rpm.toml";
    fs::write(root().join(assets), metadata(&files)?)?;
    let to = root().join("target/rpm");
    fs::create_dir_all(&to)?;
    // Those of other architectures stay.
    for old in packages(&to, wanted.arch())? {
        fs::remove_file(old)?;
    }
    let mut pack = Command::new(ship::tool("cargo-generate-rpm", VERSION)?);
    pack.current_dir(root())
        .args(["--auto-req", "no", "--payload-compress", "gzip"])
        .args(["--metadata-overwrite", assets, "--arch", wanted.arch()])
        .arg("--output")
        .arg(&to)
        .env_remove("RUSTFLAGS");
    ship::succeed(&mut pack)?;
    let made = packages(&to, wanted.arch())?.pop();
    made.context("cargo-generate-rpm made no package")
}

/// The packages of an architecture in a folder.
fn packages(folder: &Path, arch: &str) -> Result<Vec<PathBuf>> {
    let ours = format!(".{arch}.rpm");
    let all = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let is_ours = |path: &PathBuf| path.to_string_lossy().ends_with(&ours);
    Ok(all.filter(is_ours).collect())
}

/// The files as cargo-generate-rpm wants them.
fn metadata(files: &[Placed]) -> Result<String> {
    let mut assets = toml::value::Array::new();
    for file in files {
        let Some(source) = file.from.to_str() else {
            bail!("{} has a name that is no text", file.from.display());
        };
        let to = ship::elsewhere(&file.to);
        let mut asset = toml::Table::new();
        asset.insert("source".into(), source.into());
        asset.insert("dest".into(), format!("/{to}").into());
        asset.insert("mode".into(), format!("{:o}", file.mode).into());
        if to.starts_with("etc/") {
            asset.insert("config".into(), "noreplace".into());
        }
        if to.starts_with("usr/share/doc/") || to.starts_with("usr/share/man/") {
            asset.insert("doc".into(), true.into());
        }
        assets.push(asset.into());
    }
    let mut table = toml::Table::new();
    table.insert("assets".into(), assets.into());
    Ok(toml::to_string(&table)?)
}

#[cfg(test)]
mod tests;
