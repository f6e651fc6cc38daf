//! The target `forbidden` of `sluice::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice::fuzzing::run("forbidden", data));
