//! Law: the records of a unified2 file lie back to back; what a record says lies in it; an error names an offset in it;
//! the place in the file changes offsets only.
//!
//! Input: the file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::unified2(data));
