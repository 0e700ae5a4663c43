//! A line of JSON being written: numbers, octets, addresses and text, appended to a buffer.
//!
//! Most pieces are a few bytes long, and a call of `memcpy` for each would cost more than the copying. So the buffer is
//! made longer ahead of the text, pieces are copied in blocks of a fixed size, of which only a part may count, and the
//! end of the buffer is cut off when the line is done.

/// Each octet in decimal with a dot behind it, and how many digits it has.
const DECIMAL: [([u8; 4], u8); 256] = {
    let mut table = [([b'.'; 4], 0); 256];
    let mut i = 0;
    while i < 256 {
        let (hundreds, tens, ones) = ((i / 100) as u8 + b'0', (i / 10 % 10) as u8 + b'0', (i % 10) as u8 + b'0');
        table[i] = match i {
            0..10 => ([ones, b'.', b'.', b'.'], 1),
            10..100 => ([tens, ones, b'.', b'.'], 2),
            _ => ([hundreds, tens, ones, b'.'], 3),
        };
        i += 1;
    }
    table
};

/// A line that is being appended to a buffer. [`Line::finish`] ends it; without that the buffer has a tail of rubbish.
///
/// It is passed along by value, so that the position stays in a register from piece to piece.
#[derive(Debug)]
#[must_use]
pub(crate) struct Line<'a> {
    /// Longer than what is written so far.
    buffer: &'a mut Vec<u8>,
    pub(crate) at: usize,
}

impl<'a> Line<'a> {
    /// Begins at the end of `buffer`, with room for `expected` bytes.
    pub(crate) fn new(buffer: &'a mut Vec<u8>, expected: usize) -> Self {
        let at = buffer.len();
        buffer.resize(at + expected, 0);
        Line { buffer, at }
    }

    /// Appends the line feed and gives the buffer back its right length.
    pub(crate) fn finish(self) {
        let line = self.bytes(b"\n");
        line.buffer.truncate(line.at);
    }

    /// Copies all of `block`, of which the first `used` bytes count.
    #[inline]
    pub(crate) fn put<const N: usize>(mut self, block: &[u8; N], used: usize) -> Self {
        if self.buffer.len() - self.at < N {
            grow(self.buffer, N);
        }
        if let Some(place) = self.buffer.get_mut(self.at..).and_then(|tail| tail.first_chunk_mut()) {
            *place = *block;
            self.at += used;
        }
        self
    }

    /// Takes back the last bytes.
    #[inline]
    pub(crate) fn back(mut self, count: usize) -> Self {
        self.at -= count;
        self
    }

    /// A few bytes known at compile time.
    #[inline]
    pub(crate) fn bytes<const N: usize>(self, bytes: &[u8; N]) -> Self {
        self.put(bytes, N)
    }

    #[inline]
    pub(crate) fn piece(mut self, piece: &Piece) -> Self {
        for block in &piece.blocks {
            self = self.put(block, BLOCK);
        }
        self.back(piece.unused)
    }

    #[inline]
    pub(crate) fn uint(self, number: u64) -> Self {
        match number {
            0..10 => self.bytes(&[b'0' + number as u8]),
            10..LIMIT => {
                let digits = eight_digits(number);
                let leading = (digits.trailing_zeros() / 8).min(7);
                let text = (digits | 0x3030_3030_3030_3030) >> (8 * leading);
                self.put(&text.to_le_bytes(), 8 - leading as usize)
            }
            _ => self.large(number),
        }
    }

    fn large(self, number: u64) -> Self {
        let digits = eight_digits(number % LIMIT) | 0x3030_3030_3030_3030;
        self.uint(number / LIMIT).put(&digits.to_le_bytes(), 8)
    }

    /// Lower-case hex.
    #[inline]
    pub(crate) fn hex(mut self, octets: &[u8]) -> Self {
        let (words, rest) = octets.as_chunks();
        for word in words {
            self = self.put(&hex(*word), 8);
        }
        let mut last = [0; 4];
        for (place, octet) in last.iter_mut().zip(rest) {
            *place = *octet;
        }
        self.put(&hex(last), 2 * rest.len())
    }

    /// 8-4-4-4-12.
    #[inline]
    pub(crate) fn uuid(self, uuid: &[u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *uuid;
        let halves = |octets| {
            let [a, b, c, d, e, f, g, h] = hex(octets);
            [b'-', a, b, c, d, b'-', e, f, g, h]
        };
        self.bytes(&hex([a, b, c, d]))
            .bytes(&halves([e, f, g, h]))
            .bytes(&halves([i, j, k, l]))
            .bytes(&hex([m, n, o, p]))
    }

    #[inline]
    pub(crate) fn mac(mut self, mac: &[u8; 6]) -> Self {
        for octet in mac {
            let [.., high, low] = hex([0, 0, 0, *octet]);
            self = self.bytes(&[high, low, b':']);
        }
        self.back(1)
    }

    #[inline]
    pub(crate) fn ipv4(mut self, address: [u8; 4]) -> Self {
        for octet in address {
            let (digits, count) = &DECIMAL[usize::from(octet)];
            self = self.put(digits, usize::from(*count) + 1);
        }
        self.back(1)
    }

    /// RFC 5952, IPv4-mapped addresses dotted and without prefix.
    #[inline]
    pub(crate) fn ipv6(self, address: &[u8; 16]) -> Self {
        match *address {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => self.ipv4([a, b, c, d]),
            _ => self.real_ipv6(address),
        }
    }

    fn real_ipv6(mut self, address: &[u8; 16]) -> Self {
        let mut groups = [0u16; 8];
        for (group, pair) in groups.iter_mut().zip(address.as_chunks().0) {
            *group = u16::from_be_bytes(*pair);
        }
        let (gap, length) = longest_zero_run(&groups);
        for (i, group) in groups.iter().enumerate() {
            if length > 1 && (gap..gap + length).contains(&i) {
                if i == gap {
                    self = self.bytes(b"::");
                }
                continue;
            }
            if i > 0 && !(length > 1 && i == gap + length) {
                self = self.bytes(b":");
            }
            let leading = (group.leading_zeros() / 4).min(3) as u16;
            let [high, low] = (group << (4 * leading)).to_be_bytes();
            self = self.put(&hex([high, low, 0, 0]), 4 - usize::from(leading));
        }
        self
    }

    /// Text from the wire, to stand between quotes: valid UTF-8 without its NULs, anything else as hex.
    #[inline]
    pub(crate) fn octets(self, octets: &[u8]) -> Self {
        match self.plain(octets) {
            (line, true) => line,
            (line, false) => line.odd_octets(octets),
        }
    }

    /// Text, to stand between quotes.
    #[inline]
    pub(crate) fn text(self, text: &str) -> Self {
        match self.plain(text.as_bytes()) {
            (line, true) => line,
            (line, false) => line.escaped(text, |_| true),
        }
    }

    #[cold]
    fn odd_octets(self, octets: &[u8]) -> Self {
        match std::str::from_utf8(octets) {
            Ok(text) => self.escaped(text, |c| c != '\0'),
            Err(_) => self.hex(octets),
        }
    }

    #[cold]
    fn escaped(mut self, text: &str, keep: impl Fn(char) -> bool) -> Self {
        for c in text.chars().filter(|c| keep(*c)) {
            self = match c {
                '"' => self.bytes(b"\\\""),
                '\\' => self.bytes(b"\\\\"),
                '\n' => self.bytes(b"\\n"),
                '\r' => self.bytes(b"\\r"),
                '\t' => self.bytes(b"\\t"),
                '\u{8}' => self.bytes(b"\\b"),
                '\u{c}' => self.bytes(b"\\f"),
                ' '..='~' => self.bytes(&[c as u8]),
                _ => c.encode_utf16(&mut [0; 2]).iter().fold(self, |line, unit| {
                    let [high, low] = unit.to_be_bytes();
                    line.bytes(b"\\u").put(&hex([high, low, 0, 0]), 4)
                }),
            };
        }
        self
    }

    /// Copies octets that stand for themselves in a JSON string: printable ASCII but `"` and `\`. Copies nothing and
    /// gives `false` when there are others.
    #[inline]
    fn plain(mut self, octets: &[u8]) -> (Self, bool) {
        let length = octets.len();
        let mut odd = 0;
        if let Some(last) = octets.last_chunk::<8>() {
            let words = octets.as_chunks().0;
            for word in words {
                odd |= odd_bits(*word);
                self = self.put(word, 8);
            }
            // The last eight once more rather than the rest one by one.
            odd |= odd_bits(*last);
            self = self.back(8 - length % 8).put(last, 8);
        } else {
            let mut all = [b' '; 8];
            for (place, octet) in all.iter_mut().zip(octets) {
                *place = *octet;
            }
            odd = odd_bits(all);
            self = self.put(&all, length);
        }
        match odd {
            0 => (self, true),
            _ => (self.back(length), false),
        }
    }
}

#[cold]
fn grow(buffer: &mut Vec<u8>, needed: usize) {
    let length = buffer.len();
    buffer.resize(length + needed.max(4096), 0);
}

/// What [`Line::uint`] does in one go is below this.
const LIMIT: u64 = 100_000_000;

const BLOCK: usize = 32;

/// A fixed text, cut into blocks ahead of time.
#[derive(Debug)]
pub(crate) struct Piece {
    blocks: Box<[[u8; BLOCK]]>,
    /// Bytes of the last block that do not count.
    unused: usize,
}

impl Piece {
    pub(crate) fn new(text: &str) -> Self {
        let blocks: Box<[_]> = text.as_bytes().chunks(BLOCK).map(block).collect();
        Piece { unused: blocks.len() * BLOCK - text.len(), blocks }
    }
}

fn block(bytes: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    block
}

/// The decimal digits (0 to 9, not yet text) of a number below 10^8, the highest in the lowest byte.
#[inline]
fn eight_digits(number: u64) -> u64 {
    // Halves of four digits, then quarters of two, then single digits: the same divisions in all lanes of a word.
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let quarters = hundreds | ((halves - 100 * hundreds) << 16);
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((quarters - 10 * tens) << 8)
}

/// Eight lower-case hex digits.
#[inline]
fn hex(octets: [u8; 4]) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from(u32::from_be_bytes(octets));
    let word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    let word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (word | word << 4) & (0x0f * ONES);
    // 39 more for a to f.
    let letters = (digits + 6 * ONES) >> 4 & ONES;
    (digits + u64::from(b'0') * ONES + letters * 39).to_be_bytes()
}

/// Where the first of the longest runs of zero groups begins, and how long it is.
fn longest_zero_run(groups: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut start) = ((0, 0), 0);
    for (i, group) in groups.iter().enumerate() {
        if *group != 0 {
            start = i + 1;
        } else if i + 1 - start > best.1 {
            best = (start, i + 1 - start);
        }
    }
    best
}

/// 0 when all eight octets stand for themselves. (A borrow or carry can mark an octet that is plain, but only next to
/// one that is not.)
#[inline]
fn odd_bits(octets: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    let word = u64::from_le_bytes(octets);
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equal = |octet: u8| below(word ^ (ONES * u64::from(octet)), 1);
    // 0x7f plus 1 carries into the top bit; larger octets have it already.
    (below(word, 0x20) | equal(b'"') | equal(b'\\') | word.wrapping_add(ONES) | word) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn written(write: impl FnOnce(Line<'_>) -> Line<'_>) -> String {
        let mut out = b">".to_vec();
        write(Line::new(&mut out, 3)).finish();
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix('>').and_then(|t| t.strip_suffix('\n')).unwrap().to_owned()
    }

    #[test]
    fn identifiers() {
        let uuid = std::array::from_fn(|i| i as u8 * 17);
        assert_eq!(written(|o| o.uuid(&uuid)), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(written(|o| o.mac(&[0, 0x1a, 0x2b, 3, 4, 0xff])), "00:1a:2b:03:04:ff");
        assert_eq!(written(|o| o.hex(&[0, 0xab, 0x10])), "00ab10");
        assert_eq!(written(|o| o.uint(u64::MAX)), "18446744073709551615");
    }

    #[test]
    fn text_is_escaped_and_what_is_no_text_is_hex() {
        let text = "a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{7f}\u{fc}\u{20ac}\u{1f600} long enough for words";
        let expected = r#"a\"b\\c\n\r\t\b\f\u0001\u007f\u00fc\u20ac\ud83d\ude00 long enough for words"#;
        assert_eq!(written(|o| o.octets(text.as_bytes())), expected);
        assert_eq!(written(|o| o.text(text)), expected);
        assert_eq!(written(|o| o.octets(b"\0a\0b\0")), "ab");
        assert_eq!(written(|o| o.text("\0a")), r"\u0000a");
        assert_eq!(written(|o| o.octets(b"abc\xff\0")), "616263ff00");
    }

    #[test]
    fn every_octet_is_plain_or_not_wherever_it_stands() {
        for octet in 0..=u8::MAX {
            let plain = matches!(octet, b' '..=b'~') && octet != b'"' && octet != b'\\';
            for place in 0..19 {
                for length in place + 1..20 {
                    let mut text = vec![b'~'; length];
                    text[place] = octet;
                    let mut out = Vec::new();
                    let (line, answer) = Line::new(&mut out, 0).plain(&text);
                    assert_eq!(answer, plain, "{octet:#x} at {place} of {length}");
                    line.finish();
                    text.push(b'\n');
                    assert_eq!(out, if plain { text.as_slice() } else { b"\n" });
                }
            }
        }
    }

    #[test]
    fn pieces_of_any_length() {
        for length in 0..100 {
            let text = "abcdefghij".repeat(10).split_off(100 - length);
            assert_eq!(written(|o| o.piece(&Piece::new(&text))), text);
        }
    }

    proptest! {
        #[test]
        fn numbers(number: u64, shift in 0..64) {
            for number in [number >> shift, 10u64.pow(shift as u32 % 20), 10u64.pow(shift as u32 % 20) - 1] {
                prop_assert_eq!(written(|o| o.uint(number)), number.to_string());
            }
        }

        #[test]
        fn octets_as_hex(octets: Vec<u8>) {
            let expected: String = octets.iter().map(|o| format!("{o:02x}")).collect();
            prop_assert_eq!(written(|o| o.hex(&octets)), expected);
        }

        #[test]
        fn addresses_are_canonical(mut groups: [u16; 8], zeros: u8, small: u8) {
            for (i, group) in groups.iter_mut().enumerate() {
                if zeros >> i & 1 == 1 { *group = 0 } else if small >> i & 1 == 1 { *group &= 0xff }
            }
            let address = Ipv6Addr::from(groups);
            prop_assert_eq!(written(|o| o.ipv6(&address.octets())), address.to_canonical().to_string());
        }

        #[test]
        fn ipv4_is_dotted(octets: [u8; 4]) {
            prop_assert_eq!(written(|o| o.ipv4(octets)), Ipv4Addr::from(octets).to_string());
            let mapped = Ipv4Addr::from(octets).to_ipv6_mapped();
            prop_assert_eq!(written(|o| o.ipv6(&mapped.octets())), Ipv4Addr::from(octets).to_string());
        }

        #[test]
        fn text_reads_back(text: String) {
            let json = format!("\"{}\"", written(|o| o.text(&text)));
            prop_assert!(json.is_ascii());
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
