//! See `entries::manifest`.
#![no_main]
#[path = "../store_entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::manifest(data));
