//! Laws that hold for any input at all.
//!
//! Each law is a function of bytes that panics when it is broken. The fuzz targets in `fuzz/` call them one each; the
//! test in `tests/smoke.rs` runs all of them over the seeds and over mutations of these.
//!
//! Every law says, besides what is written at it: no panic, no endless loop, no memory out of proportion to the input.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken law panics: that is how a fuzzer learns of it")]

mod archive;
mod client_session;
mod eve;
mod framing;
mod json;
mod pkcs12;
mod record;
mod record_json;
mod request;
mod script;
mod server_session;
mod unified2;
mod walk;

pub use archive::archive;
pub use client_session::client_session;
pub use eve::eve;
pub use framing::framing;
pub use json::json;
pub use pkcs12::pkcs12;
pub use record::record;
pub use record_json::record_json;
pub use request::request;
pub use server_session::server_session;
pub use unified2::unified2;

/// A law: panics when the input breaks it.
pub type Law = fn(&[u8]);

/// All laws by the names of their targets and seed directories.
pub const LAWS: [(&str, Law); 11] = [
    ("archive", archive),
    ("client_session", client_session),
    ("eve", eve),
    ("framing", framing),
    ("json", json),
    ("pkcs12", pkcs12),
    ("record", record),
    ("record_json", record_json),
    ("request", request),
    ("server_session", server_session),
    ("unified2", unified2),
];
