//! Replays what the fuzzers found worth keeping.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../fuzz/loader_entries.rs"]
mod entries;

use synth::corpus::replay;

#[test]
fn image() {
    replay("image", Vec::new(), 64, entries::image);
}

#[test]
fn config() {
    replay("config", Vec::new(), 64, entries::config);
}

#[test]
fn segments() {
    replay("segments", Vec::new(), 64, entries::segments);
}

#[test]
fn importers() {
    replay("importers", Vec::new(), 64, entries::importers);
}

#[test]
fn boot_files() {
    replay("boot_files", Vec::new(), 64, entries::boot_files);
}
