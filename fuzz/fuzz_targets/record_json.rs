//! Law: each line is a record or an error; a record can be decoded, and what is printed of it is read as it was.
//!
//! Input: lines of JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::record_json(data));
