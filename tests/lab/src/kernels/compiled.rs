//! Kernels that no distribution builds: Debian's source with a small configuration of our own, for
//! what Debian's kernels do not have (`tests/lab/kernel/NAME.config` says what and why).
//!
//! Source of the facts: Documentation/kbuild/{kbuild,kconfig}.rst: KCONFIG_ALLCONFIG under
//! `allnoconfig` says what is on besides; what the configuration does not take is an error here. A
//! build takes 10 to 15 minutes of both processors (25 with KASAN) and 1 to 5 GB for the time; the
//! kernel that is kept has 15 MB. All kernels of a series share one source tree (1.7 GB). The objects
//! are kept until the kernel is complete, so that an interrupted build goes on where it was. A
//! configuration that changed is built anew.

use super::tree::{cached, finish, only_entry};
use crate::apt::{Apt, files_of, run};
use anyhow::{Context, Result, bail, ensure};
use rehearse::guest::image::KernelFiles;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The kernels: series, kind, and the suite whose source it is.
const KERNELS: [(&str, &str, &str); 5] = [
    ("6.12", "lab", "trixie"),
    ("6.12", "debug", "trixie"),
    ("6.12", "bare", "trixie"),
    ("6.12", "arm64-64k", "trixie"),
    ("7", "luks", "sid"),
];

/// What the build needs beside a compiler and make, and the packages.
const TOOLS: [(&str, &str); 5] = [
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("pahole", "dwarves"),
    ("zstd", "zstd"),
];

/// What kbuild is told for an architecture.
#[derive(Debug)]
struct Machine {
    /// Its name in uname(1).
    arch: &'static str,
    /// Its name in the source.
    kbuild: &'static str,
    /// The image that is started, below arch/KBUILD/boot.
    image: &'static str,
}

const X86_64: Machine = Machine {
    arch: "x86_64",
    kbuild: "x86",
    image: "bzImage",
};
const AARCH64: Machine = Machine {
    arch: "aarch64",
    kbuild: "arm64",
    image: "Image.gz",
};

/// The machine that a kernel is for.
fn machine(name: &str) -> &'static Machine {
    match super::architecture(name) {
        Some("arm64") => &AARCH64,
        _ => &X86_64,
    }
}

/// Whether a kernel is compiled here; the suite whose source it is.
pub(super) fn suite(name: &str) -> Option<&'static str> {
    let (series, kind) = name.split_once('-')?;
    let found = KERNELS.iter().find(|(s, k, _)| (*s, *k) == (series, kind));
    found.map(|(_, _, suite)| *suite)
}

/// The names that [`suite`] knows.
pub(super) fn names() -> impl Iterator<Item = String> {
    KERNELS
        .iter()
        .map(|(series, kind, _)| format!("{series}-{kind}"))
}

/// The kernel, compiled once for each configuration.
pub(super) fn get(name: &str, suite: &str, say: &mut dyn FnMut(&str)) -> Result<KernelFiles> {
    let config = crate::root().join(format!("tests/lab/kernel/{name}.config"));
    let asked =
        fs::read_to_string(&config).with_context(|| format!("Cannot read {}", config.display()))?;
    cached(name, &asked, &mut |dir| {
        tools()?;
        say(&format!(
            "compiling Linux {name} from Debian's source of {suite}; this takes a while"
        ));
        let source = source(suite)?;
        let objects = crate::cache().join("objects").join(name);
        let machine = machine(name);
        compile(machine, &source, &objects, &config, dir)
            .with_context(|| format!("Cannot compile Linux {name}"))?;
        fs::remove_dir_all(&objects).with_context(|| format!("Cannot remove {}", objects.display()))
    })
}

fn tools() -> Result<()> {
    let missing = TOOLS.iter().find(|(tool, _)| {
        let asked = Command::new(tool).arg("--version").output();
        !asked.is_ok_and(|output| output.status.success())
    });
    match missing {
        Some((tool, package)) => bail!(
            "The compilation of a kernel needs {tool} (Debian's package {package}); \
             it needs gcc, make, libelf-dev and libssl-dev, too"
        ),
        None => Ok(()),
    }
}

fn compile(
    machine: &Machine,
    source: &Path,
    objects: &Path,
    config: &Path,
    dir: &Path,
) -> Result<()> {
    fs::create_dir_all(objects)?;
    let Machine { kbuild, image, .. } = machine;
    let make = || make(machine, source, objects);
    let mut configure = make()?;
    run(configure
        .arg("allnoconfig")
        .env("KCONFIG_ALLCONFIG", config))?;
    taken(config, &objects.join(".config"))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    run(make()?.args([&format!("-j{threads}"), *image, "modules"]))?;
    let root = dir.with_extension("partial");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("usr/lib"))?;
    std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    run(make()?
        .arg("modules_install")
        .arg(format!("INSTALL_MOD_PATH={}", root.display()))
        .args(["INSTALL_MOD_STRIP=1", "DEPMOD=true"]))?;
    let boot = objects.join("arch").join(kbuild).join("boot");
    fs::copy(boot.join(image), root.join("vmlinuz"))?;
    let release = only_entry(&root.join("lib/modules"))?;
    finish(&root, &release, dir)
}

/// The source tree of a suite's kernel, unpacked once for each of its series.
fn source(suite: &str) -> Result<PathBuf> {
    let package = Apt::new(suite)?.kernel_source()?;
    let root = crate::cache().join("source");
    let tree = root.join(&package);
    let whole = root.join(format!("{package}.unpacked"));
    if !whole.exists() {
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(&root)?;
        unpack(&package, suite, &root)?;
        fs::write(&whole, "")?;
    }
    Ok(tree)
}

/// The source out of its package: an archive in an archive.
fn unpack(package: &str, suite: &str, root: &Path) -> Result<()> {
    for deb in Apt::new(suite)?.download(&[package.to_owned()])? {
        let (mut dpkg, pipe) = files_of(&deb)?;
        let mut outer = Command::new("tar")
            .args(["-x", "--to-stdout"])
            .arg(format!("./usr/src/{package}.tar.xz"))
            .stdin(pipe)
            .stdout(Stdio::piped())
            .spawn()?;
        let pipe = outer.stdout.take().context("tar has no output")?;
        run(Command::new("tar")
            .args(["-x", "-J", "-C"])
            .arg(root)
            .stdin(pipe))?;
        let whole = dpkg.wait()?.success() && outer.wait()?.success();
        let _ = fs::remove_file(&deb);
        ensure!(whole, "{} holds no {package}.tar.xz", deb.display());
    }
    Ok(())
}

fn make(machine: &Machine, source: &Path, objects: &Path) -> Result<Command> {
    let compiler = crate::cross::cc(machine.arch)?;
    let tools = compiler.strip_suffix("gcc").unwrap_or_default();
    let mut make = Command::new("nice");
    make.args(["make", "-s", "-C"])
        .arg(source)
        .arg(format!("O={}", objects.display()))
        .arg(format!("ARCH={}", machine.kbuild))
        .arg(format!("CROSS_COMPILE={tools}"))
        .stdin(Stdio::null())
        .env("KBUILD_BUILD_HOST", "lab")
        .env("KBUILD_BUILD_USER", "lab");
    Ok(make)
}

/// Each line that was asked for is in the configuration that came of it.
fn taken(asked: &Path, got: &Path) -> Result<()> {
    let (asked, got) = (fs::read_to_string(asked)?, fs::read_to_string(got)?);
    let options = asked
        .lines()
        .filter(|line| line.contains("CONFIG_") && !line.is_empty());
    for option in options {
        ensure!(
            got.lines().any(|line| line == option),
            "The kernel's configuration does not take \"{option}\""
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_suite_and_the_machine() {
        assert_eq!(suite("6.12-arm64-64k"), Some("trixie"));
        assert_eq!(suite("7-luks"), Some("sid"));
        assert_eq!(suite("6.12-arm64-16k"), None);
        assert_eq!(suite("6.12-ppc64el-64k"), None);
        assert_eq!(machine("6.12-arm64-64k").kbuild, "arm64");
        assert_eq!(machine("6.12-bare").kbuild, "x86");
        for name in names() {
            let config = format!("tests/lab/kernel/{name}.config");
            assert!(crate::root().join(config).exists(), "{name}");
        }
    }

    #[test]
    fn an_option_that_is_not_taken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (asked, got) = (dir.path().join("asked"), dir.path().join("got"));
        fs::write(&asked, "# why\n# CONFIG_B is not set\nCONFIG_A=y\n").unwrap();
        fs::write(&got, "CONFIG_A=y\n# CONFIG_B is not set\n").unwrap();
        assert!(taken(&asked, &got).is_ok());
        fs::write(&got, "CONFIG_A=m\n# CONFIG_B is not set\n").unwrap();
        let said = taken(&asked, &got).unwrap_err().to_string();
        assert!(said.contains("\"CONFIG_A=y\""), "{said}");
    }
}
