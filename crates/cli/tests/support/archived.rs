//! What is in the archive of a home, as `decode` prints it.

use serde_json::{Map, Value};

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
