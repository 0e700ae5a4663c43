//! TLS of the server: who may connect.

use std::fmt::Debug;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::authority::{Authority, Issued};
use crate::certificate;
use crate::crypto;
use crate::error::{Error, Result};
use crate::key::PrivateKey;
use crate::peer;

/// What the server thinks of a client certificate of its own authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A client of this server.
    Listed,
    /// Once a client; its certificate has been withdrawn. It gets the alert `certificate_revoked`.
    Removed,
    /// Never listed here. It gets the alert `access_denied`.
    Unknown,
}

/// The clients of a server. It is asked in every handshake, so a client that is removed cannot
/// connect any more from that moment, without a restart
/// (Firepower eStreamer Integration Guide 7.1: deleting a client revokes its access at once).
pub trait ClientList: Send + Sync + Debug {
    /// The standing of the certificate with this SHA-256 fingerprint (64 lower-case hexadecimal
    /// digits). It must not block: it runs inside the handshake.
    fn standing(&self, fingerprint: &str) -> Standing;
}

/// What the server shows to its clients.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// The server's certificate, followed by those of its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKey,
}

impl ServerIdentity {
    /// The identity made of a certificate just issued and its authority.
    pub fn new(issued: &Issued, authority: &Authority) -> Self {
        Self { chain: vec![issued.certificate.clone(), authority.certificate().clone()], key: issued.key.clone() }
    }
}

/// The TLS configuration of the server: TLS 1.2 and 1.3, a client certificate required.
///
/// A client gets in if its certificate was signed by `authority` (no other is known), now is
/// within its validity, it is not meant for other things than clients (a certificate that does not
/// say what it is for is accepted, as old tools leave that out, along with alternative names and
/// even X.509 version 3), and the list of clients has it. The name in it is not compared with
/// anything here; see [`check_name`](crate::check_name).
///
/// Sessions are not resumed, as that would pass by the list of clients.
///
/// # Errors
/// [`Error::BadCertificate`] and [`Error::BadKey`] if the identity is unusable,
/// [`Error::KeyMismatch`] if its parts do not belong together, [`Error::BadAuthority`],
/// [`Error::Tls`].
pub fn server_config(
    identity: ServerIdentity,
    authority: CertificateDer<'static>,
    clients: Arc<dyn ClientList>,
) -> Result<Arc<ServerConfig>> {
    let leaf = identity.chain.first().ok_or_else(|| Error::BadCertificate { detail: "the server has none".into() })?;
    if !identity.key.belongs_to(leaf)? {
        return Err(Error::KeyMismatch);
    }
    let signing_key = identity.key.signing_key()?;
    let certified = CertifiedKey::new(identity.chain, signing_key);

    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(|error| Error::BadAuthority { reason: error.to_string() })?;
    let chain =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto::provider()).build().map_err(tls_error)?;
    let verifier = ListedClients { chain, authority: [authority], clients };
    let mut config = ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .map_err(tls_error)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The TLS configuration of a service that knows its clients by other means than certificates: TLS 1.2 and 1.3.
///
/// # Errors
/// As for [`server_config`].
pub fn web_config(identity: ServerIdentity) -> Result<Arc<ServerConfig>> {
    let leaf = identity.chain.first().ok_or_else(|| Error::BadCertificate { detail: "the server has none".into() })?;
    if !identity.key.belongs_to(leaf)? {
        return Err(Error::KeyMismatch);
    }
    let certified = CertifiedKey::new(identity.chain, identity.key.signing_key()?);
    let config = ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .map_err(tls_error)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Ok(Arc::new(config))
}

/// Accepts certificates of one authority that are on the list.
#[derive(Debug)]
struct ListedClients {
    chain: Arc<dyn ClientCertVerifier>,
    authority: [CertificateDer<'static>; 1],
    clients: Arc<dyn ClientList>,
}

impl ClientCertVerifier for ListedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if peer::is_without_extensions(end_entity) {
            peer::verify_without_extensions(end_entity, &self.authority, now)?;
        } else {
            self.chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        match self.clients.standing(&certificate::fingerprint(end_entity)) {
            Standing::Listed => Ok(ClientCertVerified::assertion()),
            Standing::Removed => Err(CertificateError::Revoked.into()),
            Standing::Unknown => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        peer::verify_tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        peer::verify_tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn tls_error(error: impl std::fmt::Display) -> Error {
    Error::Tls { detail: error.to_string() }
}
