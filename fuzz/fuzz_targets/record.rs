//! Law: decoding fails at nothing but the record header; values lie in the record, in order, and are in proportion to
//! its bytes; problems name an offset in it; what had no problem is written as it was read; a record
//! converted to any version of its block has no problem.
//!
//! Input: a record with its header, also taken as a block that stands alone. A record length that does not fit is put
//! right and the record tried again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::record(data));
