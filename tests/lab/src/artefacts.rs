//! Our own binaries, built from this workspace and checked to be static.

use crate::cross::ToolChain;
use anyhow::{Context, Result, bail};
use rehearse::guest::image::Binaries;
use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The profile of what ships.
pub const SHIPS: &str = "release";
/// The profile of what runs in guests beside the programs, if those are built by another one.
pub const GUESTS: &str = "dev";
/// The profile of Cargo.toml by which both are built for one panic alone.
pub const QUICK: &str = "guest";

/// The packages that a build selects. Cargo unites the features of those: with another selection most crates would
/// be built once more.
fn packages(profile: &str) -> &'static [&'static str] {
    match profile {
        GUESTS | QUICK => &["-p", "afterpanic", "-p", "capture", "-p", "lab"],
        _ => &["-p", "afterpanic", "-p", "capture"],
    }
}

/// Builds `afterpanic` and `afterpanic-capture` for an architecture as they ship, or with another cargo profile.
///
/// # Errors
/// The build fails, or a result is not static.
pub fn build(arch: &str, profile: &str) -> Result<Binaries> {
    let bins = ["--bin", "afterpanic", "--bin", "afterpanic-capture"];
    let made = cargo_build(arch, profile, packages(profile), &bins)?;
    Ok(Binaries {
        afterpanic: find(&made, "afterpanic")?,
        capture: find(&made, "afterpanic-capture")?,
    })
}

/// Builds every program that ships; where they are.
///
/// # Errors
/// As [`build`].
pub fn shipped(arch: &str, profile: &str) -> Result<Vec<PathBuf>> {
    let packages = ["-p", "afterpanic", "-p", "capture", "-p", "capture-ssh"];
    let made = cargo_build(arch, profile, &packages, &[])?;
    let names = ["afterpanic", "afterpanic-capture", "afterpanic-capture-ssh"];
    names.into_iter().map(|name| find(&made, name)).collect()
}

/// Builds `afterpanic-capture-ssh` as [`build`] does the others.
///
/// # Errors
/// As [`build`].
pub fn with_ssh(arch: &str, profile: &str) -> Result<PathBuf> {
    let made = cargo_build(arch, profile, &["-p", "capture-ssh"], &[])?;
    find(&made, "afterpanic-capture-ssh")
}

/// Builds the program that makes memory of every kind in a guest, with the profile whose parts are
/// there already.
///
/// # Errors
/// As [`build`].
pub fn kinds(arch: &str) -> Result<PathBuf> {
    let made = cargo_build(arch, GUESTS, packages(GUESTS), &["--bin", "kinds"])?;
    find(&made, "kinds")
}

/// Builds the program that works and panics in the guests, by [`GUESTS`] or [`QUICK`]. Its symbols are left out: six
/// sevenths of it, and the guest holds it in memory.
///
/// # Errors
/// As [`build`], or `strip` is missing: it is in binutils, which gcc needs.
pub fn guest(arch: &str, profile: &str) -> Result<PathBuf> {
    let whole = cargo_build(arch, profile, packages(profile), &["--bin", "guest"])?;
    let whole = find(&whole, "guest")?;
    let stripped = match arch == ARCH {
        true => crate::cache().join("guest"),
        false => crate::cache().join(format!("guest-{arch}")),
    };
    // Another laboratory may read it right now.
    let partial = stripped.with_extension(std::process::id().to_string());
    fs::create_dir_all(crate::cache())?;
    let strip = ToolChain::of(arch)?.map_or("strip".to_owned(), |chain| chain.strip());
    let status = Command::new(strip)
        .arg("-o")
        .args([&partial, &whole])
        .status()
        .context("Cannot run strip; install it with: apt-get install binutils")?;
    if !status.success() {
        bail!("strip {}: {status}", whole.display());
    }
    fs::rename(&partial, &stripped)?;
    Ok(stripped)
}

/// The executables that a build made.
fn cargo_build(
    arch: &str,
    profile: &str,
    packages: &[&str],
    bins: &[&str],
) -> Result<Vec<PathBuf>> {
    let fixed = ["build", "--message-format=json-render-diagnostics"];
    let arguments = [&fixed, &["--profile", profile], packages, bins].concat();
    let mut command = command(&arguments);
    if let Some(chain) = ToolChain::of(arch)? {
        chain.apply(&mut command);
    }
    let text = answer(&mut command, &arguments).context("The binaries could not be built")?;
    Ok(text
        .lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .filter_map(|m| Some(PathBuf::from(m.get("executable")?.as_str()?)))
        .collect())
}

/// What cargo answers in this workspace.
///
/// # Errors
/// It cannot be run, or fails.
pub fn cargo(arguments: &[&str]) -> Result<String> {
    answer(&mut command(arguments), arguments)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(crate::root())
        .args(arguments)
        // The variable would replace the flags that make the binaries static.
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    command
}

fn answer(command: &mut Command, arguments: &[&str]) -> Result<String> {
    let output = command.output().context("Cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn find(made: &[PathBuf], name: &str) -> Result<PathBuf> {
    let path = made
        .iter()
        .find(|p| p.file_name().is_some_and(|n| n == name));
    let path = path
        .with_context(|| format!("cargo built no {name}"))?
        .clone();
    refuse_dynamic(&path)?;
    Ok(path)
}

/// A binary that needs an interpreter cannot be PID 1 where there is none.
fn refuse_dynamic(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("Cannot read {}", path.display()))?;
    match has_interpreter(&bytes) {
        Some(false) => Ok(()),
        Some(true) => bail!(
            "{} is not static: is RUSTFLAGS set, or .cargo/config.toml changed? Build it with: cargo build --release",
            path.display()
        ),
        None => bail!("{} is no ELF64 file", path.display()),
    }
}

/// Whether an ELF64 file has a PT_INTERP program header.
fn has_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let field = |at: usize, n: usize| {
        let bytes = elf.get(at..at.checked_add(n)?)?;
        Some(bytes.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b)))
    };
    if elf.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let table = usize::try_from(field(32, 8)?).ok()?;
    let (size, count) = (
        usize::try_from(field(54, 2)?).ok()?,
        usize::try_from(field(56, 2)?).ok()?,
    );
    for n in 0..count {
        if field(table.checked_add(size.checked_mul(n)?)?, 4)? == u64::from(PT_INTERP) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_static_test_and_a_dynamic_program_are_told_apart() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(has_interpreter(&own), Some(false));
        let shell = fs::read("/bin/sh").unwrap();
        assert_eq!(has_interpreter(&shell), Some(true));
        assert_eq!(has_interpreter(b"#!/bin/sh"), None);
        assert_eq!(has_interpreter(&own[..40]), None);
    }
}
