//! Law: the messages of a stream and the items of a bundle lie back to back and cover their bytes; a piece of a message
//! is no message; an error is seen with the header; what is written again is what was read.
//!
//! Input: the bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::framing(data));
