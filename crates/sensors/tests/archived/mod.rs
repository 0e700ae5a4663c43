//! What an archive holds, for tests.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;

use archive::{Kind, Read, Reader, Start};
use wire::decode::{Decoder, Record};

/// An item in the order a client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) metadata: bool,
    pub(crate) record_type: u16,
    /// The bundle item; the archival second of an event is made 0.
    pub(crate) bytes: Vec<u8>,
}

impl Item {
    /// Decodes the record, which must agree with its layout.
    pub(crate) fn decode<T>(&self, look: impl FnOnce(&Record<'_>) -> T) -> T {
        let mut decoder = Decoder::new();
        let record = decoder.decode(&self.bytes[8..]).unwrap();
        assert_eq!(record.problem(), None);
        assert!(!record.opaque());
        assert!(record.main().trailing().is_empty());
        look(&record)
    }

    /// A number in the record.
    pub(crate) fn uint(&self, field: &str) -> u64 {
        self.decode(|record| record.uint(field)).unwrap_or_else(|| panic!("{} has no {field}", self.record_type))
    }

    /// The octets of a field of the record.
    pub(crate) fn octets(&self, field: &str) -> Vec<u8> {
        self.decode(|record| record.field(field).and_then(|value| value.octets()).map(<[u8]>::to_vec))
            .unwrap_or_else(|| panic!("{} has no {field}", self.record_type))
    }

    /// A text in the record.
    pub(crate) fn text(&self, field: &str) -> String {
        String::from_utf8(self.octets(field)).unwrap()
    }
}

/// Everything in the archive of network map 0.
pub(crate) fn items(root: &Path) -> Vec<Item> {
    let mut reader = Reader::open(root, 0, Start::Genesis).unwrap();
    let mut buf = Vec::new();
    let mut items = Vec::new();
    loop {
        let info = match reader.next(&mut buf).unwrap() {
            Read::Batch(info) => info,
            Read::Lost(lost) => panic!("{lost:?}"),
            Read::End => return items,
        };
        if info.kind == (Kind::Sticky { snapshot: true }) {
            continue;
        }
        let mut rest = &buf[..];
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[4..8].try_into().unwrap()) as usize;
            let (item, next) = rest.split_at(8 + length);
            rest = next;
            let mut bytes = item.to_vec();
            let metadata = info.kind != Kind::Events;
            if !metadata {
                assert_eq!(bytes[16..20], info.second.to_be_bytes());
                bytes[16..20].fill(0);
            }
            items.push(Item { metadata, record_type: wire::record::record_type(&item[8..]), bytes });
        }
    }
}

/// The events in the archive.
pub(crate) fn events(root: &Path) -> Vec<Item> {
    items(root).into_iter().filter(|item| !item.metadata).collect()
}

/// How many of each record type.
pub(crate) fn count(items: &[Item]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item.record_type).or_default() += 1;
    }
    counts
}
