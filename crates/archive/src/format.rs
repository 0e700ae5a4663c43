//! The bytes on disk: segment header, batch header, fields. All integers are big-endian.

use crc32c::{crc32c, crc32c_append};

/// The format version this crate writes and reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the segment header; the first batch starts here.
pub(crate) const SEGMENT_HEADER: u64 = 24;
/// Bytes of a batch header.
pub(crate) const BATCH_HEADER: usize = 40;
/// First bytes of a segment.
const SEGMENT_MAGIC: u32 = 0x6553_7367; // "eSsg"
/// First bytes of a batch.
pub(crate) const BATCH_MAGIC: [u8; 4] = *b"eSbt";

/// A body stays below this many bytes, unless one item alone is longer (256 KiB): what a reader has to hold at a time.
/// Archives of version 0.1 have bodies of up to 1 MiB; they are read as well.
pub const MAX_BATCH: usize = 256 << 10;
/// The longest item (64 MiB), item header included.
pub const MAX_ITEM: usize = 64 << 20;
/// The longest sticky key, source name or position (64 KiB).
pub const MAX_FIELD: usize = 64 << 10;
/// No body is longer than this: one longest item and its key.
const MAX_BODY: usize = MAX_ITEM + MAX_FIELD + 4;

/// Where in an event item the archival second goes: 4 bytes after the 8-byte item header and the first
/// 8 bytes (record type, record length) of the 16-byte record header.
pub const SECOND_AT: usize = 16;
/// The shortest event item: 8-byte item header and 16-byte record header.
pub const MIN_EVENT: usize = 24;
/// The shortest sticky item: 8-byte item header and 8-byte record header.
pub const MIN_STICKY: usize = 16;
/// Bytes of an item header: u32 4, u32 length of what follows.
pub(crate) const ITEM_HEADER: usize = 8;

/// Flag: the items are sticky.
pub(crate) const STICKY: u32 = 1;
/// Flag: a copy of sticky items or positions at the head of a segment.
pub(crate) const SNAPSHOT: u32 = 1 << 1;
/// Flag: the body is positions, not items.
pub(crate) const POSITIONS: u32 = 1 << 2;
/// Flag: the last batch of a commit.
pub(crate) const COMMIT: u32 = 1 << 3;
/// Flag: the first batch of a commit.
pub(crate) const FIRST: u32 = 1 << 4;
const KNOWN_FLAGS: u32 = STICKY | SNAPSHOT | POSITIONS | COMMIT | FIRST;

/// Where a batch lies. Its header checksum covers this, so bytes that merely look like a batch (an event that
/// carries a piece of an archive, a recycled disk block) are not taken for one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) netmap: u32,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

/// The 40 bytes before each body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct BatchHeader {
    /// Bytes of the body.
    pub(crate) body: u32,
    /// CRC-32C of the body.
    pub(crate) crc: u32,
    /// Archival second of the whole batch.
    pub(crate) second: u32,
    /// Items (or positions) in the body.
    pub(crate) items: u32,
    /// See the flag constants.
    pub(crate) flags: u32,
    /// Sequence number of the first event at or after this batch.
    pub(crate) sequence: u64,
    /// Bytes at the end of a sticky body that hold the keys.
    pub(crate) keys: u32,
}

impl BatchHeader {
    pub(crate) fn encode(&self, place: Place) -> [u8; BATCH_HEADER] {
        let mut out = [0; BATCH_HEADER];
        out[0..4].copy_from_slice(&BATCH_MAGIC);
        out[4..8].copy_from_slice(&self.body.to_be_bytes());
        out[8..12].copy_from_slice(&self.crc.to_be_bytes());
        out[12..16].copy_from_slice(&self.second.to_be_bytes());
        out[16..20].copy_from_slice(&self.items.to_be_bytes());
        out[20..24].copy_from_slice(&self.flags.to_be_bytes());
        out[24..32].copy_from_slice(&self.sequence.to_be_bytes());
        out[32..36].copy_from_slice(&self.keys.to_be_bytes());
        let crc = header_crc(&out, place);
        out[36..40].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// The header at the start of `bytes`, if there is a valid one for this place.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let bytes: &[u8; BATCH_HEADER] = bytes.first_chunk()?;
        if !bytes.starts_with(&BATCH_MAGIC) || u32_at(bytes, 36)? != header_crc(bytes, place) {
            return None;
        }
        let header = BatchHeader {
            body: u32_at(bytes, 4)?,
            crc: u32_at(bytes, 8)?,
            second: u32_at(bytes, 12)?,
            items: u32_at(bytes, 16)?,
            flags: u32_at(bytes, 20)?,
            sequence: u64_at(bytes, 24)?,
            keys: u32_at(bytes, 32)?,
        };
        let sane = header.flags & !KNOWN_FLAGS == 0
            && header.flags & (STICKY | POSITIONS) != (STICKY | POSITIONS)
            && header.body as usize <= MAX_BODY
            && header.keys <= header.body;
        sane.then_some(header)
    }

    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn is_events(&self) -> bool {
        !self.has(STICKY | POSITIONS)
    }

    /// Event items in this batch.
    pub(crate) fn events(&self) -> u64 {
        if self.is_events() { u64::from(self.items) } else { 0 }
    }

    /// Bytes of header and body.
    pub(crate) fn size(&self) -> u64 {
        BATCH_HEADER as u64 + u64::from(self.body)
    }

    /// Bytes of the body that are items, keys not counted.
    pub(crate) fn item_bytes(&self) -> usize {
        self.body.saturating_sub(self.keys) as usize
    }
}

fn header_crc(header: &[u8; BATCH_HEADER], place: Place) -> u32 {
    let mut bound = [0; 16];
    bound[0..4].copy_from_slice(&place.netmap.to_be_bytes());
    bound[4..8].copy_from_slice(&place.segment.to_be_bytes());
    bound[8..16].copy_from_slice(&place.offset.to_be_bytes());
    crc32c_append(crc32c(&bound), &header[..36])
}

/// The first 24 bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) netmap: u32,
    pub(crate) start: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER as usize] {
        let mut out = [0; SEGMENT_HEADER as usize];
        out[0..4].copy_from_slice(&SEGMENT_MAGIC.to_be_bytes());
        out[4..8].copy_from_slice(&self.version.to_be_bytes());
        out[8..12].copy_from_slice(&self.netmap.to_be_bytes());
        out[12..16].copy_from_slice(&self.start.to_be_bytes());
        let crc = crc32c(&out[..20]);
        out[20..24].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// The header, if the bytes are one (of any version) with a valid checksum.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SEGMENT_HEADER as usize] = bytes.first_chunk()?;
        let valid = u32_at(bytes, 0)? == SEGMENT_MAGIC && u32_at(bytes, 20)? == crc32c(&bytes[..20]);
        if !valid {
            return None;
        }
        Some(SegmentHeader { version: u32_at(bytes, 4)?, netmap: u32_at(bytes, 8)?, start: u32_at(bytes, 12)? })
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_be_bytes(*b))
}

/// Splits the first item (header included) off `bytes`.
pub(crate) fn split_item(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32_at(bytes, 4)? as usize;
    bytes.split_at_checked(ITEM_HEADER.checked_add(length)?)
}

/// Appends a length-prefixed field.
pub(crate) fn put_field(out: &mut Vec<u8>, field: &[u8]) {
    // Fields are at most MAX_FIELD long, checked when they are pushed.
    out.extend_from_slice(&(field.len() as u32).to_be_bytes());
    out.extend_from_slice(field);
}

/// Splits the first length-prefixed field off `bytes`.
pub(crate) fn split_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    bytes.get(4..)?.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { netmap: 1, segment: 1_700_000_000, offset: 24 };

    fn header() -> BatchHeader {
        BatchHeader { body: 3, crc: 0x0102_0304, second: 9, items: 1, flags: STICKY | FIRST, sequence: 77, keys: 2 }
    }

    #[test]
    fn batch_header_bytes_are_as_documented() {
        let bytes = header().encode(PLACE);
        assert_eq!(
            bytes[..36],
            [
                b'e', b'S', b'b', b't', 0, 0, 0, 3, 1, 2, 3, 4, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0x11, 0, 0, 0, 0, 0,
                0, 0, 77, 0, 0, 0, 2
            ]
        );
        let mut bound = vec![0, 0, 0, 1, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, 0, 0, 0, 0, 24];
        bound.extend_from_slice(&bytes[..36]);
        assert_eq!(bytes[36..], crc32c(&bound).to_be_bytes());
        assert_eq!(BatchHeader::decode(&bytes, PLACE), Some(header()));
    }

    #[test]
    fn batch_header_is_valid_at_its_own_place_only() {
        let bytes = header().encode(PLACE);
        for other in
            [Place { netmap: 2, ..PLACE }, Place { segment: 1_700_000_001, ..PLACE }, Place { offset: 25, ..PLACE }]
        {
            assert_eq!(BatchHeader::decode(&bytes, other), None);
        }
    }

    #[test]
    fn batch_header_with_any_bit_flipped_is_refused() {
        let bytes = header().encode(PLACE);
        for bit in 0..BATCH_HEADER * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::decode(&bad, PLACE), None, "bit {bit}");
        }
        assert_eq!(BatchHeader::decode(&bytes[..39], PLACE), None);
    }

    #[test]
    fn batch_header_with_impossible_values_is_refused_even_with_a_valid_checksum() {
        for bad in [
            BatchHeader { flags: 1 << 5, ..header() },
            BatchHeader { flags: STICKY | POSITIONS, ..header() },
            BatchHeader { body: u32::MAX, ..header() },
            BatchHeader { keys: 4, ..header() },
        ] {
            assert_eq!(BatchHeader::decode(&bad.encode(PLACE), PLACE), None, "{bad:?}");
        }
    }

    #[test]
    fn segment_header_bytes_are_as_documented() {
        let header = SegmentHeader { version: 1, netmap: 2, start: 0x0102_0304 };
        let bytes = header.encode();
        assert_eq!(bytes[..20], [b'e', b'S', b's', b'g', 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4, 0, 0, 0, 0]);
        assert_eq!(bytes[20..], crc32c(&bytes[..20]).to_be_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad), None, "bit {bit}");
        }
    }

    #[test]
    fn fields_round_trip_and_torn_ones_are_refused() {
        let mut out = Vec::new();
        put_field(&mut out, b"abc");
        put_field(&mut out, b"");
        assert_eq!(out, [0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0]);
        let (field, rest) = split_field(&out).unwrap();
        assert_eq!((field, rest), (&b"abc"[..], &[0, 0, 0, 0][..]));
        assert_eq!(split_field(rest), Some((&b""[..], &b""[..])));
        assert_eq!(split_field(&out[..6]), None);
        assert_eq!(split_field(b""), None);
    }
}
