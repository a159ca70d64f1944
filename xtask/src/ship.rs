//! What every package holds: the files of `[package.metadata.deb]` in Cargo.toml, with the binaries of a
//! profile, and man pages and completions, which come from the program itself.

use crate::install;
use crate::run::{cargo, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Placed {
    /// Where it goes, without the leading slash.
    pub to: String,
    /// Where it is.
    pub from: PathBuf,
    /// Its permissions.
    pub mode: u32,
}

/// What is built for a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// The cargo profile.
    pub profile: &'a str,
    /// The architecture as uname(1) names it, where it is not this machine's.
    pub target: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// The `--profile PROFILE` and `--target ARCH` of a verb that takes nothing else.
    ///
    /// # Errors
    /// There is something else.
    pub(crate) fn of(verb: &str, arguments: &'a [String]) -> Result<Self> {
        let mut wanted = Self {
            profile: "release",
            target: None,
        };
        for pair in arguments.chunks(2) {
            match pair {
                [flag, profile] if flag == "--profile" => wanted.profile = profile,
                [flag, arch] if flag == "--target" => {
                    let arch = arch.split('-').next().unwrap_or(arch);
                    wanted.target = (arch != std::env::consts::ARCH).then_some(arch);
                }
                _ => bail!(
                    "cargo xtask {verb} takes --profile PROFILE, --target ARCH and nothing else"
                ),
            }
        }
        Ok(wanted)
    }

    /// The architecture of the package.
    pub(crate) fn arch(&self) -> &'a str {
        self.target.unwrap_or(std::env::consts::ARCH)
    }
}

/// Builds what ships, and makes man pages and completions; the path of the main program.
///
/// # Errors
/// Something does not build, or a program of the capture image is larger than its budget.
pub(crate) fn build(wanted: &Wanted<'_>) -> Result<PathBuf> {
    if let Some(arch) = wanted.target {
        let program = cross(arch, wanted.profile)?;
        is_of(&program, arch)?;
        return Ok(program);
    }
    let profile = wanted.profile;
    let mut command = cargo(&["build", "--locked", "--package", "afterpanic"]);
    command.args(["--package", "capture", "--package", "capture-ssh"]);
    command.args(["--profile", profile]);
    let program = built(&mut command, "afterpanic")?;
    measured(&program, profile)?;
    generate(&program)?;
    Ok(program)
}

/// The numbers of machines in ELF headers (e_machine) that packages are built for.
const MACHINES: [(&str, u16); 2] = [("x86_64", 62), ("aarch64", 183)];

/// Whether the main program and those beside it are of an architecture: a package that says another than it holds does
/// not start.
fn is_of(program: &Path, arch: &str) -> Result<()> {
    let known = MACHINES.iter().find(|(name, _)| *name == arch);
    let (_, wanted) = known.with_context(|| format!("No package is made for {arch}"))?;
    for name in ["afterpanic", "afterpanic-capture", "afterpanic-capture-ssh"] {
        let path = program.with_file_name(name);
        let mut header = [0; 20];
        let mut file =
            fs::File::open(&path).with_context(|| format!("Cannot read {}", path.display()))?;
        file.read_exact(&mut header)?;
        let [0x7f, b'E', b'L', b'F', .., low, high] = header else {
            bail!("{} is no ELF file", path.display());
        };
        let machine = u16::from_le_bytes([low, high]);
        if machine != *wanted {
            bail!("{} is of machine {machine}, not of {arch}", path.display());
        }
    }
    Ok(())
}

/// Compares the programs beside the main one with their budgets, if they are what ships.
fn measured(program: &Path, profile: &str) -> Result<()> {
    if profile == "release" {
        let folder = program.parent().unwrap_or(Path::new("."));
        for line in crate::budget::check(folder)? {
            eprintln!("xtask: {line}");
        }
    }
    Ok(())
}

/// The same for another architecture. Man pages and completions say the same everywhere: a program that runs here
/// prints them.
fn cross(arch: &str, profile: &str) -> Result<PathBuf> {
    install::ensure(&[install::CROSS])?;
    let mut own = cargo(&["build", "--locked", "--package", "afterpanic"]);
    generate(&built(&mut own, "afterpanic")?)?;
    let mut lab = cargo(&["run", "--quiet", "--locked", "--package", "lab", "--"]);
    lab.args(["build", "--target", arch, "--profile", profile]);
    let output = lab.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("The binaries could not be built for {arch}");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let program = text
        .lines()
        .map(PathBuf::from)
        .find(|path| path.file_name().is_some_and(|name| name == "afterpanic"))
        .context("cargo built no program")?;
    measured(&program, profile)?;
    Ok(program)
}

/// Runs a `cargo build`; where a program is that it built.
///
/// # Errors
/// Something does not build.
pub(crate) fn built(command: &mut Command, name: &str) -> Result<PathBuf> {
    command.arg("--message-format=json-render-diagnostics");
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("The binaries could not be built");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .find(|path| path.file_name().is_some_and(|file| file == name))
        .context("cargo built no program")
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

/// The version and the machine that the packages are for.
///
/// # Errors
/// Cargo.toml has no version.
pub(crate) fn version() -> Result<String> {
    let manifest = manifest()?;
    let version = manifest
        .get("workspace")
        .and_then(|table| table.get("package")?.get("version")?.as_str());
    Ok(version.context("Cargo.toml has no version")?.to_owned())
}

fn manifest() -> Result<toml::Table> {
    let path = root().join("Cargo.toml");
    let text = fs::read_to_string(&path)?;
    toml::from_str(&text).with_context(|| format!("Cannot read {}", path.display()))
}

/// The files of a package, sorted. `program` is the main program; the others lie beside it.
///
/// # Errors
/// A file is missing, or Cargo.toml is not as expected.
pub(crate) fn files(program: &Path) -> Result<Vec<Placed>> {
    let manifest = manifest()?;
    let assets = manifest
        .get("package")
        .and_then(|table| table.get("metadata")?.get("deb")?.get("assets")?.as_array())
        .context("Cargo.toml has no assets for the Debian package")?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let mut out = Vec::new();
    for asset in assets {
        let words: Option<Vec<&str>> = asset
            .as_array()
            .and_then(|words| words.iter().map(toml::Value::as_str).collect());
        let Some([from, to, mode]) = words.as_deref() else {
            bail!("an asset of the Debian package is not [from, to, mode]: {asset}");
        };
        let mode = u32::from_str_radix(mode, 8).with_context(|| format!("the mode {mode}"))?;
        // cargo-deb puts the profile's directory there, too.
        let sources = match from.strip_prefix("target/release/") {
            Some(name) => vec![beside.join(name)],
            None => expanded(&root(), from)?,
        };
        for source in sources {
            let name = source.file_name().unwrap_or_default().to_string_lossy();
            let to = match to.strip_suffix('/') {
                Some(dir) => format!("{dir}/{name}"),
                None => (*to).to_owned(),
            };
            out.push(Placed {
                to,
                from: source,
                mode,
            });
        }
    }
    out.sort();
    Ok(out)
}

/// The files of a pattern whose last part may hold one `*`.
fn expanded(root: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let path = root.join(pattern);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((head, tail)) = name.split_once('*') else {
        return Ok(vec![path.clone()]);
    };
    let dir = path.parent().unwrap_or(root);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("Cannot list {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let fits =
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
        if fits && entry.path().is_file() {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        bail!("no file fits {pattern}");
    }
    found.sort();
    Ok(found)
}

/// Where a file of the Debian package lies on other systems: zsh looks for completions elsewhere there.
pub(crate) fn elsewhere(to: &str) -> String {
    to.replace("zsh/vendor-completions/", "zsh/site-functions/")
}

/// A packing program: in PATH, else built once under target/tools.
///
/// # Errors
/// It does not build.
pub(crate) fn tool(name: &str, version: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = root().join("target/tools");
    let places = std::env::split_paths(&path).chain([tools.join("bin")]);
    let found = places.map(|dir| dir.join(name)).find(|p| p.is_file());
    if let Some(found) = found {
        return Ok(found);
    }
    eprintln!("xtask: building {name} {version} under target/tools (once, some minutes)");
    let mut install = cargo(&["install", "--locked", "--version", version, name]);
    succeed(install.arg("--root").arg(&tools))?;
    Ok(tools.join("bin").join(name))
}

/// Runs a command that must succeed.
///
/// # Errors
/// It does not.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("Cannot run {command:?}; is it installed?"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_names_of_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.md", "b.md", "c.txt", ".md"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("d.md")).unwrap();
        let names = |pattern: &str| -> Vec<String> {
            let found = expanded(dir.path(), pattern).unwrap();
            let names = found
                .iter()
                .map(|p| p.file_name().unwrap().to_string_lossy());
            names.map(|n| n.into_owned()).collect()
        };
        assert_eq!(names("*.md"), [".md", "a.md", "b.md"]);
        assert_eq!(names("c.txt"), ["c.txt"]);
        assert!(expanded(dir.path(), "*.rs").is_err());
    }

    #[test]
    fn a_package_is_of_this_machine_unless_another_is_named() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let asked = words("--profile dev --target riscv64-unknown-linux-gnu");
        let wanted = Wanted::of("deb", &asked).unwrap();
        assert_eq!(
            (wanted.profile, wanted.target, wanted.arch()),
            ("dev", Some("riscv64"), "riscv64")
        );
        let own = words(&format!("--target {}", std::env::consts::ARCH));
        let wanted = Wanted::of("deb", &own).unwrap();
        assert_eq!((wanted.profile, wanted.target), ("release", None));
        assert!(Wanted::of("deb", &words("--target")).is_err());
        assert!(Wanted::of("deb", &words("--fleet x")).is_err());
    }

    #[test]
    fn a_program_of_another_machine_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("afterpanic");
        let made = |name: &str, machine: u16| {
            let mut header = b"\x7fELF\x02\x01\x01".to_vec();
            header.resize(18, 0);
            header.extend(machine.to_le_bytes());
            fs::write(main.with_file_name(name), header).unwrap();
        };
        made("afterpanic", 183);
        made("afterpanic-capture", 183);
        assert!(is_of(&main, "aarch64").is_err(), "one is missing");
        made("afterpanic-capture-ssh", 62);
        let said = is_of(&main, "aarch64").unwrap_err().to_string();
        assert!(said.ends_with("afterpanic-capture-ssh is of machine 62, not of aarch64"));
        made("afterpanic-capture-ssh", 183);
        assert!(is_of(&main, "aarch64").is_ok() && is_of(&main, "x86_64").is_err());
        assert!(is_of(&main, "vax").is_err());
    }

    #[test]
    fn the_manifest_has_a_version() {
        assert_eq!(version().unwrap(), env!("CARGO_PKG_VERSION"));
    }
}
