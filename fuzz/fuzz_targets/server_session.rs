//! Law: what a client sends means the same to a server however it is cut and whatever is sent meanwhile; the server
//! sends whole messages, numbers its bundles, loses no record, and a client understands it all; an error message is the
//! last it says, and nothing more is heard.
//!
//! Input: a byte whose low four bits count the control bytes, these (low five bits: size of a piece, high three: what the
//! server does after it), then what the client sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::server_session(data));
