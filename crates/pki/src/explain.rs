//! Failed handshakes in plain words.

use std::fmt;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::certificate::time_text;
use crate::client_tls::TrustError;

/// The cause of a failed handshake, for counters and for deciding whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The peer showed no certificate.
    NoCertificate,
    /// The certificate is of another authority.
    UnknownAuthority,
    /// The client has been removed from the server.
    Removed,
    /// The client is not on the server's list.
    NotListed,
    /// A certificate is past its end.
    Expired,
    /// A certificate is before its start.
    NotYetValid,
    /// A certificate is unusable in another way.
    BadCertificate,
    /// The server's certificate is not the one expected.
    PinMismatch,
    /// The fingerprint store failed.
    PinStore,
    /// No TLS version in common.
    Version,
    /// No cipher, key exchange or signature algorithm in common.
    Cipher,
    /// The peer does not speak TLS.
    NotTls,
    /// The peer closed or reset the connection.
    Vanished,
    /// The handshake took too long.
    TimedOut,
    /// The peer refused without a reason that is named here.
    Refused,
    /// Anything else.
    Other,
}

/// One sentence about the cause and one, perhaps empty, about the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The cause as a code.
    pub failure: Failure,
    /// The cause as a sentence.
    pub sentence: String,
    /// What to do.
    pub remedy: &'static str,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        if !self.remedy.is_empty() {
            write!(f, " {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Explains a handshake that failed at the server.
pub fn explain_accept(error: &Error) -> Explanation {
    use AlertDescription as Alert;
    match error {
        Error::NoCertificatesPresented => explain(
            Failure::NoCertificate,
            "The client sent no certificate.",
            "It must use the key and certificate of the PKCS#12 file made for it.",
        ),
        Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => explain(
                Failure::UnknownAuthority,
                "The client's certificate is not of this server's authority.",
                "Make a client certificate on this server and install its PKCS#12 file.",
            ),
            CertificateError::Revoked => explain(
                Failure::Removed,
                "The client has been removed from this server.",
                "Make a new client certificate if it is to connect again.",
            ),
            CertificateError::ApplicationVerificationFailure => explain(
                Failure::NotListed,
                "The client's certificate is of this server's authority, but not on its list of clients.",
                "Make a client certificate on this server, or restore the list it was on.",
            ),
            other => {
                certificate("client", other, "Make a new client certificate, and check the clocks of both machines.")
            }
        },
        Error::AlertReceived(alert) => match alert {
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::DecryptError => explain(
                Failure::BadCertificate,
                format!("The client does not trust this server's certificate (alert {}).", text(*alert)),
                "The client must use the authority in its PKCS#12 file, or this server's present certificate, to verify it.",
            ),
            alert => refused("client", *alert),
        },
        other => common("client", other),
    }
}

/// Explains a handshake that failed at the client.
pub fn explain_connect(error: &Error) -> Explanation {
    use AlertDescription as Alert;
    const NEW_CLIENT: &str =
        "Create the client on the server (again), for the address it sees, and install the new PKCS#12 file.";
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::Other(other) => match other.0.downcast_ref::<TrustError>() {
                Some(trust @ TrustError::Store { .. }) => explain(
                    Failure::PinStore,
                    format!("The server is not trusted, because {trust}."),
                    "Correct that and try again.",
                ),
                Some(trust) => explain(
                    Failure::PinMismatch,
                    format!("The server is not trusted, because {trust}."),
                    "If the server has got a new certificate, verify its fingerprint there and replace the pin; otherwise somebody else answers.",
                ),
                None => certificate("server", error, ""),
            },
            CertificateError::UnknownIssuer | CertificateError::BadSignature => explain(
                Failure::UnknownAuthority,
                "The server's certificate is not of the authority in the client's PKCS#12 file.",
                "Use the PKCS#12 file of this very server, or pin the server's certificate.",
            ),
            other => certificate(
                "server",
                other,
                "Check the clock of this machine; if the server's certificate is meant to be so, pin it.",
            ),
        },
        Error::AlertReceived(alert) => match alert {
            Alert::CertificateRevoked => {
                explain(Failure::Removed, "The server has removed this client (alert certificate_revoked).", NEW_CLIENT)
            }
            Alert::AccessDenied => {
                explain(Failure::NotListed, "The server does not know this client (alert access_denied).", NEW_CLIENT)
            }
            Alert::UnknownCA => explain(
                Failure::UnknownAuthority,
                "The server does not know the authority of the client's certificate (alert unknown_ca).",
                "The PKCS#12 file is of another server, or the server has a new authority: create the client there again.",
            ),
            Alert::CertificateExpired => explain(
                Failure::Expired,
                "The server says that the client's certificate is not valid now (alert certificate_expired).",
                "Create the client on the server again, and check the clocks of both machines.",
            ),
            Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate | Alert::DecryptError => {
                explain(
                    Failure::BadCertificate,
                    format!("The server refuses the client's certificate (alert {}).", text(*alert)),
                    NEW_CLIENT,
                )
            }
            Alert::CertificateRequired | Alert::NoCertificate => explain(
                Failure::NoCertificate,
                "The server got no certificate from this client.",
                "Check that the PKCS#12 file is the one of this client.",
            ),
            alert => refused("server", *alert),
        },
        other => common("server", other),
    }
}

/// Explains an I/O error, which may carry a TLS error, of a handshake that failed at the server.
pub fn explain_accept_io(error: &io::Error) -> Explanation {
    explain_io("client", error, explain_accept)
}

/// Explains an I/O error, which may carry a TLS error, of a handshake that failed at the client.
pub fn explain_connect_io(error: &io::Error) -> Explanation {
    explain_io("server", error, explain_connect)
}

/// Explains why a server closes the connection right after a good handshake, before any message:
/// the name rule (eStreamer Integration Guide 5.3.1 p.2-6; see [`check_name`](crate::check_name)).
pub fn explain_silent_close() -> Explanation {
    explain(
        Failure::Refused,
        "The server closed the connection right after the handshake, without a message; it does so when the client's certificate was issued for another address than the one it sees.",
        "Create the client on the server for the address this machine has there (mind NAT), or correct the server's name resolution.",
    )
}

fn explain_io(peer: &str, error: &io::Error, tls: impl Fn(&Error) -> Explanation) -> Explanation {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return tls(inner);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => {
            explain(Failure::Vanished, format!("The {peer} closed the connection during the handshake ({error})."), "")
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            explain(Failure::TimedOut, format!("The {peer} did not finish the handshake in time."), "")
        }
        _ => explain(Failure::Other, format!("The handshake failed: {error}."), ""),
    }
}

/// What a certificate error means on either side.
fn certificate(whose: &str, error: &CertificateError, remedy: &'static str) -> Explanation {
    use CertificateError as Bad;
    let date = |time: &UnixTime| time_text(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    match error {
        Bad::ExpiredContext { not_after, .. } => {
            explain(Failure::Expired, format!("The {whose}'s certificate ended on {}.", date(not_after)), remedy)
        }
        Bad::Expired => explain(Failure::Expired, format!("The {whose}'s certificate has expired."), remedy),
        Bad::NotValidYetContext { not_before, .. } => explain(
            Failure::NotYetValid,
            format!("The {whose}'s certificate is valid from {} only.", date(not_before)),
            remedy,
        ),
        Bad::NotValidYet => {
            explain(Failure::NotYetValid, format!("The {whose}'s certificate is not valid yet."), remedy)
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            explain(Failure::BadCertificate, format!("The {whose}'s certificate is not meant for a {whose}."), remedy)
        }
        Bad::UnsupportedSignatureAlgorithmContext { .. }
        | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => explain(
            Failure::BadCertificate,
            format!(
                "The {whose}'s certificate is signed in a way that is too weak or not known, such as with SHA-1 or a short RSA key."
            ),
            remedy,
        ),
        Bad::BadEncoding => {
            explain(Failure::BadCertificate, format!("The {whose}'s certificate cannot be read."), remedy)
        }
        other => {
            explain(Failure::BadCertificate, format!("The {whose}'s certificate is not accepted: {other}."), remedy)
        }
    }
}

/// What an error that has nothing to do with certificates means on either side.
fn common(peer: &str, error: &Error) -> Explanation {
    use PeerIncompatible as Lacks;
    match error {
        Error::PeerIncompatible(
            Lacks::Tls12NotOffered
            | Lacks::Tls12NotOfferedOrEnabled
            | Lacks::ServerDoesNotSupportTls12Or13
            | Lacks::ServerTlsVersionIsDisabledByOurConfig
            | Lacks::SupportedVersionsExtensionRequired
            // Every client that speaks TLS 1.2 sends this extension; older versions do not know it.
            | Lacks::SignatureAlgorithmsExtensionRequired,
        ) => explain(
            Failure::Version,
            format!("The {peer} speaks no TLS version that is allowed here; 1.2 is the lowest."),
            "Set the other side to TLS 1.2.",
        ),
        Error::PeerIncompatible(
            Lacks::NoCipherSuitesInCommon
            | Lacks::NoKxGroupsInCommon
            | Lacks::NoSignatureSchemesInCommon
            | Lacks::NoCertificateRequestSignatureSchemesInCommon
            | Lacks::NamedGroupsExtensionRequired,
        ) => explain(
            Failure::Cipher,
            format!("The {peer} has no cipher, key exchange or signature algorithm in common with this side."),
            "Allow ECDHE with AES-GCM or ChaCha20-Poly1305 and SHA-256 on the other side.",
        ),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => explain(
            Failure::NotTls,
            format!("The {peer} does not speak TLS."),
            "Check the port: nothing but TLS is spoken on it.",
        ),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::PeerSentOversizedRecord => explain(
            Failure::NotTls,
            format!("The {peer} does not speak TLS, or not correctly ({error})."),
            "Check the port: nothing but TLS is spoken on it.",
        ),
        Error::NoCertificatesPresented => explain(
            Failure::NoCertificate,
            format!("The {peer} sent no certificate."),
            "",
        ),
        other => explain(Failure::Other, format!("The handshake failed: {other}."), ""),
    }
}

/// An alert that has nothing to do with certificates.
fn refused(peer: &str, alert: AlertDescription) -> Explanation {
    match alert {
        AlertDescription::ProtocolVersion => explain(
            Failure::Version,
            format!(
                "The {peer} accepts no TLS version that is offered here (alert protocol_version); 1.2 is the lowest."
            ),
            "Set the other side to TLS 1.2.",
        ),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => explain(
            Failure::Cipher,
            format!(
                "The {peer} found no common ground (alert {}): no common cipher, or it refuses the certificate without saying so.",
                text(alert)
            ),
            "Check the certificate first, then the ciphers of the other side.",
        ),
        AlertDescription::CloseNotify | AlertDescription::UserCanceled => {
            explain(Failure::Vanished, format!("The {peer} gave up the handshake."), "")
        }
        alert => explain(Failure::Refused, format!("The {peer} refused the handshake (alert {}).", text(alert)), ""),
    }
}

/// An alert as the TLS standard writes it.
fn text(alert: AlertDescription) -> String {
    let name = format!("{alert:?}");
    let mut text = String::new();
    let mut before_is_lower = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() && before_is_lower {
            text.push('_');
        }
        before_is_lower = character.is_ascii_lowercase();
        text.push(character.to_ascii_lowercase());
    }
    text
}

fn explain(failure: Failure, sentence: impl Into<String>, remedy: &'static str) -> Explanation {
    Explanation { failure, sentence: sentence.into(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_their_standard_names() {
        assert_eq!(text(AlertDescription::CertificateRevoked), "certificate_revoked");
        assert_eq!(text(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(text(AlertDescription::ProtocolVersion), "protocol_version");
    }

    #[test]
    fn io_errors_show_the_tls_error_inside() {
        let error = io::Error::new(io::ErrorKind::InvalidData, Error::NoCertificatesPresented);
        assert_eq!(explain_accept_io(&error).failure, Failure::NoCertificate);
        let error = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(explain_accept_io(&error).failure, Failure::Vanished);
        let error = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(explain_connect_io(&error).failure, Failure::TimedOut);
    }

    #[test]
    fn every_explanation_is_a_sentence() {
        let errors = [
            Error::NoCertificatesPresented,
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Error::InvalidCertificate(CertificateError::Revoked),
            Error::InvalidCertificate(CertificateError::Expired),
            Error::InvalidCertificate(CertificateError::BadEncoding),
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::AlertReceived(AlertDescription::UnknownCA),
            Error::AlertReceived(AlertDescription::ProtocolVersion),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
            Error::DecryptError,
        ];
        for error in &errors {
            for explanation in [explain_accept(error), explain_connect(error)] {
                let text = explanation.to_string();
                assert!(text.starts_with("The ") && text.ends_with('.'), "{text}");
            }
        }
    }
}
