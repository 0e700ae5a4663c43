//! The user-based security model of SNMPv3 (RFC 3414), for the side that sends traps and so is the authoritative engine.
//!
//! Authentication: HMAC-SHA-96 (RFC 3414) and the HMAC-SHA-2 protocols (RFC 7860). Privacy: AES-128 in CFB mode
//! (RFC 3826). MD5 and DES, long broken, are left out.
//!
//! A receiver takes a message only if the time of the sender's engine has not gone back. Boots and time are therefore the
//! day and the second of the day of the system's clock (UTC): they rise across restarts without a file.

use super::ber::{INTEGER, OCTETS, SEQUENCE, number, of, tlv};
use crate::output::OutputError;
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac, rand};
use std::time::{SystemTime, UNIX_EPOCH};

/// The shortest password (RFC 3414 section 11.2).
pub const SHORTEST_PASSWORD: usize = 8;

/// The longest message, in octets: what fits into a UDP datagram.
const LARGEST: i64 = 65_507;

/// Bytes of the repeated password that make a key (RFC 3414 appendix A.2).
const KEY_OCTETS: usize = 1 << 20;

/// An authentication protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// HMAC-SHA-96.
    Sha1,
    /// HMAC-128-SHA-224.
    Sha224,
    /// HMAC-192-SHA-256.
    Sha256,
    /// HMAC-256-SHA-384.
    Sha384,
    /// HMAC-384-SHA-512.
    Sha512,
}

impl Authentication {
    /// By the name net-snmp has for it: `SHA`, `SHA-224`, `SHA-256`, `SHA-384`, `SHA-512`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "SHA" | "SHA1" | "SHA-1" => Authentication::Sha1,
            "SHA-224" | "SHA224" => Authentication::Sha224,
            "SHA-256" | "SHA256" => Authentication::Sha256,
            "SHA-384" | "SHA384" => Authentication::Sha384,
            "SHA-512" | "SHA512" => Authentication::Sha512,
            _ => return None,
        })
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Authentication::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Authentication::Sha224 => &digest::SHA224,
            Authentication::Sha256 => &digest::SHA256,
            Authentication::Sha384 => &digest::SHA384,
            Authentication::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Authentication::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Authentication::Sha224 => hmac::HMAC_SHA224,
            Authentication::Sha256 => hmac::HMAC_SHA256,
            Authentication::Sha384 => hmac::HMAC_SHA384,
            Authentication::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// Octets of the code in a message.
    fn length(self) -> usize {
        match self {
            Authentication::Sha1 => 12,
            Authentication::Sha224 => 16,
            Authentication::Sha256 => 24,
            Authentication::Sha384 => 32,
            Authentication::Sha512 => 48,
        }
    }

    /// The key of a password for an engine (RFC 3414 section 2.6, appendix A.2).
    fn key(self, password: &str, engine: &[u8]) -> Vec<u8> {
        let mut context = digest::Context::new(self.digest());
        let mut left = KEY_OCTETS;
        while left > 0 && !password.is_empty() {
            let piece = password.as_bytes().get(..password.len().min(left)).unwrap_or_default();
            context.update(piece);
            left -= piece.len();
        }
        let general = context.finish();
        let localized = [general.as_ref(), engine, general.as_ref()].concat();
        digest::digest(self.digest(), &localized).as_ref().to_vec()
    }
}

/// A user, and how its messages are protected.
pub(super) struct User {
    engine: Vec<u8>,
    name: String,
    authentication: Option<(Authentication, hmac::Key)>,
    privacy: Option<EncryptingKey>,
    salt: u64,
}

impl User {
    /// `authentication` is protocol and password; `privacy` the password of AES, which needs authentication.
    pub(super) fn new(
        engine: &[u8],
        name: &str,
        authentication: Option<(Authentication, &str)>,
        privacy: Option<&str>,
    ) -> Result<Self, OutputError> {
        let failed = |_| OutputError::Protection("this system gives no random numbers or no AES");
        let short = |password: &str| password.len() < SHORTEST_PASSWORD;
        if authentication.is_some_and(|(_, password)| short(password)) || privacy.is_some_and(short) {
            return Err(OutputError::Protection("a password of an SNMPv3 user must have at least 8 characters"));
        }
        let encrypting = match (privacy, authentication) {
            (None, _) => None,
            (Some(_), None) => {
                return Err(OutputError::Protection(
                    "privacy of an SNMPv3 user needs authentication: give --auth-password, too",
                ));
            }
            (Some(password), Some((protocol, _))) => {
                let key = protocol.key(password, engine);
                let key = UnboundCipherKey::new(&AES_128, key.get(..16).unwrap_or_default()).map_err(failed)?;
                Some(EncryptingKey::cfb128(key).map_err(failed)?)
            }
        };
        let mut salt = [0; 8];
        rand::fill(&mut salt).map_err(failed)?;
        Ok(User {
            engine: engine.to_owned(),
            name: name.to_owned(),
            authentication: authentication.map(|(protocol, password)| {
                (protocol, hmac::Key::new(protocol.hmac(), &protocol.key(password, engine)))
            }),
            privacy: encrypting,
            salt: u64::from_be_bytes(salt),
        })
    }

    /// A message with this PDU.
    pub(super) fn message(&mut self, id: i32, pdu: Vec<u8>) -> Result<Vec<u8>, OutputError> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.message_at(id, pdu, (seconds / 86_400) as u32, (seconds % 86_400) as u32)
    }

    fn message_at(&mut self, id: i32, pdu: Vec<u8>, boots: u32, time: u32) -> Result<Vec<u8>, OutputError> {
        let scoped = of(SEQUENCE, &[tlv(OCTETS, &self.engine), tlv(OCTETS, b""), pdu]);
        let (data, salt) = self.encrypt(scoped, boots, time)?;
        // Reportable is not set: nobody answers a trap.
        let flags = u8::from(self.authentication.is_some()) | u8::from(self.privacy.is_some()) << 1;
        let global = of(
            SEQUENCE,
            &[number(INTEGER, id.into()), number(INTEGER, LARGEST), tlv(OCTETS, &[flags]), number(INTEGER, 3)],
        );
        let length = self.authentication.as_ref().map_or(0, |(protocol, _)| protocol.length());
        let salt = tlv(OCTETS, &salt);
        let security = of(
            SEQUENCE,
            &[
                tlv(OCTETS, &self.engine),
                number(INTEGER, boots.into()),
                number(INTEGER, time.into()),
                tlv(OCTETS, self.name.as_bytes()),
                tlv(OCTETS, &vec![0; length]),
                salt.clone(),
            ],
        );
        let behind = salt.len() + data.len();
        let mut message = of(SEQUENCE, &[number(INTEGER, 3), global, tlv(OCTETS, &security), data]);
        if let Some((_, key)) = &self.authentication {
            // The code is made over the message with zeros in its place.
            let code = hmac::sign(key, &message);
            let end = message.len() - behind;
            let place = message.get_mut(end - length..end).unwrap_or_default();
            place.iter_mut().zip(code.as_ref()).for_each(|(place, octet)| *place = *octet);
        }
        Ok(message)
    }

    /// The scoped PDU as it is sent, and the salt. The initialization vector is boots, time and salt (RFC 3826
    /// section 3.1.2.1); the salt rises from a random start, so that none comes twice.
    fn encrypt(&mut self, mut scoped: Vec<u8>, boots: u32, time: u32) -> Result<(Vec<u8>, Vec<u8>), OutputError> {
        let Some(key) = &self.privacy else { return Ok((scoped, Vec::new())) };
        self.salt = self.salt.wrapping_add(1);
        let salt = self.salt.to_be_bytes();
        let mut vector = [0; 16];
        let octets = boots.to_be_bytes().into_iter().chain(time.to_be_bytes()).chain(salt);
        vector.iter_mut().zip(octets).for_each(|(place, octet)| *place = octet);
        key.less_safe_encrypt(&mut scoped, EncryptionContext::Iv128(FixedLength::from(vector)))
            .map_err(|_| OutputError::Protection("a trap could not be encrypted"))?;
        Ok((tlv(OCTETS, &scoped), salt.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|o| format!("{o:02x}")).collect()
    }

    #[test]
    fn the_keys_of_the_rfc() {
        // RFC 3414 appendix A.3.2.
        let engine = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        assert_eq!(hex(&Authentication::Sha1.key("maplesyrup", &engine)), "6695febc9288e36282235fc7151f128497b38f3f");
    }

    #[test]
    fn messages_of_each_level() {
        let message = |authentication, privacy| {
            let mut user = User::new(&[0x80, 0, 0, 0, 4, b'e'], "u", authentication, privacy).unwrap();
            user.salt = 6;
            user.message_at(1, vec![0xa7, 0], 20_000, 3).unwrap()
        };
        let plain = message(None, None);
        assert_eq!(
            hex(&plain),
            "303b020103300e0201010203 00ffe3040100020103 0418 3016 0406800000000465 02024e20 020103 040175 0400 0400 300c 0406800000000465 0400 a700"
                .replace(' ', "")
        );
        let signed = message(Some((Authentication::Sha256, "password1")), None);
        // Before the salt and the scoped PDU, which are the same.
        let at = plain.len() - 16;
        assert_eq!(signed[at - 2..at], [4, 24]);
        let mut zeroed = signed.clone();
        zeroed[at..at + 24].fill(0);
        let key = Authentication::Sha256.key("password1", &[0x80, 0, 0, 0, 4, b'e']);
        let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &zeroed);
        assert_eq!(signed[at..at + 24], code.as_ref()[..24]);
        let private = message(Some((Authentication::Sha1, "password1")), Some("password2"));
        assert!(private.windows(10).any(|w| w == [4, 8, 0, 0, 0, 0, 0, 0, 0, 7]));
        assert!(!private.windows(2).any(|w| w == [0xa7, 0]), "{}", hex(&private));
    }

    #[test]
    fn what_cannot_be_protected() {
        let user = |authentication, privacy| User::new(&[0x80], "u", authentication, privacy).map(|_| ());
        assert!(user(Some((Authentication::Sha1, "short")), None).unwrap_err().to_string().contains("8 characters"));
        assert!(user(None, Some("password2")).unwrap_err().to_string().contains("--auth-password"));
    }
}
