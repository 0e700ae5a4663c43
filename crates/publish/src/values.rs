//! Values of fields: numbers and their names, addresses, identifiers, texts.

use crate::error::{Flaw, LineError};
use crate::nearest::nearest;
use crate::tree::Tree;
use std::net::IpAddr;
use wire::layout::{Field, Kind};
use wire::names::Enumeration;

type Parsed<T> = Result<T, LineError>;

/// The largest number of a field of so many bytes.
pub(crate) fn most(bytes: u8) -> u64 {
    match bytes {
        0..8 => (1 << (8 * bytes)) - 1,
        _ => u64::MAX,
    }
}

/// A number, or a name of `names`.
pub(crate) fn uint(field: &Field, names: Option<&'static Enumeration>, tree: &Tree) -> Parsed<u64> {
    let most = most(field.fixed);
    let number = match tree {
        Tree::Uint(number) => Ok(*number),
        Tree::Bool(value) => Ok(u64::from(*value)),
        Tree::Text(text) => named(names, text, most),
        _ => Err(Flaw::NotNumber { most, named: names.is_some() }),
    };
    let number = number.map_err(|flaw| LineError::new(flaw).of(tree.excerpt()))?;
    if number > most {
        return Err(LineError::new(Flaw::Range { bytes: field.fixed, most }).of(tree.excerpt()));
    }
    Ok(number)
}

/// A number as digits, in hex behind `0x`.
pub(crate) fn digits(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok().filter(|_| !text.starts_with('+')),
    }
}

fn named(names: Option<&'static Enumeration>, text: &str, most: u64) -> Result<u64, Flaw> {
    if let Some(number) = digits(text) {
        return Ok(number);
    }
    let names = names.ok_or(Flaw::NotNumber { most, named: false })?;
    if let Some(number) = one(names, text)? {
        return Ok(number);
    }
    let set = if names.bits { bits(names, text) } else { None };
    let known = names.names.iter().map(|(_, name)| *name);
    set.ok_or_else(|| Flaw::UnknownName { enumeration: names.name, nearest: nearest(text, known) })
}

/// The number of a name, letters large or small.
fn one(names: &Enumeration, text: &str) -> Result<Option<u64>, Flaw> {
    let matching = |equal: fn(&str, &str) -> bool| -> Vec<u64> {
        names.names.iter().filter(|(_, name)| equal(name, text)).map(|(number, _)| *number).collect()
    };
    let mut found = matching(|name, text| name == text);
    if found.is_empty() {
        found = matching(|name, text| name.eq_ignore_ascii_case(text));
    }
    match found.as_slice() {
        [] => Ok(None),
        [number] => Ok(Some(*number)),
        several => {
            let numbers = several.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            Err(Flaw::Ambiguous { enumeration: names.name, numbers })
        }
    }
}

/// Names of bits with commas between, as they are printed; what has no name is in hex. Names may hold commas.
fn bits(names: &Enumeration, text: &str) -> Option<u64> {
    let mut rest = text;
    let mut number = 0;
    while !rest.is_empty() {
        let known = names.names.iter().filter(|(_, name)| {
            let head = rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
            let tail = rest.get(name.len()..).is_some_and(|tail| tail.is_empty() || tail.starts_with(','));
            head && tail
        });
        let (bit, length) = match known.max_by_key(|(_, name)| name.len()) {
            Some((bit, name)) => (*bit, name.len()),
            None => {
                let word = rest.split(',').next().unwrap_or(rest);
                (digits(word.trim())?, word.len())
            }
        };
        number |= bit;
        rest = rest.get(length..)?.trim_start_matches(',').trim_start();
    }
    Some(number)
}

/// Octets of an address or identifier, in the order in which they are read.
pub(crate) fn octets(field: &Field, tree: &Tree) -> Parsed<Vec<u8>> {
    let text = match tree {
        Tree::Text(text) => Some(text.as_str()),
        Tree::Object(entries) => match entries.as_slice() {
            [(key, Tree::Text(hex))] if key == "hex" => return exact(field, hex, tree),
            _ => None,
        },
        _ => None,
    };
    let found = text.and_then(|text| match field.kind {
        Kind::Ipv4 => match text.parse().ok()? {
            IpAddr::V4(address) => Some(address.octets().to_vec()),
            IpAddr::V6(address) => Some(address.to_ipv4_mapped()?.octets().to_vec()),
        },
        Kind::Ipv6 => Some(wire::event::sixteen(text.parse().ok()?).to_vec()),
        Kind::Uuid => hex(&text.replace('-', "")),
        Kind::Mac => hex(&text.replace([':', '-'], "")),
        _ => hex(text),
    });
    let right = found.filter(|octets| field.fixed == 0 || octets.len() == usize::from(field.fixed));
    right.ok_or_else(|| LineError::new(Flaw::Form { what: form(field) }).of(tree.excerpt()))
}

fn exact(field: &Field, text: &str, tree: &Tree) -> Parsed<Vec<u8>> {
    let right = hex(text).filter(|octets| field.fixed == 0 || octets.len() == usize::from(field.fixed));
    right.ok_or_else(|| LineError::new(Flaw::Form { what: form(field) }).of(tree.excerpt()))
}

fn form(field: &Field) -> String {
    match field.kind {
        Kind::Ipv4 => "an IPv4 address, such as \"192.0.2.7\"".to_owned(),
        Kind::Ipv6 => "an IP address, such as \"192.0.2.7\" or \"2001:db8::7\"".to_owned(),
        Kind::Uuid => "a UUID, such as \"01234567-89ab-cdef-0123-456789abcdef\"".to_owned(),
        Kind::Mac => "a MAC address, such as \"00:00:5e:00:53:07\"".to_owned(),
        _ if field.fixed != 0 => format!("{} octets in hex, {} digits", field.fixed, 2 * u16::from(field.fixed)),
        _ => "octets in hex".to_owned(),
    }
}

/// The octets of hex digits.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    // Two digits are one octet.
    pairs.iter().map(|[high, low]| Some((digit(high)? * 16 + digit(low)?) as u8)).collect()
}

/// The octets of a text, and the block type when the text is a block that says its own. `length` is how many octets
/// there are, where a line says so.
pub(crate) fn text(tree: &Tree, length: Option<u64>) -> Parsed<(Vec<u8>, Option<u32>)> {
    let wrong = || LineError::new(Flaw::NotText).of(tree.excerpt());
    match tree {
        Tree::Text(text) => Ok((restored(text, length), None)),
        Tree::Object(entries) => {
            let (mut data, mut octets, mut length, mut kind) = (None, None, None, None);
            for (key, value) in entries {
                match (key.as_str(), value) {
                    ("data", Tree::Text(text)) => data = Some(text),
                    ("hex", Tree::Text(text)) => octets = Some(hex(text).ok_or_else(wrong)?),
                    ("blockLength", Tree::Uint(number)) => length = number.checked_sub(8),
                    ("blockType", Tree::Uint(number)) => kind = Some(u32::try_from(*number).map_err(|_| wrong())?),
                    _ => return Err(wrong().within(key)),
                }
            }
            match (data, octets) {
                (Some(text), None) => Ok((restored(text, length), kind)),
                (None, Some(octets)) => Ok((octets, kind)),
                _ => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

/// The octets that a text was printed of. Printing drops NULs, and prints what is no UTF-8 as hex: the length tells.
pub(crate) fn restored(text: &str, length: Option<u64>) -> Vec<u8> {
    let mut octets = text.as_bytes().to_vec();
    // What was printed in hex was twice as short; what was printed without its NULs cannot be far longer.
    let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else { return octets };
    if length * 2 == octets.len()
        && let Some(raw) = hex(text)
        && std::str::from_utf8(&raw).is_err()
    {
        return raw;
    }
    if length > octets.len() && length <= octets.len() + MOST_NULS {
        octets.resize(length, 0);
    }
    octets
}

/// No more NULs than this are put back.
const MOST_NULS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use wire::layout;
    use wire::names::ImpactFlags;
    use wire::names::OpenNumber;

    fn field(record: u16, name: &str) -> &'static Field {
        let layout = layout::record(record).unwrap().main_layout();
        &layout.fields[layout.position(name).unwrap()]
    }

    #[test]
    fn numbers_by_digits_by_name_and_by_names_of_bits() {
        let impact = field(400, "impactFlags");
        let names = Some(ImpactFlags::NAMES);
        let read = |text: &str| uint(impact, names, &Tree::Text(text.into()));
        for number in [0u64, 1, 3, 0x81, 0xff] {
            let shown = ImpactFlags::NAMES.show(number).to_string();
            assert_eq!(read(&shown), Ok(number), "{shown}");
        }
        assert_eq!((read("7"), read("0x1f")), (Ok(7), Ok(31)));
        let error = read("In netwrk map").unwrap_err().to_string();
        assert_eq!(error, "\"In netwrk map\" is neither a number nor a name of ImpactFlags; is In network map meant?");
        let large = uint(field(400, "sourcePortOrIcmpType"), None, &Tree::Uint(70_000)).unwrap_err();
        assert_eq!(large.to_string(), "70000 is too large for 2 bytes: 0 to 65535 is allowed");
    }

    #[test]
    fn lengths_bring_back_what_printing_lost() {
        assert_eq!(restored("abc", Some(5)), b"abc\0\0");
        assert_eq!(restored("c3ff", Some(2)), [0xc3, 0xff]);
        assert_eq!(restored("6162", Some(2)), b"6162", "two letters would have been printed as letters");
        assert_eq!(restored("abc", None), b"abc");
    }
}
