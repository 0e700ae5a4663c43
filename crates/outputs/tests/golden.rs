//! Our JSON against what eNcore 5.2.11 prints for the same bytes, field by field and key by key.
//!
//! `data/golden.jsonl.gz`: a synthetic stream with every record type and layout. Of each message: `index`, `hex` (the
//! message data), `json` as eNcore prints it without `@computed` (null where it prints nothing), `error`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

use flate2::read::GzDecoder;
use outputs::{Computed, Format, Json, Resolved};
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use wire::decode::Decoder;

/// Where we differ: messages, the path of the value (a trailing `*` stands for anything), and why.
const EXCEPTIONS: &[(RangeInclusive<u64>, &str, &str)] = &[
    (1069..=1069, "packetData", "a packet is not text, even when it happens to be valid UTF-8"),
    (1092..=1092, "hostIpAddr", "eNcore reads it 8 bytes too far after a short record header"),
    (1094..=1094, "*", "the same: the rest of the discovery header is lost"),
    (1105..=1106, "*", "eNcore gives up where the discovery header has no address"),
    (1107..=1111, "hostIpAddr", "there is no address; eNcore prints the bytes that follow"),
    (1112..=1119, "*", "a block of another type is not read with the layout of the expected one"),
    (1120..=1123, "@trailing", "eNcore drops what follows the record"),
    (1130..=1130, "@trailing", "eNcore drops what follows the text"),
    (1132..=1132, "name", "a String block cannot be shorter than its header"),
    (1132..=1132, "@*", "and we say so"),
    (1135..=1135, "@problem", "the block length is wrong"),
    (1136..=1136, "username", "a block of type 35 is no String block"),
    (1136..=1136, "@*", "and we say so"),
];

/// Addresses that eNcore prints in another form, wherever they are: ours, eNcore's.
const ADDRESSES: [(&str, &str); 2] = [
    // IPv4-compatible addresses are not dotted any more (RFC 5952).
    ("::a01:203", "::10.1.2.3"),
    // Not IPv4-mapped: eNcore cuts off `::ffff:` as a text.
    ("::ffff:0:c000:201", "0:c000:201"),
];

struct Message {
    index: u64,
    bytes: Vec<u8>,
    json: Value,
}

fn golden() -> Vec<Message> {
    let file = std::fs::File::open("tests/data/golden.jsonl.gz").unwrap();
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    let message = |line: String| {
        let mut value: Value = serde_json::from_str(&line).unwrap();
        let hex = value["hex"].as_str().unwrap().as_bytes();
        let digit = |d: u8| (d as char).to_digit(16).unwrap() as u8;
        let bytes = hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        Message { index: value["index"].as_u64().unwrap(), bytes, json: value["json"].take() }
    };
    lines.map(|line| message(line.unwrap())).collect()
}

fn printed(format: &Json, decoder: &mut Decoder, bytes: &[u8]) -> Option<String> {
    let record = decoder.decode(bytes).ok()?;
    let mut out = b"before".to_vec();
    assert!(format.format(&Resolved { record: &record, computed: &[] }, &mut out));
    let line = String::from_utf8(out).unwrap();
    Some(line.strip_prefix("before").unwrap().to_owned())
}

/// The paths at which two values differ, with both values.
fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<(String, String)>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |map: &Map<String, Value>, other: &Map<String, Value>| -> Vec<String> {
                map.keys().filter(|k| other.contains_key(*k)).cloned().collect()
            };
            if keys(a, b) != keys(b, a) {
                found.push((format!("{path}!order"), format!("{:?} / {:?}", keys(a, b), keys(b, a))));
            }
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => differences(&path, a, b, found),
                    (a, b) => found.push((path, format!("{a:?} / {b:?}"))),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, found);
            }
        }
        (Value::String(a), Value::String(b)) if ADDRESSES.contains(&(a, b)) => {}
        _ if ours != theirs => found.push((path.to_owned(), format!("{ours} / {theirs}"))),
        _ => {}
    }
}

/// eNcore takes the VPN Session block (166) of a user login for a list with one item.
fn vpn_session_as_block(record: &mut Value) {
    let Some(users) = record.as_object_mut() else { return };
    for user in users.values_mut().filter(|v| v.is_object()) {
        let Some(list) = user.get_mut("vpnSession") else { continue };
        let mut block = Map::new();
        block.insert("blockType".into(), list["listType"].take());
        block.insert("blockLength".into(), list["listLength"].take());
        block.append(list["items"][0].as_object_mut().unwrap());
        *list = block.into();
    }
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

#[test]
fn we_print_what_encore_prints_except_for_its_faults() {
    let (format, mut decoder) = (Json::new(), Decoder::new());
    let mut used = BTreeMap::new();
    let mut wrong = Vec::new();
    let (mut compared, mut exact) = (0, 0);
    for mut message in golden().into_iter().filter(|m| m.json.is_object()) {
        let Some(line) = printed(&format, &mut decoder, &message.bytes) else {
            wrong.push(format!("{}: not decoded", message.index));
            continue;
        };
        compared += 1;
        vpn_session_as_block(&mut message.json);
        let ours: Value = serde_json::from_str(&line).unwrap();
        let mut found = Vec::new();
        differences("", &ours, &message.json, &mut found);
        if ours == message.json && found.is_empty() {
            let mut theirs = String::new();
            python(&message.json, &mut theirs);
            assert_eq!(line, theirs + "\n", "{}", message.index);
            exact += 1;
        }
        for (path, values) in found {
            let exception = EXCEPTIONS.iter().position(|(messages, pattern, _)| {
                let fits = match pattern.strip_suffix('*') {
                    Some(start) => path.starts_with(start),
                    None => path == *pattern,
                };
                messages.contains(&message.index) && fits
            });
            match exception {
                Some(i) => *used.entry(i).or_insert(0) += 1,
                None => wrong.push(format!("{}: {path}: {values}", message.index)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences, ours / theirs:\n{}", wrong.len(), wrong.join("\n"));
    for (i, (messages, path, reason)) in EXCEPTIONS.iter().enumerate() {
        assert!(used.contains_key(&i), "the exception for {messages:?} {path} ({reason}) is not needed");
    }
    assert_eq!(compared, 1661);
    assert!(exact > 1500, "only {exact} lines are equal byte for byte");
}

#[test]
fn we_print_what_encore_loses() {
    let (format, mut decoder) = (Json::new(), Decoder::new());
    let mut lines = BTreeMap::new();
    for message in golden().iter().filter(|m| m.json.is_null()) {
        if let Some(line) = printed(&format, &mut decoder, &message.bytes) {
            assert!(line.is_ascii() && line.ends_with("}\n") && line.matches('\n').count() == 1);
            let value: Map<String, Value> = serde_json::from_str(&line).unwrap();
            lines.insert(message.index, value);
        } else {
            // Record length and message length disagree, or there is no whole record header.
            assert!(matches!(message.index, 1138..=1140), "{}", message.index);
        }
    }
    let field = |index: u64, name: &str| lines[&index].get(name).cloned().unwrap_or_default();
    // Connection block 168.
    assert!((534..=541).all(|i| field(i, "blockType") == 168 && field(i, "destIpDynamicAttributes").is_null()));
    assert!((534..=541).all(|i| !lines[&i].contains_key("@problem") && lines[&i].contains_key("httpResponse")));
    // Short record headers; netmap id and mark in the record type.
    assert_eq!((field(1090, "blockType"), field(1091, "blockType")), (60.into(), 163.into()));
    assert_eq!(
        (field(1096, "recordType"), field(1097, "recordType"), field(1098, "recordType")),
        (400.into(), 400.into(), 71.into())
    );
    // Unknown record type.
    let unknown = r#"{"recordType":9999,"recordLength":8,"blockType":0,"archiveTimestamp":1714001684,"checksum":0,"data":"0000000161626364"}"#;
    assert_eq!(serde_json::to_string(&lines[&1102]).unwrap(), unknown);
    // Cut in the middle of the destination address.
    assert_eq!(
        (field(1124, "sourceIpAddress"), field(1124, "destinationIpAddress")),
        ("100.64.0.1".into(), Value::Null)
    );
    assert_eq!(field(1124, "@trailing").as_str().map(str::len), Some(20));
    assert!(field(1124, "@problem").as_str().unwrap().ends_with("16 bytes are needed, 10 are left"));
}

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
        let line = printed(&Json::new(), &mut Decoder::new(), &bytes).unwrap();
        let one_line = line.is_ascii() && line.ends_with("}\n") && line.matches('\n').count() == 1;
        prop_assert!(one_line);
        let value: Map<String, Value> = serde_json::from_str(&line).unwrap();
        // No key twice: what was parsed is as long as what was printed.
        let mut again = String::new();
        python(&value.into(), &mut again);
        prop_assert_eq!(again + "\n", line);
    }
}
