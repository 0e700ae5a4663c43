//! A look at the outside of a PKCS#12 file (RFC 7292) before it is opened: is it one, what would
//! opening it cost, does it use what the decoder knows.

use crate::der::{self, Element, Reader};
use crate::error::{Error, Result};

/// Most key derivation rounds one password-protected part may ask for.
pub(crate) const MAX_ROUNDS: u64 = 1_000_000;
/// Most key derivation rounds all parts together may ask for.
const MAX_TOTAL_ROUNDS: u64 = 5_000_000;
/// Most bytes inside encrypted parts. What they hold, more encrypted parts perhaps, is not seen
/// from outside, so this bounds the work that can hide there. Real files stay below 20,000.
const MAX_ENCRYPTED: usize = 128 << 10;

// Object identifiers, as content bytes.
pub(crate) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
pub(crate) const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 6];
pub(crate) const SHROUDED_KEY_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1, 2];
pub(crate) const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1];
pub(crate) const PKCS12_PBE_3DES: u8 = 3;
pub(crate) const PKCS12_PBE_RC2_40: u8 = 6;
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
const PBMAC1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 14];

/// What the outside of a PKCS#12 file shows.
#[derive(Debug)]
pub(crate) struct Survey<'a> {
    /// The file without anything after its end.
    pub(crate) pfx: &'a [u8],
    /// Whether a MAC protects the content.
    pub(crate) has_mac: bool,
    /// Whether there is an encrypted part.
    pub(crate) encrypted: bool,
    /// The encoded version number.
    pub(crate) version: &'a [u8],
    /// The AuthenticatedSafe: the encoded list of contents.
    pub(crate) safe: &'a [u8],
}

impl<'a> Survey<'a> {
    /// # Errors
    /// [`Error::NotPkcs12`], [`Error::Pkcs12Damaged`], [`Error::Pkcs12Unsupported`],
    /// [`Error::Pkcs12TooCostly`].
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self> {
        let not = |detail| Error::NotPkcs12 { detail };
        match bytes {
            [] => return Err(not("it is empty")),
            [0x30, 0x80, ..] => return Err(unsupported("BER encoding of indefinite length")),
            [0xfe, 0xed, 0xfe, 0xed, ..] => return Err(not("it is a Java key store in JKS form")),
            _ if bytes.trim_ascii_start().starts_with(b"-----BEGIN") => {
                return Err(not("it is a PEM text"));
            }
            [0x30, ..] => {}
            _ => return Err(not("it does not begin as one")),
        }
        let Some(outer) = Reader::new(bytes).element() else {
            return Err(not("its length says that its end is missing"));
        };
        let mut fields = Reader::new(outer.content);
        let (Some(version), Some(content)) = (fields.element(), fields.element()) else {
            return Err(not("its fields are others"));
        };
        let safe = content_of(content, DATA)
            .filter(|_| version.tag == der::INTEGER)
            .ok_or_else(|| not("its fields are others"))?;
        let mut survey = Self { pfx: outer.whole, has_mac: false, encrypted: false, version: version.whole, safe };
        let mut costs = Costs::default();
        if !fields.is_empty() {
            survey.has_mac = true;
            costs.mac(&mut fields)?;
        }
        costs.safes(safe)?;
        survey.encrypted = costs.parts > 0;
        if costs.rounds > MAX_TOTAL_ROUNDS {
            return Err(Error::Pkcs12TooCostly { iterations: costs.rounds, limit: MAX_TOTAL_ROUNDS });
        }
        Ok(survey)
    }
}

/// What the parts seen so far ask for.
#[derive(Debug, Default)]
struct Costs {
    rounds: u64,
    parts: usize,
    encrypted: usize,
}

impl Costs {
    /// MacData: DigestInfo, salt, rounds (1 if absent).
    fn mac(&mut self, fields: &mut Reader<'_>) -> Result<()> {
        let mut mac = fields.enter(der::SEQUENCE).ok_or_else(damaged)?;
        let mut digest = mac.enter(der::SEQUENCE).ok_or_else(damaged)?;
        let algorithm =
            digest.enter(der::SEQUENCE).and_then(|mut algorithm| algorithm.content(der::OID)).ok_or_else(damaged)?;
        if algorithm == PBMAC1 {
            return Err(unsupported("the MAC algorithm PBMAC1"));
        }
        mac.content(der::OCTET_STRING).ok_or_else(damaged)?;
        let rounds = if mac.is_empty() { 1 } else { mac.number().ok_or_else(damaged)? };
        self.add(rounds)
    }

    /// AuthenticatedSafe: a list of plain or encrypted contents.
    fn safes(&mut self, safe: &[u8]) -> Result<()> {
        let mut safes = Reader::new(safe).enter(der::SEQUENCE).ok_or_else(damaged)?;
        while !safes.is_empty() {
            let element = safes.element().ok_or_else(damaged)?;
            if let Some(bags) = content_of(element, DATA) {
                self.bags(bags)?;
            } else {
                self.encrypted_data(element)
                    .ok_or_else(|| unsupported("a content that is neither plain nor password-encrypted"))??;
            }
        }
        Ok(())
    }

    /// A plain list of bags, of which those with an encrypted key cost something.
    fn bags(&mut self, bags: &[u8]) -> Result<()> {
        let mut bags = Reader::new(bags).enter(der::SEQUENCE).ok_or_else(damaged)?;
        while !bags.is_empty() {
            let mut bag = bags.enter(der::SEQUENCE).ok_or_else(damaged)?;
            if bag.content(der::OID).ok_or_else(damaged)? != SHROUDED_KEY_BAG {
                continue;
            }
            let mut key =
                bag.enter(der::CONTEXT_0).and_then(|mut value| value.enter(der::SEQUENCE)).ok_or_else(damaged)?;
            let algorithm = key.content(der::SEQUENCE).ok_or_else(damaged)?;
            let length = key.content(der::OCTET_STRING).ok_or_else(damaged)?.len();
            self.encryption(algorithm, length)?;
        }
        Ok(())
    }

    /// ContentInfo of an EncryptedData; `None` if it is something else.
    fn encrypted_data(&mut self, element: Element<'_>) -> Option<Result<()>> {
        let mut info = Reader::new(element.content);
        if info.content(der::OID)? != ENCRYPTED_DATA {
            return None;
        }
        let mut data = info.enter(der::CONTEXT_0)?.enter(der::SEQUENCE)?;
        data.number()?;
        let mut content = data.enter(der::SEQUENCE)?;
        content.content(der::OID)?;
        let algorithm = content.content(der::SEQUENCE)?;
        let length = content.element().map_or(0, |cipher| cipher.content.len());
        Some(self.encryption(algorithm, length))
    }

    /// An encryption algorithm with its parameters, and the length of what it encrypts.
    fn encryption(&mut self, algorithm: &[u8], length: usize) -> Result<()> {
        self.parts += 1;
        self.encrypted = self.encrypted.saturating_add(length);
        if self.encrypted > MAX_ENCRYPTED {
            return Err(Error::TooLarge { limit: MAX_ENCRYPTED as u64 });
        }
        let mut fields = Reader::new(algorithm);
        let oid = fields.content(der::OID).ok_or_else(damaged)?;
        let mut parameters = fields.enter(der::SEQUENCE).ok_or_else(damaged)?;
        if oid == PBES2 {
            let mut derivation = parameters.enter(der::SEQUENCE).ok_or_else(damaged)?;
            if derivation.content(der::OID).ok_or_else(damaged)? != PBKDF2 {
                return Err(unsupported("a key derivation other than PBKDF2"));
            }
            parameters = derivation.enter(der::SEQUENCE).ok_or_else(damaged)?;
        } else {
            match oid.strip_prefix(PKCS12_PBE) {
                Some([PKCS12_PBE_3DES | PKCS12_PBE_RC2_40]) => {}
                Some([1 | 2]) => return Err(unsupported("RC4 encryption")),
                Some([4]) => return Err(unsupported("two-key triple DES encryption")),
                Some([5]) => return Err(unsupported("RC2 encryption of 128 bits")),
                _ => return Err(unsupported("an unknown encryption")),
            }
        }
        parameters.content(der::OCTET_STRING).ok_or_else(damaged)?;
        let rounds = parameters.number().ok_or_else(damaged)?;
        self.add(rounds)
    }

    fn add(&mut self, rounds: u64) -> Result<()> {
        if rounds > MAX_ROUNDS {
            return Err(Error::Pkcs12TooCostly { iterations: rounds, limit: MAX_ROUNDS });
        }
        self.rounds = self.rounds.saturating_add(rounds);
        Ok(())
    }
}

/// The octets of a ContentInfo of type data.
pub(crate) fn content_of<'a>(element: Element<'a>, oid: &[u8]) -> Option<&'a [u8]> {
    if element.tag != der::SEQUENCE {
        return None;
    }
    let mut info = Reader::new(element.content);
    if info.content(der::OID)? != oid {
        return None;
    }
    info.enter(der::CONTEXT_0)?.content(der::OCTET_STRING)
}

fn damaged() -> Error {
    Error::Pkcs12Damaged { detail: "its structure is broken".into() }
}

fn unsupported(what: &str) -> Error {
    Error::Pkcs12Unsupported { what: what.into() }
}
