//! Replays what the fuzzers found worth keeping, and shortened or flipped versions of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../fuzz/entries.rs"]
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
        for at in (0..flipped.len()).step_by(flipped.len() / 8 + 1) {
            flipped[at] ^= 0x81;
            entry(&flipped);
        }
        files += 1;
    }
    assert!(files > 0, "no corpus in {}", dir.display());
}

#[test]
fn elf() {
    replay("elf", entries::elf);
}

#[test]
fn kdump() {
    replay("kdump", entries::kdump);
}

#[test]
fn flattened() {
    replay("flattened", entries::flattened);
}

#[test]
fn seek_table() {
    replay("seek_table", entries::seek_table);
}

#[test]
fn lz4_index() {
    replay("lz4_index", entries::lz4_index);
}

#[test]
fn pages_map() {
    replay("pages_map", entries::pages_map);
}
