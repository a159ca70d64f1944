//! Tools of a newer Debian than this machine may be: unpacked, run by their own loader.

use crate::kernels::{Apt, unpack};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// The suite they come from: trixie's makedumpfile 1.7.6 keeps free pages of 6.12.
pub const SUITE: &str = "sid";
/// Where its libraries stand.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Its dynamic loader, among them.
const LOADER: &str = "ld-linux-x86-64.so.2";
const PACKAGES: [&str; 12] = [
    "makedumpfile",
    "libc6",
    "libgcc-s1",
    "libdw1t64",
    "libelf1t64",
    "liblzo2-2",
    "libzstd1",
    "zlib1g",
    "libbz2-1.0",
    "liblzma5",
    "libsnappy1v5",
    "libstdc++6",
];

/// makedumpfile, to be given arguments.
///
/// # Errors
/// It cannot be fetched.
pub fn makedumpfile() -> Result<Command> {
    let root = root()?;
    let libraries = root.join(LIBRARIES);
    let mut command = Command::new(libraries.join(LOADER));
    command
        .arg("--library-path")
        .arg(&libraries)
        .arg(root.join("usr/bin/makedumpfile"));
    Ok(command)
}

/// makedumpfile's loader, its libraries and itself, to be put into an image.
///
/// # Errors
/// It cannot be fetched.
pub fn makedumpfile_files() -> Result<(PathBuf, Vec<PathBuf>, PathBuf)> {
    /// The libraries that makedumpfile and libdw name, directly or not.
    const NEEDED: [&str; 12] = [
        "libdw.so.1",
        "libelf.so.1",
        "libz.so.1",
        "libbz2.so.1.0",
        "liblzma.so.5",
        "libzstd.so.1",
        "liblzo2.so.2",
        "libsnappy.so.1",
        "libstdc++.so.6",
        "libgcc_s.so.1",
        "libc.so.6",
        "libm.so.6",
    ];
    let root = root()?;
    let dir = root.join(LIBRARIES);
    let libraries = NEEDED
        .map(|name| dir.join(name))
        .into_iter()
        .filter(|path| path.exists());
    Ok((
        dir.join(LOADER),
        libraries.collect(),
        root.join("usr/bin/makedumpfile"),
    ))
}

/// The unpacked packages.
fn root() -> Result<PathBuf> {
    let dir = crate::cache().join("tools");
    fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join(".lock"))?;
    lock.lock().context("Cannot lock the tools")?;
    let root = dir.join(SUITE);
    if !root.exists() {
        let partial = dir.join("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(partial.join("usr/lib"))?;
        std::os::unix::fs::symlink("usr/lib", partial.join("lib"))?;
        let debs = Apt::new(SUITE)?.download(&PACKAGES.map(String::from))?;
        for deb in debs {
            unpack(&deb, &partial)?;
        }
        fs::rename(&partial, &root)?;
    }
    Ok(root)
}
