//! What the tests share. Keys are made once: RSA is slow without optimization.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use pki::{Authority, AuthorityOptions, Bundle, ClientList, Issued, KeyKind, Standing};

/// The authority of most tests, with a key that is quick to make.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| quick_authority("InternalCA"))
}

/// An authority as appliances have it.
pub(crate) fn rsa_authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::create(&AuthorityOptions::default()).unwrap())
}

pub(crate) fn quick_authority(name: &str) -> Authority {
    Authority::create(&AuthorityOptions { name: name.into(), key: KeyKind::EcdsaP256, ..AuthorityOptions::default() })
        .unwrap()
}

pub(crate) fn client() -> &'static Issued {
    static CLIENT: OnceLock<Issued> = OnceLock::new();
    CLIENT.get_or_init(|| authority().issue_client("192.0.2.7", 365).unwrap())
}

pub(crate) fn rsa_client() -> &'static Issued {
    static CLIENT: OnceLock<Issued> = OnceLock::new();
    CLIENT.get_or_init(|| rsa_authority().issue_client("siem.example.com", 365).unwrap())
}

pub(crate) fn server() -> &'static Issued {
    static SERVER: OnceLock<Issued> = OnceLock::new();
    SERVER.get_or_init(|| authority().issue_server(&["fmc.example.com"], 365).unwrap())
}

pub(crate) fn bundle() -> Bundle {
    authority().bundle(client())
}

/// A list that gives every client the same standing.
#[derive(Debug)]
pub(crate) struct Everyone(pub(crate) Standing);

impl ClientList for Everyone {
    fn standing(&self, fingerprint: &str) -> Standing {
        assert_eq!(fingerprint.len(), 64);
        self.0
    }
}

pub(crate) fn everyone(standing: Standing) -> Arc<dyn ClientList> {
    Arc::new(Everyone(standing))
}

/// Whether the openssl command is there; says so if it is not.
pub(crate) fn has_openssl() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    if !found {
        println!("skipped: there is no openssl command");
    }
    found
}

/// Runs openssl in a directory and returns what it prints, or its complaint.
pub(crate) fn openssl(dir: &Path, arguments: &str) -> Result<String, String> {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Writes a client's files the way they are fed to openssl: `key.pem`, `cert.pem`, `ca.pem`.
pub(crate) fn write_pem_files(dir: &Path, authority: &Authority, client: &Issued) {
    std::fs::write(dir.join("key.pem"), client.key.to_pem().as_bytes()).unwrap();
    std::fs::write(dir.join("cert.pem"), pki::certificate_to_pem(&client.certificate)).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.certificate_pem()).unwrap();
}
