//! Replays what the fuzzers found worth keeping (fuzz/corpus), shortened and flipped too.

// Fails loudly: it is a part of tests.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

/// Runs a target's inputs and further `seeds` through `entry`: each as it is, cut in half, and with
/// one byte after the other turned over at `steps` places.
///
/// # Panics
/// There is no corpus for the target, or nothing in it; and when `entry` panics.
pub fn replay(target: &str, seeds: Vec<Vec<u8>>, steps: usize, entry: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let files = fs::read_dir(dir.join(target)).expect("a corpus");
    let kept: Vec<Vec<u8>> = files
        .map(|file| fs::read(file.expect("an entry").path()).expect("an input"))
        .collect();
    assert!(!kept.is_empty(), "no corpus of {target}");
    for data in kept.into_iter().chain(seeds) {
        entry(&data);
        entry(&data[..data.len() / 2]);
        let mut flipped = data;
        for at in (0..flipped.len()).step_by(flipped.len() / steps + 1) {
            flipped[at] ^= 0x81;
            entry(&flipped);
        }
    }
}
