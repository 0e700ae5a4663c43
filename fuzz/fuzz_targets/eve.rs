//! Law: every line of Suricata is counted once; what it becomes are records that agree with their layouts; what is kept of
//! flows is bounded.
//!
//! Input: the file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::eve(data));
