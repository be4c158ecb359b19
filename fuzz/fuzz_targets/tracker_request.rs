//! See `rustor_fuzz::tracker_request`.
#![no_main]
#![allow(unsafe_code)] // The fuzzer's entry point, which the macro exports.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rustor_fuzz::tracker_request(data));
