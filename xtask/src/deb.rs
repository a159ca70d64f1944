//! `cargo xtask deb`: the Debian package, out of `[package.metadata.deb]` in Cargo.toml.
//!
//! The metadata is cargo-deb's (its README, "package.metadata.deb options"), of which this reads
//! the keys that stand there. Man pages and completions come from the program itself; dpkg-deb packs.

use crate::run::{cargo, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the package; prints its path.
///
/// # Errors
/// Something does not build, or an asset is missing.
pub fn run(arguments: &[String]) -> Result<bool> {
    let profile = match arguments {
        [] => "release",
        [flag, profile] if flag == "--profile" => profile,
        _ => bail!("cargo xtask deb takes --profile PROFILE and nothing else"),
    };
    let binaries = build(profile)?;
    generate(&binaries)?;
    let package = Package::read()?;
    println!("{}", package.pack(&binaries)?.display());
    Ok(true)
}

/// Builds what ships; the directory of the binaries.
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
        .find_map(|path| Some(path.parent()?.to_owned()))
        .context("cargo built no program")
}

/// Man pages and completions, in target/dist.
fn generate(binaries: &Path) -> Result<()> {
    let to = root().join("target/dist");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(to.join("man"))?;
    let program = binaries.join("afterpanic");
    succeed(Command::new(&program).arg("man").arg(to.join("man")))?;
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(&program)
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

/// The root package, as cargo describes it.
struct Package {
    about: Value,
}

impl Package {
    fn read() -> Result<Self> {
        let output = cargo(&["metadata", "--no-deps", "--format-version", "1"]).output()?;
        let all: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let packages = all.get("packages").and_then(Value::as_array);
        let about = packages
            .into_iter()
            .flatten()
            .find(|p| p.get("name").and_then(Value::as_str) == Some("afterpanic"))
            .context("cargo metadata names no package afterpanic")?;
        Ok(Self {
            about: about.clone(),
        })
    }

    fn text(&self, pointer: &str) -> Result<&str> {
        let found = self.about.pointer(pointer).and_then(Value::as_str);
        found.with_context(|| format!("Cargo.toml has no {pointer}"))
    }

    fn list(&self, key: &str) -> &[Value] {
        let found = self.about.pointer(&format!("/metadata/deb/{key}"));
        found.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Stages every asset and packs it.
    fn pack(&self, binaries: &Path) -> Result<PathBuf> {
        let version = self.text("/version")?;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let directory = root().join("target/debian");
        let stage = directory.join("stage");
        let _ = fs::remove_dir_all(&stage);
        let mut bytes = 0;
        for asset in self.list("assets") {
            bytes += install(asset, binaries, &stage)?;
        }
        let control = stage.join("DEBIAN");
        fs::create_dir_all(&control)?;
        fs::set_permissions(&stage, Permissions::from_mode(0o755))?;
        fs::set_permissions(&control, Permissions::from_mode(0o755))?;
        fs::write(
            control.join("control"),
            self.control(version, architecture, bytes.div_ceil(1024))?,
        )?;
        let conffiles = self.list("conf-files").iter().filter_map(Value::as_str);
        let conffiles: String = conffiles.map(|path| format!("{path}\n")).collect();
        fs::write(control.join("md5sums"), checksums(&stage, &conffiles)?)?;
        fs::write(control.join("conffiles"), conffiles)?;
        let scripts = root().join(self.text("/metadata/deb/maintainer-scripts")?);
        for script in fs::read_dir(&scripts).context("The maintainer scripts are missing")? {
            let script = script?;
            copy(&script.path(), &control.join(script.file_name()), 0o755)?;
        }
        let package = directory.join(format!("afterpanic_{version}-1_{architecture}.deb"));
        let mut pack = Command::new("dpkg-deb");
        pack.args(["--root-owner-group", "-Zxz", "--build"]);
        // dpkg-deb says where; so do we.
        pack.arg(&stage)
            .arg(&package)
            .stdout(std::process::Stdio::null());
        succeed(&mut pack)?;
        fs::remove_dir_all(&stage)?;
        Ok(package)
    }

    fn control(&self, version: &str, architecture: &str, kib: u64) -> Result<String> {
        let deb = |key: &str| self.text(&format!("/metadata/deb/{key}"));
        let long = deb("extended-description")?.lines();
        let long: String = long.map(|line| format!(" {line}\n")).collect();
        Ok(format!(
            "Package: afterpanic\nVersion: {version}-1\nArchitecture: {architecture}\nMaintainer: {}\n\
             Installed-Size: {kib}\nDepends: {}\nSuggests: {}\nSection: {}\nPriority: {}\nDescription: {}\n{long}",
            deb("maintainer")?,
            deb("depends")?,
            deb("suggests")?,
            deb("section")?,
            deb("priority")?,
            self.text("/description")?,
        ))
    }
}

/// Copies an asset, `[source, destination, mode]`, into the stage; its bytes.
fn install(asset: &Value, binaries: &Path, stage: &Path) -> Result<u64> {
    let part = |n: usize| asset.get(n).and_then(Value::as_str);
    let (Some(from), Some(to), Some(mode)) = (part(0), part(1), part(2)) else {
        bail!("An asset is no [source, destination, mode]: {asset}");
    };
    let mode = u32::from_str_radix(mode, 8).with_context(|| format!("{mode} is no mode"))?;
    let mut bytes = 0;
    let sources = match from.strip_prefix("target/release/") {
        Some(name) => vec![binaries.join(name)],
        None => glob(from)?,
    };
    for source in sources {
        let mut target = stage.join(to);
        if to.ends_with('/') {
            target.push(source.file_name().unwrap_or_default());
        }
        bytes += copy(&source, &target, mode)?;
        if to.starts_with("usr/share/man/") || to.ends_with("/changelog") {
            // As Debian's policy asks for (12.1, 12.7); without name and time, for the same bytes always.
            succeed(Command::new("gzip").arg("-9n").arg(&target))?;
        }
    }
    Ok(bytes)
}

/// Checksums of what is installed, for `dpkg --verify`: all but conffiles, as debhelper has it.
fn checksums(stage: &Path, without: &str) -> Result<Vec<u8>> {
    let mut files = Vec::new();
    let mut directories = vec![stage.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path.strip_prefix(stage)?.to_owned());
            }
        }
    }
    files.retain(|file| {
        let kept = |line: &str| Path::new(line) == Path::new("/").join(file);
        !file.starts_with("DEBIAN") && !without.lines().any(kept)
    });
    files.sort();
    let output = Command::new("md5sum")
        .current_dir(stage)
        .arg("--")
        .args(&files)
        .output()
        .context("Cannot run md5sum")?;
    if !output.status.success() {
        bail!("md5sum failed: {}", output.status);
    }
    Ok(output.stdout)
}

/// The files that a pattern with at most one star in its last part names.
fn glob(pattern: &str) -> Result<Vec<PathBuf>> {
    let path = root().join(pattern);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((start, end)) = name.split_once('*') else {
        return Ok(vec![path]);
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut found = Vec::new();
    for entry in
        fs::read_dir(directory).with_context(|| format!("Cannot list {}", directory.display()))?
    {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(start) && name.ends_with(end) {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        bail!("Nothing is called {pattern}");
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<u64> {
    for directory in to.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        if !directory.exists() {
            fs::create_dir(directory)?;
            fs::set_permissions(directory, Permissions::from_mode(0o755))?;
        }
    }
    let bytes = fs::copy(from, to).with_context(|| format!("Cannot copy {}", from.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_that_is_not_made_by_a_build_is_there() {
        let package = Package::read().unwrap();
        let mut files = Vec::new();
        for asset in package.list("assets") {
            let from = asset.get(0).and_then(Value::as_str).unwrap();
            if !from.starts_with("target/") {
                files.extend(glob(from).unwrap());
            }
        }
        let has = |name: &str| files.iter().any(|f| f.ends_with(name));
        for unit in ["afterpanic.service", "afterpanic-collect.service"] {
            assert!(has(&format!("dist/{unit}")), "{files:?}");
        }
        assert!(has("dist/afterpanic.toml") && has("dist/copyright"));
        let control = package.control("1", "amd64", 7).unwrap();
        assert!(control.starts_with("Package: afterpanic\nVersion: 1-1\n"));
        assert!(
            control
                .lines()
                .last()
                .is_some_and(|line| line.starts_with(' '))
        );
    }
}
