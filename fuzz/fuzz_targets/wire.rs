//! See `rustor_fuzz::wire`.
#![no_main]
#![allow(unsafe_code)] // The fuzzer's entry point, which the macro exports.

libfuzzer_sys::fuzz_target!(|data: &[u8]| rustor_fuzz::wire(data));
