//! Law: whatever is in the files of an archive, reading and examining end, a writer can write and is read, and a repair
//! that cuts leaves nothing wrong and loses no event that could be read.
//!
//! Input: the head (40 bytes) and the only segment, as they are and with their checksums put right.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::archive(data));
