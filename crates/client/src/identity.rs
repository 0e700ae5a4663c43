//! The client's certificate: a PKCS#12 file, found or named, and the TLS configuration made of it.

use pki::client_tls::{PinFile, ServerTrust, TlsVersions};
use rustls::ClientConfig;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A client that can show its certificate and knows its server.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(crate) tls: Arc<ClientConfig>,
}

/// A PKCS#12 file that cannot be used.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// No file was named and none is in the folder.
    #[error(
        "no PKCS#12 file (*.pkcs12) is in {}. Download one from the management center (System > Integration > eStreamer) or make it with `estreamer clients add`, and name it with --pkcs12",
        folder.display()
    )]
    None {
        /// Where one was looked for.
        folder: PathBuf,
    },
    /// The folder cannot be read.
    #[error("the folder {} cannot be searched for a PKCS#12 file: {source}. Name one with --pkcs12", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file needs a password, or another one.
    #[error("{source}. Give it with --password or in the environment variable ESTREAMER_PASSWORD")]
    Password {
        /// The cause.
        source: pki::Error,
    },
    /// The file cannot be read, or is no PKCS#12 file.
    #[error("{0}")]
    File(pki::Error),
}

/// The first file of a folder, by name, that ends in `.pkcs12`.
///
/// # Errors
/// If there is none, or the folder cannot be read.
pub fn first_in(folder: &Path) -> Result<PathBuf, IdentityError> {
    let failed = |source| IdentityError::Folder { folder: folder.to_owned(), source };
    let mut found: Option<PathBuf> = None;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let fits = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pkcs12"));
        if fits && found.as_ref().is_none_or(|first| path < *first) {
            found = Some(path);
        }
    }
    found.ok_or_else(|| IdentityError::None { folder: folder.to_owned() })
}

/// Opens a PKCS#12 file. The server must show a certificate of the authority in it; when it has none, the certificate
/// the server shows first is remembered in `pin_file` and must stay the same.
///
/// # Errors
/// If the file cannot be read, is no PKCS#12 file, or the password is not the right one.
pub fn load(path: &Path, password: Option<&str>, pin_file: &Path) -> Result<Identity, IdentityError> {
    let failed = |error: pki::Error| match error.root() {
        pki::Error::PasswordNeeded | pki::Error::WrongPassword => {
            IdentityError::Password { source: error.in_file(path) }
        }
        _ => IdentityError::File(error.in_file(path)),
    };
    let bytes = pki::read_bounded(path, pki::files::MAX_FILE).map_err(IdentityError::File)?;
    let bundle = pki::Bundle::from_pkcs12(&bytes, password).map_err(failed)?;
    let trust = if bundle.authorities.is_empty() {
        tracing::warn!(
            "{} holds no authority: the certificate the server shows first is trusted and remembered in {}",
            path.display(),
            pin_file.display()
        );
        ServerTrust::FirstSeen(Arc::new(PinFile::new(pin_file)))
    } else {
        ServerTrust::Authorities
    };
    Ok(Identity { tls: pki::client_config(&bundle, trust, TlsVersions::From12).map_err(failed)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let none = first_in(folder.path()).unwrap_err().to_string();
        assert!(none.contains("no PKCS#12 file") && none.contains("--pkcs12"), "{none}");
        for name in ["b.pkcs12", "a.pkcs12", "a.p12", "pkcs12"] {
            std::fs::write(folder.path().join(name), "no PKCS#12").unwrap();
        }
        let first = first_in(folder.path()).unwrap();
        assert_eq!(first, folder.path().join("a.pkcs12"));
        let rubbish = load(&first, None, Path::new("pin")).unwrap_err();
        assert!(matches!(rubbish, IdentityError::File(_)) && rubbish.to_string().contains("a.pkcs12"), "{rubbish}");
    }
}
