//! The record header of event data.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | u32 | record type; from 6.0 the upper half holds the netmap id, the top bit may mark the long form |
//! | 4 | u32 | record length: bytes after the record header |
//! | 8 | u32 | archival timestamp (Unix seconds), long form only |
//! | 12 | u32 | reserved, 0, long form only |
//!
//! (eStreamer Integration Guide 5.3.1 p.2-18 to 2-23.) Which form it is follows from the lengths, never from a flag: some
//! servers set the top bit, most do not.

use crate::cursor::u32_at;
use thiserror::Error;

/// The mark some servers put on the long form.
pub const LONG_FORM_MARK: u32 = 0x8000_0000;

/// Size of the long record header.
pub const LONG_HEADER: usize = 16;

/// Size of the short record header.
pub const SHORT_HEADER: usize = 8;

/// A decoded record header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Record type, 0 to 65535.
    pub record_type: u16,
    /// Netmap id of the domain, 0 to 32767; 0 before 6.0 and for clients without domains.
    pub netmap: u16,
    /// The record length as it stands on the wire.
    pub length: u32,
    /// Second at which the server archived the record; `None` in the short form.
    pub timestamp: Option<u32>,
    /// The reserved word of the long form ("checksum" in old clients); always 0 so far.
    pub reserved: u32,
    /// Size of this header in bytes: 8 or 16.
    pub size: usize,
}

/// A record header that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Less than eight bytes of event data.
    #[error("event data of {length} bytes is too short for a record header (8 bytes)")]
    Short {
        /// Bytes there are.
        length: usize,
    },
    /// Record length and message length do not fit together.
    #[error(
        "record {record_type}: record length {record_length} fits neither an 8-byte nor a 16-byte record header in event data of {length} bytes"
    )]
    Length {
        /// Record type of the header.
        record_type: u16,
        /// Record length of the header.
        record_length: u32,
        /// Bytes of event data.
        length: usize,
    },
}

impl RecordHeader {
    /// Reads the header of a record; `item` is the body of an event data message or bundle item, all of it.
    pub fn parse(item: &[u8]) -> Result<RecordHeader, RecordError> {
        let short = || RecordError::Short { length: item.len() };
        let word = u32_at(item, 0).ok_or_else(short)?;
        let length = u32_at(item, 4).ok_or_else(short)?;
        let data = length as usize;
        let long = data.checked_add(LONG_HEADER) == Some(item.len());
        // The last case is an old server fault: the record length counts the header (seen by Cisco's SDK client).
        let fits = long || data.checked_add(SHORT_HEADER) == Some(item.len()) || data == item.len();
        let record_type = (word & 0xffff) as u16;
        if !fits {
            return Err(RecordError::Length { record_type, record_length: length, length: item.len() });
        }
        Ok(RecordHeader {
            record_type,
            netmap: (word >> 16 & 0x7fff) as u16,
            length,
            timestamp: if long { u32_at(item, 8) } else { None },
            reserved: if long { u32_at(item, 12).unwrap_or(0) } else { 0 },
            size: if long { LONG_HEADER } else { SHORT_HEADER },
        })
    }
}

/// The record type of an item without reading the rest, 0 when there are no four bytes.
pub fn record_type(item: &[u8]) -> u16 {
    u32_at(item, 0).map_or(0, |word| (word & 0xffff) as u16)
}

/// Turns a record in the long form into the short form: the header without archival timestamp and reserved word.
/// A record that has the short form is appended as it is.
pub fn push_short(item: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
    let header = RecordHeader::parse(item)?;
    out.extend_from_slice(item.get(..SHORT_HEADER).unwrap_or_default());
    out.extend_from_slice(item.get(header.size..).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(word: u32, length: u32, rest: &[u8]) -> Vec<u8> {
        [&word.to_be_bytes()[..], &length.to_be_bytes(), rest].concat()
    }

    #[test]
    fn the_form_follows_from_the_lengths() {
        let long = item(71, 2, &[0, 0, 0, 9, 0, 0, 0, 0, 1, 2]);
        let header = RecordHeader::parse(&long).unwrap();
        assert_eq!((header.record_type, header.timestamp, header.size), (71, Some(9), 16));
        let short = item(71, 2, &[1, 2]);
        assert_eq!(RecordHeader::parse(&short).unwrap().timestamp, None);
        let quirk = item(71, 10, &[1, 2]);
        assert_eq!(RecordHeader::parse(&quirk).unwrap().size, 8);
        let mut out = Vec::new();
        push_short(&long, &mut out).unwrap();
        assert_eq!(out, short);
    }

    #[test]
    fn mark_and_netmap_are_split_off() {
        let header = RecordHeader::parse(&item(0x8002_0190, 0, &[])).unwrap();
        assert_eq!((header.record_type, header.netmap), (400, 2));
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_says_why() {
        assert_eq!(
            RecordHeader::parse(&item(4, u32::MAX, &[1])).unwrap_err().to_string(),
            "record 4: record length 4294967295 fits neither an 8-byte nor a 16-byte record header in event data of 9 bytes"
        );
        assert_eq!(RecordHeader::parse(&[0; 7]).unwrap_err(), RecordError::Short { length: 7 });
    }
}
