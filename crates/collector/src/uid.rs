//! Ids of events: the same event has the same id on every run, and different events have different ones.
//!
//! An id is a hash (XXH3, 128 bits) of all that makes an event this one: its source, its archival second, its record type
//! and content, and, where a source sends equal records within a second, how many came before it. For members of a set
//! the archival second does not count, since each member has its own: the same event has one id whoever sends it.

use crate::intake::Entry;
use crate::work::Origin;
use wire::record::{RecordHeader, record_type};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The id of an event: 32 hexadecimal digits.
pub(crate) fn uid(origin: &Origin, entry: &Entry, item: &[u8]) -> String {
    let second = entry.position.filter(|_| !origin.twin).map_or(0, |(second, _)| second);
    let mut hash = Xxh3::new();
    hash.update(origin.identity.as_bytes());
    hash.update(&second.to_be_bytes());
    hash.update(&entry.repeat.to_be_bytes());
    hash.update(&entry.record_type.to_be_bytes());
    hash.update(data(item));
    format!("{:032x}", hash.digest128())
}

/// The hash of a record whatever its header says beyond the record type.
pub(crate) fn content(item: &[u8]) -> u64 {
    xxh3_64(data(item)) ^ u64::from(record_type(item))
}

fn data(item: &[u8]) -> &[u8] {
    let size = RecordHeader::parse(item).map_or(0, |h| h.size);
    item.get(size..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wire::event::Event;

    fn event(second: u32, id: u32) -> Vec<u8> {
        let mut event = Event::new(400).unwrap();
        event.set("eventId", id).unwrap();
        let mut out = Vec::new();
        event.encode(Some(second), &mut out);
        out
    }

    #[test]
    fn ids_are_those_of_events() {
        let origin =
            |identity: &str, twin| Origin { stats: Arc::default(), name: None, identity: identity.into(), twin };
        let entry = |second, repeat| Entry { end: 0, record_type: 400, position: Some((second, 1)), repeat };
        let one = uid(&origin("a", false), &entry(5, 0), &event(5, 1));
        assert_eq!(one.len(), 32);
        assert_eq!(one, uid(&origin("a", false), &entry(5, 0), &event(5, 1)), "the same on every run");
        let others = [
            uid(&origin("b", false), &entry(5, 0), &event(5, 1)),
            uid(&origin("a", false), &entry(6, 0), &event(6, 1)),
            uid(&origin("a", false), &entry(5, 1), &event(5, 1)),
            uid(&origin("a", false), &entry(5, 0), &event(5, 2)),
        ];
        assert!(!others.contains(&one));
        let twin = origin("pair", true);
        assert_eq!(uid(&twin, &entry(5, 0), &event(5, 1)), uid(&twin, &entry(9, 0), &event(9, 1)));
        assert_eq!(content(&event(5, 1)), content(&event(9, 1)));
    }
}
