//! What can go wrong with certificates and their files, and what to do about it.

use std::io;
use std::path::Path;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error about a certificate, a key or a file that holds them.
///
/// Each text is a sentence that names the cause, followed by the remedy where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error inside a named file.
    #[error("{path}: {source}")]
    InFile {
        /// The file as the user named it.
        path: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, such as "read the file".
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A directory, device, socket or pipe where a file is needed.
    #[error("this is not a regular file; name a file")]
    NotAFile,
    /// A file above the limit.
    #[error("larger than {limit} bytes, so it is not read; check that this is the right file")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },

    /// A client or server name that cannot go into a certificate.
    #[error(
        "\"{name}\" cannot be used as a host name or address: {reason}. Give the name or the IP address the peer connects from, as in \"siem.example.com\" or \"192.0.2.7\""
    )]
    BadName {
        /// The name, with unprintable characters escaped.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A validity out of range.
    #[error("a validity of {days} days is out of range; give 1 to {max} days", max = crate::authority::MAX_DAYS)]
    BadDays {
        /// The days asked for.
        days: u32,
    },
    /// A certificate that cannot be decoded.
    #[error("the certificate cannot be read: {detail}")]
    BadCertificate {
        /// The decoder's words.
        detail: String,
    },
    /// A certificate without a usable common name.
    #[error(
        "the certificate's subject \"{subject}\" holds no usable common name (CN); the peer must be given a certificate issued for its host name or address"
    )]
    NoCommonName {
        /// The whole subject.
        subject: String,
    },
    /// A private key that cannot be used.
    #[error("the private key cannot be used: {detail}")]
    BadKey {
        /// Why not, and a remedy.
        detail: String,
    },
    /// A private key of another certificate.
    #[error(
        "the private key and the certificate do not belong together; check that both files come from the same PKCS#12 file"
    )]
    KeyMismatch,

    /// No certificate in a PEM file.
    #[error("no certificate (\"BEGIN CERTIFICATE\") inside; name the file that holds the certificate in PEM form")]
    PemWithoutCertificate,
    /// No private key in a PEM file.
    #[error("no private key (\"BEGIN PRIVATE KEY\") inside; name the file that holds the key in PEM form")]
    PemWithoutKey,
    /// A private key protected by a password.
    #[error(
        "the private key is protected by a password, which is not supported for PEM files; remove it with \"openssl pkey -in FILE -out NEWFILE\" or use the PKCS#12 file"
    )]
    PemKeyEncrypted,
    /// A PEM file which is damaged.
    #[error("the PEM text is damaged: {detail}")]
    BadPem {
        /// The decoder's words.
        detail: String,
    },

    /// Bytes that are no PKCS#12 file.
    #[error(
        "this is not a PKCS#12 file ({detail}); name the file downloaded from the management center (usually *.pkcs12 or *.p12)"
    )]
    NotPkcs12 {
        /// What was found instead.
        detail: &'static str,
    },
    /// The password does not open the file.
    #[error(
        "the password does not open this PKCS#12 file; give the password that was typed when the client was created, or create the client again"
    )]
    WrongPassword,
    /// No password was given and a blank one does not open the file.
    #[error(
        "this PKCS#12 file has a password and none was given; give the password that was typed when the client was created"
    )]
    PasswordNeeded,
    /// A password outside the characters PKCS#12 knows.
    #[error(
        "the password holds a character that PKCS#12 cannot express (outside Unicode's basic plane, such as an emoji); choose another password"
    )]
    PasswordCharacters,
    /// No private key in the file.
    #[error(
        "no private key inside this PKCS#12 file, so it cannot identify a client; download the file again or export it with its private key"
    )]
    Pkcs12WithoutKey,
    /// No certificate in the file.
    #[error("no certificate inside this PKCS#12 file; download the file again or export it with its certificate")]
    Pkcs12WithoutCertificate,
    /// Certificates, but none for the key.
    #[error(
        "none of the {certificates} certificates inside this PKCS#12 file belongs to its private key; download the file again"
    )]
    Pkcs12NoMatch {
        /// How many certificates there are.
        certificates: usize,
    },
    /// A PKCS#12 file that uses something this program does not know.
    #[error(
        "this PKCS#12 file uses {what}, which is not supported; convert it: \"openssl pkcs12 -in FILE -nodes -out all.pem\", then \"openssl pkcs12 -export -in all.pem -out NEWFILE\""
    )]
    Pkcs12Unsupported {
        /// The algorithm or form.
        what: String,
    },
    /// A PKCS#12 file made to be slow.
    #[error(
        "opening this PKCS#12 file would take {iterations} key derivation rounds; at most {limit} are accepted, ask its maker for another file"
    )]
    Pkcs12TooCostly {
        /// Rounds the file asks for.
        iterations: u64,
        /// Rounds accepted.
        limit: u64,
    },
    /// A PKCS#12 file that opens but makes no sense.
    #[error("this PKCS#12 file is damaged: {detail}; download it again")]
    Pkcs12Damaged {
        /// The decoder's words.
        detail: String,
    },
    /// A PKCS#12 file could not be made.
    #[error("the PKCS#12 file cannot be made: {detail}")]
    Pkcs12Write {
        /// The encoder's words.
        detail: String,
    },

    /// A CA certificate and key that cannot issue.
    #[error("this certificate cannot be used as an authority: {reason}")]
    BadAuthority {
        /// Why not.
        reason: String,
    },
    /// A CA past its end.
    #[error(
        "the authority's certificate ended on {not_after}; create a new authority and give every client a new certificate"
    )]
    AuthorityExpired {
        /// End of validity, printable.
        not_after: String,
    },
    /// A certificate could not be issued.
    #[error("the certificate cannot be issued: {detail}")]
    Issue {
        /// The encoder's words.
        detail: String,
    },

    /// No authority to verify a server with.
    #[error(
        "the client's PKCS#12 file holds no authority (CA) certificate, so the server cannot be verified with it; pin the server's certificate or trust the one seen first"
    )]
    NoAuthority,
    /// A pin which is no SHA-256 fingerprint.
    #[error(
        "\"{pin}\" is not a SHA-256 fingerprint; give 64 hexadecimal digits, as \"openssl x509 -noout -fingerprint -sha256\" prints them"
    )]
    BadPin {
        /// What was given.
        pin: String,
    },
    /// The TLS library refused a configuration.
    #[error("TLS cannot be set up: {detail}")]
    Tls {
        /// The library's words.
        detail: String,
    },
}

impl Error {
    /// The same error with the file it was found in.
    pub fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.display().to_string(), source: Box::new(self) }
    }

    /// The error itself, without the file names around it.
    pub fn root(&self) -> &Self {
        match self {
            Self::InFile { source, .. } => source.root(),
            other => other,
        }
    }
}
