//! Whom a connection over TLS trusts, and what it shows of itself.

use super::SetupError;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS of a connection: version 1.2 or 1.3, the server always verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// A PEM file with the authorities that are trusted; `None` for those of the system.
    pub authorities: Option<PathBuf>,
    /// The name that the server's certificate must have; `None` for the host that is connected to. (For HTTP it is always
    /// the host of the URL.)
    pub server_name: Option<String>,
    /// What this side shows, if the server asks for it.
    pub client: Option<ClientFiles>,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// PEM file with the certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// PEM file with the private key (PKCS#8, PKCS#1 or SEC1, without a password).
    pub key: PathBuf,
}

/// What is in the files of the settings. They are read for each connection, so that renewed certificates are used.
pub(super) struct Material {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Settings {
    pub(super) fn material(&self) -> Result<Material, SetupError> {
        let authorities = match &self.authorities {
            Some(path) => certificates("the file of authorities", path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        if authorities.is_empty() {
            let problem = "this system has no trusted authorities; install the package ca-certificates, or name a file";
            return Err(SetupError::Tls(problem.to_owned()));
        }
        let client = self.client.as_ref().map(|files| {
            let chain = certificates("the client certificate", &files.certificate)?;
            let what = "the key of the client certificate";
            let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| pem(what, &files.key, e))?;
            Ok((chain, key))
        });
        Ok(Material { authorities, client: client.transpose()? })
    }

    /// The configuration of a connection that is begun now.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, SetupError> {
        let material = self.material()?;
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(material.authorities);
        if usable == 0 {
            return Err(SetupError::Tls(
                "none of the trusted authorities has a certificate that can be read".to_owned(),
            ));
        }
        let wrong = |error: rustls::Error| SetupError::Tls(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
            .map_err(wrong)?
            .with_root_certificates(roots);
        let config = match material.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                SetupError::Tls(format!("the client certificate and its key cannot be used: {error}"))
            })?,
        };
        Ok(Arc::new(config))
    }

    /// The name that is asked for, and must be in the certificate.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, SetupError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .map_err(|_| SetupError::setting("the TLS server name", name, "it must be a host name or an address"))
    }
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What to do about an error of TLS.
pub(super) fn remedy(error: &rustls::Error) -> &'static str {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "name the file of the authority that issued the server's certificate"
        }
        E::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "connect by a name that is in the server's certificate, or set the TLS server name"
        }
        E::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "renew the server's certificate, or check the clock"
        }
        E::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "check the clocks of both hosts"
        }
        E::InvalidCertificate(_) => "check the server's certificate",
        E::InvalidMessage(_) => "the port seems not to speak TLS; check it",
        E::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::NoCertificate) => {
            "the server wants a client certificate; configure one"
        }
        E::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied,
        ) => "the server does not accept the client certificate",
        E::PeerIncompatible(_) | E::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server must speak TLS 1.2 or 1.3"
        }
        E::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the server may want a client certificate, or has no cipher in common"
        }
        _ => "check the TLS settings of both sides",
    }
}

/// The error of TLS inside one of input and output.
pub(super) fn inside(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| pem(what, path, error))?;
    if found.is_empty() {
        return Err(pem(what, path, PemError::NoItemsFound));
    }
    Ok(found)
}

fn pem(what: &'static str, path: &Path, error: PemError) -> SetupError {
    let path = path.to_owned();
    match error {
        PemError::Io(source) => SetupError::File { what, path, source },
        PemError::NoItemsFound => {
            let problem = "it has none in PEM form (-----BEGIN ...); convert it, or name another file".to_owned();
            SetupError::Content { what, path, problem }
        }
        error => SetupError::Content { what, path, problem: format!("{error}; it must be in PEM form") },
    }
}
