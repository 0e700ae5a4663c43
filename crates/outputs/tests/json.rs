//! What every line of JSON is like, whatever the record. (`estreamer decode` is compared with eNcore, value by value.)

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

use outputs::{Computed, Format, Json, Resolved};
use proptest::prelude::*;
use serde_json::{Map, Value};
use wire::decode::Decoder;

#[test]
fn computed_values_come_last() {
    let bytes = [0, 0, 0, 4, 0, 0, 0, 10, 0, 0, 0, 1, 0, 4, b'h', b'i', b'g', b'h'];
    let mut decoder = Decoder::new();
    let record = decoder.decode(&bytes).unwrap();
    let computed = [
        ("recordTypeCategory", Computed::Text("PRIORITY".into())),
        ("note", Computed::Text("\"\u{1f600}\"".into())),
        ("eventSecond", Computed::Uint(1_714_000_000)),
        ("sensor", Computed::Null),
    ];
    let mut out = Vec::new();
    assert!(Json::new().format(&Resolved { record: &record, computed: &computed }, &mut out));
    let expected = concat!(
        r#"{"recordType": 4, "recordLength": 10, "blockType": 0, "archiveTimestamp": 0, "checksum": 0, "#,
        r#""id": 1, "length": 4, "name": "high", "@computed": {"recordTypeCategory": "PRIORITY", "#,
        r#""note": "\"\ud83d\ude00\"", "eventSecond": 1714000000, "sensor": null}}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

proptest! {
    #[test]
    fn any_bytes_give_one_line_of_json(record in 0u16..720, mut body in proptest::collection::vec(any::<u8>(), 0..600), small: bool) {
        if small {
            // Small numbers look like lengths and block types: they get deeper than noise.
            body.iter_mut().enumerate().for_each(|(i, b)| *b = if i % 4 == 3 { *b % 40 } else { 0 });
        }
        let mut bytes = [&u32::from(record).to_be_bytes()[..], &(body.len() as u32).to_be_bytes()].concat();
        bytes.extend(&body);
        let line = printed(&bytes);
        let one_line = line.is_ascii() && line.ends_with("}\n") && line.matches('\n').count() == 1;
        prop_assert!(one_line);
        let value: Map<String, Value> = serde_json::from_str(&line).unwrap();
        // No key twice: what was parsed is as long as what was printed.
        let mut again = String::new();
        python(&value.into(), &mut again);
        prop_assert_eq!(again + "\n", line);
    }
}

/// The line of a record, which is appended to what is there.
fn printed(bytes: &[u8]) -> String {
    let mut decoder = Decoder::new();
    let record = decoder.decode(bytes).unwrap();
    let mut out = b"before".to_vec();
    assert!(Json::new().format(&Resolved { record: &record, computed: &[] }, &mut out));
    let line = String::from_utf8(out).unwrap();
    line.strip_prefix("before").unwrap().to_owned()
}

/// JSON as Python's `json.dumps` writes it, which is what eNcore prints.
fn python(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            for (i, (key, value)) in map.iter().enumerate() {
                *out += if i == 0 { "{" } else { ", " };
                python(&key.as_str().into(), out);
                *out += ": ";
                python(value, out);
            }
            *out += if map.is_empty() { "{}" } else { "}" };
        }
        Value::Array(items) => {
            *out += "[";
            for (i, item) in items.iter().enumerate() {
                *out += if i == 0 { "" } else { ", " };
                python(item, out);
            }
            *out += "]";
        }
        Value::String(text) => {
            for c in serde_json::to_string(text).unwrap().chars() {
                match c {
                    ' '..='~' => out.push(c),
                    _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|u| *out += &format!("\\u{u:04x}")),
                }
            }
        }
        other => *out += &other.to_string(),
    }
}
