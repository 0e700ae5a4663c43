//! The golden stream: every record type and layout as a shipped client decodes them, and a row of broken inputs.
//!
//! The vectors are not part of the repository; without them these tests say so and pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value as Json;
use std::path::PathBuf;
use wire::decode::{Decoder, Value};
use wire::event::{Block, Event};
use wire::message::{self, MessageType};

/// Messages with broken bytes in them: cut short, lengths that lie, another block in place of a text.
const BROKEN: [usize; 13] = [1103, 1124, 1125, 1126, 1127, 1128, 1129, 1132, 1133, 1134, 1135, 1136, 1137];
/// Records and blocks of types nobody knows: 9999 and 0; blocks 172, 161, 86, 99, 78, 90.
const OPAQUE: [usize; 8] = [1102, 1104, 1112, 1113, 1114, 1116, 1118, 1119];

fn golden(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden")).join(name);
    let bytes = std::fs::read(path).ok();
    if bytes.is_none() {
        println!("skipped: the golden vectors are not there");
    }
    bytes
}

#[test]
fn the_golden_stream_is_read_to_its_last_byte() {
    let Some(stream) = golden("stream.bin") else { return };
    let mut decoder = Decoder::new();
    let (mut broken, mut opaque) = (Vec::new(), Vec::new());
    let (mut at, mut index, mut events) = (0, 0, 0);
    while let Some(message) = message::first(&stream[at..], 1 << 20).unwrap() {
        at += message.size();
        index += 1;
        // Three messages have no record header that can be read.
        let Ok(record) = decoder.decode(message.body) else { continue };
        if message.kind != MessageType::EVENT_DATA {
            continue;
        }
        events += 1;
        if record.problem().is_some() {
            broken.push(index - 1);
        }
        if record.opaque() {
            opaque.push(index - 1);
        }
        if let Ok(event) = Event::try_from(&record) {
            let mut again = Vec::new();
            event.encode(record.header.timestamp, &mut again);
            let same = again.ends_with(&message.body[record.header.size..]);
            assert!(same || record.problem().is_some(), "message {} is written as it was", index - 1);
        }
    }
    assert_eq!((at, index, events), (stream.len(), 1752, 1745));
    assert_eq!((broken.as_slice(), opaque.as_slice()), (&BROKEN[..], &OPAQUE[..]));
}

#[test]
fn the_golden_blocks_are_read_to_their_last_byte() {
    let Some(lines) = golden("blocks.jsonl") else { return };
    let mut decoder = Decoder::new();
    let (mut blocks, mut numbers) = (0, 0);
    for line in String::from_utf8(lines).unwrap().lines() {
        let block: Json = serde_json::from_str(line).unwrap();
        let (series, number) = (block["series"].as_u64().unwrap() as u8, block["type"].as_u64().unwrap());
        // A structure many metadata records share, no block.
        if number == 10_000 {
            continue;
        }
        blocks += 1;
        let what = format!("series {series}, block {number}, {}", block["profile"]);
        let hex = block["hex"].as_str().unwrap();
        let octet = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(octet).collect();
        let view = decoder.decode_block(series, &bytes);
        let layout = view.layout().expect("a known block");
        assert_eq!((u64::from(layout.number), view.read()), (number, layout.fields.len()), "{what}");
        assert!(view.trailing().is_empty(), "{what}");
        for (i, field) in layout.fields.iter().enumerate() {
            if let (Some(Value::Uint(n)), Some(expected)) = (view.value(i), block["json"][field.encore].as_u64()) {
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
