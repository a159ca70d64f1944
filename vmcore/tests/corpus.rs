//! Replays what the fuzzers found worth keeping.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../fuzz/entries.rs"]
mod entries;

use synth::corpus::replay;

#[test]
fn elf() {
    replay("elf", Vec::new(), 8, entries::elf);
}

#[test]
fn kdump() {
    replay("kdump", Vec::new(), 8, entries::kdump);
}

#[test]
fn flattened() {
    replay("flattened", Vec::new(), 8, entries::flattened);
}

#[test]
fn seek_table() {
    replay("seek_table", Vec::new(), 8, entries::seek_table);
}

#[test]
fn lz4_index() {
    replay("lz4_index", Vec::new(), 8, entries::lz4_index);
}

#[test]
fn pages_map() {
    replay("pages_map", Vec::new(), 8, entries::pages_map);
}
