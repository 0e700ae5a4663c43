//! Snort's unified2 files.

use sensors::unified2::{Frame, MAX_RECORD, Record, RecordError};

/// Frames lie back to back and are there as soon as their bytes are; what a record says lies in it, and an error names
/// an offset in it. The place in the file changes the offsets only.
pub fn unified2(data: &[u8]) {
    let mut at = 0;
    loop {
        let rest = data.get(at..).unwrap_or_default();
        let offset = at as u64;
        let frame = match Frame::split(rest, offset) {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                let header = rest.get(..Frame::HEADER).unwrap_or_default();
                assert_eq!(Frame::split(header, offset), Err(error), "a header alone says that it is none");
                break;
            }
        };
        assert!(frame.size() == Frame::HEADER + frame.body.len() && frame.body.len() <= MAX_RECORD as usize);
        for cut in [0, 7, 8, frame.size() - 1] {
            let piece = rest.get(..cut.min(frame.size() - 1)).unwrap_or_default();
            assert_eq!(Frame::split(piece, offset), Ok(None), "a piece of a record is no record");
        }
        decode(&frame);
        at += frame.size();
    }
}

fn decode(frame: &Frame<'_>) {
    let end = frame.offset + frame.size() as u64;
    let decoded = frame.decode();
    match decoded {
        Ok(record) => {
            let data = match record {
                Record::Packet(packet) => packet.data,
                Record::ExtraData(extra) => extra.data,
                Record::Unknown { bytes, record_type } => {
                    assert_eq!((bytes, record_type), (frame.body, frame.record_type));
                    bytes
                }
                _ => &[],
            };
            assert!(record.trailing() + data.len() <= frame.body.len());
            let range = frame.body.as_ptr_range();
            assert!(data.is_empty() || range.contains(&data.as_ptr()), "the data lies in the record");
        }
        Err(RecordError::Short { offset, wanted, left, .. }) => {
            assert!(wanted > left && offset + left as u64 == end, "field at {offset}, {left} left, end {end}");
        }
        Err(RecordError::Invalid { offset, .. }) => assert!((frame.offset..end).contains(&offset)),
        Err(other) => panic!("a frame that was split has a header: {other}"),
    }
    let far = Frame { offset: u64::MAX - 9, ..*frame };
    match (decoded, far.decode()) {
        (Ok(here), Ok(there)) => assert_eq!(here, there),
        (here, there) => assert!(here.is_err() && there.is_err(), "the place does not matter"),
    }
}
