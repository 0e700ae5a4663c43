//! Law: requests of every kind that can be read read the same when they are written again; a subscription does not
//! depend on the order of its entries, has one version of each event type, and sends records in versions of their own
//! block.
//!
//! Input: the body of a message, taken as each kind of request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::request(data));
