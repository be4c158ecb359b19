//! See `rustor_fuzz::udp_tracker`.
#![no_main]
#![allow(unsafe_code)] // The fuzzer's entry point, which the macro exports.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rustor_fuzz::udp_tracker(data));
