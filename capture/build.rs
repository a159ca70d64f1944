//! How the capture binaries are linked (capture-ssh has the same script): static, and small, because its image counts against the memory
//! that the capture kernel has.
//!
//! zstd is one library for this binary and for the CLI. What the capture kernel never calls is left
//! out of this binary alone, by giving the linker another name for it: the capture kernel compresses
//! at level 1 and below, which is the strategy `fast`, without dictionaries and in one go. A higher
//! level would be compressed like that: correct, and larger (lib/compress/zstd_compress_internal.h:
//! every block compressor has one signature and only finds matches). Unwind tables are of no use to a
//! process that aborts on a panic.

/// The block compressor of zstd 1.5 that replaces all others.
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
    println!("cargo::rerun-if-changed=../capture/build.rs");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if !features.split(',').any(|feature| feature == "crt-static") {
        println!(
            "cargo::warning=afterpanic-capture will be dynamic and of no use as /init: is RUSTFLAGS set? Unset it"
        );
    }
    // At a fixed address: 9,500 relocations would be made anew, with a copy of every page that they
    // lie in, each time a step is started; and an emulated processor would translate all its code again.
    for argument in ["-static", "-no-pie"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // While developing, symbols and unwind tables are worth having.
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        link_small();
    }
}

fn link_small() {
    println!("cargo::rerun-if-changed=../capture/link.ld");
    let argument = |argument: &str| {
        println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
    };
    for (strategy, variants) in STRATEGIES {
        for variant in variants {
            argument(&format!(
                "--defsym=ZSTD_compressBlock_{strategy}{variant}={FAST}"
            ));
        }
    }
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    // On aarch64 the C library's start files name the unwind tables, which keeps them.
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64") {
        argument(&format!("-T,{here}/../capture/link.ld"));
    }
    argument("--no-eh-frame-hdr");
    argument("--strip-all");
}
