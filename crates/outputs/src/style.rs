//! What formats of keys and values have in common: copying plain text fast, and names of keys.

use crate::mapping::item::Item;
use crate::mapping::plan::Shown;
use crate::text::Line;

/// In a table of classes: the octet must not stand as it is.
pub(crate) const ODD: u8 = 1;
/// In a table of classes: text with this octet wants quotes.
pub(crate) const QUOTE: u8 = 2;

/// How a format writes values.
pub(crate) trait Style {
    /// [`ODD`] and [`QUOTE`] for each octet.
    const CLASS: [u8; 256];

    /// How keys are made.
    fn shown(&self) -> &Shown;

    /// Text without an [`ODD`] octet. `quote`: there is a [`QUOTE`] one.
    fn plain<'o>(&self, octets: &[u8], _quote: bool, out: Line<'o>) -> Line<'o> {
        raw(out, octets)
    }

    /// Any other text.
    fn odd<'o>(&self, text: &str, out: Line<'o>) -> Line<'o>;

    /// Octets that should be text and are no UTF-8.
    fn garbled<'o>(&self, octets: &[u8], out: Line<'o>) -> Line<'o> {
        out.bytes(b"0x").hex(octets)
    }

    /// Where something was looked for and not found.
    fn null<'o>(&self, out: Line<'o>) -> Line<'o> {
        out
    }

    /// An IPv6 address.
    fn ipv6<'o>(&self, address: &[u8; 16], out: Line<'o>) -> Line<'o> {
        out.ipv6(address)
    }

    /// A String or BLOB block of which not only the text is meant.
    fn block<'o>(&self, block_type: u32, octets: &[u8], out: Line<'o>) -> Line<'o> {
        let _ = block_type;
        text(self, octets, true, out)
    }

    /// What a packet carries.
    fn payload<'o>(&self, payload: &Item<'_>, out: Line<'o>) -> Line<'o>;

    /// A whole packet.
    fn packet<'o>(&self, octets: &[u8], out: Line<'o>) -> Line<'o> {
        out.hex(octets)
    }

    /// Values that are left out with their key.
    fn omits(&self, item: &Item<'_>) -> bool;

    /// A value in a header before the keys.
    fn header<'o>(&self, item: &Item<'_>, out: Line<'o>) -> Line<'o>
    where
        Self: Sized,
    {
        write(self, item, out)
    }

    /// What follows each value.
    fn after<'o>(&self, out: Line<'o>) -> Line<'o> {
        out.bytes(b" ")
    }

    /// How long that is.
    fn after_length(&self) -> usize {
        1
    }
}

/// How a key is made of the names of nested fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// `user_login_email`
    Snake,
    /// `userLoginEmail`
    Camel,
    /// `userLogin.email`
    Dotted,
}

/// The classes of octets: control characters, everything beyond ASCII, and `odd`; and those of `quote`.
pub(crate) const fn classes(odd: &[u8], quote: &[u8]) -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        if i < 0x20 || i >= 0x7f {
            table[i] = ODD;
        }
        i += 1;
    }
    let mut i = 0;
    while i < odd.len() {
        table[odd[i] as usize] |= ODD;
        i += 1;
    }
    let mut i = 0;
    while i < quote.len() {
        table[quote[i] as usize] |= QUOTE;
        i += 1;
    }
    table
}

/// Copies octets.
#[inline]
pub(crate) fn raw<'o>(mut out: Line<'o>, octets: &[u8]) -> Line<'o> {
    const BLOCK: usize = 16;
    let (blocks, rest) = octets.as_chunks::<BLOCK>();
    for block in blocks {
        out = out.put(block, BLOCK);
    }
    let mut last = [0; BLOCK];
    last.iter_mut().zip(rest).for_each(|(place, octet)| *place = *octet);
    out.put(&last, rest.len())
}

/// A character of text.
pub(crate) fn character(out: Line<'_>, c: char) -> Line<'_> {
    raw(out, c.encode_utf8(&mut [0; 4]).as_bytes())
}

/// Text; from the wire NULs are dropped and it may be no UTF-8.
#[inline]
pub(crate) fn text<'o, S: Style + ?Sized>(style: &S, octets: &[u8], wire: bool, out: Line<'o>) -> Line<'o> {
    let class = octets.iter().fold(0, |class, octet| class | S::CLASS[usize::from(*octet)]);
    if class & ODD == 0 { style.plain(octets, class & QUOTE != 0, out) } else { odd(style, octets, wire, out) }
}

#[cold]
fn odd<'o, S: Style + ?Sized>(style: &S, octets: &[u8], wire: bool, out: Line<'o>) -> Line<'o> {
    match std::str::from_utf8(octets) {
        Ok(text) if wire && text.contains('\0') => style.odd(&text.replace('\0', ""), out),
        Ok(text) => style.odd(text, out),
        Err(_) => style.garbled(octets, out),
    }
}

/// A value.
#[inline]
pub(crate) fn write<'o, S: Style>(style: &S, item: &Item<'_>, out: Line<'o>) -> Line<'o> {
    match item {
        Item::Uint(n) => out.uint(*n),
        Item::Text(value) => text(style, value.as_bytes(), false, out),
        Item::Octets(octets) => text(style, octets, true, out),
        Item::Ipv6(octets) => style.ipv6(octets, out),
        Item::Uuid(octets) => out.uuid(octets),
        Item::Hex(octets) => out.hex(octets),
        Item::Mac(octets) => out.mac(octets),
        Item::Ipv4(octets) => match octets.first_chunk() {
            Some(octets) => out.ipv4(*octets),
            None => out.hex(octets),
        },
        Item::Tenths(n) => out.uint(n / 10).bytes(b".").uint(n % 10),
        Item::Block { block_type, octets } => style.block(*block_type, octets, out),
        Item::Payload(_) | Item::HexPayload(_) => style.payload(item, out),
        Item::Packet(octets) => style.packet(octets, out),
        Item::Null => style.null(out),
        Item::Lower(value) => text(style, value.to_ascii_lowercase().as_bytes(), false, out),
        Item::Digits(n) => out.uint(*n),
        Item::Upper(octets) => upper(octets, out),
        Item::Dashed(octets) => dashed(octets, out),
        Item::Iso(second) => iso(*second, out),
        Item::Community(flow) => raw(out, crate::community::id(flow).as_bytes()),
        Item::Nested(_) => out,
    }
}

/// Octets in upper-case hex.
pub(crate) fn upper<'o>(octets: &[u8], out: Line<'o>) -> Line<'o> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |n: u8| DIGITS[usize::from(n & 15)];
    octets.iter().fold(out, |out, octet| out.bytes(&[digit(octet >> 4), digit(*octet)]))
}

/// A MAC address with dashes.
pub(crate) fn dashed<'o>(octets: &[u8; 6], out: Line<'o>) -> Line<'o> {
    octets.iter().fold(out, |out, octet| upper(&[*octet], out).bytes(b"-")).back(1)
}

/// A second as date and time in UTC.
pub(crate) fn iso(second: u64, out: Line<'_>) -> Line<'_> {
    let (year, month, day) = crate::clock::date(i64::try_from(second / 86_400).unwrap_or(0));
    let two = |n: i64| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    let of_day = i64::try_from(second % 86_400).unwrap_or(0);
    let out = out.bytes(&two(year / 100)).bytes(&two(year % 100)).bytes(b"-").bytes(&two(month)).bytes(b"-");
    let out = out.bytes(&two(day)).bytes(b"T").bytes(&two(of_day / 3600)).bytes(b":").bytes(&two(of_day / 60 % 60));
    out.bytes(b":").bytes(&two(of_day % 60)).bytes(b"Z")
}

/// The name of a field as a key.
pub(crate) fn cased(case: Case, name: &str) -> String {
    if case != Case::Snake {
        return name.to_owned();
    }
    let mut key = String::new();
    let mut previous = '_';
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let next_lower = chars.peek().is_some_and(|n| n.is_ascii_lowercase());
        let begins = c.is_ascii_uppercase() && (!previous.is_ascii_uppercase() || next_lower);
        if begins && previous != '_' {
            key.push('_');
        }
        key.push(c.to_ascii_lowercase());
        previous = c;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_keys() {
        let snake = |name| cased(Case::Snake, name);
        assert_eq!(snake("deviceId"), "device_id");
        assert_eq!(snake("ingressVRFName"), "ingress_vrf_name");
        assert_eq!(snake("originalSrcIP"), "original_src_ip");
        assert_eq!(snake("httpURI"), "http_uri");
        assert_eq!(snake("sha256"), "sha256");
        assert_eq!(snake("netbios"), "netbios");
        assert_eq!(cased(Case::Camel, "deviceId"), "deviceId");
    }
}
