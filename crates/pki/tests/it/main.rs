//! The crate as its users see it: issuing, PKCS#12 against OpenSSL, whole handshakes in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authority;
mod fixtures;
mod handshake;
mod hostile;
mod openssl;
mod openssl_tls;
mod pkcs12;
