//! What a writer collects for one commit.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::{ITEM_HEADER, MAX_FIELD, MAX_ITEM, MIN_EVENT, MIN_STICKY, u32_at};

/// What one commit makes durable together: events, changed sticky items, and the positions of their sources.
///
/// Every item is an eStreamer bundle item: u32 4, u32 length, then `length` bytes of record header and data.
/// The batch copies what it is given; [`Archive::commit`](crate::Archive::commit) needs about as much memory again.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) events: Vec<u8>,
    pub(crate) count: u64,
    pub(crate) sticky: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) positions: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event: item header, 16-byte record header, data. The four bytes at
    /// [`SECOND_AT`](crate::SECOND_AT) are overwritten with the archival second when the batch is committed.
    ///
    /// # Errors
    /// [`Error::ItemShort`] below [`MIN_EVENT`] bytes, [`Error::TooLong`] above [`MAX_ITEM`], and
    /// [`Error::ItemHeader`] when the item header is not u32 4 and the right length.
    pub fn push_event(&mut self, item: &[u8]) -> Result<()> {
        check_item(item, MIN_EVENT)?;
        self.events.extend_from_slice(item);
        self.count += 1;
        Ok(())
    }

    /// Sets a sticky item: metadata that a reader needs who starts in the middle. The newest item of a key counts;
    /// one that the archive already holds with the same bytes is not written again. Within a commit sticky items
    /// are written in the order of their keys, before the events. The bytes are stored as they are.
    ///
    /// The archive keeps all sticky items in memory and copies them into each new segment, so keys must come from
    /// a set that does not grow without end.
    ///
    /// # Errors
    /// As for [`push_event`](Self::push_event), with [`MIN_STICKY`] as the least length; also [`Error::TooLong`]
    /// for a key above [`MAX_FIELD`] bytes.
    pub fn push_sticky(&mut self, key: &[u8], item: &[u8]) -> Result<()> {
        check_item(item, MIN_STICKY)?;
        check_field("a sticky key", key)?;
        self.sticky.insert(key.to_vec(), item.to_vec());
        Ok(())
    }

    /// Sets how far `source` has been read, in whatever form the source likes. It becomes durable in the same
    /// commit as the events pushed with it, or not at all.
    ///
    /// # Errors
    /// [`Error::TooLong`] when the name or the position is above [`MAX_FIELD`] bytes.
    pub fn set_position(&mut self, source: &[u8], position: &[u8]) -> Result<()> {
        check_field("a source name", source)?;
        check_field("a position", position)?;
        self.positions.insert(source.to_vec(), position.to_vec());
        Ok(())
    }

    /// Events pushed since the last commit.
    pub fn events(&self) -> u64 {
        self.count
    }

    /// Bytes of the events pushed since the last commit.
    pub fn event_bytes(&self) -> usize {
        self.events.len()
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.sticky.is_empty() && self.positions.is_empty()
    }

    /// Forgets everything pushed; keeps the allocation.
    pub fn clear(&mut self) {
        self.events.clear();
        self.count = 0;
        self.sticky.clear();
        self.positions.clear();
    }
}

fn check_item(item: &[u8], least: usize) -> Result<()> {
    let length = item.len();
    if length < least {
        return Err(Error::ItemShort { length, least });
    }
    if length > MAX_ITEM {
        return Err(Error::TooLong { what: "an item", length, most: MAX_ITEM });
    }
    let (kind, says) = (u32_at(item, 0).unwrap_or(0), u32_at(item, 4).unwrap_or(0));
    if kind != 4 || says as usize != length - ITEM_HEADER {
        return Err(Error::ItemHeader { length, kind, says });
    }
    Ok(())
}

fn check_field(what: &'static str, field: &[u8]) -> Result<()> {
    if field.len() > MAX_FIELD {
        return Err(Error::TooLong { what, length: field.len(), most: MAX_FIELD });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(record: usize) -> Vec<u8> {
        let mut item = vec![0, 0, 0, 4];
        item.extend_from_slice(&(record as u32).to_be_bytes());
        item.resize(8 + record, 7);
        item
    }

    #[test]
    fn items_that_are_not_bundle_items_are_refused() {
        let mut batch = Batch::new();
        assert!(matches!(batch.push_event(&item(15)), Err(Error::ItemShort { length: 23, least: 24 })));
        assert!(matches!(batch.push_sticky(b"k", &item(7)), Err(Error::ItemShort { length: 15, least: 16 })));
        let mut bad = item(16);
        bad[7] = 17;
        assert!(matches!(batch.push_event(&bad), Err(Error::ItemHeader { length: 24, kind: 4, says: 17 })));
        let mut bad = item(16);
        bad[1] = 1;
        assert!(matches!(batch.push_event(&bad), Err(Error::ItemHeader { kind: 0x1_0004, .. })));
        assert!(batch.is_empty(), "a refused item leaves nothing behind");
        batch.push_event(&item(16)).unwrap();
        batch.push_sticky(b"k", &item(8)).unwrap();
        assert_eq!((batch.events(), batch.event_bytes()), (1, 24));
    }

    #[test]
    fn lengths_are_bounded() {
        let mut batch = Batch::new();
        let long = vec![0; MAX_FIELD + 1];
        assert!(matches!(batch.push_event(&item(MAX_ITEM)), Err(Error::TooLong { .. })));
        assert!(matches!(batch.push_sticky(&long, &item(8)), Err(Error::TooLong { what: "a sticky key", .. })));
        assert!(matches!(batch.set_position(&long, b""), Err(Error::TooLong { what: "a source name", .. })));
        let error = batch.set_position(b"s", &long).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a position of 65537 bytes was refused: the archive takes at most 65536. Split it or leave it out"
        );
        batch.push_event(&item(MAX_ITEM - 8)).unwrap();
    }
}
