//! The folder of an installation.

use std::fs;
use std::path::{Path, PathBuf};

use pki::{Authority, AuthorityOptions, KeyKind, ServerIdentity};

use crate::clients::Clients;
use crate::error::{Error, Result};
use crate::settings::{SAMPLE, Settings};

const AUTHORITY_KEY: &str = "ca/ca.key";
const AUTHORITY_CERTIFICATE: &str = "ca/ca.crt";
const SERVER_KEY: &str = "server/server.key";
const SERVER_CERTIFICATE: &str = "server/server.crt";
const DATABASE: &str = "estreamer.db";
const CONTROL: &str = "control.db";
const MAP: &str = "map.db";
const SETTINGS: &str = "settings.toml";
const FOLDERS: [&str; 5] = ["ca", "server", "archive", "log", "run"];

/// Validity of the server's certificate in days; it never outlives the authority.
const SERVER_DAYS: u32 = 3650;

/// The folder of an installation, complete:
///
/// | name | what |
/// |---|---|
/// | `ca/ca.key`, `ca/ca.crt` | the authority that signs all certificates |
/// | `server/server.key`, `server/server.crt` | the server's key and certificate |
/// | `estreamer.db` | the clients (SQLite) |
/// | `control.db` | event types, pauses, domains, sensors (SQLite, made when first needed): the crate `control` |
/// | `map.db` | the network map (SQLite, made by the service): the crate `netmap` |
/// | `settings.toml` | [`Settings`] |
/// | `archive/netmap_N/` | the events |
/// | `log/`, `run/` | log files; what lives only while the server runs |
///
/// Only its owner can enter it (mode 0700), and private files have mode 0600.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// Makes a home in a new or empty folder, or adds what an incomplete one lacks. `names` are the host names and
    /// addresses of this server, for its certificate; without any it is issued for `localhost`. Keys are RSA 2048,
    /// which every old client knows.
    ///
    /// # Errors
    /// [`Error::HomeThere`] if nothing is missing, [`Error::NotEmpty`], [`Error::AuthorityLost`], [`Error::Pki`],
    /// [`Error::Io`], [`Error::Database`]. What was there is never changed.
    pub fn init(dir: &Path, names: &[String]) -> Result<Home> {
        Home::init_with(dir, names, KeyKind::default())
    }

    /// Like [`Home::init`] with another kind of keys for authority and server.
    ///
    /// # Errors
    /// As for [`Home::init`].
    pub fn init_with(dir: &Path, names: &[String], kind: KeyKind) -> Result<Home> {
        let home = Home { dir: dir.to_path_buf() };
        for name in names {
            pki::check_host(name)?;
        }
        home.check_access()?;
        if !home.is_begun() {
            let taken = match fs::read_dir(dir) {
                // What file systems put into a new volume does not count.
                Ok(entries) => entries.flatten().any(|e| e.file_name() != "lost+found"),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
                Err(error) => return Err(Error::io("list", dir)(error)),
            };
            if taken {
                return Err(Error::NotEmpty { dir: dir.to_path_buf() });
            }
        } else if home.missing().is_empty() {
            return Err(Error::HomeThere { dir: dir.to_path_buf() });
        }
        home.check_authority()?;
        pki::create_private_dir(dir)?;
        for folder in FOLDERS {
            pki::create_private_dir(&dir.join(folder))?;
        }
        let authority = if home.has(AUTHORITY_KEY) {
            home.load_authority()?
        } else {
            let authority = Authority::create(&AuthorityOptions { key: kind, ..AuthorityOptions::default() })?;
            pki::write_private(&dir.join(AUTHORITY_CERTIFICATE), authority.certificate_pem().as_bytes())?;
            // The key comes last: it says that the authority is there.
            pki::write_private(&dir.join(AUTHORITY_KEY), authority.key_pem().as_bytes())?;
            authority
        };
        let authority = authority.with_key_kind(kind);
        if !(home.has(SERVER_KEY) && home.has(SERVER_CERTIFICATE)) {
            let local = ["localhost".to_owned()];
            let server = authority.issue_server(if names.is_empty() { &local } else { names }, SERVER_DAYS)?;
            let certificate = pki::certificate_to_pem(&server.certificate);
            pki::write_private(&dir.join(SERVER_CERTIFICATE), certificate.as_bytes())?;
            pki::write_private(&dir.join(SERVER_KEY), server.key.to_pem().as_bytes())?;
        }
        if !home.has(DATABASE) {
            Clients::create(&dir.join(DATABASE))?;
        }
        if !home.has(SETTINGS) {
            pki::write_private(&dir.join(SETTINGS), SAMPLE.as_bytes())?;
        }
        Ok(home)
    }

    /// Opens a home.
    ///
    /// # Errors
    /// [`Error::NoHome`], [`Error::AuthorityLost`] or [`Error::Incomplete`], each with the remedy; [`Error::NoAccess`]
    /// when it belongs to another user.
    pub fn open(dir: &Path) -> Result<Home> {
        let home = Home { dir: dir.to_path_buf() };
        home.check_access()?;
        if !home.is_begun() {
            return Err(Error::NoHome { dir: dir.to_path_buf() });
        }
        home.check_authority()?;
        let missing = home.missing();
        if !missing.is_empty() {
            return Err(Error::Incomplete { dir: dir.to_path_buf(), missing: missing.join(", ") });
        }
        Ok(home)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The root of the archive: `archive/`, with a folder `netmap_N` for each network map.
    pub fn archive(&self) -> PathBuf {
        self.dir.join("archive")
    }

    /// The database of event types, pauses, domains and sensors.
    pub fn control_path(&self) -> PathBuf {
        self.dir.join(CONTROL)
    }

    /// The network map.
    pub fn map_path(&self) -> PathBuf {
        self.dir.join(MAP)
    }

    /// The file of the settings.
    pub fn settings_path(&self) -> PathBuf {
        self.dir.join(SETTINGS)
    }

    /// The settings, as the file has them now.
    ///
    /// # Errors
    /// Those of [`Settings::load`].
    pub fn settings(&self) -> Result<Settings> {
        Settings::load(&self.settings_path())
    }

    /// The list of clients.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::DatabaseVersion`].
    pub fn clients(&self) -> Result<Clients> {
        Clients::open(&self.dir.join(DATABASE))
    }

    /// The authority, making keys of the kind the settings say.
    ///
    /// # Errors
    /// [`Error::Pki`], [`Error::Settings`].
    pub fn authority(&self) -> Result<Authority> {
        Ok(self.load_authority()?.with_key_kind(self.settings()?.client_keys.into()))
    }

    /// The authority's certificate as PEM text.
    ///
    /// # Errors
    /// [`Error::Pki`].
    pub fn authority_certificate(&self) -> Result<rustls_pki_types::CertificateDer<'static>> {
        let path = self.dir.join(AUTHORITY_CERTIFICATE);
        let certificates = pki::certificates_from_pem(&pki::read_bounded(&path, pki::files::MAX_FILE)?);
        let first = certificates.and_then(|c| c.into_iter().next().ok_or(pki::Error::PemWithoutCertificate));
        Ok(first.map_err(|error| error.in_file(&path))?)
    }

    /// What the server shows to its clients.
    ///
    /// # Errors
    /// [`Error::Pki`].
    pub fn server_identity(&self) -> Result<ServerIdentity> {
        let (key, certificate) = (self.dir.join(SERVER_KEY), self.dir.join(SERVER_CERTIFICATE));
        let private = pki::read_private(&key)?;
        let private = pki::PrivateKey::from_pem(&private).map_err(|error| error.in_file(&key))?;
        let chain = pki::certificates_from_pem(&pki::read_bounded(&certificate, pki::files::MAX_FILE)?);
        let mut chain = chain.map_err(|error| error.in_file(&certificate))?;
        chain.push(self.authority_certificate()?);
        Ok(ServerIdentity { chain, key: private })
    }

    /// Issues the server's certificate anew, by the same authority and for the same private key, so that clients trust it
    /// as they did. `names` replace its host names and addresses; without any it keeps them. A running service uses it
    /// after a reload.
    ///
    /// # Errors
    /// [`Error::Pki`]; the old certificate stays then.
    pub fn renew_server(&self, names: &[String]) -> Result<pki::CertificateInfo> {
        let identity = self.server_identity()?;
        let names = match (names, identity.chain.first()) {
            ([], Some(present)) => pki::certificate_hosts(present)?,
            _ => names.to_vec(),
        };
        let issued = self.load_authority()?.renew_server(&names, SERVER_DAYS, &identity.key)?;
        let certificate = pki::certificate_to_pem(&issued.certificate);
        pki::write_private(&self.dir.join(SERVER_CERTIFICATE), certificate.as_bytes())?;
        Ok(pki::CertificateInfo::read(&issued.certificate)?)
    }

    fn load_authority(&self) -> Result<Authority> {
        Ok(Authority::load(&self.dir.join(AUTHORITY_KEY), &self.dir.join(AUTHORITY_CERTIFICATE))?)
    }

    fn has(&self, part: &str) -> bool {
        self.dir.join(part).exists()
    }

    /// What another user may not see must not look as if it were missing.
    fn check_access(&self) -> Result<()> {
        match fs::symlink_metadata(self.dir.join("ca")) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(Error::NoAccess { dir: self.dir.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Whether anything here was made by [`Home::init`].
    fn is_begun(&self) -> bool {
        [AUTHORITY_KEY, AUTHORITY_CERTIFICATE, SERVER_KEY, SERVER_CERTIFICATE, DATABASE, SETTINGS, "ca"]
            .iter()
            .any(|part| self.has(part))
    }

    /// An authority cannot be made again once it has signed something.
    fn check_authority(&self) -> Result<()> {
        let lost = |missing| Err(Error::AuthorityLost { dir: self.dir.clone(), missing });
        let signed = self.has(SERVER_CERTIFICATE) || self.has(DATABASE);
        match (self.has(AUTHORITY_KEY), self.has(AUTHORITY_CERTIFICATE)) {
            (true, true) => Ok(()),
            (true, false) => lost(AUTHORITY_CERTIFICATE),
            (false, true) if signed => lost(AUTHORITY_KEY),
            (false, false) if signed => lost("ca/ca.key, ca/ca.crt"),
            // A certificate without its key, and nothing signed: an init that did not get further.
            (false, _) => Ok(()),
        }
    }

    fn missing(&self) -> Vec<&'static str> {
        let files = [AUTHORITY_KEY, AUTHORITY_CERTIFICATE, SERVER_KEY, SERVER_CERTIFICATE, DATABASE, SETTINGS];
        FOLDERS.into_iter().chain(files).filter(|part| !self.has(part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn init(dir: &Path) -> Result<Home> {
        Home::init_with(dir, &["192.0.2.1".into(), "fmc.example".into()], KeyKind::EcdsaP256)
    }

    #[test]
    fn a_new_home_is_private_complete_and_made_once() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("home");
        let home = init(&dir).unwrap();
        let mode = |p: &str| fs::metadata(dir.join(p)).unwrap().permissions().mode() & 0o777;
        for folder in [".", "ca", "server", "archive", "log", "run"] {
            assert_eq!(mode(folder), 0o700, "{folder}");
        }
        for file in [AUTHORITY_KEY, AUTHORITY_CERTIFICATE, SERVER_KEY, DATABASE] {
            assert_eq!(mode(file), 0o600, "{file}");
        }
        assert_eq!(home.settings().unwrap(), Settings::default());
        assert_eq!(pki::certificate_name(&home.server_identity().unwrap().chain[0]).unwrap(), "192.0.2.1");
        let before = fs::read(dir.join(AUTHORITY_KEY)).unwrap();
        let error = init(&dir).unwrap_err();
        assert!(matches!(error, Error::HomeThere { .. }) && error.to_string().contains("nothing was changed"));
        assert_eq!(fs::read(dir.join(AUTHORITY_KEY)).unwrap(), before);
        Home::open(&dir).unwrap();
    }

    #[test]
    fn the_server_gets_a_new_certificate_for_its_old_key() {
        let temp = tempfile::tempdir().unwrap();
        let home = init(&temp.path().join("home")).unwrap();
        let before = home.server_identity().unwrap();
        let renewed = home.renew_server(&[]).unwrap();
        let after = home.server_identity().unwrap();
        assert_eq!(after.key, before.key);
        assert_eq!(pki::fingerprint(&after.chain[0]), renewed.fingerprint);
        assert_ne!(after.chain[0], before.chain[0]);
        assert_eq!(after.chain[1], before.chain[1]);
        assert_eq!(pki::certificate_hosts(&after.chain[0]).unwrap(), ["192.0.2.1", "fmc.example"]);
        home.renew_server(&["2001:db8::1".into(), "new.example".into()]).unwrap();
        let hosts = pki::certificate_hosts(&home.server_identity().unwrap().chain[0]).unwrap();
        assert_eq!(hosts, ["2001:db8::1", "new.example"]);
        assert!(matches!(home.renew_server(&["a b".into()]), Err(Error::Pki(_))));
        pki::server_config(after, home.authority_certificate().unwrap(), std::sync::Arc::new(home.clients().unwrap()))
            .unwrap();
    }

    #[test]
    fn what_is_missing_is_told_and_added() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("home");
        let error = Home::open(&dir).unwrap_err().to_string();
        assert!(error.contains(&format!("estreamer init {}", dir.display())), "{error}");
        init(&dir).unwrap();
        fs::remove_dir(dir.join("log")).unwrap();
        fs::remove_file(dir.join(SERVER_KEY)).unwrap();
        let error = Home::open(&dir).unwrap_err().to_string();
        assert!(error.contains("lacks log, server/server.key. \"estreamer init "), "{error}");
        let authority = fs::read(dir.join(AUTHORITY_KEY)).unwrap();
        init(&dir).unwrap().server_identity().unwrap();
        assert_eq!(fs::read(dir.join(AUTHORITY_KEY)).unwrap(), authority);
        fs::remove_file(dir.join(AUTHORITY_KEY)).unwrap();
        for error in [Home::open(&dir).unwrap_err(), init(&dir).unwrap_err()] {
            assert!(matches!(error, Error::AuthorityLost { missing: "ca/ca.key", .. }), "{error}");
        }
    }

    #[test]
    fn other_folders_are_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("thesis.txt"), "x").unwrap();
        assert!(matches!(init(temp.path()), Err(Error::NotEmpty { .. })));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        let bad = Home::init(&temp.path().join("new"), &["a b".into()]);
        assert!(matches!(bad, Err(Error::Pki(pki::Error::BadName { .. }))));
        assert!(!temp.path().join("new").exists());
        // An init that was cut off after the authority's certificate.
        let cut = temp.path().join("cut");
        pki::create_private_dir(&cut.join("ca")).unwrap();
        fs::write(cut.join(AUTHORITY_CERTIFICATE), "half").unwrap();
        init(&cut).unwrap();
        Home::open(&cut).unwrap().authority().unwrap();
    }
}
