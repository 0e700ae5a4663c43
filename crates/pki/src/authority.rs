//! The certificate authority of an eStreamer server: what the appliance calls its Internal CA.
//!
//! It signs the server's own certificate and one certificate per client
//! (FireSIGHT eStreamer Integration Guide 5.3 p.18).

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, RsaKeySize, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::certificate::{self, CertificateInfo, time_text};
use crate::crypto;
use crate::error::{Error, Result};
use crate::files;
use crate::key::{self, PrivateKey};
use crate::pkcs12::Bundle;

/// Longest validity of a certificate, in days (100 years).
pub const MAX_DAYS: u32 = 36_525;

/// Seconds by which a certificate is valid before it is issued, so that a peer whose clock is
/// behind accepts it (one day).
const BACKDATED: i64 = 86_400;

/// X.520 `title` and `generationQualifier`, set to `estreamer` and `server` in the server's
/// certificate.
const TITLE: [u64; 4] = [2, 5, 4, 12];
const GENERATION_QUALIFIER: [u64; 4] = [2, 5, 4, 44];

/// The kind of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyKind {
    /// RSA of 2048 bits: what appliances use and every old client knows.
    #[default]
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
    /// ECDSA on P-256, for clients known to be modern.
    EcdsaP256,
}

/// From when to when a certificate is valid, in Unix seconds, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
}

impl Validity {
    /// From one day ago until `days` days from now; 1 to [`MAX_DAYS`].
    ///
    /// # Errors
    /// [`Error::BadDays`] if `days` is out of range.
    pub fn days(days: u32) -> Result<Self> {
        if days == 0 || days > MAX_DAYS {
            return Err(Error::BadDays { days });
        }
        let now = now();
        Ok(Self { not_before: now.saturating_sub(BACKDATED), not_after: now.saturating_add(i64::from(days) * 86_400) })
    }
}

/// How to make a new authority.
#[derive(Debug, Clone)]
pub struct AuthorityOptions {
    /// Common name (CN) of the authority.
    pub name: String,
    /// Organization (O) of the authority.
    pub organization: String,
    /// Validity in days, 1 to [`MAX_DAYS`].
    pub days: u32,
    /// Kind of the authority's key, and of every key it makes for others.
    pub key: KeyKind,
}

impl Default for AuthorityOptions {
    /// `InternalCA` of `eStreamer`, ten years, RSA 2048.
    fn default() -> Self {
        Self { name: "InternalCA".into(), organization: "eStreamer".into(), days: 3_652, key: KeyKind::Rsa2048 }
    }
}

/// A certificate just issued, with its new private key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The common name.
    pub name: String,
    /// The certificate in DER.
    pub certificate: CertificateDer<'static>,
    /// Its private key.
    pub key: PrivateKey,
    /// Serial number, 32 lower-case hexadecimal digits.
    pub serial: String,
    /// SHA-256 over the certificate's DER, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Start of validity, Unix seconds.
    pub not_before: i64,
    /// End of validity, Unix seconds; never after the authority's own.
    pub not_after: i64,
}

/// A certificate authority: a CA certificate and its private key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    key: PrivateKey,
    issuer: Issuer<'static, KeyPair>,
    info: CertificateInfo,
    kind: KeyKind,
}

impl Authority {
    /// Makes a new self-signed authority.
    ///
    /// # Errors
    /// [`Error::BadDays`], [`Error::BadAuthority`] for an unusable name, [`Error::Issue`].
    pub fn create(options: &AuthorityOptions) -> Result<Self> {
        for text in [&options.name, &options.organization] {
            if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
                return Err(Error::BadAuthority {
                    reason: "its name and organization must have 1 to 64 bytes and no control characters".into(),
                });
            }
        }
        let mut params = CertificateParams::default();
        set_validity(&mut params, Validity::days(options.days)?);
        params.serial_number = Some(new_serial()?);
        params.distinguished_name = DistinguishedName::new();
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationName, options.organization.as_str());
        name.push(DnType::CommonName, options.name.as_str());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pair = new_key(options.key)?;
        let certificate = params.self_signed(&pair).map_err(issue_error)?;
        let key = PrivateKey::from_pkcs8(pair.serialize_der())?;
        Self::assemble(certificate.into(), key, options.key)
    }

    /// Takes an authority from its key and certificate in PEM; the first of each counts.
    ///
    /// # Errors
    /// Those of [`PrivateKey::from_pem`] and [`certificates_from_pem`](key::certificates_from_pem);
    /// [`Error::KeyMismatch`]; [`Error::BadAuthority`] if the certificate is not one of a CA or
    /// its subject cannot be copied faithfully into issued certificates.
    pub fn from_pem(key: &[u8], certificate: &[u8]) -> Result<Self> {
        let key = PrivateKey::from_pem(key)?;
        let certificate = first_certificate(certificate)?;
        Self::assemble(certificate, key, KeyKind::default())
    }

    /// Reads an authority from its key file and its certificate file, both PEM.
    ///
    /// # Errors
    /// Those of [`Authority::from_pem`] and of reading, inside [`Error::InFile`].
    pub fn load(key_file: &Path, certificate_file: &Path) -> Result<Self> {
        let key = files::read_private(key_file)?;
        let key = PrivateKey::from_pem(&key).map_err(|error| error.in_file(key_file))?;
        let certificate = files::read_bounded(certificate_file, files::MAX_FILE)?;
        first_certificate(&certificate)
            .and_then(|certificate| Self::assemble(certificate, key, KeyKind::default()))
            .map_err(|error| error.in_file(certificate_file))
    }

    /// The same authority, making keys of another kind for others.
    pub fn with_key_kind(mut self, kind: KeyKind) -> Self {
        self.kind = kind;
        self
    }

    /// The CA certificate in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The CA certificate as PEM text.
    pub fn certificate_pem(&self) -> String {
        key::certificate_to_pem(&self.certificate)
    }

    /// The CA's private key as PEM text, for [`write_private`](files::write_private).
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }

    /// What the CA certificate says.
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// Issues a client certificate for a host name or address exactly as typed, valid for `days`
    /// days but not beyond the authority itself.
    ///
    /// The name becomes the CN, which the server compares with the address the client connects
    /// from, and the subject alternative name.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::BadDays`], [`Error::AuthorityExpired`], [`Error::Issue`].
    pub fn issue_client(&self, name: &str, days: u32) -> Result<Issued> {
        self.issue_client_between(name, Validity::days(days)?)
    }

    /// Like [`Authority::issue_client`], for a given span of time.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::AuthorityExpired`], [`Error::Issue`].
    pub fn issue_client_between(&self, name: &str, validity: Validity) -> Result<Issued> {
        check_host(name)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, name);
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        self.issue(subject, &[name], usage, validity, &new_key(self.kind)?)
    }

    /// Issues the server's certificate for its host names and addresses; the first is its CN.
    ///
    /// The subject also has title `estreamer` and generation qualifier `server`, so that a client
    /// can tell an eStreamer server from another holder of a certificate of the same authority.
    ///
    /// # Errors
    /// [`Error::BadName`] (also if there is no name), [`Error::BadDays`],
    /// [`Error::AuthorityExpired`], [`Error::Issue`].
    pub fn issue_server(&self, names: &[impl AsRef<str>], days: u32) -> Result<Issued> {
        self.issue_server_between(names, Validity::days(days)?)
    }

    /// Like [`Authority::issue_server`], for a given span of time.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::AuthorityExpired`], [`Error::Issue`].
    pub fn issue_server_between(&self, names: &[impl AsRef<str>], validity: Validity) -> Result<Issued> {
        self.issue_server_for(names, validity, new_key(self.kind)?)
    }

    /// Issues another certificate for a server that keeps its private key, so that the certificate is the one thing to
    /// be replaced.
    ///
    /// # Errors
    /// As for [`Authority::issue_server`]; [`Error::BadKey`].
    pub fn renew_server(&self, names: &[impl AsRef<str>], days: u32, key: &PrivateKey) -> Result<Issued> {
        self.issue_server_for(names, Validity::days(days)?, pair_of(key)?)
    }

    fn issue_server_for(&self, names: &[impl AsRef<str>], validity: Validity, pair: KeyPair) -> Result<Issued> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let first = names.first().copied().unwrap_or("");
        check_host(first)?;
        for name in &names {
            check_host(name)?;
        }
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CustomDnType(TITLE.into()), "estreamer");
        subject.push(DnType::CustomDnType(GENERATION_QUALIFIER.into()), "server");
        subject.push(DnType::CommonName, first);
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        self.issue(subject, &names, usage, validity, &pair)
    }

    /// What a client needs in one PKCS#12 file: its key and certificate and this authority.
    pub fn bundle(&self, issued: &Issued) -> Bundle {
        Bundle {
            key: issued.key.clone(),
            certificate: issued.certificate.clone(),
            chain: Vec::new(),
            authorities: vec![self.certificate.clone()],
        }
    }

    fn issue(
        &self,
        subject: DistinguishedName,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        mut validity: Validity,
        pair: &KeyPair,
    ) -> Result<Issued> {
        if self.info.not_after < now() {
            return Err(Error::AuthorityExpired { not_after: time_text(self.info.not_after) });
        }
        validity.not_after = validity.not_after.min(self.info.not_after);
        validity.not_before = validity.not_before.min(validity.not_after);

        let mut params = CertificateParams::default();
        set_validity(&mut params, validity);
        params.serial_number = Some(new_serial()?);
        params.distinguished_name = subject;
        params.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect::<Result<_>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if pair.algorithm() == &rcgen::PKCS_RSA_SHA256 {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let certificate: CertificateDer<'static> = params.signed_by(pair, &self.issuer).map_err(issue_error)?.into();
        let info = CertificateInfo::read(&certificate)?;
        Ok(Issued {
            name: names.first().copied().unwrap_or_default().to_owned(),
            certificate,
            key: PrivateKey::from_pkcs8(pair.serialize_der())?,
            serial: info.serial,
            fingerprint: info.fingerprint,
            not_before: info.not_before,
            not_after: info.not_after,
        })
    }

    fn assemble(certificate: CertificateDer<'static>, key: PrivateKey, kind: KeyKind) -> Result<Self> {
        let bad = |reason: &str| Error::BadAuthority { reason: reason.into() };
        if !key.belongs_to(&certificate)? {
            return Err(Error::KeyMismatch);
        }
        let info = CertificateInfo::read(&certificate)?;
        let parsed = certificate::parse(&certificate)?;
        // Certificates of version 1 cannot say that they are an authority.
        if !info.is_authority && (info.version == 3 || !info.self_issued) {
            return Err(bad(
                "its basic constraints do not say CA:TRUE; name the certificate of the authority, not that of a server or client",
            ));
        }
        let usage = parsed.key_usage().ok().flatten();
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(bad("its key usage does not allow to sign certificates"));
        }
        // The certificate maker writes one value per attribute and no empty sets; anything else
        // would give issued certificates another issuer than this subject.
        if parsed.subject().iter_rdn().any(|set| set.iter().count() != 1) {
            return Err(bad("its subject has several values in one set"));
        }
        let pair = pair_of(&key)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, pair)
            .map_err(|error| bad(&format!("its subject or extensions cannot be used ({error})")))?;
        let probe = CertificateParams::default().signed_by(issuer.key(), &issuer).map_err(issue_error)?;
        if certificate::parse(probe.der())?.issuer().as_raw() != parsed.subject().as_raw() {
            return Err(bad("its subject has an attribute twice or in an unusual encoding"));
        }
        drop(parsed);
        Ok(Self { certificate, key, issuer, info, kind })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("info", &self.info).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Checks a host name or address as a user types it for a certificate: 1 to 253 bytes of visible
/// ASCII without slash or backslash, and not of dots alone.
///
/// # Errors
/// [`Error::BadName`] with the reason.
pub fn check_host(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > 253 {
        "it is longer than 253 bytes"
    } else if name.contains('\0') {
        "it holds a NUL character"
    } else if name.chars().any(char::is_control) {
        "it holds a control character"
    } else if name.contains(char::is_whitespace) {
        "it holds a space"
    } else if name.contains(['/', '\\']) {
        "it holds a slash; give a host address, not a network or a path"
    } else if !name.is_ascii() {
        "it holds letters outside ASCII; give the DNS form, which begins with \"xn--\""
    } else if name.bytes().all(|byte| byte == b'.') {
        "it consists of dots only"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.chars().take(300).flat_map(char::escape_debug).collect(), reason })
}

fn first_certificate(pem: &[u8]) -> Result<CertificateDer<'static>> {
    key::certificates_from_pem(pem)?.into_iter().next().ok_or(Error::PemWithoutCertificate)
}

fn alternative_name(name: &str) -> Result<SanType> {
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().map_err(issue_error)?),
    })
}

/// A random serial number of 16 bytes that is positive and has no leading zero byte.
fn new_serial() -> Result<SerialNumber> {
    let mut bytes = crypto::random::<16>()?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(SerialNumber::from(bytes.to_vec()))
}

fn pair_of(key: &PrivateKey) -> Result<KeyPair> {
    KeyPair::try_from(key.pkcs8_der()).map_err(|error| Error::BadKey { detail: error.to_string() })
}

fn new_key(kind: KeyKind) -> Result<KeyPair> {
    let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
    match kind {
        KeyKind::Rsa2048 => rsa(RsaKeySize::_2048),
        KeyKind::Rsa3072 => rsa(RsaKeySize::_3072),
        KeyKind::Rsa4096 => rsa(RsaKeySize::_4096),
        KeyKind::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
    }
    .map_err(issue_error)
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    // Certificates hold years 1950 to 9999; this keeps to what they can say.
    let limit = |seconds: i64| Duration::from_secs(seconds.clamp(0, 253_402_300_799).unsigned_abs());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + limit(validity.not_before);
    params.not_after = epoch + limit(validity.not_after);
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn issue_error(error: impl fmt::Display) -> Error {
    Error::Issue { detail: error.to_string() }
}
