//! How far a replay is.

/// Where a replay goes on: everything before is in the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the file.
    pub(super) file: u32,
    /// Where in it the message begins.
    pub(super) offset: u64,
    /// Items of that message that are done.
    pub(super) items: u32,
    /// Events so far.
    pub(super) events: u64,
    /// By how many seconds the times of events are moved, once that is known.
    pub(super) shift: Option<i64>,
}

/// Version of the bytes.
const VERSION: u8 = 1;

impl Place {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.shift.is_some())];
        out.extend_from_slice(&self.file.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.items.to_be_bytes());
        out.extend_from_slice(&self.events.to_be_bytes());
        out.extend_from_slice(&self.shift.unwrap_or(0).to_be_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Place> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let (file, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (items, rest) = rest.split_first_chunk()?;
        let (events, rest) = rest.split_first_chunk()?;
        let shift = i64::from_be_bytes(rest.try_into().ok()?);
        let shift = match head {
            [VERSION, 0] => None,
            [VERSION, 1] => Some(shift),
            _ => return None,
        };
        Some(Place {
            file: u32::from_be_bytes(*file),
            offset: u64::from_be_bytes(*offset),
            items: u32::from_be_bytes(*items),
            events: u64::from_be_bytes(*events),
            shift,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_as_bytes_and_others_refused() {
        for shift in [None, Some(-5)] {
            let place = Place { file: 1, offset: 1 << 40, items: 3, events: 9, shift };
            let bytes = place.encode();
            assert_eq!(Place::decode(&bytes), Some(place));
            assert!((0..bytes.len()).all(|cut| Place::decode(&bytes[..cut]).is_none()));
            assert_eq!(Place::decode(&[&bytes[..], &[0]].concat()), None);
            assert_eq!(Place::decode(&[&[2], &bytes[1..]].concat()), None);
        }
    }
}
