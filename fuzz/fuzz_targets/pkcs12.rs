//! Law: any file opens or is refused, without a password and with `secret`, in bounded time and memory; what opens has
//! a key, its certificate and certificates that can be read.
//!
//! Input: the file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::pkcs12(data));
