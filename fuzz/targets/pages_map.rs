//! See `entries::pages_map`.
#![no_main]
#[path = "../entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::pages_map(data));
