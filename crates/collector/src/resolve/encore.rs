//! What eNcore makes of addresses, its defects included: parsers may depend on them.

use std::fmt::Write as _;

/// An address in eight groups of four digits, also an IPv4 one.
pub(super) fn eight_groups(octets: &[u8]) -> Option<String> {
    let octets = octets.first_chunk::<16>()?;
    let mut text = String::with_capacity(40);
    for pair in octets.as_chunks::<2>().0 {
        let colon = if text.is_empty() { "" } else { ":" };
        // Writing to a String does not fail.
        let _ = write!(text, "{colon}{:04x}", u16::from_be_bytes(*pair));
    }
    Some(text)
}

/// The address in extra data of type 2: IPv4 after ten octets of zero, else IPv6 if anything follows it.
pub(super) fn extra_data_address(kind: u64, octets: &[u8]) -> Option<String> {
    let address = octets.first_chunk::<16>().filter(|_| kind == 2)?;
    match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, _, _, a, b, c, d] => Some(format!("{a}.{b}.{c}.{d}")),
        _ if octets.len() > 16 => eight_groups(octets),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        assert_eq!(eight_groups(&mapped).unwrap(), "0000:0000:0000:0000:0000:ffff:0a00:0001");
        assert_eq!(extra_data_address(2, &mapped).unwrap(), "10.0.0.1");
        let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(extra_data_address(2, &six[..16]), None);
        assert_eq!(extra_data_address(2, &six).unwrap(), "2001:0db8:0000:0000:0000:0000:0000:0001");
        assert_eq!((extra_data_address(1, &mapped), extra_data_address(2, &six[..9])), (None, None));
    }
}
