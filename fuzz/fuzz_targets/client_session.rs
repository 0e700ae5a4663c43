//! Law: what a server sends means the same to a client however it is cut; the client sends whole messages, which a
//! server understands; after an error, its own or the server's, nothing more is heard.
//!
//! Input: a byte whose low four bits count the control bytes, these (sizes of the pieces; the first is also the top byte
//! of the request flags), then what the server sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::client_session(data));
