//! See `entries::raw_target`.
#![no_main]
#[path = "../store_entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::raw_target(data));
