//! See `analysis::unwind::garbage`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| analysis::unwind::garbage::run(data));
