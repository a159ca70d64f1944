//! What ships in the capture kernel: which crates, and that the binary needs no other file.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The crates in the capture binary, and whether each is of this workspace.
fn crates() -> Vec<(String, bool)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = Command::new(env!("CARGO"))
        .current_dir(here)
        .args(["tree", "--offline", "--locked", "--package", "capture"])
        .args(["--edges", "normal,no-proc-macro", "--prefix", "none"])
        .args(["--format", "{p}"])
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let text = String::from_utf8(tree.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let name = line.split(' ').next().unwrap_or_default();
            // `dump v0.1.0 (/path/of/dump)`: only a crate of the workspace has a path.
            (name.to_owned(), line.contains(" (/"))
        })
        .collect()
}

/// The names of our own crates in the capture binary.
fn ours() -> BTreeSet<String> {
    let ours = crates().into_iter().filter(|(_, ours)| *ours);
    ours.map(|(name, _)| name).collect()
}

/// A file of the workspace.
fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The fingerprint of the capture binary covers every crate of ours that is in it.
#[test]
fn the_fingerprint_covers_every_crate() {
    let text = file("plan/build.rs");
    let folders = ours().into_iter().map(|name| match name.as_str() {
        "plan" => "\"src\"".to_owned(),
        name => format!("\"../{name}/src\""),
    });
    for folder in folders {
        assert!(
            text.contains(&folder),
            "plan/build.rs: add {folder} to SOURCES"
        );
    }
}

/// Each crate of ours says whether it is built for size or for speed.
#[test]
fn the_release_profile_names_every_crate() {
    let text = file("Cargo.toml");
    let (_, rest) = text.split_once("[profile.release.package]\n").unwrap();
    let section = rest.split("\n[").next().unwrap();
    for name in ours() {
        let line = format!("{name} = ");
        assert!(
            section.lines().any(|found| found.starts_with(&line)),
            "Cargo.toml: [profile.release.package] does not name {name}"
        );
    }
}

/// Every crate in the capture kernel is listed in `dependencies.txt`: a new one is a decision.
#[test]
fn every_crate_is_listed() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let used: BTreeSet<String> = crates().into_iter().map(|(name, _)| name).collect();
    let list = std::fs::read_to_string(here.join("dependencies.txt")).unwrap();
    let listed: BTreeSet<String> = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_owned)
        .collect();
    let new: Vec<_> = used.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&used).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "capture/dependencies.txt: add {new:?}, remove {gone:?}"
    );
}

/// The value of a little-endian field of `len` bytes.
fn field(bytes: &[u8], at: usize, len: usize) -> usize {
    bytes[at..at + len]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | usize::from(*byte))
}

/// The page of a report is for the next boot. The linker leaves out what nobody calls, also without LTO.
#[test]
fn the_page_is_not_in_the_binary() {
    let elf = std::fs::read(env!("CARGO_BIN_EXE_afterpanic-capture")).unwrap();
    let holds = |text: &str| {
        elf.windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    };
    assert!(
        holds("afterpanic-capture"),
        "the search finds what is there"
    );
    for text in [
        "Content-Security-Policy",
        "prefers-color-scheme",
        "vm.overcommit_memory",
    ] {
        assert!(!holds(text), "{text} is in the binary");
    }
}

/// elf(5): no PT_INTERP (3), and no DT_NEEDED (1) in the dynamic segment (PT_DYNAMIC, 2) that a
/// static-pie has.
#[test]
fn the_binary_is_static() {
    let elf = std::fs::read(env!("CARGO_BIN_EXE_afterpanic-capture")).unwrap();
    assert_eq!(elf[..5], *b"\x7fELF\x02");
    let (table, size, count) = (field(&elf, 32, 8), field(&elf, 54, 2), field(&elf, 56, 2));
    assert!(count > 2);
    for n in 0..count {
        let header = table + n * size;
        match field(&elf, header, 4) {
            3 => panic!("the binary wants a dynamic loader: was RUSTFLAGS set?"),
            2 => {
                let (at, len) = (field(&elf, header + 8, 8), field(&elf, header + 32, 8));
                for entry in (at..at + len).step_by(16) {
                    assert_ne!(
                        field(&elf, entry, 8),
                        1,
                        "the binary needs a shared library"
                    );
                }
            }
            _ => {}
        }
    }
}
