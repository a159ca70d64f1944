//! See `entries::text_log`.
#![no_main]
#[path = "../text_entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::text_log(data));
