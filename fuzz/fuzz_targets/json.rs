//! Law: whatever a bundle holds, each record becomes one line of printable ASCII that is a JSON object without a key
//! twice, in proportion to the record; metadata of the same bundle is resolved.
//!
//! Input: bundle items (u32 4, u32 length, record); a record length that does not fit is put right.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::json(data));
