//! PKCS#12 files made with no password at all (not even an empty one): their old-style encrypted
//! parts are decrypted here, and the file is put together again in the clear for the decoder.

use zeroize::Zeroizing;

use crate::der::{self, Element, Reader};
use crate::obsolete;
use crate::survey::{
    DATA, ENCRYPTED_DATA, PKCS12_PBE, PKCS12_PBE_3DES, PKCS12_PBE_RC2_40, SHROUDED_KEY_BAG, Survey, content_of,
};

/// A key bag that is not encrypted.
const KEY_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1, 1];

/// The file without its MAC and with every part that PKCS#12's own ciphers encrypt in the clear;
/// other parts stay as they are. `None` if a part does not decrypt with an absent password.
///
/// The survey has bounded the work.
pub(crate) fn in_the_clear(survey: &Survey<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let mut safes = Reader::new(survey.safe).enter(der::SEQUENCE)?;
    let mut clear = Zeroizing::new(Vec::new());
    while !safes.is_empty() {
        let element = safes.element()?;
        let content = match content_of(element, DATA) {
            Some(bags) => data(&clear_bags(bags)?),
            None => match decrypt_content(element)? {
                Some(bags) => data(&bags),
                None => Zeroizing::new(element.whole.to_vec()),
            },
        };
        clear.extend_from_slice(&content);
    }
    let content = data(&der::encode(der::SEQUENCE, &[&clear]));
    Some(der::encode(der::SEQUENCE, &[survey.version, &content]).into())
}

/// A ContentInfo of type data.
fn data(content: &[u8]) -> Zeroizing<Vec<u8>> {
    let octets = Zeroizing::new(der::encode(der::OCTET_STRING, &[content]));
    let value = Zeroizing::new(der::encode(der::CONTEXT_0, &[&octets]));
    der::encode(der::SEQUENCE, &[&der::encode(der::OID, &[DATA]), &value]).into()
}

/// The list of bags with its encrypted keys in the clear.
fn clear_bags(bags: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bags = Reader::new(bags).enter(der::SEQUENCE)?;
    let mut clear = Zeroizing::new(Vec::new());
    while !bags.is_empty() {
        let bag = bags.element()?;
        let mut fields = Reader::new(bag.content);
        if fields.content(der::OID)? != SHROUDED_KEY_BAG {
            clear.extend_from_slice(bag.whole);
            continue;
        }
        let mut key = fields.enter(der::CONTEXT_0)?.enter(der::SEQUENCE)?;
        let algorithm = key.content(der::SEQUENCE)?;
        match decrypt(algorithm, key.content(der::OCTET_STRING)?)? {
            None => clear.extend_from_slice(bag.whole),
            Some(key) => {
                let kind = der::encode(der::OID, &[KEY_BAG]);
                let value = Zeroizing::new(der::encode(der::CONTEXT_0, &[&key]));
                let attributes = fields.element().map_or(&[][..], |element| element.whole);
                let bag = der::encode(der::SEQUENCE, &[&kind, &value, attributes]);
                clear.extend_from_slice(&Zeroizing::new(bag));
            }
        }
    }
    Some(der::encode(der::SEQUENCE, &[&clear]).into())
}

/// The content of an EncryptedData; `Some(None)` if it is not encrypted the old way.
fn decrypt_content(element: Element<'_>) -> Option<Option<Zeroizing<Vec<u8>>>> {
    let mut info = Reader::new(element.content);
    if info.content(der::OID)? != ENCRYPTED_DATA {
        return Some(None);
    }
    let mut encrypted = info.enter(der::CONTEXT_0)?.enter(der::SEQUENCE)?;
    encrypted.number()?;
    let mut content = encrypted.enter(der::SEQUENCE)?;
    content.content(der::OID)?;
    let algorithm = content.content(der::SEQUENCE)?;
    decrypt(algorithm, content.element()?.content)
}

/// `Some(None)` if the algorithm is none of PKCS#12's own, `None` if it does not decrypt.
fn decrypt(algorithm: &[u8], cipher: &[u8]) -> Option<Option<Zeroizing<Vec<u8>>>> {
    let mut fields = Reader::new(algorithm);
    let oid = fields.content(der::OID)?;
    let mut parameters = fields.enter(der::SEQUENCE)?;
    let Some(&[which]) = oid.strip_prefix(PKCS12_PBE) else {
        return Some(None);
    };
    let salt = parameters.content(der::OCTET_STRING)?;
    let rounds = parameters.number()?;
    let iv = obsolete::derive(2, salt, rounds, 8);
    let clear = match which {
        PKCS12_PBE_3DES => obsolete::decrypt_3des(&obsolete::derive(1, salt, rounds, 24), &iv, cipher),
        PKCS12_PBE_RC2_40 => obsolete::decrypt_rc2_40(&obsolete::derive(1, salt, rounds, 5), &iv, cipher),
        _ => None,
    };
    clear.map(|clear| Some(Zeroizing::new(clear)))
}
