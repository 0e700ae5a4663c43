//! Small values: texts that fit, octets from hexadecimal, identifiers that never change.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The most bytes kept of a text. Longer ones are cut: a record is not the place for a page.
const MAX_TEXT: usize = 4096;

/// As much of a text as is kept.
pub(super) fn clip(text: &str) -> &str {
    let fits = (0..=MAX_TEXT.min(text.len())).rev().find_map(|end| text.get(..end));
    fits.unwrap_or_default()
}

/// Octets written in hexadecimal with colons between them; 32 at most.
pub(super) fn colons(text: &str) -> Option<Vec<u8>> {
    let octets: Option<Vec<u8>> =
        text.split(':').take(33).map(|pair| if pair.len() == 2 { octet(pair) } else { None }).collect();
    octets.filter(|octets| octets.len() <= 32)
}

/// The 32 octets of a SHA-256 in hexadecimal.
pub(super) fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (at, octet) in octets.iter_mut().enumerate() {
        *octet = self::octet(text.get(2 * at..2 * at + 2)?)?;
    }
    Some(octets)
}

/// Two hexadecimal digits, and no sign.
fn octet(pair: &str) -> Option<u8> {
    let digits = pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u8::from_str_radix(pair, 16).ok() } else { None }
}

/// A UUID that follows from what it identifies (version 8 of RFC 9562): the same on every machine and for ever.
pub(super) fn uuid(kind: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut uuid = xxh3_128(&joined(kind, parts)).to_be_bytes();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut uuid;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    uuid
}

/// A number that follows from what it identifies, from `least` on.
pub(super) fn number(kind: &str, text: &str, least: u32) -> u32 {
    let hash = xxh3_64(&joined(kind, &[text.as_bytes()]));
    least + u32::try_from(hash % u64::from(u32::MAX / 2 - least)).unwrap_or(0)
}

fn joined(kind: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("suricata {kind}\0").into_bytes();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&format!("x{}", "é".repeat(MAX_TEXT))).len(), MAX_TEXT - 1);
    }

    #[test]
    fn hexadecimal_is_read_strictly() {
        assert_eq!(colons("3b:81:e6"), Some(vec![0x3b, 0x81, 0xe6]));
        for wrong in ["", "3b:8", "3b81", "3b:+1", "zz", "3b::81"] {
            assert_eq!(colons(wrong), None, "{wrong}");
        }
        assert_eq!(colons(&["00"; 33].join(":")), None);
        assert_eq!(sha256(&"0f".repeat(32)), Some([0x0f; 32]));
        assert_eq!(sha256(&"é".repeat(32)), None);
    }

    #[test]
    fn identifiers_never_change() {
        // These are in archives and in SIEMs. A change here makes other users and rules of them.
        assert_eq!(number("user", "alice@example.com", 1), number("user", "alice@example.com", 1));
        assert!(number("user", "a", 1000) >= 1000);
        assert_ne!(uuid("rule", &[b"ab", b"c"]), uuid("rule", &[b"a", b"bc"]));
    }
}
