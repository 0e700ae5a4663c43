//! The dialect `standard`: whatever is in the texts of a record, its line is one line and reads back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may fail loudly.

use outputs::{Clock, Computed, Dialect, Format, Json, Options, Resolved, by_name};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;
use wire::decode::Decoder;
use wire::event::Event;

type Names<'a> = Vec<(&'static str, Computed<'a>)>;

fn options() -> Options {
    Options { host: "host-1".into(), clock: Clock::fixed(1_709_622_489), ..Options::default() }
}

/// The formats by name; `leef` with each delimiter, and CSV by set.
static FORMATS: LazyLock<BTreeMap<String, Box<dyn Format>>> = LazyLock::new(|| {
    let make = |name: &str, options: Options| by_name(name, Dialect::Standard, &options).unwrap();
    let mut formats: BTreeMap<String, Box<dyn Format>> = BTreeMap::new();
    for name in ["splunk", "kvpair", "cef", "cef2", "base64", "raw"] {
        formats.insert(name.into(), make(name, options()));
    }
    for delimiter in ['\t', '^', '~'] {
        let options = Options { delimiter, extended: true, ..options() };
        formats.insert(format!("leef{delimiter}"), make("leef", options));
    }
    for csv in outputs::registry::csv_sets().unwrap() {
        formats.insert(format!("csv {csv}"), make("csv", Options { csv, ..options() }));
    }
    formats
});

fn format(name: &str) -> &'static dyn Format {
    FORMATS[name].as_ref()
}

/// The line of an event, without its line feed; there is no other line end in it.
fn line(format: &dyn Format, event: &Event, names: &Names<'_>) -> String {
    let mut bytes = Vec::new();
    event.encode(Some(1_714_000_800), &mut bytes);
    let mut decoder = Decoder::new();
    let record = decoder.decode(&bytes).unwrap();
    let mut out = Vec::new();
    assert!(format.format(&Resolved { record: &record, computed: names }, &mut out));
    let line = String::from_utf8(out).expect("UTF-8");
    let line = line.strip_suffix('\n').expect("a line feed at the end").to_owned();
    assert!(!line.contains(['\n', '\r', '\0']), "{line:?}");
    line
}

/// What becomes of the octets of a text.
fn shown(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.replace('\0', ""),
        Err(_) => octets.iter().fold("0x".to_owned(), |hex, o| hex + &format!("{o:02x}")),
    }
}

fn named(text: &str) -> Computed<'_> {
    Computed::Text(text.into())
}

fn insert(map: &mut BTreeMap<String, String>, key: &str, value: String) {
    assert!(!key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')), "{key:?}");
    assert!(map.insert(key.to_owned(), value).is_none(), "{key} stands there twice");
}

/// Undoes backslash escapes.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some(c)) => out.push(c),
            (c, _) => out.push(c),
        }
    }
    out
}

/// `key=value` pairs, values in quotes where they have to be.
fn parse_pairs(mut rest: &str, separator: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    loop {
        let (key, after) = rest.split_once('=').expect("a key");
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.find(|c| {
                    let end = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    end
                });
                let (value, after) = quoted.split_at(end.expect("a closing quote"));
                (unescaped(value), &after[1..])
            }
            None => {
                let end = after.find(separator).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        insert(&mut map, key, value);
        match after.strip_prefix(separator) {
            Some(after) => rest = after,
            None => {
                assert_eq!(after, "");
                return map;
            }
        }
    }
}

/// The fields of a header, and what follows it.
fn header(line: &str, count: usize) -> (Vec<String>, &str) {
    let mut fields = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in line.char_indices() {
        if c == '|' && !escaped {
            fields.push(unescaped(&line[start..at]));
            start = at + 1;
            if fields.len() == count {
                return (fields, &line[start..]);
            }
        }
        escaped = c == '\\' && !escaped;
    }
    panic!("{} fields in the header of {line:?}", fields.len());
}

/// The extension of CEF: a key is what stands between a blank and an equals sign without backslash.
fn parse_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let (fields, rest) = header(line, 7);
    let mut map = BTreeMap::new();
    let mut signs = Vec::new();
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        if c == '=' && !escaped {
            signs.push(at);
        }
        escaped = c == '\\' && !escaped;
    }
    let key_start = |sign: usize| rest[..sign].rfind(' ').map_or(0, |blank| blank + 1);
    for (i, sign) in signs.iter().enumerate() {
        let end = signs.get(i + 1).map_or(rest.len(), |next| key_start(*next) - 1);
        insert(&mut map, &rest[key_start(*sign)..*sign], unescaped(&rest[sign + 1..end]));
    }
    (fields, map)
}

fn parse_leef(line: &str, delimiter: char) -> (Vec<String>, BTreeMap<String, String>) {
    let (fields, rest) = header(line, 6);
    let mut map = BTreeMap::new();
    for pair in rest.split(delimiter) {
        let (key, value) = pair.split_once('=').unwrap();
        insert(&mut map, key, value.to_owned());
    }
    (fields, map)
}

fn parse_csv(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut chars) = (false, line.chars().peekable());
    while let Some(c) = chars.next() {
        let field = fields.last_mut().unwrap();
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    assert!(!quoted);
    fields
}

/// Texts as an attacker would write them.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(vec![
        "\"",
        "\\",
        "=",
        "|",
        ",",
        " ",
        "\n",
        "\r",
        "\t",
        "^",
        "]",
        "'",
        "\0",
        "a",
        "key=value",
        " src=1.2.3.4",
        "ü",
        "\u{1f600}",
        "\\\"",
        "\\n",
        "{",
        "\u{2028}",
        "b",
        "0x",
    ]);
    let text = prop::collection::vec(special, 0..12).prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![4 => text, 1 => prop::collection::vec(any::<u8>(), 0..40), 1 => any::<String>().prop_map(String::into_bytes)]
}

fn connection(texts: &[Vec<u8>; 4]) -> Event {
    let mut event = Event::new(71).unwrap();
    let [url, query, netbios, agent] = texts;
    for (field, text) in [("clientUrl", url), ("dnsQuery", query), ("netbios", netbios), ("userAgent", agent)] {
        event.set(field, text.as_slice()).unwrap();
    }
    let discovery = event.discovery_mut().unwrap();
    discovery.set("eventSecond", 1_714_000_787u32).unwrap().set("eventType", 1003u32).unwrap();
    discovery.set("eventSubtype", 1u32).unwrap();
    event.set("initiatorPort", 40_000u16).unwrap().set("responderPort", 443u16).unwrap();
    event
}

fn intrusion() -> Event {
    let mut event = Event::new(400).unwrap();
    event
        .set("eventSecond", 1_714_000_787u32)
        .unwrap()
        .set("generatorId", 1u32)
        .unwrap()
        .set("ruleId", 2003u32)
        .unwrap();
    event.set("priorityId", 1u32).unwrap().set("impact", 2u8).unwrap();
    event
}

proptest! {
    #[test]
    fn splunk_and_kvpair(texts in prop::array::uniform4(octets()), name in octets()) {
        let name = String::from_utf8_lossy(&name).into_owned();
        let names = vec![("firewallRule", named(&name)), ("sensor", named(&name))];
        let event = connection(&texts);
        let name = name.replace('\0', "");
        for (kind, separator, keys) in [
            ("splunk", " ", ["url", "dns_query", "netbios_domain", "user_agent", "fw_rule", "sensor"]),
            ("kvpair", ", ", ["clientUrl", "dnsQuery", "netbios", "userAgent", "firewallRule", "sensor"]),
        ] {
            let line = line(format(kind), &event, &names);
            let map = parse_pairs(&line, separator);
            for (key, text) in keys.iter().zip(&texts) {
                prop_assert_eq!(&map[*key], &shown(text), "{} in {}", key, line);
            }
            for key in &keys[4..] {
                prop_assert_eq!(map.get(*key).map_or("", String::as_str), name.as_str(), "{} in {}", key, &line);
            }
        }
    }

    #[test]
    fn cef(texts in prop::array::uniform4(octets()), name in octets()) {
        let name = String::from_utf8_lossy(&name).into_owned();
        let plain = name.replace('\0', "");
        let event = connection(&texts);
        for kind in ["cef", "cef2"] {
            let line = line(format(kind), &event, &vec![("sensor", named(&name))]);
            let (fields, map) = parse_cef(&line);
            prop_assert_eq!(&fields[0], "<13>Mar  5 07:08:09 host-1 CEF:0");
            prop_assert_eq!(&fields[1..], ["Cisco", "Firepower", "6.0", "RNA:1003:1", "CONNECTION STATISTICS", "3"]);
            let value = |key: &str| map.get(key).map_or("", String::as_str);
            prop_assert_eq!(value("request"), shown(&texts[0]));
            prop_assert_eq!(value("destinationDnsDomain"), shown(&texts[1]));
            prop_assert_eq!(value("dvchost"), &plain);
            prop_assert_eq!((value("spt"), value("rt")), ("40000", "1714000787000"));
            if kind == "cef2" {
                prop_assert_eq!(value("netbios"), shown(&texts[2]));
                prop_assert_eq!(value("userAgent"), shown(&texts[3]));
            }
        }
        let line = line(format("cef"), &intrusion(), &vec![("message", named(&name))]);
        let (fields, map) = parse_cef(&line);
        prop_assert_eq!(&fields[4], "INTRUSION:400:1:2003");
        prop_assert_eq!(&fields[5], &plain.replace(['\n', '\r'], " "));
        prop_assert_eq!(&fields[6], "9");
        // Labels only with their values.
        for label in map.keys().filter_map(|key| key.strip_suffix("Label")) {
            prop_assert!(map.contains_key(label), "{} without a value in {}", label, line);
        }
    }

    #[test]
    fn leef(texts in prop::array::uniform4(octets()), delimiter in prop::sample::select(vec!['\t', '^', '~'])) {
        let format = format(&format!("leef{delimiter}"));
        let line = line(format, &connection(&texts), &Vec::new());
        let (fields, map) = parse_leef(&line, delimiter);
        prop_assert_eq!(&fields[0], "<13>Mar  5 07:08:09 host-1 LEEF:2.0");
        let code = format!("x{:02X}", delimiter as u32);
        prop_assert_eq!(&fields[1..], ["Cisco", "Firepower", "6.0", "RNA:1003:1", &code]);
        // What LEEF has no way to say is replaced.
        let tab = if delimiter == '\t' { "\\t" } else { " " };
        let replaced = |text: &[u8]| shown(text).replace('\n', "\\n").replace('\r', "\\r").replace(delimiter, tab);
        let value = |key: &str| map.get(key).map_or("", String::as_str);
        prop_assert_eq!(value("url"), replaced(&texts[0]));
        prop_assert_eq!(value("destinationDnsDomain"), replaced(&texts[1]));
        prop_assert_eq!(value("netbios"), replaced(&texts[2]));
        prop_assert_eq!((value("dstPort"), value("devTime"), value("sev")), ("443", "1714000787000", "3"));
    }

    #[test]
    fn csv(texts in prop::array::uniform4(octets())) {
        let format = format("csv connection");
        let mut names = Vec::new();
        prop_assert!(format.header(&mut names));
        let names = parse_csv(String::from_utf8(names).unwrap().trim_end());
        let line = line(format, &connection(&texts), &Vec::new());
        let fields = parse_csv(&line);
        prop_assert_eq!(fields.len(), names.len());
        let value = |name: &str| &fields[names.iter().position(|n| n == name).unwrap()];
        let replaced = |text: &[u8]| shown(text).replace('\n', "\\n").replace('\r', "\\r");
        prop_assert_eq!(value("url"), &replaced(&texts[0]));
        prop_assert_eq!(value("dns_query"), &replaced(&texts[1]));
        prop_assert_eq!((value("src_port").as_str(), value("event_sec").as_str()), ("40000", "1714000787"));
    }

    #[test]
    fn any_bytes_give_one_line(record in 0u16..720, mut body in prop::collection::vec(any::<u8>(), 0..600), small: bool) {
        if small {
            // Small numbers look like lengths and block types: they get deeper than noise.
            body.iter_mut().enumerate().for_each(|(i, b)| *b = if i % 4 == 3 { *b % 40 } else { 0 });
        }
        let mut bytes = [&u32::from(record).to_be_bytes()[..], &(body.len() as u32).to_be_bytes()].concat();
        bytes.extend(&body);
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(&bytes).unwrap();
        let event = decoded.layout.is_none_or(|l| !l.metadata);
        let resolved = Resolved { record: &decoded, computed: &[("sensor", Computed::Null)] };
        for name in ["splunk", "kvpair", "cef", "cef2", "leef\t"] {
            let mut out = b"before\n".to_vec();
            let printed = format(name).format(&resolved, &mut out);
            let line = String::from_utf8(out).unwrap();
            let line = line.strip_prefix("before\n").unwrap();
            prop_assert_eq!(printed, !line.is_empty());
            prop_assert_eq!(printed, event || matches!(name, "splunk" | "kvpair"));
            let Some(line) = line.strip_suffix('\n') else { continue };
            prop_assert!(!line.contains(['\n', '\r']));
            match name {
                "splunk" => drop(parse_pairs(line, " ")),
                "kvpair" => drop(parse_pairs(line, ", ")),
                "cef" | "cef2" => drop(parse_cef(line)),
                _ => drop(parse_leef(line, '\t')),
            }
        }
    }
}

/// The values of a record as JSON has them, without those that only say how it is built.
fn values(json: &Value, found: &mut Vec<String>) {
    const BUILT: [&str; 9] = [
        "recordLength",
        "blockType",
        "blockLength",
        "blockString",
        "listType",
        "listLength",
        "checksum",
        "archiveTimestamp",
        "length",
    ];
    match json {
        Value::Object(map) => {
            map.iter().filter(|(key, _)| !BUILT.contains(&key.as_str())).for_each(|(_, v)| values(v, found));
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, found)),
        Value::String(text) => found.push(text.clone()),
        other => found.push(other.to_string()),
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
        let resolved = Resolved { record: &record, computed: &[] };
        let mut out = Vec::new();
        json.format(&resolved, &mut out);
        let mut expected = Vec::new();
        values(&serde_json::from_slice(&out).unwrap(), &mut expected);
        for (name, separator) in [("splunk", " "), ("kvpair", ", ")] {
            let mut out = Vec::new();
            format(name).format(&resolved, &mut out);
            let line = String::from_utf8(out).unwrap();
            let map = parse_pairs(line.trim_end_matches('\n'), separator);
            let mut there: Vec<&str> = map.values().map(String::as_str).collect();
            // Of an unknown record there may be nothing but its header.
            for value in expected.iter().filter(|v| record.layout.is_some() || !v.is_empty()) {
                let hex = format!("0x{value}");
                // Of an unknown block JSON does not print the header among the data.
                let same = |v: &str| v == value || v == hex || (record.opaque() && v.get(16..) == Some(value));
                let place = there.iter().position(|v| same(v));
                let place = place.unwrap_or_else(|| panic!("{value:?} is lost in {line}"));
                there.swap_remove(place);
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 2 * 1745);
}

#[test]
fn devices_would_write_their_syslog_so() {
    let make = |syslog| by_name("fmc-syslog", Dialect::Standard, &Options { syslog, ..options() }).unwrap();
    let mut event = connection(&[b"http://a/b, c".to_vec(), vec![], b"two\nlines".to_vec(), vec![]]);
    event.set("firstPacketTimestamp", 1_714_000_700u32).unwrap().set("protocol", 6u8).unwrap();
    event.set("connectionCounter", 7u16).unwrap();
    let names: Names<'_> = vec![
        ("transportProtocol", named("TCP")),
        ("firewallRuleAction", named("Block with reset")),
        ("sensor", named("ftd 1")),
        ("eventSecond", Computed::Uint(1_714_000_787)),
    ];
    let begin = line(make(true).as_ref(), &event, &names);
    let start = "<9>2024-04-24T23:19:47Z ftd_1 : %FTD-1-430002: EventPriority: Low, InstanceID: 0, \
        FirstPacketSecond: 2024-04-24T23:18:20Z, ConnectionID: 7, AccessControlRuleAction: Block with reset, ";
    assert!(begin.starts_with(start), "{begin}");
    assert!(begin.contains(", SrcPort: 40000, DstPort: 443, Protocol: tcp, "), "{begin}");
    assert!(begin.contains(", URL: http://a/b, c, ") && begin.ends_with(", NetBIOSDomain: two lines"), "{begin}");
    assert!(!begin.contains("DNSQuery") && !begin.contains("ConnectionDuration"), "{begin}");
    event.set("lastPacketTimestamp", 1_714_000_705u32).unwrap();
    let end = line(make(false).as_ref(), &event, &Vec::new());
    assert!(end.starts_with("%FTD-1-430003: ") && end.contains(", ConnectionDuration: 5, "), "{end}");

    let intrusion = line(make(false).as_ref(), &intrusion(), &vec![("message", named("SLAMMER"))]);
    assert!(intrusion.starts_with("%FTD-1-430001: ") && intrusion.contains(", Message: SLAMMER"), "{intrusion}");
    for (record, id) in [(500, "430004"), (502, "430005")] {
        let line = line(make(false).as_ref(), &Event::new(record).unwrap(), &Vec::new());
        assert!(line.starts_with(&format!("%FTD-1-{id}: ")), "{line}");
    }
    let mut out = Vec::new();
    let mut bytes = Vec::new();
    Event::new(112).unwrap().encode(None, &mut bytes);
    let mut decoder = Decoder::new();
    let record = decoder.decode(&bytes).unwrap();
    assert!(!make(false).format(&Resolved { record: &record, computed: &[] }, &mut out), "there is no such message");
}

#[test]
fn events_of_old_versions_have_the_keys_of_today() {
    let mut event = Event::new(104).unwrap();
    event
        .set("sourceIpAddress", [192, 0, 2, 1])
        .unwrap()
        .set("generatorId", 3u32)
        .unwrap()
        .set("ruleId", 7u32)
        .unwrap();
    let (fields, map) = parse_cef(&line(format("cef"), &event, &Vec::new()));
    assert_eq!((fields[4].as_str(), map["src"].as_str()), ("INTRUSION:400:3:7", "192.0.2.1"));
    let splunk = line(format("splunk"), &event, &Vec::new());
    assert!(splunk.starts_with("rec_type=104 ") && splunk.contains(" src_ip=192.0.2.1 "), "{splunk}");
}

#[test]
fn records_as_they_came() {
    let mut bytes = Vec::new();
    intrusion().encode(Some(1_714_000_800), &mut bytes);
    let mut decoder = Decoder::new();
    let record = decoder.decode(&bytes).unwrap();
    let mut out = Vec::new();
    assert!(format("raw").format(&Resolved { record: &record, computed: &[] }, &mut out));
    assert_eq!(&out[..8], [[0, 1, 0, 4], (bytes.len() as u32).to_be_bytes()].concat());
    assert_eq!(&out[8..], bytes);
    assert!(line(format("base64"), &intrusion(), &Vec::new()).starts_with("AAABkAAA"));
}

#[test]
fn the_columns_of_the_sdk() {
    let format = format("csv sdk");
    let mut header = Vec::new();
    assert!(format.header(&mut header));
    let columns = "sensor_id|event_id|event_sec|event_usec|sid|gen|rev|class|priority|src_addr|dst_addr|src_port|dst_port|\
        ip_proto|impact_flag|pad\n";
    assert_eq!(String::from_utf8(header).unwrap(), columns);
    assert_eq!(line(format, &intrusion(), &Vec::new()), "0|0|1714000787|0|2003|1|0|0|1|::|::|0|0|0|0|0");
}
