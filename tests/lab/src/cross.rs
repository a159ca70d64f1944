//! A tool chain for another architecture than this machine's, and builds by it.
//!
//! A standard library works with the very compiler that it was built by, so the machine's own compiler cannot be
//! used. Debian's `rustc-web` comes with its standard library for every architecture: both are unpacked into a
//! folder, and the compiler is run by the dynamic linker that lies there. What links is the machine's own cross
//! compiler (gcc-aarch64-linux-gnu).

use crate::apt::{Apt, unpack};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite whose compiler is taken: one that is not updated from day to day.
const SUITE: &str = "trixie";
const COMPILER: &str = "rustc-web";
const LIBRARY: &str = "libstd-rust-web-dev";

/// An architecture that is built for.
#[derive(Debug)]
struct Target {
    arch: &'static str,
    /// Rust's name.
    triple: &'static str,
    /// Debian's name.
    debian: &'static str,
    /// What the GNU tools' names begin with.
    gnu: &'static str,
}

const TARGETS: [Target; 1] = [Target {
    arch: "aarch64",
    triple: "aarch64-unknown-linux-gnu",
    debian: "arm64",
    gnu: "aarch64-linux-gnu",
}];

/// A tool chain that is there.
#[derive(Debug)]
pub struct ToolChain {
    target: &'static Target,
    rustc: PathBuf,
}

impl ToolChain {
    /// The tool chain for an architecture; it is fetched the first time. `None`: it is this machine's own.
    ///
    /// # Errors
    /// The architecture is not known, or something cannot be fetched.
    pub fn of(arch: &str) -> Result<Option<Self>> {
        if arch == std::env::consts::ARCH {
            return Ok(None);
        }
        if std::env::consts::ARCH != "x86_64" {
            bail!("Builds for another architecture are made on x86_64 only");
        }
        let target = TARGETS.iter().find(|t| t.arch == arch);
        let target = target.with_context(|| format!("Nothing is built for {arch}"))?;
        let dir = crate::cache().join("tools/rustc");
        let rustc = dir.join(format!("rustc-{}", target.arch));
        if !rustc.exists() {
            eprintln!("lab: fetching a compiler for {arch} (once, 150 MB)");
            fetch(target, &dir, &rustc)
                .with_context(|| format!("Cannot fetch a compiler for {arch}"))?;
        }
        Ok(Some(Self { target, rustc }))
    }

    /// Has cargo build by it, in a target directory of its own.
    pub fn apply(&self, cargo: &mut Command) {
        let Target { triple, gnu, .. } = self.target;
        let variable = triple.replace('-', "_");
        let linker = format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase());
        cargo
            .args(["--target", triple])
            .env("RUSTC", &self.rustc)
            .env("CARGO_TARGET_DIR", crate::root().join("target/cross"))
            .env(linker, format!("{gnu}-gcc"))
            .env(format!("CC_{variable}"), format!("{gnu}-gcc"))
            .env(format!("AR_{variable}"), format!("{gnu}-ar"));
    }

    /// The program that strips symbols.
    #[must_use]
    pub fn strip(&self) -> String {
        format!("{}-strip", self.target.gnu)
    }
}

/// The C compiler for an architecture.
///
/// # Errors
/// Nothing is compiled for it here.
pub(crate) fn cc(arch: &str) -> Result<String> {
    if arch == std::env::consts::ARCH {
        return Ok("cc".into());
    }
    let gnu = match arch {
        "aarch64" => "aarch64-linux-gnu",
        "riscv64" => "riscv64-linux-gnu",
        "ppc64le" => "powerpc64le-linux-gnu",
        "s390x" => "s390x-linux-gnu",
        _ => bail!("Nothing is compiled for {arch}"),
    };
    Ok(format!("{gnu}-gcc"))
}

fn fetch(target: &Target, dir: &Path, rustc: &Path) -> Result<()> {
    let root = dir.join("root");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root)?;
    {
        let apt = Apt::new(SUITE)?;
        let mut packages = apt.closure(&[LIBRARY])?;
        packages.push(COMPILER.to_owned());
        for deb in apt.download(&packages)? {
            unpack(&deb, &root)?;
        }
    }
    let apt = Apt::of(SUITE, Some(target.debian))?;
    for deb in apt.download(&[LIBRARY.to_owned()])? {
        unpack(&deb, &root)?;
    }
    let usr = root.join("usr");
    // A program reads its libraries' place from its own ELF file: here the linker of that root is told.
    let script = format!(
        "#!/bin/sh\nr={}\nl=$r/lib/x86_64-linux-gnu\nexec $l/ld-linux-x86-64.so.2 --library-path $l:$r/lib --argv0 \
         $r/bin/rustc $r/bin/rustc --sysroot $r \"$@\"\n",
        usr.display()
    );
    let partial = rustc.with_extension("partial");
    fs::write(&partial, script)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
    let answer = Command::new(&partial).arg("-vV").output()?;
    if !answer.status.success() {
        bail!(
            "The compiler does not run here: {}",
            String::from_utf8_lossy(&answer.stderr).trim()
        );
    }
    Ok(fs::rename(&partial, rustc)?)
}

/// `build --target ARCH [--profile PROFILE]`: the programs; where they are.
///
/// # Errors
/// The tool chain cannot be had, or the build fails.
pub fn build(arch: &str, profile: &str) -> Result<Vec<PathBuf>> {
    crate::artefacts::shipped(arch, profile)
}
