//! A fingerprint of everything that the capture binary is made from, so that `afterpanic` recognises a
//! binary of the same version that was built from other sources.
//!
//! FNV-1a over names and contents: it tells builds apart, it protects against nobody. A test compares
//! the list with `cargo tree` (capture/tests/shipped.rs).

use std::fs;
use std::path::{Path, PathBuf};

/// What ends up in the binary, seen from this crate: the sources of each workspace crate in it, how
/// it is linked, and the versions of everybody else's crates.
const SOURCES: [&str; 11] = [
    "../vmcore/src",
    "../analysis/src",
    "../dump/src",
    "../store/src",
    "src",
    "../capture/src",
    "../capture-ssh/src",
    "../ssh/src",
    "../capture/build.rs",
    "../capture/link.ld",
    "../Cargo.lock",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        collect(Path::new(source), &mut files);
    }
    files.sort();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for file in &files {
        add(file.to_string_lossy().as_bytes());
        add(&[0]);
        add(&fs::read(file).unwrap_or_default());
        add(&[0]);
    }
    println!("cargo::rustc-env=AFTERPANIC_SOURCES={hash:016x}");
}

/// The files in a folder, or the file itself; what is not there is left out.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(path) else {
        if path.is_file() {
            files.push(path.to_owned());
        }
        return;
    };
    for entry in entries.flatten() {
        collect(&entry.path(), files);
    }
}
