//! The golden stream: every record type and layout as a shipped client decodes them, and a row of broken inputs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{messages, unhex};
use serde_json::Value as Json;
use wire::decode::{Decoder, Value};
use wire::event::{Block, Event};
use wire::message::MessageType;

/// Messages with broken bytes in them: cut short, lengths that lie, another block in place of a text.
const BROKEN: [usize; 13] = [1103, 1124, 1125, 1126, 1127, 1128, 1129, 1132, 1133, 1134, 1135, 1136, 1137];
/// Records and blocks of types nobody knows: 9999 and 0; blocks 172, 161, 86, 99, 78, 90.
const OPAQUE: [usize; 8] = [1102, 1104, 1112, 1113, 1114, 1116, 1118, 1119];

#[test]
fn the_golden_stream_is_read_to_its_last_byte() {
    let stream = common::stream();
    let mut decoder = Decoder::new();
    let (mut broken, mut opaque) = (Vec::new(), Vec::new());
    let mut events = 0;
    let messages = messages(&stream);
    for (index, message) in messages.iter().enumerate() {
        // Three messages have no record header that can be read.
        let Ok(record) = decoder.decode(message.body) else { continue };
        if message.kind != MessageType::EVENT_DATA {
            continue;
        }
        events += 1;
        if record.problem().is_some() {
            broken.push(index);
        }
        if record.opaque() {
            opaque.push(index);
        }
        if let Ok(event) = Event::try_from(&record) {
            let mut again = Vec::new();
            event.encode(record.header.timestamp, &mut again);
            let same = again.ends_with(&message.body[record.header.size..]);
            assert!(same || record.problem().is_some(), "message {index} is written as it was");
        }
    }
    assert_eq!((messages.len(), events), (1752, 1745));
    assert_eq!((broken.as_slice(), opaque.as_slice()), (&BROKEN[..], &OPAQUE[..]));
}

#[test]
fn the_golden_blocks_are_read_to_their_last_byte() {
    let lines = common::blocks();
    let mut decoder = Decoder::new();
    let (mut blocks, mut numbers) = (0, 0);
    for line in String::from_utf8(lines).unwrap().lines() {
        let block: Json = serde_json::from_str(line).unwrap();
        let (series, number) = (block["series"].as_u64().unwrap() as u8, block["type"].as_u64().unwrap());
        blocks += 1;
        let what = format!("series {series}, block {number}, {}", block["profile"]);
        let bytes = unhex(block["hex"].as_str().unwrap());
        let view = decoder.decode_block(series, &bytes);
        let layout = view.layout().expect("a known block");
        assert_eq!((u64::from(layout.number), view.read()), (number, layout.fields.len()), "{what}");
        assert!(view.trailing().is_empty(), "{what}");
        for (i, field) in layout.fields.iter().enumerate() {
            if let (Some(Value::Uint(n)), Some(expected)) = (view.value(i), block["numbers"][field.encore].as_u64()) {
                assert_eq!(n, expected, "{what}, {}", field.name);
                numbers += 1;
            }
        }
        let mut again = Vec::new();
        Block::from(view).encode(&mut again);
        assert_eq!(again, bytes, "{what}");
        assert_eq!(decoder.problem(), None, "{what}");
    }
    assert_eq!(blocks, 510);
    assert!(numbers > 5000, "{numbers} numbers compared");
}
