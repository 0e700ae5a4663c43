//! Certificates of an eStreamer service: authority, PKCS#12 and TLS configurations.
//!
//! eStreamer runs over mutual TLS. The server is its own authority: it signs its certificate and
//! one per client, and hands the client a PKCS#12 file with everything it needs. This crate has all
//! of that and knows nothing of the messages inside, and it opens no socket.
//!
//! | To | use |
//! |---|---|
//! | make or load the authority, issue certificates | [`Authority`] |
//! | write and read the client's PKCS#12 file | [`Bundle`] |
//! | let the right clients in | [`server_config`], [`ClientList`] |
//! | compare a client's name with its address | [`certificate_name`], [`check_name`] |
//! | connect to the right server | [`client_config`], [`ServerTrust`] |
//! | say why a handshake failed | [`explain_accept`], [`explain_connect`] |
//! | keep key files private | [`write_private`], [`read_private`] |
//! | let scripts in | [`Tokens`] |
//!
//! ```
//! use std::sync::Arc;
//! use pki::{Authority, AuthorityOptions, Bundle, KeyKind};
//! use pki::{ServerTrust, TlsVersions, client_config};
//!
//! # fn main() -> pki::Result<()> {
//! let authority = Authority::create(&AuthorityOptions {
//!     key: KeyKind::EcdsaP256, // the default is RSA
//!     ..AuthorityOptions::default()
//! })?;
//! let client = authority.issue_client("192.0.2.7", 365)?;
//! let file = authority.bundle(&client).to_pkcs12(Some("secret"))?;
//!
//! let bundle = Bundle::from_pkcs12(&file, Some("secret"))?;
//! assert_eq!(bundle.authorities, [authority.certificate().clone()]);
//! let tls = client_config(&bundle, ServerTrust::Authorities, TlsVersions::default())?;
//! # let _ = Arc::clone(&tls);
//! # Ok(())
//! # }
//! ```
//!
//! Where real appliances and old tools need leniency it is explicit and narrow: a server's name is
//! not compared, because appliances carry names that do not match; certificates of X.509 version 1
//! and those that do not say what they are for are read; old PKCS#12 ciphers are opened. Nothing is
//! ever trusted silently.

mod absent;
pub mod authority;
pub mod certificate;
pub mod client_tls;
mod crypto;
mod der;
pub mod error;
pub mod explain;
pub mod files;
pub mod key;
pub mod names;
mod obsolete;
mod peer;
pub mod pkcs12;
pub mod server_tls;
mod survey;
pub mod token;
mod tokens;

pub use authority::{Authority, AuthorityOptions, Issued, KeyKind, Validity, check_host};
pub use certificate::{CertificateInfo, certificate_hosts, certificate_name, fingerprint, time_text};
pub use client_tls::{PinFile, PinStore, ServerTrust, TlsVersions, TrustError, client_config, server_name};
pub use error::{Error, Result};
pub use explain::{
    Explanation, Failure, explain_accept, explain_accept_io, explain_connect, explain_connect_io, explain_silent_close,
};
pub use files::{create_private_dir, read_bounded, read_private, write_private};
pub use key::{PrivateKey, certificate_to_pem, certificates_from_pem};
pub use names::{NameCheck, Resolver, SystemResolver, check_name};
pub use pkcs12::{Bundle, Pkcs12Style};
pub use server_tls::{ClientList, ServerIdentity, Standing, server_config, web_config};
pub use tokens::{TokenError, Tokens};
