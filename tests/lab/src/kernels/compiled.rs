//! Kernels that no distribution builds: Debian's source with a small configuration of our own, for
//! what Debian's kernels do not have (`tests/lab/kernel/NAME.config` says what and why).
//!
//! Source of the facts: Documentation/kbuild/{kbuild,kconfig}.rst: KCONFIG_ALLCONFIG under
//! `allnoconfig` says what is on besides; what the configuration does not take is an error here. A
//! build takes 10 to 15 minutes of both processors and 5 GB for the time; what is kept has 15 MB.

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

/// The kernel, compiled once.
pub(super) fn get(series: &str, name: &str, say: &mut dyn FnMut(&str)) -> Result<KernelFiles> {
    let config = crate::root().join(format!("tests/lab/kernel/{name}.config"));
    let suite = SOURCES.iter().find(|(known, _)| *known == series);
    let Some((_, suite)) = suite.filter(|_| config.exists()) else {
        bail!("No kernel is called {name}; there is 6.12-lab");
    };
    cached(name, &mut |dir| {
        tools()?;
        say(&format!(
            "compiling Linux {name} from Debian's source of {suite}; this takes a while"
        ));
        let work = dir.with_extension("source");
        let made = compile(series, suite, &config, &work, dir);
        let _ = fs::remove_dir_all(&work);
        made.with_context(|| format!("Cannot compile Linux {name}"))
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

fn compile(series: &str, suite: &str, config: &Path, work: &Path, dir: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(work);
    fs::create_dir_all(work)?;
    let source = unpack(series, suite, work)?;
    let mut make = make(&source);
    run(make.arg("allnoconfig").env("KCONFIG_ALLCONFIG", config))?;
    taken(config, &source.join(".config"))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    run(self::make(&source).args([&format!("-j{threads}"), "bzImage", "modules"]))?;
    let root = dir.with_extension("partial");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("usr/lib"))?;
    std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    run(self::make(&source)
        .arg("modules_install")
        .arg(format!("INSTALL_MOD_PATH={}", root.display()))
        .args(["INSTALL_MOD_STRIP=1", "DEPMOD=true"]))?;
    fs::copy(source.join("arch/x86/boot/bzImage"), root.join("vmlinuz"))?;
    let release = only_entry(&root.join("lib/modules"))?;
    finish(&root, &release, dir)
}

/// The source out of its package: an archive in an archive.
fn unpack(series: &str, suite: &str, work: &Path) -> Result<PathBuf> {
    let package = format!("linux-source-{series}");
    for deb in Apt::new(suite)?.download(std::slice::from_ref(&package))? {
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
            .arg(work)
            .stdin(pipe))?;
        let whole = dpkg.wait()?.success() && outer.wait()?.success();
        let _ = fs::remove_file(&deb);
        ensure!(whole, "{} holds no {package}.tar.xz", deb.display());
    }
    Ok(work.join(package))
}

fn make(source: &Path) -> Command {
    let mut make = Command::new("nice");
    make.args(["make", "-s", "-C"])
        .arg(source)
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
