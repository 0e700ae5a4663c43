//! Just enough DER to look into PKCS#12 files and certificates before a full decoder runs.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// One element: its tag, its content and the whole encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// Reads elements one after the other; any malformed one ends the reading with `None`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element. Only single-byte tags and definite lengths are known.
    pub(crate) fn element(&mut self) -> Option<Element<'a>> {
        let (&tag, after_tag) = self.rest.split_first()?;
        let (&first, mut body) = after_tag.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, after) = body.split_at_checked(count)?;
            body = after;
            bytes.iter().fold(0usize, |value, &byte| value << 8 | usize::from(byte))
        };
        let (content, after) = body.split_at_checked(length)?;
        let whole = self.rest.get(..self.rest.len() - after.len())?;
        self.rest = after;
        Some(Element { tag, content, whole })
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|element| element.tag == tag).map(|element| element.content)
    }

    /// A reader over the content of the next element, which must have this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.content(tag).map(Reader::new)
    }

    /// The next element as a non-negative number; a larger one than `u64` holds is `u64::MAX`.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let bytes = self.content(INTEGER)?;
        if bytes.first()? & 0x80 != 0 {
            return None;
        }
        if bytes.len() > 8 {
            return Some(u64::MAX);
        }
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }
}

/// Encodes an element whose content is the parts one after the other.
pub(crate) fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 10);
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|&&byte| byte == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend(bytes.iter().skip(skip));
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_and_reading_agree_at_every_length_form() {
        for length in [0usize, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![0x5a; length];
            let bytes = encode(OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&bytes);
            let element = reader.element().unwrap();
            assert_eq!(element.tag, OCTET_STRING);
            assert_eq!(element.content, content);
            assert_eq!(element.whole, bytes);
            assert!(reader.is_empty());
            assert!(Reader::new(&bytes[..bytes.len() - 1]).element().is_none());
        }
        assert_eq!(encode(SEQUENCE, &[&[1; 200]])[..3], [0x30, 0x81, 200]);
    }

    #[test]
    fn hostile_lengths_are_refused() {
        for bytes in [
            &[0x30, 0x80, 0, 0][..],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0],
            &[0x3f, 0x01, 0x00],
            &[0x30],
            &[],
        ] {
            assert!(Reader::new(bytes).element().is_none(), "{bytes:02x?}");
        }
    }

    #[test]
    fn numbers_saturate_and_are_never_negative() {
        assert_eq!(Reader::new(&[2, 2, 8, 0]).number(), Some(2048));
        assert_eq!(Reader::new(&[2, 1, 0x80]).number(), None);
        assert_eq!(Reader::new(&[2, 0]).number(), None);
        assert_eq!(Reader::new(&[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]).number(), Some(u64::MAX));
    }
}
