//! All metadata records of the world: what the ids in its events mean.

use super::SimulatorError;
use std::collections::HashMap;
use wire::decode::Decoder;
use wire::event::{Event, Value};

/// Bytes of message type and length before the record in a bundle item.
const ITEM_HEADER: usize = 8;

/// A metadata record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it names: [`wire::decode::Record::metadata_key`].
    pub key: Vec<u8>,
    /// The record as a bundle item, as [`Event::encode_item`] writes it: only record 111 has an archival timestamp.
    pub item: Vec<u8>,
}

/// Something with a number, and the metadata record that names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) id: u32,
    /// Index in the catalog.
    pub(crate) meta: u32,
}

/// Collects metadata records, each key once.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) items: Vec<Metadata>,
    known: HashMap<Vec<u8>, u32>,
    decoder: Decoder,
}

impl Catalog {
    /// Adds a record and gives its index, or that of the record which already has its key.
    pub(crate) fn add(&mut self, event: &Event) -> Result<u32, SimulatorError> {
        let mut item = Vec::new();
        event.encode_item(Some(0), &mut item);
        let record = self.decoder.decode(item.get(ITEM_HEADER..).unwrap_or_default())?;
        let key = record.metadata_key().ok_or(SimulatorError::NotMetadata(record.record_type()))?;
        if let Some(index) = self.known.get(&key) {
            return Ok(*index);
        }
        let index = self.items.len() as u32;
        self.known.insert(key.clone(), index);
        self.items.push(Metadata { key, item });
        Ok(index)
    }

    /// Adds a record with these values.
    pub(crate) fn record<const N: usize>(
        &mut self,
        record_type: u16,
        values: [(&str, Value); N],
    ) -> Result<u32, SimulatorError> {
        let mut event = Event::new(record_type)?;
        for (name, value) in values {
            event.set(name, value)?;
        }
        self.add(&event)
    }

    /// Adds a record that gives a number a name.
    pub(crate) fn named(&mut self, record_type: u16, id: u32, name: &str) -> Result<Named, SimulatorError> {
        let meta = self.record(record_type, [("id", id.into()), ("name", name.into())])?;
        Ok(Named { id, meta })
    }

    /// Adds a record that gives a UUID a name.
    pub(crate) fn uuid(&mut self, record_type: u16, uuid: [u8; 16], name: &str) -> Result<u32, SimulatorError> {
        self.record(record_type, [("uuid", uuid.into()), ("name", name.into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_is_kept_once_and_only_metadata_is_taken() {
        let mut catalog = Catalog::default();
        let first = catalog.named(123, 7, "fw1").unwrap();
        assert_eq!(catalog.named(123, 7, "fw1").unwrap().meta, first.meta);
        assert_ne!(catalog.named(123, 8, "fw2").unwrap().meta, first.meta);
        assert_eq!(catalog.items.len(), 2);
        // Message type 4, length 19, record 123, length 11, id 7, length 3, "fw1".
        let item = [0, 0, 0, 4, 0, 0, 0, 19, 0, 0, 0, 123, 0, 0, 0, 11, 0, 0, 0, 7, 0, 0, 0, 3, b'f', b'w', b'1'];
        assert_eq!(catalog.items[0].item, item);
        let error = catalog.add(&Event::new(400).unwrap()).unwrap_err();
        assert!(error.to_string().contains("record 400"), "{error}");
    }
}
