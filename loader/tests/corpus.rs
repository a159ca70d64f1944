//! Replays what the fuzzers found worth keeping, and shortened or flipped versions of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../fuzz/loader_entries.rs"]
mod entries;

use std::fs;
use std::path::Path;

fn replay(target: &str, entry: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut files = 0;
    for file in fs::read_dir(&dir).unwrap() {
        let data = fs::read(file.unwrap().path()).unwrap();
        entry(&data);
        entry(&data[..data.len() / 2]);
        let mut flipped = data;
        for at in (0..flipped.len()).step_by(flipped.len() / 64 + 1) {
            flipped[at] ^= 0x81;
            entry(&flipped);
        }
        files += 1;
    }
    assert!(files > 0, "no corpus in {}", dir.display());
}

#[test]
fn image() {
    replay("image", entries::image);
}

#[test]
fn config() {
    replay("config", entries::config);
}

#[test]
fn segments() {
    replay("segments", entries::segments);
}
