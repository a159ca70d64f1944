//! See `entries::importers`.
#![no_main]
#[path = "../loader_entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::importers(data));
