//! Text of the wire, made fit for a terminal or a line.

use std::fmt::Write;
use std::net::IpAddr;
use wire::decode::Value;
use wire::event::address;

/// Appends text of the wire. NULs at its end are no part of it, control characters are escaped so that they can neither
/// break a line nor command a terminal, and what is not UTF-8 is hex.
pub(crate) fn push_text(octets: &[u8], out: &mut String) {
    let end = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    let octets = octets.get(..end).unwrap_or_default();
    let Ok(text) = std::str::from_utf8(octets) else { return push_hex(octets, out) };
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || bidirectional(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
}

/// The characters that make a terminal show text in another order than it has.
fn bidirectional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends lower-case hex.
pub(crate) fn push_hex(octets: &[u8], out: &mut String) {
    for octet in octets {
        let _ = write!(out, "{octet:02x}");
    }
}

/// Text of the wire as one line of at most `limit` bytes: control characters are blanks.
pub(crate) fn line(octets: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(octets.get(..octets.len().min(2 * limit)).unwrap_or_default());
    let mut line: String = text.trim_end_matches('\0').chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&mut line, limit);
    line
}

/// Cuts a text to at most `limit` bytes, between two characters.
pub(crate) fn cut(text: &mut String, limit: usize) {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// The address in a field of 4 or 16 octets.
pub(crate) fn ip(value: Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Ipv4(octets) => Some(IpAddr::from(*octets)),
        Value::Ipv6(octets) => Some(address(octets)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(octets: &[u8]) -> String {
        let mut out = String::new();
        push_text(octets, &mut out);
        out
    }

    #[test]
    fn text_commands_no_terminal() {
        assert_eq!(shown(b"plain\0\0"), "plain");
        assert_eq!(shown("caf\u{e9} \u{1b}[2J\n\\ \u{202e}".as_bytes()), "caf\u{e9} \\u{1b}[2J\\n\\\\ \\u{202e}");
        assert_eq!(shown(b"\xff\x01"), "ff01");
        assert_eq!(line("a\nb\u{1b}c\u{e9}\0".as_bytes(), 6), "a b c");
    }
}
