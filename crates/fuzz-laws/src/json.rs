//! JSON lines.

use crate::record::with_right_length;
use collector::resolve::Resolver;
use collector::tables::Tables;
use outputs::{Format, Json, Resolved};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use std::sync::OnceLock;
use wire::decode::Decoder;
use wire::message::Items;

/// Whatever a bundle holds, after whatever metadata came before: each record becomes one line of ASCII that is a JSON
/// object without a key twice, and the line is in proportion to the record.
pub fn json(data: &[u8]) {
    static FORMAT: OnceLock<Json> = OnceLock::new();
    static BUILT_IN: OnceLock<Tables> = OnceLock::new();
    let format = FORMAT.get_or_init(Json::new);
    let mut tables = BUILT_IN.get_or_init(Tables::built_in).clone();
    let mut resolver = Resolver::new();
    let mut decoder = Decoder::new();
    let mut at = 0;
    for item in Items::new(data) {
        match item {
            Ok(item) => {
                line(item.body, &mut decoder, &mut tables, &mut resolver, format);
                at += 8 + item.body.len();
            }
            // The rest is a record all the same, for want of a better one.
            Err(_) => {
                let rest = data.get(at + 8..).unwrap_or_default();
                line(rest, &mut decoder, &mut tables, &mut resolver, format);
            }
        }
    }
}

fn line(item: &[u8], decoder: &mut Decoder, tables: &mut Tables, resolver: &mut Resolver, format: &Json) {
    let repaired = with_right_length(item);
    let item = repaired.as_deref().unwrap_or(item);
    let Ok(record) = decoder.decode(item) else { return };
    tables.store(&record);
    assert!(!tables.store(&record), "the same names again are no news");
    let mut computed = Vec::new();
    resolver.resolve(&record, tables, &mut computed);
    let resolved = Resolved { record: &record, computed: &computed };

    let mut out = b"before\n".to_vec();
    if !format.format(&resolved, &mut out) {
        return assert_eq!(out, b"before\n", "nothing was said");
    }
    let line = out.strip_prefix(b"before\n").expect("what was there stays");
    let text = line.strip_suffix(b"\n").expect("a line ends with a line feed");
    let odd = text.iter().find(|octet| !(b' '..=b'~').contains(*octet));
    assert_eq!(odd, None, "all of a line is printable ASCII");
    match serde_json::from_slice::<Unique>(text) {
        Ok(Unique::Object) => {}
        Ok(Unique::Other) => panic!("a line is an object: {}", String::from_utf8_lossy(text)),
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(text)),
    }
    let names: usize = computed
        .iter()
        .map(|(_, value)| match value {
            outputs::Computed::Text(text) => 64 + 6 * text.len(),
            _ => 64,
        })
        .sum();
    assert!(line.len() <= (64 << 10) + 128 * item.len() + names, "{} bytes of JSON for {}", line.len(), item.len());
}

/// A JSON value; to read it is to see that no object in it has a key twice.
enum Unique {
    Object,
    Other,
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique::Other)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some((key, _)) = map.next_entry::<String, Unique>()? {
            if keys.contains(&key) {
                return Err(A::Error::custom(format!("the key {key} comes twice")));
            }
            keys.insert(key);
        }
        Ok(Unique::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        while seq.next_element::<Unique>()?.is_some() {}
        Ok(Unique::Other)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Unique, E> {
        Ok(Unique::Other)
    }
}
