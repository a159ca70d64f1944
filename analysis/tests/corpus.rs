//! Replays what the fuzzers found worth keeping.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../fuzz/text_entries.rs"]
mod entries;

use synth::corpus::replay;

#[test]
fn text_log() {
    replay("text_log", Vec::new(), 32, entries::text_log);
}
