//! The client's credentials, and the PKCS#12 file in which they travel.
//!
//! An appliance hands out one PKCS#12 file per client with the private key, the client certificate
//! and the certificate of its Internal CA (FireSIGHT eStreamer Integration Guide 5.3 p.18). Old
//! ones encrypt it with RC2 of 40 bits and triple DES; the password may be blank.

use std::path::Path;

use p12_keystore::{
    Certificate, CertificateBag, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, Pkcs12Archive,
    PrivateKeyBag, PrivateKeyChain,
};
use rustls::pki_types::CertificateDer;

use crate::absent;
use crate::certificate::{self, CertificateInfo};
use crate::crypto;
use crate::error::{Error, Result};
use crate::files;
use crate::key::{self, PrivateKey};
use crate::survey::Survey;

/// Rounds of key derivation in files made here. The password guards a file on its way to a client;
/// ten thousand is what Java makes, five times what OpenSSL makes.
const ROUNDS: u32 = 10_000;

/// How a PKCS#12 file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Pkcs12Style {
    /// AES-256 (PBES2, HMAC-SHA-256) and a SHA-256 MAC. Read by OpenSSL 1.0 and later, Java 8u301
    /// and later, Python, Windows Server 2019 and later.
    #[default]
    Modern,
    /// Triple DES and a SHA-1 MAC, for readers older than that. OpenSSL 3 reads it without
    /// `-legacy`.
    Legacy,
}

/// A client's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The private key.
    pub key: PrivateKey,
    /// The certificate of that key, in DER.
    pub certificate: CertificateDer<'static>,
    /// Intermediate certificates from the client's issuer upwards, without the self-signed end.
    pub chain: Vec<CertificateDer<'static>>,
    /// The authorities that came with it (self-signed or marked as CA), in file order: what a
    /// server is verified with.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Bundle {
    /// Opens a PKCS#12 file. No password, or an empty one, opens a file made with a blank password
    /// in any of the ways programs understand that.
    ///
    /// The client's certificate is the one of the private key, wherever it stands in the file;
    /// certificates that are neither it nor an authority are left out.
    ///
    /// # Errors
    /// [`Error::NotPkcs12`], [`Error::WrongPassword`], [`Error::PasswordNeeded`],
    /// [`Error::Pkcs12WithoutKey`], [`Error::Pkcs12WithoutCertificate`], [`Error::Pkcs12NoMatch`],
    /// [`Error::Pkcs12Unsupported`], [`Error::Pkcs12TooCostly`], [`Error::Pkcs12Damaged`],
    /// [`Error::TooLarge`] above [`MAX_FILE`](files::MAX_FILE), [`Error::BadKey`].
    pub fn from_pkcs12(bytes: &[u8], password: Option<&str>) -> Result<Self> {
        if bytes.len() as u64 > files::MAX_FILE {
            return Err(Error::TooLarge { limit: files::MAX_FILE });
        }
        Self::from_archive(open(bytes, password.unwrap_or_default())?)
    }

    /// Reads and opens a PKCS#12 file.
    ///
    /// # Errors
    /// Those of [`Bundle::from_pkcs12`] and of reading, inside [`Error::InFile`].
    pub fn load_pkcs12(path: &Path, password: Option<&str>) -> Result<Self> {
        let bytes = files::read_private(path)?;
        Self::from_pkcs12(&bytes, password).map_err(|error| error.in_file(path))
    }

    /// Takes credentials from PEM: the key, and a text with the client's certificate and perhaps
    /// its authorities, in any order.
    ///
    /// # Errors
    /// Those of [`PrivateKey::from_pem`] and [`certificates_from_pem`](key::certificates_from_pem);
    /// [`Error::KeyMismatch`] if no certificate is that of the key.
    pub fn from_pem(key: &[u8], certificates: &[u8]) -> Result<Self> {
        let key = PrivateKey::from_pem(key)?;
        let certificates = key::certificates_from_pem(certificates)?;
        let mut leaf = None;
        for (index, certificate) in certificates.iter().enumerate() {
            if leaf.is_none() && key.belongs_to(certificate)? {
                leaf = Some(index);
            }
        }
        let leaf = leaf.ok_or(Error::KeyMismatch)?;
        Self::assemble(key, leaf, certificates)
    }

    /// Reads credentials from a key file and a certificate file in PEM, such as the
    /// `HOST-PORT_pkcs.key` and `HOST-PORT_pkcs.cert` other clients keep.
    ///
    /// # Errors
    /// Those of [`Bundle::from_pem`] and of reading, inside [`Error::InFile`].
    pub fn load_pem(key_file: &Path, certificate_file: &Path) -> Result<Self> {
        let key = files::read_private(key_file)?;
        let certificates = files::read_bounded(certificate_file, files::MAX_FILE)?;
        Self::from_pem(&key, &certificates).map_err(|error| {
            let in_key = matches!(error, Error::PemWithoutKey | Error::PemKeyEncrypted | Error::BadKey { .. });
            error.in_file(if in_key { key_file } else { certificate_file })
        })
    }

    /// Makes a PKCS#12 file in the modern style. No password and an empty one are the same: blank.
    ///
    /// # Errors
    /// [`Error::PasswordCharacters`], [`Error::Pkcs12Write`].
    pub fn to_pkcs12(&self, password: Option<&str>) -> Result<Vec<u8>> {
        self.to_pkcs12_as(password, Pkcs12Style::default())
    }

    /// Makes a PKCS#12 file in the given style.
    ///
    /// # Errors
    /// [`Error::PasswordCharacters`], [`Error::Pkcs12Write`].
    pub fn to_pkcs12_as(&self, password: Option<&str>, style: Pkcs12Style) -> Result<Vec<u8>> {
        let password = password.unwrap_or_default();
        check_password(password)?;
        let write_error = |error: p12_keystore::error::Error| Error::Pkcs12Write { detail: error.to_string() };
        let mut certificates = vec![&self.certificate];
        for certificate in self.chain.iter().chain(&self.authorities) {
            if !certificates.contains(&certificate) {
                certificates.push(certificate);
            }
        }
        let certificates = certificates
            .into_iter()
            .map(|certificate| Certificate::from_der(certificate))
            .collect::<Result<Vec<_>, _>>()
            .map_err(write_error)?;
        let key = p12_keystore::PrivateKey::from_der(self.key.pkcs8_der()).map_err(write_error)?;
        let key_id = crypto::sha256(&self.certificate).as_ref().to_vec();
        let name = certificate::certificate_name(&self.certificate)
            .ok()
            .filter(|name| is_expressible(name))
            .unwrap_or_else(|| "client".into());
        let mut store = KeyStore::new();
        store.add_entry(&name, KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(key_id, key, certificates)));
        let (encryption, mac) = match style {
            Pkcs12Style::Modern => (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256),
            Pkcs12Style::Legacy => (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1),
        };
        store
            .writer(password)
            .encryption_algorithm(encryption)
            .encryption_iterations(ROUNDS)
            .mac_algorithm(mac)
            .mac_iterations(ROUNDS)
            .write()
            .map_err(write_error)
    }

    /// What the client's certificate says.
    ///
    /// # Errors
    /// [`Error::BadCertificate`].
    pub fn info(&self) -> Result<CertificateInfo> {
        CertificateInfo::read(&self.certificate)
    }

    fn from_archive(archive: Pkcs12Archive) -> Result<Self> {
        if archive.keys.is_empty() {
            return Err(Error::Pkcs12WithoutKey);
        }
        if archive.certs.is_empty() {
            return Err(Error::Pkcs12WithoutCertificate);
        }
        let mut unusable = None;
        for bag in &archive.keys {
            let key = match PrivateKey::from_pkcs8(bag.key.as_der().to_vec()) {
                Ok(key) => key,
                Err(error) => {
                    unusable = Some(small_rsa(&archive).unwrap_or(error));
                    continue;
                }
            };
            if let Some(leaf) = leaf_of(&key, bag, &archive.certs)? {
                let certificates =
                    archive.certs.iter().map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).collect();
                return Self::assemble(key, leaf, certificates);
            }
        }
        Err(unusable.unwrap_or(Error::Pkcs12NoMatch { certificates: archive.certs.len() }))
    }

    /// Sorts the certificates around the one of the key.
    fn assemble(key: PrivateKey, leaf: usize, mut certificates: Vec<CertificateDer<'static>>) -> Result<Self> {
        if leaf >= certificates.len() {
            return Err(Error::KeyMismatch);
        }
        let certificate = certificates.remove(leaf);
        let mut authorities: Vec<CertificateDer<'static>> = Vec::new();
        for other in certificates {
            let info = CertificateInfo::read(&other)?;
            let is_authority = info.is_authority || info.self_issued;
            if is_authority && other != certificate && !authorities.contains(&other) {
                authorities.push(other);
            }
        }
        let chain = chain_of(&certificate, &authorities)?;
        Ok(Self { key, certificate, chain, authorities })
    }
}

/// Which certificate is that of the key. The local key identifier is only a label: it decides where
/// the key does not tell its public half.
fn leaf_of(key: &PrivateKey, bag: &PrivateKeyBag, certificates: &[CertificateBag]) -> Result<Option<usize>> {
    let signing = key.signing_key()?;
    for (index, certificate) in certificates.iter().enumerate() {
        let parsed = certificate::parse(certificate.cert.as_der())?;
        let id = bag.local_key_id.as_ref().map(AsRef::as_ref);
        let same_id = id.is_some() && certificate.local_key_id.as_deref() == id;
        if crypto::is_key_of(&*signing, parsed.public_key().raw).unwrap_or(same_id) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// The intermediates between a certificate and its self-signed end.
fn chain_of(
    leaf: &CertificateDer<'static>,
    authorities: &[CertificateDer<'static>],
) -> Result<Vec<CertificateDer<'static>>> {
    let mut chain: Vec<CertificateDer<'static>> = Vec::new();
    let mut issuer = certificate::parse(leaf)?.issuer().as_raw().to_vec();
    loop {
        let mut next = None;
        for authority in authorities {
            let parsed = certificate::parse(authority)?;
            let self_issued = parsed.subject().as_raw() == parsed.issuer().as_raw();
            if parsed.subject().as_raw() == issuer && !self_issued && !chain.contains(authority) {
                next = Some((authority.clone(), parsed.issuer().as_raw().to_vec()));
                break;
            }
        }
        // Ends: every turn takes one more authority into the chain.
        let Some((authority, above)) = next else {
            return Ok(chain);
        };
        chain.push(authority);
        issuer = above;
    }
}

fn open(bytes: &[u8], password: &str) -> Result<Pkcs12Archive> {
    use p12_keystore::error::Error as P12;

    let survey = Survey::of(bytes)?;
    check_password(password)?;
    let wrong_password = || {
        if password.is_empty() { Error::PasswordNeeded } else { Error::WrongPassword }
    };
    let error = match Pkcs12Archive::from_pkcs12(survey.pfx, password) {
        Ok(archive) => return Ok(archive),
        Err(error) => error,
    };
    match error {
        // "No password" is the empty string to some programs and nothing at all to others, which
        // makes different keys in PKCS#12's own key derivation. The MAC, which guards nothing when
        // everybody knows the password, is left out; that the encrypted parts decrypt is the proof.
        P12::MacError(_) if password.is_empty() && survey.encrypted => absent::in_the_clear(&survey)
            .and_then(|file| Pkcs12Archive::from_pkcs12(&file, password).ok())
            .ok_or_else(wrong_password),
        P12::MacError(_) => Err(wrong_password()),
        // Without a MAC a wrong password can also pass the padding check and leave garbage.
        P12::UnpadError | P12::Pkcs5Error(_) | P12::DerError(_) | P12::InvalidPrivateKey
            if !survey.has_mac && survey.encrypted =>
        {
            Err(wrong_password())
        }
        P12::UnsupportedEncryptionScheme => {
            Err(Error::Pkcs12Unsupported { what: "an unknown encryption or MAC".into() })
        }
        P12::UnsupportedContentType | P12::UnsupportedCertificateType => {
            Err(Error::Pkcs12Unsupported { what: "contents of an unknown kind".into() })
        }
        error => Err(Error::Pkcs12Damaged { detail: error.to_string() }),
    }
}

fn check_password(password: &str) -> Result<()> {
    if is_expressible(password) { Ok(()) } else { Err(Error::PasswordCharacters) }
}

/// Whether a text fits PKCS#12's strings of 16-bit characters.
fn is_expressible(text: &str) -> bool {
    text.chars().all(|character| u32::from(character) <= 0xffff)
}

/// The reason why a key from a file of the first years is refused.
fn small_rsa(archive: &Pkcs12Archive) -> Option<Error> {
    archive.certs.iter().find_map(|bag| {
        let info = CertificateInfo::read(bag.cert.as_der()).ok()?;
        let bits = info.rsa_bits.filter(|bits| *bits < 2048)?;
        Some(Error::BadKey {
            detail: format!(
                "it is an RSA key of {bits} bits and at least 2048 are required; create the client again on a server that makes longer keys"
            ),
        })
    })
}
