//! TLS of the client: which server is trusted.

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use crate::certificate;
use crate::crypto;
use crate::error::{Error, Result};
use crate::files;
use crate::peer;
use crate::pkcs12::Bundle;

/// How the client decides that it talks to its server.
///
/// The name in the server's certificate is compared in none of them: appliances carry certificates
/// with names that no client knows them by.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// The server's certificate must be signed by an authority of the client's PKCS#12 file, or be
    /// one of these itself, must be in its validity, and must not be meant for other things than
    /// servers. As names are not compared, every holder of a server certificate of that authority
    /// is trusted; and every other client of it, if it issues certificates that do not say what
    /// they are for. Pin the server's certificate where that matters.
    Authorities,
    /// The server's certificate must be the one with this SHA-256 fingerprint (64 hexadecimal
    /// digits, colons allowed). Its issuer and its validity do not matter.
    Pinned(String),
    /// The certificate that the server shows at first is remembered, and must be the same ever
    /// after: for PKCS#12 files without an authority. Its issuer and its validity do not matter.
    FirstSeen(Arc<dyn PinStore>),
}

/// Remembers the certificate one server showed first. Each server needs a store of its own.
pub trait PinStore: Send + Sync + Debug {
    /// The fingerprint remembered, if any.
    ///
    /// # Errors
    /// If it cannot be known whether there is one; the server is not trusted then.
    fn pinned(&self) -> io::Result<Option<String>>;

    /// Remembers a fingerprint (64 lower-case hexadecimal digits). It is called when the server
    /// has proved to hold the certificate's key.
    ///
    /// # Errors
    /// If it cannot be remembered; the server is not trusted then.
    fn remember(&self, fingerprint: &str) -> io::Result<()>;
}

/// A [`PinStore`] in a file that holds the fingerprint as one line of text.
#[derive(Debug, Clone)]
pub struct PinFile {
    path: PathBuf,
}

impl PinFile {
    /// A store in this file, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl PinStore for PinFile {
    fn pinned(&self) -> io::Result<Option<String>> {
        let bytes = match files::read_bounded(&self.path, 256) {
            Ok(bytes) => bytes,
            Err(error) => match error.root() {
                Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    return Ok(None);
                }
                _ => return Err(io::Error::other(error)),
            },
        };
        let text = String::from_utf8_lossy(&bytes);
        normal_pin(text.trim()).map(Some).map_err(|error| io::Error::other(error.in_file(&self.path)))
    }

    fn remember(&self, fingerprint: &str) -> io::Result<()> {
        files::write_private(&self.path, format!("{fingerprint}\n").as_bytes()).map_err(io::Error::other)
    }
}

/// Which TLS versions the client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3.
    #[default]
    From12,
    /// TLS 1.2 alone, as clients of appliances pin it.
    Only12,
}

/// Why a server was not trusted, beyond what TLS itself has words for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The server showed another certificate than the one that was configured.
    #[error("the server's certificate has the fingerprint {shown}, but {pinned} is pinned")]
    NotPinned {
        /// The fingerprint that was expected.
        pinned: String,
        /// The one of the certificate the server showed.
        shown: String,
    },
    /// The server showed another certificate than before.
    #[error("the server's certificate has changed: it was {remembered} and is now {shown}")]
    Changed {
        /// The fingerprint seen first.
        remembered: String,
        /// The one of the certificate the server shows now.
        shown: String,
    },
    /// The store failed.
    #[error("the server's certificate cannot be looked up or remembered: {reason}")]
    Store {
        /// The store's words.
        reason: String,
    },
}

/// The TLS configuration of a client. It always shows the bundle's certificate; sessions are not
/// resumed, so that each connection verifies the server anew; no server name is sent, as other
/// clients of appliances send none.
///
/// # Errors
/// [`Error::NoAuthority`] if the bundle has none to verify with, [`Error::BadPin`],
/// [`Error::KeyMismatch`], [`Error::BadKey`], [`Error::BadCertificate`], [`Error::Tls`].
pub fn client_config(bundle: &Bundle, trust: ServerTrust, versions: TlsVersions) -> Result<Arc<ClientConfig>> {
    if !bundle.key.belongs_to(&bundle.certificate)? {
        return Err(Error::KeyMismatch);
    }
    let mut chain = vec![bundle.certificate.clone()];
    chain.extend(bundle.chain.iter().cloned());
    let certified = CertifiedKey::new(chain, bundle.key.signing_key()?);

    let rule = match trust {
        ServerTrust::Authorities => Rule::authorities(&bundle.authorities)?,
        ServerTrust::Pinned(pin) => Rule::Pinned(normal_pin(&pin)?),
        ServerTrust::FirstSeen(store) => Rule::FirstSeen(store),
    };
    let versions: &[_] = match versions {
        TlsVersions::From12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
        TlsVersions::Only12 => &[&rustls::version::TLS12],
    };
    let mut config = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(versions)
        .map_err(|error| Error::Tls { detail: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustedServer { rule }))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The name under which to start a TLS connection to a host. It is neither sent nor compared, so a
/// host that cannot be a TLS server name gets a stand-in instead of an error.
pub fn server_name(host: &str) -> ServerName<'static> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return ServerName::from(address);
    }
    ServerName::try_from(host.to_owned()).unwrap_or_else(|_| ServerName::from(IpAddr::from([0, 0, 0, 0])))
}

/// A fingerprint as 64 lower-case digits, from one with colons or capital letters.
fn normal_pin(pin: &str) -> Result<String> {
    let digits: String =
        pin.chars().filter(|character| *character != ':').map(|character| character.to_ascii_lowercase()).collect();
    if digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err(Error::BadPin { pin: pin.chars().take(200).flat_map(char::escape_debug).collect() })
    }
}

#[derive(Debug)]
enum Rule {
    Authorities { roots: RootCertStore, certificates: Vec<CertificateDer<'static>> },
    Pinned(String),
    FirstSeen(Arc<dyn PinStore>),
}

impl Rule {
    fn authorities(certificates: &[CertificateDer<'static>]) -> Result<Self> {
        if certificates.is_empty() {
            return Err(Error::NoAuthority);
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate.clone()).map_err(|error| Error::BadAuthority { reason: error.to_string() })?;
        }
        Ok(Self::Authorities { roots, certificates: certificates.to_vec() })
    }
}

#[derive(Debug)]
struct TrustedServer {
    rule: Rule,
}

impl TrustedServer {
    /// Once the server has proved to hold the key: remembers a certificate seen first.
    fn proved(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if let Rule::FirstSeen(store) = &self.rule
            && store.pinned().map_err(store_error)?.is_none()
        {
            let fingerprint = certificate::fingerprint(certificate);
            store.remember(&fingerprint).map_err(store_error)?;
            tracing::info!(%fingerprint, "the server's certificate was seen for the first time and is remembered");
        }
        Ok(())
    }
}

impl ServerCertVerifier for TrustedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.rule {
            Rule::Authorities { roots, certificates } => {
                // An appliance may serve with its Internal CA's own certificate, which a chain
                // check refuses (a CA used as end entity). Being trusted byte for byte is more
                // than being signed, so only the dates are left to check.
                if certificates.contains(end_entity) {
                    peer::verify_time(end_entity, now)?;
                } else if peer::is_without_extensions(end_entity) {
                    peer::verify_without_extensions(end_entity, certificates, now)?;
                } else {
                    verify_server_cert_signed_by_trust_anchor(
                        &ParsedCertificate::try_from(end_entity)?,
                        roots,
                        intermediates,
                        now,
                        peer::algorithms().all,
                    )?;
                }
            }
            Rule::Pinned(pinned) => {
                let shown = certificate::fingerprint(end_entity);
                if shown != *pinned {
                    return Err(trust_error(TrustError::NotPinned { pinned: pinned.clone(), shown }));
                }
            }
            Rule::FirstSeen(store) => {
                let shown = certificate::fingerprint(end_entity);
                match store.pinned().map_err(store_error)? {
                    Some(remembered) if !remembered.eq_ignore_ascii_case(&shown) => {
                        return Err(trust_error(TrustError::Changed { remembered, shown }));
                    }
                    _ => {}
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let valid = peer::verify_tls12(message, cert, dss)?;
        self.proved(cert)?;
        Ok(valid)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let valid = peer::verify_tls13(message, cert, dss)?;
        self.proved(cert)?;
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        peer::algorithms().supported_schemes()
    }
}

fn trust_error(error: TrustError) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

fn store_error(error: io::Error) -> rustls::Error {
    trust_error(TrustError::Store { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_openssl_prints_them() {
        let digits = "0123456789abcdef".repeat(4);
        let colons = "01:23:45:67:89:AB:CD:EF:".repeat(4);
        assert_eq!(normal_pin(&digits).unwrap(), digits);
        assert_eq!(normal_pin(colons.trim_end_matches(':')).unwrap(), digits);
        for bad in ["", "01:23", &"g".repeat(64), &"0".repeat(65)] {
            assert!(matches!(normal_pin(bad), Err(Error::BadPin { .. })), "{bad}");
        }
    }

    #[test]
    fn every_host_gives_a_server_name() {
        assert_eq!(server_name("fmc.example.com").to_str(), "fmc.example.com");
        assert_eq!(server_name("[2001:db8::1]").to_str(), "2001:db8::1");
        assert_eq!(server_name("no such host!").to_str(), "0.0.0.0");
        assert_eq!(server_name("").to_str(), "0.0.0.0");
    }

    #[test]
    fn a_pin_file_remembers_and_refuses_garbage() {
        let dir = tempfile::tempdir().unwrap();
        let store = PinFile::new(dir.path().join("pin"));
        assert_eq!(store.pinned().unwrap(), None);
        let pin = "ab".repeat(32);
        store.remember(&pin).unwrap();
        assert_eq!(store.pinned().unwrap(), Some(pin));
        std::fs::write(store.path(), "").unwrap();
        assert!(store.pinned().unwrap_err().to_string().contains("is not a SHA-256"));
    }
}
