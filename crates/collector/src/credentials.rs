//! The client's certificate and key: the PKCS#12 file, or what eNcore took out of it.

use crate::config::{Instance, Server};
use crate::connect::ConnectError;
use pki::Bundle;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the collector shows a server.
#[derive(Debug)]
pub struct Credentials {
    /// Key, certificate and authorities.
    pub bundle: Bundle,
    /// Where they come from.
    pub source: Source,
}

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The PKCS#12 file.
    Pkcs12(PathBuf),
    /// `HOST-PORT_pkcs.cert`, and the key beside it, as eNcore extracted them.
    Extracted(PathBuf),
}

impl Source {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Source::Pkcs12(path) | Source::Extracted(path) => path,
        }
    }
}

/// Opens the PKCS#12 file. When it is not there, or needs a password that nobody gave, the certificate and key that
/// eNcore extracted are taken, if it left them. They come without an authority.
pub fn load(server: &Server, instance: &Instance) -> Result<Credentials, ConnectError> {
    let error = match pkcs12(server) {
        Ok(bundle) => return Ok(Credentials { bundle, source: Source::Pkcs12(server.pkcs12.clone()) }),
        Err(error) => error,
    };
    let nobody_gave_one = matches!(error, ConnectError::Password(_)) && server.password.is_none();
    if !nobody_gave_one && server.pkcs12.exists() {
        return Err(error);
    }
    let (key, certificate) = (instance.key(), instance.certificate());
    if !(key.is_file() && certificate.is_file()) {
        return Err(error);
    }
    make_private(&key);
    let bundle = Bundle::load_pem(&key, &certificate).map_err(|e| ConnectError::Certificate(e.to_string()))?;
    tracing::info!(
        "{} {}; the certificate that eNcore extracted is used: {}",
        server.pkcs12.display(),
        if nobody_gave_one { "needs a password" } else { "does not exist" },
        certificate.display()
    );
    Ok(Credentials { bundle, source: Source::Extracted(certificate) })
}

/// Whether somebody has to be asked for the password of the PKCS#12 file.
pub fn needs_password(server: &Server, instance: &Instance) -> bool {
    let extracted = instance.key().is_file() && instance.certificate().is_file();
    server.password.is_none() && !extracted && matches!(pkcs12(server), Err(ConnectError::Password(_)))
}

fn pkcs12(server: &Server) -> Result<Bundle, ConnectError> {
    let path = &server.pkcs12;
    let bytes = pki::files::read_bounded(path, pki::files::MAX_FILE).map_err(|error| {
        if path.exists() {
            return ConnectError::Certificate(error.to_string());
        }
        ConnectError::Certificate(format!(
            "the PKCS#12 file {} does not exist. Download it from the management center (System > Integration > eStreamer) or \
             make it with `estreamer clients add`, and name it in pkcs12Filepath",
            path.display()
        ))
    })?;
    let password = server.password.as_ref().map(|s| s.0.as_str());
    Bundle::from_pkcs12(&bytes, password).map_err(|error| {
        let locked = matches!(error.root(), pki::Error::PasswordNeeded | pki::Error::WrongPassword);
        let text = error.in_file(path).to_string();
        match locked {
            true => ConnectError::Password(format!(
                "{text}. It goes into \"password\" beside pkcs12Filepath, or into the environment variable ESTREAMER_PASSWORD"
            )),
            false => ConnectError::Certificate(text),
        }
    })
}

/// eNcore leaves its key as readable as any file.
fn make_private(key: &Path) {
    let Ok(data) = std::fs::metadata(key) else { return };
    let mode = data.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return;
    }
    let path = key.display();
    match std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)) {
        Ok(()) => tracing::warn!(
            "{path} held a private key that others could read (mode {mode:04o}); it is readable by its owner only now"
        ),
        Err(error) => tracing::warn!(
            "{path} holds a private key that others can read (mode {mode:04o}), and this cannot be changed: {error}. \
             Run \"chmod 600\" on it as its owner"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use pki::{Authority, AuthorityOptions, KeyKind};

    struct Site {
        dir: tempfile::TempDir,
        bundle: Bundle,
    }

    impl Site {
        fn new(password: Option<&str>) -> Site {
            let options = AuthorityOptions { key: KeyKind::EcdsaP256, ..AuthorityOptions::default() };
            let authority = Authority::create(&options).unwrap();
            let bundle = authority.bundle(&authority.issue_client("192.0.2.7", 30).unwrap());
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("client.pkcs12"), bundle.to_pkcs12(password).unwrap()).unwrap();
            Site { dir, bundle }
        }

        fn server(&self, password: Option<&str>) -> Server {
            let password = password.map(|p| Secret(p.to_owned()));
            Server {
                host: "fmc".into(),
                port: 8302,
                pkcs12: self.dir.path().join("client.pkcs12"),
                password,
                name: None,
                set: None,
            }
        }

        fn load(&self, password: Option<&str>) -> Result<Credentials, ConnectError> {
            load(&self.server(password), &self.instance())
        }

        fn instance(&self) -> Instance {
            Instance::new(self.dir.path(), "fmc", 8302)
        }

        /// What eNcore leaves.
        fn extract(&self) {
            std::fs::write(self.instance().key(), self.bundle.key.to_pem().as_bytes()).unwrap();
            std::fs::set_permissions(self.instance().key(), std::fs::Permissions::from_mode(0o644)).unwrap();
            let pem = pki::certificate_to_pem(&self.bundle.certificate);
            std::fs::write(self.instance().certificate(), pem).unwrap();
        }
    }

    #[test]
    fn the_files_encore_extracted_stand_in_for_a_password_nobody_gave() {
        let site = Site::new(Some("hunter2"));
        assert!(matches!(site.load(None), Err(ConnectError::Password(text)) if text.contains("ESTREAMER_PASSWORD")));
        assert!(needs_password(&site.server(None), &site.instance()));
        site.extract();
        assert!(!needs_password(&site.server(None), &site.instance()));
        let taken = site.load(None).unwrap();
        assert_eq!(taken.source, Source::Extracted(site.instance().certificate()));
        assert_eq!(taken.bundle.certificate, site.bundle.certificate);
        assert!(taken.bundle.authorities.is_empty(), "there is none: the server is pinned");
        let mode = std::fs::metadata(site.instance().key()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "the key is private now");
        assert!(matches!(site.load(Some("hunter2")).unwrap().source, Source::Pkcs12(_)));
        assert!(matches!(site.load(Some("wrong")), Err(ConnectError::Password(_))), "a wrong one is not hidden");
    }

    #[test]
    fn and_for_a_file_that_is_gone() {
        let site = Site::new(None);
        assert!(matches!(site.load(None).unwrap().source, Source::Pkcs12(_)));
        std::fs::remove_file(site.dir.path().join("client.pkcs12")).unwrap();
        assert!(site.load(None).unwrap_err().to_string().contains("does not exist"));
        site.extract();
        assert!(matches!(site.load(None).unwrap().source, Source::Extracted(_)));
        std::fs::write(site.instance().certificate(), "x").unwrap();
        assert!(site.load(None).unwrap_err().to_string().contains("pkcs.cert"));
    }
}
