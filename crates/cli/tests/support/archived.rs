//! What is in the archive of a home, as `decode` prints it.

use serde_json::{Map, Value};
use std::path::Path;

use super::Site;

/// What is in the archive, printed as `decode` prints it: events, and metadata.
pub fn archived(site: &Site) -> (Vec<Value>, Vec<Value>) {
    let mut reader = archive::Reader::open(&site.path("home/archive"), 0, archive::Start::Genesis).unwrap();
    let (mut items, mut stream, mut seen) = (Vec::new(), Vec::new(), 0);
    loop {
        match reader.next(&mut items).unwrap() {
            archive::Read::Batch(info) => {
                if info.kind == (archive::Kind::Sticky { snapshot: true }) {
                    continue;
                }
                for item in wire::message::Items::new(&items) {
                    wire::message::push(&mut stream, wire::message::MessageType::EVENT_DATA, item.unwrap().body);
                    seen += 1;
                }
            }
            archive::Read::Lost(lost) => panic!("{lost:?}"),
            archive::Read::End => break,
        }
    }
    let file = site.path("archived.bin");
    std::fs::write(&file, stream).unwrap();
    let printed = site.run(&["decode", file.to_str().unwrap()]);
    let lines = printed.out.lines().map(|line| serde_json::from_str(line).unwrap());
    let (metadata, events): (Vec<Value>, Vec<Value>) = lines.partition(|line: &Value| {
        wire::layout::record(line["recordType"].as_u64().unwrap() as u16).is_some_and(|r| r.metadata)
    });
    assert_eq!(metadata.len() + events.len(), seen);
    (events, metadata)
}

/// The fields of a line, without what is in the record header and what is computed from other records.
pub fn fields(line: &Value) -> Map<String, Value> {
    let mut fields = line.as_object().unwrap().clone();
    for key in ["archiveTimestamp", "checksum", "@computed"] {
        fields.shift_remove(key);
    }
    fields
}

/// A number of all events of a type in an archive.
pub fn numbers(root: &Path, record_type: u16, field: &str) -> Vec<u64> {
    let mut reader = archive::Reader::open(root, 0, archive::Start::Genesis).unwrap();
    let (mut decoder, mut buffer, mut numbers) = (wire::decode::Decoder::new(), Vec::new(), Vec::new());
    loop {
        match reader.next(&mut buffer).unwrap() {
            archive::Read::Batch(info) if info.kind == archive::Kind::Events => {}
            archive::Read::Batch(_) => continue,
            archive::Read::Lost(lost) => panic!("{lost:?}"),
            archive::Read::End => return numbers,
        }
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[4..8].try_into().unwrap()) as usize;
            let (item, next) = rest.split_at(8 + length);
            rest = next;
            if wire::record::record_type(&item[8..]) == record_type {
                numbers.push(decoder.decode(&item[8..]).unwrap().uint(field).unwrap());
            }
        }
    }
}
