//! Replays what the fuzzers found worth keeping.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../fuzz/store_entries.rs"]
mod entries;

use synth::corpus::replay;

#[test]
fn names() {
    replay("names", Vec::new(), 64, entries::names);
}

#[test]
fn manifest() {
    replay("manifest", Vec::new(), 64, entries::manifest);
}

#[test]
fn raw_target() {
    replay("raw_target", Vec::new(), 64, entries::raw_target);
}
