//! A record of any origin in the form in which the archive keeps it.

use wire::decode::Decoder;
use wire::layout;
use wire::message::MessageType;
use wire::record::{RecordError, RecordHeader};

/// A bundle item for the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Its record type.
    pub record_type: u16,
    /// The item: an event has the 16-byte record header, whose archival second is 0 until it is archived.
    pub item: Vec<u8>,
    /// What a metadata record names; `None` for an event.
    pub key: Option<Vec<u8>>,
}

/// Makes an item of a record (header and data), whichever form its header has. The data stays as it is; a record of an
/// unknown type is an event.
///
/// # Errors
/// The header cannot be understood.
pub fn prepare(record: &[u8], decoder: &mut Decoder) -> Result<Prepared, RecordError> {
    let header = RecordHeader::parse(record)?;
    let known = layout::record(header.record_type);
    let data = record.get(header.size..).unwrap_or_default();
    let metadata = known.is_some_and(|known| known.metadata);
    let mut item = Vec::with_capacity(data.len() + 24);
    for word in
        [u32::from(MessageType::EVENT_DATA.0), 0, u32::from(header.netmap) << 16 | u32::from(header.record_type)]
    {
        item.extend_from_slice(&word.to_be_bytes());
    }
    // A record is in memory, and the lengths of messages have 32 bits.
    item.extend_from_slice(&(data.len() as u32).to_be_bytes());
    if known.is_none_or(|known| known.timestamped()) {
        item.extend_from_slice(&[0; 4]);
        item.extend_from_slice(&header.reserved.to_be_bytes());
    }
    item.extend_from_slice(data);
    let length = (item.len() - 8) as u32;
    if let Some(place) = item.get_mut(4..8) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    let key = match metadata {
        true => {
            let decoded = decoder.decode(item.get(8..).unwrap_or_default())?;
            // One without known fields names what all of its bytes say.
            let bytes = || [&header.record_type.to_be_bytes()[..], data].concat();
            Some(decoded.metadata_key().unwrap_or_else(bytes))
        }
        false => None,
    };
    Ok(Prepared { record_type: header.record_type, item, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::event::Event;

    #[test]
    fn events_get_the_long_header_and_metadata_the_short_one() {
        let mut decoder = Decoder::new();
        for record_type in [400, 66, 111, 71] {
            let event = Event::new(record_type).unwrap();
            let mut expected = Vec::new();
            event.encode_item(Some(0), &mut expected);
            for second in [None, Some(7)] {
                let mut record = Vec::new();
                event.encode(second, &mut record);
                let prepared = prepare(&record, &mut decoder).unwrap();
                assert_eq!((prepared.record_type, &prepared.item), (record_type, &expected));
                assert_eq!(prepared.key.is_some(), event.record().metadata);
            }
        }
        let unknown = [&[0, 0, 0x27, 0x0f, 0, 0, 0, 2][..], &[1, 2]].concat();
        let prepared = prepare(&unknown, &mut decoder).unwrap();
        assert_eq!((prepared.item.len(), prepared.key), (26, None));
        assert!(prepare(&[1, 2], &mut decoder).is_err());
    }
}
