//! The one cryptographic provider (aws-lc-rs), passed explicitly everywhere, and what is needed of
//! it beside TLS: random numbers, SHA-256, the public half of a private key.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::error::{Error, Result};

pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(default_provider())).clone()
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::Issue { detail: "the system gives no random numbers".into() })?;
    Ok(bytes)
}

/// `N` random bytes as hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> Result<String> {
    random::<N>().map(|bytes| hex(&bytes))
}

/// SHA-256 as 64 lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(sha256(bytes).as_ref())
}

/// SHA-256, 32 bytes.
pub(crate) fn sha256(bytes: &[u8]) -> rustls::crypto::hash::Output {
    // rustls has no door to plain hashing but the one of its cipher suites.
    let hash = match cipher_suite::TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
    };
    hash.hash(bytes)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The key in a form that can sign.
pub(crate) fn signing_key(key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>> {
    provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| Error::BadKey {
            detail: "it is damaged or of a kind not supported; RSA of 2048 to 8192 bits, ECDSA (P-256, P-384, P-521) and Ed25519 are"
                .into(),
        })
}

/// Whether the private key is that of the public key in `spki` (a DER SubjectPublicKeyInfo);
/// `None` if the key does not tell its public half.
pub(crate) fn is_key_of(key: &dyn SigningKey, spki: &[u8]) -> Option<bool> {
    let own = key.public_key()?;
    // Only the key bits are compared: encoders differ in the algorithm's optional parameters.
    let (_, own) = SubjectPublicKeyInfo::from_der(own.as_ref()).ok()?;
    let Ok((_, theirs)) = SubjectPublicKeyInfo::from_der(spki) else {
        return Some(false);
    };
    Some(own.subject_public_key.data == theirs.subject_public_key.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_a_known_text() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
        assert_eq!(random_hex::<8>().unwrap().len(), 16);
    }
}
