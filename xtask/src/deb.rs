//! `cargo xtask deb`: the Debian package, by cargo-deb out of `[package.metadata.deb]` in Cargo.toml.
//!
//! Man pages and completions come from the program itself. cargo-deb is the one in PATH, else it is
//! built once under target/tools.

use crate::run::{cargo, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is built where there is none.
const VERSION: &str = "3.8.0";

/// Builds the package; prints its path.
///
/// # Errors
/// Something does not build, or an asset is missing.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let profile = match arguments {
        [] => "release",
        [flag, profile] if flag == "--profile" => profile,
        _ => bail!("cargo xtask deb takes --profile PROFILE and nothing else"),
    };
    let program = build(profile)?;
    generate(&program)?;
    // The triple's directory, above the profile's.
    let triple = program.ancestors().nth(2).and_then(|dir| dir.file_name());
    let triple = triple.context("cargo built into no directory of a target")?;
    let mut pack = Command::new(cargo_deb()?);
    pack.current_dir(root())
        .args(["--no-build", "--no-strip", "--locked", "--offline"])
        .arg("--target")
        .arg(triple)
        .args(["--profile", profile, "--output", "target/debian/"])
        .env_remove("RUSTFLAGS")
        .stderr(std::process::Stdio::inherit());
    // It says where the package is, and nothing else on stdout.
    let output = pack.output().context("Cannot run cargo-deb")?;
    if !output.status.success() {
        bail!("cargo-deb failed: {}", output.status);
    }
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{}", root().join(said.trim()).display());
    Ok(true)
}

/// Builds what ships; the path of the main program.
fn build(profile: &str) -> Result<PathBuf> {
    let mut command = cargo(&["build", "--locked", "--package", "afterpanic"]);
    command.args(["--package", "capture", "--profile", profile]);
    command.arg("--message-format=json-render-diagnostics");
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("The binaries could not be built");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .find(|path| path.file_name().is_some_and(|name| name == "afterpanic"))
        .context("cargo built no program")
}

/// The packing program.
fn cargo_deb() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = root().join("target/tools");
    let places = std::env::split_paths(&path).chain([tools.join("bin")]);
    let found = places
        .map(|dir| dir.join("cargo-deb"))
        .find(|p| p.is_file());
    if let Some(found) = found {
        return Ok(found);
    }
    eprintln!("xtask: building cargo-deb {VERSION} under target/tools (once, some minutes)");
    let mut install = cargo(&["install", "--locked", "--version", VERSION, "cargo-deb"]);
    succeed(install.arg("--root").arg(&tools))?;
    Ok(tools.join("bin/cargo-deb"))
}

/// Man pages and completions, in target/dist.
fn generate(program: &Path) -> Result<()> {
    let to = root().join("target/dist");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(to.join("man"))?;
    succeed(Command::new(program).arg("man").arg(to.join("man")))?;
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(program)
            .args(["completions", shell])
            .output()
            .context("Cannot run afterpanic completions")?;
        if !output.status.success() {
            bail!("afterpanic completions {shell} failed");
        }
        fs::write(to.join(format!("afterpanic.{shell}")), output.stdout)?;
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("Cannot run {command:?}; is it installed?"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
