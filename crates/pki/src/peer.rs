//! What the server's check of clients and the client's check of servers share: certificates that
//! rustls alone would not take, because real tools made them.
//!
//! rustls and its verifier read X.509 version 3 only. `openssl x509 -req` without an extension file
//! makes version 1, which has no extensions, so there is less to check, not more: the issuer, its
//! signature, the dates. The handshake signature is checked with the bare public key.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use x509_parser::certificate::X509Certificate;

use crate::certificate;
use crate::crypto;
use crate::der::{self, Reader};

pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    crypto::provider().signature_verification_algorithms
}

/// Whether the certificate is of X.509 version 1 or 2.
pub(crate) fn is_without_extensions(certificate: &CertificateDer<'_>) -> bool {
    certificate::parse(certificate).is_ok_and(|certificate| certificate::is_without_extensions(&certificate))
}

/// Verifies a certificate without extensions: signed directly by one of the issuers, and in its
/// time.
pub(crate) fn verify_without_extensions(
    certificate: &CertificateDer<'_>,
    issuers: &[CertificateDer<'static>],
    now: UnixTime,
) -> Result<(), Error> {
    let parsed = parse(certificate)?;
    check_time(&parsed, now)?;
    let mut error = CertificateError::UnknownIssuer;
    for issuer in issuers {
        let issuer = parse(issuer)?;
        if issuer.subject().as_raw() != parsed.issuer().as_raw() {
            continue;
        }
        let issuer_key = SubjectPublicKeyInfoDer::from(issuer.public_key().raw);
        match verify_signed_by(certificate, &issuer_key) {
            Ok(()) => return Ok(()),
            Err(reason) => error = reason,
        }
    }
    Err(error.into())
}

/// Verifies only that now is within the certificate's validity.
pub(crate) fn verify_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    check_time(&parse(certificate)?, now)
}

/// Verifies a TLS 1.2 handshake signature by the key of a certificate of any version.
pub(crate) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if !is_without_extensions(certificate) {
        return verify_tls12_signature(message, certificate, signed, &algorithms());
    }
    let parsed = parse(certificate)?;
    let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
    let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| bad_encoding())?;
    let candidates = algorithms()
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .map(|(_, candidates)| *candidates)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    // In TLS 1.2 a scheme does not name the curve, so each is tried; one for another kind of key
    // refuses by itself.
    if candidates.iter().any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok()) {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// Verifies a TLS 1.3 handshake signature by the key of a certificate of any version.
pub(crate) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if !is_without_extensions(certificate) {
        return verify_tls13_signature(message, certificate, signed, &algorithms());
    }
    let parsed = parse(certificate)?;
    let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
    verify_tls13_signature_with_raw_key(message, &key, signed, &algorithms())
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    certificate::parse(certificate).map_err(|_| bad_encoding())
}

fn bad_encoding() -> Error {
    CertificateError::BadEncoding.into()
}

fn check_time(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let unix =
        |seconds: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let validity = certificate.validity();
    let not_before = validity.not_before.timestamp();
    let not_after = validity.not_after.timestamp();
    if seconds < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before: unix(not_before) }.into());
    }
    if seconds > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after: unix(not_after) }.into());
    }
    Ok(())
}

/// Verifies the signature on a certificate.
fn verify_signed_by(
    certificate: &CertificateDer<'_>,
    key: &SubjectPublicKeyInfoDer<'_>,
) -> Result<(), CertificateError> {
    const BIT_STRING: u8 = 0x03;
    let fields = || {
        let mut fields = Reader::new(certificate).enter(der::SEQUENCE)?;
        let signed = fields.element()?;
        let algorithm = fields.content(der::SEQUENCE)?;
        // The first byte counts unused bits, of which a signature has none.
        let signature = fields.content(BIT_STRING)?.strip_prefix(&[0])?;
        // The algorithm is named once more inside the signed part, and must be the same.
        let mut inner = Reader::new(signed.content);
        let mut next = inner.element()?;
        if next.tag == der::CONTEXT_0 {
            next = inner.element()?;
        }
        let same = next.tag == der::INTEGER && inner.content(der::SEQUENCE)? == algorithm;
        same.then_some((signed.whole, algorithm, signature))
    };
    let (signed, algorithm, signature) = fields().ok_or(CertificateError::BadEncoding)?;
    let key = webpki::RawPublicKeyEntity::try_from(key).map_err(|_| CertificateError::BadEncoding)?;
    let known = algorithms().all;
    let mut candidates = known.iter().filter(|known| known.signature_alg_id().as_ref() == algorithm).peekable();
    if candidates.peek().is_none() {
        return Err(CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: algorithm.to_vec(),
            supported_algorithms: known.iter().map(|known| known.signature_alg_id()).collect(),
        });
    }
    let verifies = |candidate: &dyn SignatureVerificationAlgorithm| key.verify_signature(candidate, signed, signature);
    if candidates.any(|candidate| verifies(*candidate).is_ok()) { Ok(()) } else { Err(CertificateError::BadSignature) }
}
