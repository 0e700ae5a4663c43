//! What Python makes of values, for the dialects of eNcore, which is written in Python.

use crate::style::raw;
use crate::text::Line;
use std::fmt::Write as _;

/// Text as `repr` shows it.
pub(crate) fn repr(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ if printable(c) => out.push(c),
            // Writing to a String does not fail.
            _ => {
                let _ = match u32::from(c) {
                    n @ 0..=0xff => write!(out, "\\x{n:02x}"),
                    n @ 0x100..=0xffff => write!(out, "\\u{n:04x}"),
                    n => write!(out, "\\U{n:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// Whether Python shows a character as it is. Blanks other than the common one it does not.
fn printable(c: char) -> bool {
    // Rust escapes what is not printable, and marks that go onto the character before, which Python shows.
    let escaped = c.escape_debug().len() > 1;
    !c.is_whitespace() && (!escaped || matches!(c, '\u{300}'..='\u{36f}'))
}

/// A String or BLOB block as a dictionary. What is not UTF-8 is a literal of its hex digits.
pub(crate) fn block(block_type: u32, octets: &[u8]) -> String {
    let length = octets.len() + 8;
    let mut out = format!("{{'blockType': {block_type}, 'blockLength': {length}, 'data': ");
    match std::str::from_utf8(octets) {
        Ok(text) => repr(&text.replace('\0', ""), &mut out),
        Err(_) => out.push_str(&hex_literal(octets)),
    }
    out.push('}');
    out
}

/// `b'...'` of the hex digits.
pub(crate) fn hex_literal(octets: &[u8]) -> String {
    let mut out = String::with_capacity(2 * octets.len() + 3);
    out.push_str("b'");
    for octet in octets {
        let _ = write!(out, "{octet:02x}");
    }
    out.push('\'');
    out
}

/// An address as the C library writes it, without the text `::ffff:`.
#[inline]
pub(crate) fn ipv6<'o>(address: &[u8; 16], out: Line<'o>) -> Line<'o> {
    match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1] => out.ipv6(address),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..] => out.ipv6(address),
        // IPv4-compatible, unless the first half of what would be the IPv4 address is 0.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] if (*a, *b) != (0, 0) => {
            out.bytes(b"::").ipv4([*a, *b, *c, *d])
        }
        [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, rest @ ..] if rest.first_chunk() != Some(&[0, 0, 0, 0]) => {
            let groups = rest.as_chunks::<2>().0.iter().map(|pair| format!("{:x}", u16::from_be_bytes(*pair)));
            raw(out, groups.collect::<Vec<_>>().join(":").as_bytes())
        }
        _ => out.ipv6(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_python_shows_it() {
        let shown = |text: &str| {
            let mut out = String::new();
            repr(text, &mut out);
            out
        };
        assert_eq!(shown("a b"), "'a b'");
        assert_eq!(shown("it's"), "\"it's\"");
        assert_eq!(shown("it's \"x\""), "'it\\'s \"x\"'");
        assert_eq!(shown("a\\b\n\u{1}\u{7f}"), "'a\\\\b\\n\\x01\\x7f'");
        assert_eq!(shown("Zürich 本社 \u{1d11e}\u{a0}\u{2028}"), "'Zürich 本社 \u{1d11e}\\xa0\\u2028'");
        assert_eq!(block(0, b"alice"), "{'blockType': 0, 'blockLength': 13, 'data': 'alice'}");
        assert_eq!(block(0, b"a\xff"), "{'blockType': 0, 'blockLength': 10, 'data': b'61ff'}");
    }
}
