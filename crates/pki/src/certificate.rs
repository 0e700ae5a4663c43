//! What a certificate says, in plain values.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, X509Version};

use crate::crypto;
use crate::error::{Error, Result};

/// The parts of a certificate that people and programs ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The whole subject, as in `CN=192.0.2.7, O=Example`.
    pub subject: String,
    /// The whole issuer.
    pub issuer: String,
    /// The common name, if there is a usable one (see [`certificate_name`]).
    pub name: Option<String>,
    /// Serial number in lower-case hexadecimal digits.
    pub serial: String,
    /// SHA-256 over the DER encoding, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Start of validity, Unix seconds.
    pub not_before: i64,
    /// End of validity, Unix seconds.
    pub not_after: i64,
    /// X.509 version, 1 to 3.
    pub version: u32,
    /// Whether the basic constraints say that this is an authority.
    pub is_authority: bool,
    /// Whether subject and issuer are the same (the signature is not looked at).
    pub self_issued: bool,
    /// Size of an RSA key in bits.
    pub rsa_bits: Option<usize>,
}

impl CertificateInfo {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// [`Error::BadCertificate`] if it cannot be decoded.
    pub fn read(der: &[u8]) -> Result<Self> {
        let certificate = parse(der)?;
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            name: common_name(&certificate),
            serial: serial_text(certificate.raw_serial()),
            fingerprint: fingerprint(der),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            version: certificate.version().0.saturating_add(1),
            is_authority: certificate.is_ca(),
            self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            rsa_bits: match certificate.public_key().parsed() {
                Ok(PublicKey::RSA(key)) => Some(key.key_size()),
                _ => None,
            },
        })
    }
}

/// SHA-256 over the DER encoding of a certificate: 64 lower-case hexadecimal digits.
pub fn fingerprint(der: &[u8]) -> String {
    crypto::sha256_hex(der)
}

/// The certificate's name: the first common name (CN) of its subject.
///
/// This is what the eStreamer server compares with the address of the peer (see
/// [`check_name`](crate::check_name)).
///
/// # Errors
/// [`Error::BadCertificate`] if the certificate cannot be decoded, [`Error::NoCommonName`] if there
/// is no CN, or one that is empty, longer than 253 bytes or holds control characters.
pub fn certificate_name(der: &[u8]) -> Result<String> {
    let certificate = parse(der)?;
    common_name(&certificate)
        .ok_or_else(|| Error::NoCommonName { subject: certificate.subject().to_string().escape_debug().to_string() })
}

/// The host names and addresses a server's certificate is for: its alternative names, or its common name if there are
/// none.
///
/// # Errors
/// [`Error::BadCertificate`].
pub fn certificate_hosts(der: &[u8]) -> Result<Vec<String>> {
    let certificate = parse(der)?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let hosts = names.into_iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
            .ok()
            .map(|address| address.to_string()),
        _ => None,
    });
    let hosts: Vec<String> = hosts.collect();
    Ok(if hosts.is_empty() { common_name(&certificate).into_iter().collect() } else { hosts })
}

/// A time as people read it: `2026-07-29 13:05:00 UTC`. Years before 0 and after 9999 print too.
pub fn time_text(unix_seconds: i64) -> String {
    let days = unix_seconds.div_euclid(86_400);
    let second = unix_seconds.rem_euclid(86_400);
    // Days to civil date, counting years from 1 March so that a leap day is a year's last.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Error::BadCertificate { detail: "there are bytes after its end".into() }),
        Err(error) => Err(Error::BadCertificate { detail: error.to_string() }),
    }
}

/// Whether the certificate is of X.509 version 1 or 2, as `openssl x509 -req` makes them without
/// an extension file. Such a certificate has no extensions at all; one that has some nevertheless
/// is malformed and does not count.
pub(crate) fn is_without_extensions(certificate: &X509Certificate<'_>) -> bool {
    certificate.version() != X509Version::V3 && certificate.extensions().is_empty()
}

/// The digits of a serial number without the zero byte that only says that it is positive.
fn serial_text(serial: &[u8]) -> String {
    match serial {
        [0, rest @ ..] if !rest.is_empty() => crypto::hex(rest),
        serial => crypto::hex(serial),
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = attribute_text(certificate.subject().iter_common_name().next()?)?;
    let usable = !name.is_empty() && name.len() <= 253 && !name.chars().any(char::is_control);
    usable.then_some(name)
}

/// The text of a subject attribute in any of the string types found in practice.
fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.header.tag() {
        Tag::BmpString => {
            let units =
                value.data.chunks_exact(2).map(|pair| pair.iter().fold(0, |unit, &byte| unit << 8 | u16::from(byte)));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        // In practice Latin-1 whatever the standard says.
        Tag::T61String => Some(value.data.iter().map(|&byte| char::from(byte)).collect()),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString | Tag::NumericString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696, "2000-02-29 12:34:56 UTC"),
            (4_102_444_799, "2099-12-31 23:59:59 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(time_text(seconds), text);
        }
    }

    #[test]
    fn garbage_is_no_certificate() {
        for der in [&b""[..], b"0", b"not a certificate", &[0x30, 0x82, 0xff, 0xff]] {
            assert!(matches!(certificate_name(der), Err(Error::BadCertificate { .. })));
            assert!(CertificateInfo::read(der).is_err());
        }
    }
}
