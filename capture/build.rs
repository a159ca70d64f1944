//! A fingerprint of the sources that the capture binary is made from, so that `afterpanic` recognises
//! a binary of the same version that was built from others; and a warning where it would be dynamic.
//!
//! FNV-1a over names and contents: it tells builds apart, it protects against nobody.

use std::fs;
use std::path::{Path, PathBuf};

/// What ends up in the binary, seen from this crate.
const SOURCES: [&str; 4] = ["src", "../vmcore/src", "../analysis/src", "../Cargo.lock"];

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

    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if !features.split(',').any(|feature| feature == "crt-static") {
        println!(
            "cargo::warning=afterpanic-capture will be dynamic and of no use as /init: is RUSTFLAGS set? Unset it"
        );
    }
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
