//! What a packet carries, as eNcore finds it and shows it.

/// How the payload of a packet is shown (eNcore's `packetEncoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PacketEncoding {
    /// Hex digits.
    #[default]
    Hex,
    /// ASCII; other octets are left out.
    Ascii,
    /// UTF-8; what is not valid is left out.
    Utf8,
}

/// eNcore takes 14 octets for the Ethernet header and what follows for IPv4; it cuts both off, and in version 3 the header
/// of TCP or UDP as well.
pub fn encore_payload(packet: &[u8], transport: bool) -> &[u8] {
    let ip = packet.get(14..).unwrap_or_default();
    let header = ip.first().map_or(0, |first| usize::from(first & 15) * 4);
    let payload = ip.get(header..).unwrap_or_default();
    let skip = match ip.get(9).filter(|_| transport) {
        Some(6) => payload.get(12).map_or(0, |offset| usize::from(offset >> 4) * 4),
        Some(17) => 8,
        _ => 0,
    };
    payload.get(skip..).unwrap_or_default()
}

/// The characters of a payload, in an encoding of characters.
pub(crate) fn characters(octets: &[u8], encoding: PacketEncoding) -> String {
    match encoding {
        PacketEncoding::Hex => octets.iter().map(|o| format!("{o:02x}")).collect(),
        PacketEncoding::Ascii => octets.iter().filter(|o| o.is_ascii()).map(|o| char::from(*o)).collect(),
        PacketEncoding::Utf8 => octets.utf8_chunks().map(|chunk| chunk.valid()).collect(),
    }
}

/// The octets of hex digits; what is no pair of digits ends them.
pub(crate) fn from_hex(digits: &str) -> Vec<u8> {
    let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits.as_bytes().as_chunks::<2>().0.iter().map_while(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads() {
        let frame = [&[0; 14][..], &[0x45, 0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0], &[1; 8], b"UDPUDPUDabc"].concat();
        assert_eq!(encore_payload(&frame, false), b"UDPUDPUDabc");
        assert_eq!(encore_payload(&frame, true), b"abc");
        for cut in 0..frame.len() {
            encore_payload(&frame[..cut], true);
        }
        assert_eq!(characters(b"a\xff\xc3\xbcb\0", PacketEncoding::Ascii), "ab\0");
        assert_eq!(characters(b"a\xff\xc3\xbcb\0", PacketEncoding::Utf8), "aüb\0");
        assert_eq!(from_hex("00ff4x"), [0, 0xff]);
    }
}
