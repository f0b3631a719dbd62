//! Plan files as they come: decoded as each party's.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trefoil_fuzz::plan(bytes));
