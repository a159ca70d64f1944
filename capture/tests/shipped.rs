//! What ships in the capture kernel: which crates, and that the binary needs nothing beside it.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Every crate in the capture kernel stands in `dependencies.txt`: a new one is a decision.
#[test]
fn every_crate_is_listed() {
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
    let used: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    let list = std::fs::read_to_string(here.join("dependencies.txt")).unwrap();
    let listed: BTreeSet<&str> = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
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
