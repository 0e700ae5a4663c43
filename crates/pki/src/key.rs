//! Private keys and the PEM form of keys and certificates.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

use crate::certificate;
use crate::crypto;
use crate::der::{self, Reader};
use crate::error::{Error, Result};

/// A private key in DER-encoded PKCS#8. It is wiped from memory when dropped (copies that
/// TLS and the encoders make for themselves are theirs) and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// Takes a DER-encoded PKCS#8 key: RSA of 2048 to 8192 bits, ECDSA (P-256, P-384, P-521) or
    /// Ed25519.
    ///
    /// # Errors
    /// [`Error::BadKey`] if it is damaged or of another kind.
    pub fn from_pkcs8(der: impl Into<Zeroizing<Vec<u8>>>) -> Result<Self> {
        let key = Self { pkcs8: der.into() };
        key.signing_key()?;
        Ok(key)
    }

    /// The first private key in a PEM text; PKCS#8 (`BEGIN PRIVATE KEY`), PKCS#1 (`BEGIN RSA PRIVATE
    /// KEY`) and SEC1 (`BEGIN EC PRIVATE KEY`) are known. Other text around it is ignored.
    ///
    /// # Errors
    /// [`Error::PemWithoutKey`], [`Error::PemKeyEncrypted`], [`Error::BadPem`], [`Error::BadKey`].
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            let (kind, der) = section.map_err(bad_pem)?;
            let der = Zeroizing::new(der);
            match kind {
                SectionKind::PrivateKey => return Self::from_pkcs8(der),
                SectionKind::RsaPrivateKey if is_encrypted(text) => {
                    return Err(Error::PemKeyEncrypted);
                }
                SectionKind::EcPrivateKey if is_encrypted(text) => {
                    return Err(Error::PemKeyEncrypted);
                }
                SectionKind::RsaPrivateKey => return Self::from_pkcs8(pkcs8_of_pkcs1(&der)),
                SectionKind::EcPrivateKey => {
                    let pkcs8 = pkcs8_of_sec1(&der).ok_or_else(|| Error::BadKey {
                        detail: "the EC key does not name its curve; convert it with \"openssl pkey\"".into(),
                    })?;
                    return Self::from_pkcs8(pkcs8);
                }
                _ => {}
            }
        }
        if is_encrypted(text) {
            return Err(Error::PemKeyEncrypted);
        }
        Err(Error::PemWithoutKey)
    }

    /// The key in DER-encoded PKCS#8.
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key as PEM text (`BEGIN PRIVATE KEY`).
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem_text("PRIVATE KEY", &self.pkcs8)
    }

    /// Whether this is the private key of a DER certificate; `true` also when the key does not tell
    /// its public half, because TLS then finds out.
    ///
    /// # Errors
    /// [`Error::BadCertificate`] or [`Error::BadKey`].
    pub fn belongs_to(&self, certificate: &[u8]) -> Result<bool> {
        let key = self.signing_key()?;
        let certificate = certificate::parse(certificate)?;
        Ok(crypto::is_key_of(&*key, certificate.public_key().raw).unwrap_or(true))
    }

    pub(crate) fn signing_key(&self) -> Result<Arc<dyn SigningKey>> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.as_slice()).clone_key();
        crypto::signing_key(PrivateKeyDer::Pkcs8(der))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// All certificates in a PEM text, in their order. Other text around them is ignored.
///
/// # Errors
/// [`Error::PemWithoutCertificate`], [`Error::BadPem`].
pub fn certificates_from_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(bad_pem)?;
    if certificates.is_empty() {
        return Err(Error::PemWithoutCertificate);
    }
    Ok(certificates)
}

/// A DER certificate as PEM text.
pub fn certificate_to_pem(der: &[u8]) -> String {
    String::clone(&pem_text("CERTIFICATE", der))
}

fn bad_pem(error: pem::Error) -> Error {
    Error::BadPem { detail: error.to_string() }
}

fn is_encrypted(text: &[u8]) -> bool {
    const MARKS: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    MARKS.iter().any(|mark| text.windows(mark.len()).any(|window| window == *mark))
}

fn pkcs8_of_pkcs1(pkcs1: &[u8]) -> Vec<u8> {
    // version 0, AlgorithmIdentifier { rsaEncryption, NULL }
    const HEAD: &[u8] =
        &[0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let key = Zeroizing::new(der::encode(der::OCTET_STRING, &[pkcs1]));
    der::encode(der::SEQUENCE, &[HEAD, &key])
}

fn pkcs8_of_sec1(sec1: &[u8]) -> Option<Vec<u8>> {
    const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const VERSION: &[u8] = &[0x02, 0x01, 0x00];
    let mut fields = Reader::new(sec1).enter(der::SEQUENCE)?;
    fields.content(der::INTEGER)?;
    fields.content(der::OCTET_STRING)?;
    let curve = fields.content(der::CONTEXT_0)?;
    let algorithm = der::encode(der::SEQUENCE, &[EC_PUBLIC_KEY, curve]);
    let key = Zeroizing::new(der::encode(der::OCTET_STRING, &[sec1]));
    Some(der::encode(der::SEQUENCE, &[VERSION, &algorithm, &key]))
}

fn pem_text(label: &str, der: &[u8]) -> Zeroizing<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // The whole size beforehand, so that growing leaves no copy of a key behind.
    let size = der.len().div_ceil(48) * 65 + 2 * label.len() + 40;
    let mut text = Zeroizing::new(String::with_capacity(size));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = (0..3).fold(0u32, |bits, index| bits << 8 | u32::from(group.get(index).copied().unwrap_or(0)));
            for index in 0..4 {
                let digit = (bits >> (18 - 6 * index) & 0x3f) as usize;
                let digit = DIGITS.get(digit).copied().unwrap_or(b'=');
                text.push(char::from(if index > group.len() { b'=' } else { digit }));
            }
        }
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_text_reads_back_at_every_remainder() {
        for length in 0..200usize {
            let der: Vec<u8> = (0..length).map(|value| value as u8 ^ 0xa5).collect();
            let text = certificate_to_pem(&der);
            assert_eq!(certificates_from_pem(text.as_bytes()).unwrap()[0].as_ref(), der);
            assert!(text.lines().all(|line| line.len() <= 64));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let certificate = certificate_to_pem(b"x");
        assert!(matches!(PrivateKey::from_pem(certificate.as_bytes()), Err(Error::PemWithoutKey)));
        assert!(matches!(certificates_from_pem(b""), Err(Error::PemWithoutCertificate)));
        let encrypted = pem_text("ENCRYPTED PRIVATE KEY", b"x");
        assert!(matches!(PrivateKey::from_pem(encrypted.as_bytes()), Err(Error::PemKeyEncrypted)));
        let garbage = pem_text("PRIVATE KEY", b"x");
        assert!(matches!(PrivateKey::from_pem(garbage.as_bytes()), Err(Error::BadKey { .. })));
    }
}
