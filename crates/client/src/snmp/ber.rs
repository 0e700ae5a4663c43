//! The little of BER that an SNMP trap needs: definite lengths, tags of one octet.

/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub(super) const OCTETS: u8 = 0x04;
/// OBJECT IDENTIFIER.
const OID: u8 = 0x06;
/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// Unsigned32 and Gauge32 (RFC 2578 section 7.1.11).
pub(super) const UNSIGNED: u8 = 0x42;
/// TimeTicks.
pub(super) const TIME_TICKS: u8 = 0x43;
/// SNMPv2-Trap-PDU (RFC 3416 section 3).
pub(super) const TRAP: u8 = 0xa7;

/// Tag, length and content.
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let octets = length.to_be_bytes();
        let significant =
            octets.iter().position(|o| *o != 0).map_or(&[][..], |first| octets.get(first..).unwrap_or(&[]));
        out.push(0x80 | significant.len() as u8);
        out.extend_from_slice(significant);
    }
    out.extend_from_slice(content);
    out
}

/// A constructed value.
pub(super) fn of(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, &parts.concat())
}

/// A number, in as few octets as it can be.
pub(super) fn number(tag: u8, number: i64) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let sign = if number < 0 { 0xff } else { 0 };
    // Leading octets that only repeat the sign of the next one are left out.
    let spare =
        octets.windows(2).take_while(|pair| matches!(pair, [a, b] if *a == sign && (b ^ sign) & 0x80 == 0)).count();
    tlv(tag, octets.get(spare..).unwrap_or_default())
}

/// An object identifier; the first two numbers share an octet.
pub(super) fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut content = Vec::new();
    let first = match arcs {
        [a, b, ..] => a.saturating_mul(40).saturating_add(*b),
        _ => 0,
    };
    for arc in std::iter::once(first).chain(arcs.iter().skip(2).copied()) {
        let groups = (1..5u32).rev().filter(|group| arc >> (7 * group) != 0);
        content.extend(groups.map(|group| 0x80 | (arc >> (7 * group) & 0x7f) as u8));
        content.push((arc & 0x7f) as u8);
    }
    tlv(OID, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_signed() {
        for (value, content) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0, 0x80]),
            (256, &[1, 0]),
            (-1, &[0xff]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
            (0xffff_ffff, &[0, 0xff, 0xff, 0xff, 0xff]),
            (i64::MIN, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(number(INTEGER, value), [&[2, content.len() as u8], content].concat(), "{value}");
        }
    }

    #[test]
    fn lengths_and_identifiers() {
        assert_eq!(tlv(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[7; 65536])[..5], [4, 0x83, 1, 0, 0]);
        assert_eq!(oid(&[1, 3, 6, 1, 3, 8302]), [6, 6, 0x2b, 6, 1, 3, 0xc0, 0x6e]);
        assert_eq!(oid(&[1, 3, u32::MAX]), [6, 6, 0x2b, 0x8f, 0xff, 0xff, 0xff, 0x7f]);
    }
}
