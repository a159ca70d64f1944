//! Tools of a newer Debian than this machine may be: unpacked, run by their own loader.

use crate::kernels::{Apt, unpack};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::process::Command;

/// The suite they come from: trixie's makedumpfile 1.7.6 keeps free pages of 6.12.
const SUITE: &str = "sid";
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
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command
        .arg("--library-path")
        .arg(&libraries)
        .arg(root.join("usr/bin/makedumpfile"));
    Ok(command)
}
