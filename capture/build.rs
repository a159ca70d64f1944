//! A fingerprint of the sources that the capture binary is made from, so that `afterpanic` recognises
//! a binary of the same version that was built from others; and a warning where it would be dynamic.
//!
//! FNV-1a over names and contents: it tells builds apart, it protects against nobody.
//!
//! And how the binary is linked: small, because its image counts against the memory that the panic
//! kernel has. zstd is one library for this binary and for the CLI. What the capture kernel never calls is
//! left out of this binary alone, by giving the linker another name for it: it compresses at level 1
//! and below, which is the strategy `fast`, without dictionaries and in one go. What a higher level asked
//! for would be compressed like that: correct, and larger (lib/compress/zstd_compress_internal.h: every
//! block compressor has one signature and only finds matches). Unwind tables are of no use to a
//! process that aborts on a panic.

use std::fs;
use std::path::{Path, PathBuf};

/// What ends up in the binary, seen from this crate.
const SOURCES: [&str; 4] = ["src", "../vmcore/src", "../analysis/src", "../Cargo.lock"];

/// The block compressor of zstd 1.5 that stands in for all others.
const FAST: &str = "ZSTD_compressBlock_fast";

/// Those others: lib/compress/zstd_{double_fast,fast,lazy,opt}.h.
const STRATEGIES: [(&str, &[&str]); 9] = [
    ("fast", &["_dictMatchState", "_extDict"]),
    ("doubleFast", &["", "_dictMatchState", "_extDict"]),
    ("greedy", LAZY),
    ("lazy", LAZY),
    ("lazy2", LAZY),
    ("btlazy2", &["", "_dictMatchState", "_extDict"]),
    ("btopt", &["", "_dictMatchState", "_extDict"]),
    ("btultra", &["", "_dictMatchState", "_extDict"]),
    ("btultra2", &[""]),
];
const LAZY: &[&str] = &[
    "",
    "_row",
    "_dictMatchState",
    "_dictMatchState_row",
    "_dedicatedDictSearch",
    "_dedicatedDictSearch_row",
    "_extDict",
    "_extDict_row",
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

    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if !features.split(',').any(|feature| feature == "crt-static") {
        println!(
            "cargo::warning=afterpanic-capture will be dynamic and of no use as /init: is RUSTFLAGS set? Unset it"
        );
    }
    // At a fixed address: 9,500 relocations would be made anew, with a copy of every page that they
    // lie in, each time a step is started; and an emulated processor would translate all its code again.
    for argument in ["-static", "-no-pie"] {
        println!("cargo::rustc-link-arg-bin=afterpanic-capture={argument}");
    }
    // While developing, symbols and unwind tables are worth having.
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        link_small();
    }
}

fn link_small() {
    println!("cargo::rerun-if-changed=link.ld");
    let argument = |argument: &str| {
        println!("cargo::rustc-link-arg-bin=afterpanic-capture=-Wl,{argument}");
    };
    for (strategy, variants) in STRATEGIES {
        for variant in variants {
            argument(&format!(
                "--defsym=ZSTD_compressBlock_{strategy}{variant}={FAST}"
            ));
        }
    }
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    argument(&format!("-T,{here}/link.ld"));
    argument("--no-eh-frame-hdr");
    argument("--strip-all");
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
