//! Records as they came: base64 lines, and the messages themselves.

use crate::resolved::{Format, Resolved};
use wire::message::MessageType;

/// One line a record: base64 (RFC 4648, padded) of its bytes, record header included.
#[derive(Debug)]
pub(crate) struct Base64 {
    /// The whole message, as [`Raw`] writes it.
    pub(crate) messages: bool,
}

/// The messages of a stream back to back, each with its header (version 1, type 4, length). There are no line ends: such
/// a file is a capture and can be decoded and replayed.
#[derive(Debug)]
pub(crate) struct Raw;

impl Format for Base64 {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        if self.messages {
            let mut message = Vec::with_capacity(8 + event.record.bytes().len());
            if !Raw.format(event, &mut message) {
                return false;
            }
            base64(&message, out);
        } else {
            base64(event.record.bytes(), out);
        }
        out.push(b'\n');
        true
    }
}

impl Format for Raw {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let bytes = event.record.bytes();
        let Ok(length) = u32::try_from(bytes.len()) else { return false };
        out.extend_from_slice(&1u16.to_be_bytes());
        out.extend_from_slice(&MessageType::EVENT_DATA.0.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(bytes);
        true
    }
}

fn base64(octets: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in octets.chunks(3) {
        let mut three = [0; 3];
        three.iter_mut().zip(group).for_each(|(place, octet)| *place = *octet);
        let [a, b, c] = three.map(u32::from);
        let bits = a << 16 | b << 8 | c;
        let digit = |shift: u32| DIGITS[(bits >> shift & 63) as usize];
        let digits = [digit(18), digit(12), digit(6), digit(0)];
        out.extend_from_slice(digits.get(..group.len() + 1).unwrap_or_default());
        out.extend_from_slice(b"==".get(group.len() - 1..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_vectors_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            base64(plain.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), coded);
        }
        let mut out = Vec::new();
        base64(&[0xfb, 0xff, 0xfe], &mut out);
        assert_eq!(out, b"+//+");
    }
}
