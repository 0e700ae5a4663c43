//! eNcore 3's `pretty` and `kvpair`: the decoded record as Python shows it.
//!
//! Both print the fields of the record under the names that JSON has for them, nothing renamed. They work from the JSON
//! of the record: they are for people and for small streams.

use crate::json::Json;
use crate::python::repr;
use crate::resolved::{Format, Resolved};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Several lines a record, for people.
#[derive(Debug)]
pub(crate) struct Pretty {
    json: Json,
}

/// `key=value` joined by comma and blank; nested objects are Python text.
#[derive(Debug)]
pub(crate) struct KvPair {
    json: Json,
}

impl Pretty {
    pub(crate) fn new(json: Json) -> Self {
        Pretty { json }
    }
}

impl KvPair {
    pub(crate) fn new(json: Json) -> Self {
        KvPair { json }
    }
}

/// The record as JSON has it.
fn object(json: &Json, event: &Resolved<'_>) -> Option<Map<String, Value>> {
    let mut line = Vec::new();
    json.format(event, &mut line);
    serde_json::from_slice(&line).ok()
}

impl Format for Pretty {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let Some(mut record) = object(&self.json, event) else { return false };
        let length = event.record.bytes().len();
        let kind = record.shift_remove("recordType").unwrap_or_default();
        let archived = record.shift_remove("archiveTimestamp").and_then(|t| t.as_i64()).unwrap_or(0);
        let category = event.record.layout.map_or("unknown", |l| l.category);
        let mut text =
            format!("version: 1\nmessageType: 4 (Data)\nlength: {length}\nrecordType: {kind} ({category})\n");
        let archived = match jiff::Timestamp::from_second(archived) {
            Ok(time) if archived != 0 => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            _ => "0".to_owned(),
        };
        let _ = writeln!(text, "archiveTimestamp: {archived}");
        text.push_str("============\n");
        fields(&record, 0, &mut text);
        out.extend_from_slice(text.as_bytes());
        true
    }
}

/// `name: value`, a nested object on the following lines one tab further in. Writing to a String does not fail.
fn fields(object: &Map<String, Value>, depth: usize, out: &mut String) {
    for (name, value) in object {
        named(name, value, depth, out);
    }
}

fn named(name: &str, value: &Value, depth: usize, out: &mut String) {
    let tabs = "\t".repeat(depth);
    match value {
        Value::Object(inner) => {
            let _ = writeln!(out, "{tabs}{name}:");
            fields(inner, depth + 1, out);
        }
        Value::Array(items) => {
            let _ = writeln!(out, "{tabs}{name}:");
            for (i, item) in items.iter().enumerate() {
                named(&i.to_string(), item, depth + 1, out);
            }
        }
        Value::String(text) => {
            let _ = writeln!(out, "{tabs}{name}: {}", text.replace('\r', "\\r").replace('\n', "\\n"));
        }
        other => {
            let _ = writeln!(out, "{tabs}{name}: {other}");
        }
    }
}

impl Format for KvPair {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let Some(record) = object(&self.json, event) else { return false };
        let mut text = String::new();
        for (i, (name, value)) in record.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let _ = write!(text, "{comma}{name}=");
            match value {
                Value::String(value) if value.contains([' ', '=']) || value.is_empty() => {
                    let _ = write!(text, "\"{}\"", one_line(value));
                }
                Value::String(value) => text.push_str(&one_line(value)),
                other => python(other, &mut text),
            }
        }
        text.push('\n');
        out.extend_from_slice(text.as_bytes());
        true
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "")
}

/// A value as Python's `str` shows it.
fn python(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::String(text) => repr(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                python(item, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (i, (name, value)) in object.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(name, out);
                out.push_str(": ");
                python(value, out);
            }
            out.push('}');
        }
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(n) => {
            let _ = write!(out, "{n}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolved::Computed;
    use wire::decode::Decoder;

    fn printed(format: &dyn Format) -> String {
        let bytes = [0, 0, 0, 4, 0, 0, 0, 13, 0x66, 0x29, 0x90, 0x85, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7];
        let bytes = [&bytes[..], b"hi = it"].concat();
        let mut decoder = Decoder::new();
        let record = decoder.decode(&bytes).unwrap();
        let computed = [("sensor", Computed::Null), ("note", Computed::Text("it's".into()))];
        let mut out = Vec::new();
        assert!(format.format(&Resolved { record: &record, computed: &computed }, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records_for_people() {
        let expected = "version: 1\nmessageType: 4 (Data)\nlength: 29\nrecordType: 4 (PRIORITY)\n\
            archiveTimestamp: 2024-04-24 23:06:45\n============\nrecordLength: 13\nblockType: 0\nchecksum: 0\nid: 1\n\
            length: 7\nname: hi = it\n@computed:\n\tsensor: null\n\tnote: it's\n";
        assert_eq!(printed(&Pretty::new(Json::new())), expected);
    }

    #[test]
    fn pairs() {
        let expected = "recordType=4, recordLength=13, blockType=0, archiveTimestamp=1714000005, checksum=0, id=1, \
            length=7, name=\"hi = it\", @computed={'sensor': None, 'note': \"it's\"}\n";
        assert_eq!(printed(&KvPair::new(Json::new())), expected);
    }
}
