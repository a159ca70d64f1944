//! See `entries::vmcoreinfo`.
#![no_main]
#[path = "../kernel_entries.rs"]
#[allow(dead_code)]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::vmcoreinfo(data));
