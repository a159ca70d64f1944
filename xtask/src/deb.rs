//! `cargo xtask deb`: the Debian package, by cargo-deb out of `[package.metadata.deb]` in Cargo.toml; with `--fleet`
//! that of fleet/, which is a workspace of its own.

use crate::run::{cargo, root};
use crate::ship::{self, Wanted};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version that is installed where the program is missing.
const VERSION: &str = "3.8.0";

/// Builds the package; prints its path.
///
/// # Errors
/// Something does not build, or an asset is missing.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let package = match arguments {
        [fleet, rest @ ..] if fleet == "--fleet" => of_fleet(&Wanted::of("deb --fleet", rest)?)?,
        _ => build(&Wanted::of("deb", arguments)?)?,
    };
    println!("{}", package.display());
    Ok(true)
}

/// Builds the package.
fn build(wanted: &Wanted<'_>) -> Result<PathBuf> {
    let program = ship::build(wanted)?;
    pack("Cargo.toml", &program, wanted.profile)
}

/// Builds afterpanic-fleet and its package.
fn of_fleet(wanted: &Wanted<'_>) -> Result<PathBuf> {
    if let Some(arch) = wanted.target {
        bail!("afterpanic-fleet is built for this machine only, not for {arch}");
    }
    let profile = wanted.profile;
    let manifest = "fleet/Cargo.toml";
    let mut command = cargo(&["build", "--locked", "--manifest-path", manifest]);
    command.args(["--target-dir", "fleet/target", "--profile", profile]);
    pack(
        manifest,
        &ship::built(&mut command, "afterpanic-fleet")?,
        profile,
    )
}

/// Packs what was built: the package of a manifest. `program` lies in the profile's directory.
fn pack(manifest: &str, program: &Path, profile: &str) -> Result<PathBuf> {
    // The triple's directory, above the profile's, and the one that holds it.
    let mut above = program.ancestors().skip(2);
    let triple = above.next().and_then(Path::file_name);
    let (Some(triple), Some(directory)) = (triple, above.next()) else {
        bail!("cargo built into no directory of a target");
    };
    let mut pack = Command::new(ship::tool("cargo-deb", VERSION)?);
    pack.current_dir(root())
        .args(["--no-build", "--no-strip", "--locked", "--offline"])
        .args(["--manifest-path", manifest])
        .arg("--target")
        .arg(triple)
        .args(["--profile", profile, "--output"])
        .arg(root().join("target/debian/"))
        .env("CARGO_TARGET_DIR", directory)
        .env_remove("RUSTFLAGS")
        .stderr(Stdio::inherit());
    // It says where the package is, and nothing else on stdout.
    let output = pack.output().context("Cannot run cargo-deb")?;
    if !output.status.success() {
        bail!("cargo-deb failed: {}", output.status);
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(root().join(said.trim()))
}
