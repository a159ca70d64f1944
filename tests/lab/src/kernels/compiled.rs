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

/// The suites whose source is known.
const SOURCES: [(&str, &str); 1] = [("6.12", "trixie")];

/// What the build needs beside a compiler and make, and the packages.
const TOOLS: [(&str, &str); 5] = [
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("pahole", "dwarves"),
    ("zstd", "zstd"),
];

/// Names of the kernels, behind their series.
const KINDS: [&str; 3] = ["lab", "debug", "bare"];

/// Whether a kernel is compiled here; its series.
pub(super) fn series(name: &str) -> Option<&str> {
    let (series, kind) = name.rsplit_once('-')?;
    KINDS.contains(&kind).then_some(series)
}

/// The names that [`get`] takes, as far as their series' source is known.
pub(super) fn names() -> impl Iterator<Item = String> {
    SOURCES
        .iter()
        .flat_map(|(series, _)| KINDS.map(|kind| format!("{series}-{kind}")))
}

/// The kernel, compiled once for each configuration.
pub(super) fn get(series: &str, name: &str, say: &mut dyn FnMut(&str)) -> Result<KernelFiles> {
    let config = crate::root().join(format!("tests/lab/kernel/{name}.config"));
    let suite = SOURCES.iter().find(|(known, _)| *known == series);
    let Some((_, suite)) = suite.filter(|_| config.exists()) else {
        let known: Vec<_> = names().collect();
        bail!(
            "No kernel is called {name}; those compiled here: {}",
            known.join(", ")
        );
    };
    let asked =
        fs::read_to_string(&config).with_context(|| format!("Cannot read {}", config.display()))?;
    cached(name, &asked, &mut |dir| {
        tools()?;
        say(&format!(
            "compiling Linux {name} from Debian's source of {suite}; this takes a while"
        ));
        let source = source(series, suite)?;
        let objects = crate::cache().join("objects").join(name);
        compile(&source, &objects, &config, dir)
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

fn compile(source: &Path, objects: &Path, config: &Path, dir: &Path) -> Result<()> {
    fs::create_dir_all(objects)?;
    let mut configure = make(source, objects);
    run(configure
        .arg("allnoconfig")
        .env("KCONFIG_ALLCONFIG", config))?;
    taken(config, &objects.join(".config"))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    run(make(source, objects).args([&format!("-j{threads}"), "bzImage", "modules"]))?;
    let root = dir.with_extension("partial");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("usr/lib"))?;
    std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    run(make(source, objects)
        .arg("modules_install")
        .arg(format!("INSTALL_MOD_PATH={}", root.display()))
        .args(["INSTALL_MOD_STRIP=1", "DEPMOD=true"]))?;
    fs::copy(objects.join("arch/x86/boot/bzImage"), root.join("vmlinuz"))?;
    let release = only_entry(&root.join("lib/modules"))?;
    finish(&root, &release, dir)
}

/// The source tree of a series, unpacked once.
fn source(series: &str, suite: &str) -> Result<PathBuf> {
    let package = format!("linux-source-{series}");
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

fn make(source: &Path, objects: &Path) -> Command {
    let mut make = Command::new("nice");
    make.args(["make", "-s", "-C"])
        .arg(source)
        .arg(format!("O={}", objects.display()))
        .stdin(Stdio::null())
        .env("KBUILD_BUILD_HOST", "lab")
        .env("KBUILD_BUILD_USER", "lab");
    make
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
