//! ECS and OCSF: every line is a JSON object without a key twice, whatever the bytes are, and no field is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.

use outputs::{Computed, Dialect, Format, Json, Options, Resolved, by_name};
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::sync::LazyLock;
use wire::decode::{Decoder, Record};
use wire::event::Event;
use wire::layout;

static FORMATS: LazyLock<Vec<(&'static str, Box<dyn Format>)>> = LazyLock::new(|| {
    let make = |name| (name, by_name(name, Dialect::Standard, &Options::default()).unwrap());
    ["ecs", "ocsf"].map(make).into()
});

/// A JSON value; to read it is to see that no object in it has a key twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some((key, Unique)) = map.next_entry::<String, Unique>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!("{key:?} stands there twice")));
            }
        }
        Ok(Unique)
    }
}

/// The lines of a record, which are JSON objects.
fn lines(record: &Record<'_>, computed: &[(&'static str, Computed<'_>)]) -> Vec<String> {
    let event = record.layout.is_none_or(|l| !l.metadata);
    let line = |(name, format): &(&str, Box<dyn Format>)| {
        let mut out = b"before".to_vec();
        assert_eq!(format.format(&Resolved { record, computed }, &mut out), event, "{name}");
        let line = String::from_utf8(out).unwrap();
        let line = line.strip_prefix("before").unwrap();
        let line = line.strip_suffix('\n').filter(|line| event || line.is_empty());
        let line = line.unwrap_or_default().to_owned();
        assert!(line.is_ascii() && !line.contains(|c: char| c.is_ascii_control()), "{line}");
        if event {
            let read = serde_json::from_str::<Unique>(&line);
            assert!(line.starts_with('{') && read.is_ok(), "{name} {:?}: {line}", read.err());
        }
        line
    };
    FORMATS.iter().map(line).collect()
}

proptest! {
    #[test]
    fn any_bytes_give_json(record in 0u16..720, mut body in prop::collection::vec(any::<u8>(), 0..900), small: bool) {
        if small {
            // Small numbers look like lengths and block types: they get deeper than noise.
            body.iter_mut().enumerate().for_each(|(i, b)| *b = if i % 4 == 3 { *b % 40 } else { 0 });
        }
        let mut bytes = [&u32::from(record).to_be_bytes()[..], &(body.len() as u32).to_be_bytes()].concat();
        bytes.extend(&body);
        lines(&Decoder::new().decode(&bytes).unwrap(), &[("sensor", Computed::Null), ("surprise", Computed::Uint(1))]);
    }
}

proptest! {
    // Hundreds of layouts each time.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn every_layout_with_every_name_gives_json(name in any::<String>(), fill in any::<u8>()) {
        let mut decoder = Decoder::new();
        for record in layout::records().iter().filter(|r| !r.metadata) {
            // Blocks of the same title are other versions of it.
            let own = record.main_layout();
            for block in layout::blocks().filter(|b| b.title == own.title).chain([own]) {
                let body = [&block.number.to_be_bytes()[..], &508u32.to_be_bytes(), &[fill; 500]].concat();
                let head = if record.discovery_header { vec![fill; 48] } else { Vec::new() };
                let mut bytes = u32::from(record.record_type).to_be_bytes().to_vec();
                bytes.extend(((head.len() + body.len()) as u32).to_be_bytes());
                bytes.extend(head.iter().chain(&body));
                let names: Vec<(&'static str, Computed<'_>)> = wire::resolution::names_of(record.record_type)
                    .iter().map(|n| (n.name, Computed::Text(name.as_str().into())))
                    .chain([("eventUid", Computed::Text(name.as_str().into())), ("domain", Computed::Text("d".into()))])
                    .collect();
                lines(&decoder.decode(&bytes).unwrap(), &names);
            }
        }
    }
}

#[test]
fn every_whole_event_gives_json() {
    let mut decoder = Decoder::new();
    for record in layout::records().iter().filter(|r| !r.metadata) {
        let Ok(event) = Event::new(record.record_type) else { continue };
        let mut bytes = Vec::new();
        event.encode(Some(1_714_000_800), &mut bytes);
        let decoded = decoder.decode(&bytes).unwrap();
        assert!(decoded.problem().is_none(), "{}", record.record_type);
        lines(&decoded, &[]);
    }
}

/// The values of a record as our JSON has them, those that say something.
fn values(json: &Value, found: &mut Vec<String>) {
    const BUILT: &[&str] = &[
        "recordLength",
        "blockType",
        "blockLength",
        "blockString",
        "listType",
        "listLength",
        "checksum",
        "archiveTimestamp",
    ];
    match json {
        Value::Object(map) => {
            map.iter().filter(|(key, _)| !BUILT.contains(&key.as_str())).for_each(|(_, v)| values(v, found));
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, found)),
        // Empty texts, the addresses and UUIDs of nothing.
        Value::String(text) if text.chars().all(|c| matches!(c, '0' | ':' | '-' | '.')) => {}
        Value::String(text) => found.push(text.to_lowercase()),
        // Some keys have no number rather than a 0 that means nothing.
        Value::Number(n) if n.as_u64() == Some(0) => {}
        other => found.push(other.to_string()),
    }
}

/// The values of a line as our JSON would have them.
fn printed(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(map) => map.values().for_each(|v| printed(v, found)),
        Value::Array(items) => items.iter().for_each(|item| printed(item, found)),
        Value::String(text) => {
            let time = text.parse::<jiff::Timestamp>().map(|time| time.as_second().to_string());
            let mac = text.len() == 17 && text.matches('-').count() == 5;
            let text = text.to_lowercase();
            let plain = text.strip_prefix("0x").unwrap_or(&text);
            found.push(time.unwrap_or_else(|_| if mac { text.replace('-', ":") } else { plain.to_owned() }));
        }
        other => {
            found.push(other.to_string());
            // Milliseconds.
            found.extend(other.as_u64().filter(|n| n % 1000 == 0).map(|n| (n / 1000).to_string()));
        }
    }
}

#[test]
fn no_field_is_lost() {
    let mut stream = Vec::new();
    let file = std::fs::File::open("tests/data/stream.bin.gz").unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut stream).unwrap();
    let mut rest = &stream[..];
    let mut decoder = Decoder::new();
    let (json, mut compared) = (Json::new(), 0);
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let (bytes, after) = after.split_at(u32::from_be_bytes(header[4..].try_into().unwrap()) as usize);
        rest = after;
        let Ok(record) = decoder.decode(bytes) else { continue };
        if record.layout.is_some_and(|l| l.metadata) {
            continue;
        }
        let mut out = Vec::new();
        json.format(&Resolved { record: &record, computed: &[] }, &mut out);
        let mut expected = Vec::new();
        values(&serde_json::from_slice(&out).unwrap(), &mut expected);
        for line in lines(&record, &[]) {
            let mut there = Vec::new();
            printed(&serde_json::from_str(&line).unwrap(), &mut there);
            for value in &expected {
                // Of an unknown block JSON does not print the header among the data.
                let same = |v: &String| v == value || (record.opaque() && v.get(16..) == Some(value));
                let place = there.iter().position(same);
                let place = place.unwrap_or_else(|| panic!("{value:?} is lost in {line}"));
                there.swap_remove(place);
            }
            compared += 1;
        }
    }
    assert!(compared > 1500, "{compared}");
}
