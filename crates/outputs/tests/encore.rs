//! JSON, Splunk, CEF and CEF2 of the dialect `encore-5` against what eNcore 5.2.11 prints for the same bytes and names.
//!
//! `data/stream.bin.gz`: a synthetic stream with every record type and layout. `data/formats.jsonl.gz`: for each message
//! its `index`, the names eNcore has `computed` for it, and its lines; a number stands for the CRC-32 of a line, `=` for
//! the CEF line. The JSON is that of the golden data of the command. Clock and host are fixed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

use flate2::Crc;
use flate2::read::GzDecoder;
use outputs::{Clock, Computed, Dialect, Format, Options, PacketEncoding, Resolved, by_name};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use wire::decode::Decoder;
use wire::event::Event;

/// Where we differ: messages, formats, and why.
const EXCEPTIONS: &[(RangeInclusive<u64>, &[&str], &str)] = &[
    (947..=948, CEFS, "an action beyond its table stops eNcore; we print the number"),
    (963..=964, CEFS, "the same"),
    (979..=980, CEFS, "the same"),
    (1165..=1165, CEFS, "the same"),
    (1727..=1727, CEFS, "the same"),
    (1730..=1730, CEFS, "the same"),
    (1153..=1164, &["cef2"], "the same, with the shorter table of cef2"),
    (1054..=1076, &["cef2"], "eNcore's cef2 stops at every packet; we print it as cef does"),
    (1095..=1095, &["cef2"], "the same"),
    (1069..=1069, &["splunk", "cef"], "a packet is not text, even when it happens to be valid UTF-8"),
    (1092..=1092, &["splunk"], "eNcore reads the host address 8 bytes too far after a short record header"),
    (1094..=1094, &["splunk"], "the same: the rest of the discovery header is lost"),
    (1105..=1106, &["splunk"], "eNcore gives up where the discovery header has no address"),
    (1107..=1111, &["splunk"], "there is no address; eNcore prints the bytes that follow"),
    (
        1112..=1119,
        &["splunk", "cef", "cef2"],
        "a block of another type is not read with the layout of the expected one",
    ),
    (1132..=1132, &["splunk"], "a String block cannot be shorter than its header"),
    (1136..=1136, &["splunk"], "a block of type 35 is no String block"),
];

const CEFS: &[&str] = &["cef", "cef2"];

/// Names that eNcore 5 keeps as the blocks they came in.
const USERS: &[&str] = &["agentUser", "sourceUser", "destinationUser"];

struct Message {
    index: u64,
    bytes: Vec<u8>,
    expected: Value,
}

fn unpacked(file: &str) -> impl Read {
    GzDecoder::new(std::fs::File::open(format!("tests/data/{file}")).unwrap())
}

fn golden() -> Vec<Message> {
    let mut stream = Vec::new();
    unpacked("stream.bin.gz").read_to_end(&mut stream).unwrap();
    let mut rest = &stream[..];
    let lines = BufReader::new(unpacked("formats.jsonl.gz")).lines();
    let message = |line: std::io::Result<String>| {
        let expected: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let (header, after) = rest.split_first_chunk::<8>().unwrap();
        let length = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
        let bytes;
        (bytes, rest) = after.split_at(length);
        Message { index: expected["index"].as_u64().unwrap(), bytes: bytes.to_vec(), expected }
    };
    lines.map(message).collect()
}

/// Names as the format gets them.
fn computed(names: &Value) -> Vec<(&'static str, Computed<'_>)> {
    let value = |name: &str, value: &'static Value| match value {
        // Users that metadata named are blocks.
        Value::String(text) if USERS.contains(&name) && text != "Unknown" => Computed::Block(text.as_bytes()),
        Value::String(text) => Computed::Text(text.as_str().into()),
        Value::Null => Computed::Null,
        number => Computed::Uint(number.as_u64().unwrap()),
    };
    let names: &'static Map<String, Value> = Box::leak(Box::new(names.as_object().unwrap().clone()));
    names.iter().map(|(name, v)| (name.as_str(), value(name, v))).collect()
}

fn options() -> Options {
    Options { host: "golden-host".into(), clock: Clock::fixed(1_709_622_489), ..Options::default() }
}

fn line(
    format: &dyn Format,
    decoder: &mut Decoder,
    bytes: &[u8],
    names: &[(&'static str, Computed<'_>)],
) -> Option<String> {
    let record = decoder.decode(bytes).ok()?;
    let mut out = b"before".to_vec();
    let printed = format.format(&Resolved { record: &record, computed: names }, &mut out);
    let line = String::from_utf8(out).unwrap();
    let line = line.strip_prefix("before").unwrap();
    assert_eq!(printed, !line.is_empty());
    printed.then(|| line.strip_suffix('\n').unwrap().to_owned())
}

/// Whether a line is the expected one.
fn same(ours: Option<&str>, theirs: Option<&Value>, cef: Option<&Value>) -> bool {
    match theirs {
        Some(Value::Number(sum)) => ours.is_some_and(|line| {
            let mut crc = Crc::new();
            crc.update(line.as_bytes());
            Some(u64::from(crc.sum())) == sum.as_u64()
        }),
        Some(Value::String(line)) if line == "=" => same(ours, cef, None),
        Some(Value::String(line)) => ours == Some(line.as_str()),
        _ => ours.is_none(),
    }
}

#[test]
fn lines_are_encores_byte_for_byte() {
    let formats = ["splunk", "cef", "cef2"].map(|name| (name, by_name(name, Dialect::Encore5, &options()).unwrap()));
    let mut decoder = Decoder::new();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut equal: BTreeMap<&str, usize> = BTreeMap::new();
    for message in golden().iter().filter(|m| m.expected["computed"].is_object()) {
        let names = computed(&message.expected["computed"]);
        for (name, format) in &formats {
            let ours = line(format.as_ref(), &mut decoder, &message.bytes, &names);
            let theirs = message.expected.get(*name);
            if same(ours.as_deref(), theirs, message.expected.get("cef")) {
                *equal.entry(name).or_default() += usize::from(theirs.is_some());
                continue;
            }
            let exception = EXCEPTIONS.iter().position(|(m, f, _)| m.contains(&message.index) && f.contains(name));
            match exception {
                Some(i) => {
                    used.insert(i);
                }
                None => wrong.push(format!("{} {name}\n  ours   {ours:?}\n  theirs {theirs:?}", message.index)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines differ:\n{}", wrong.len(), wrong.join("\n"));
    for (i, (messages, formats, reason)) in EXCEPTIONS.iter().enumerate() {
        assert!(used.contains(&i), "the exception for {messages:?} {formats:?} ({reason}) is not needed");
    }
    assert_eq!(equal.into_iter().collect::<Vec<_>>(), [("cef", 555), ("cef2", 476), ("splunk", 1647)]);
}

#[test]
fn json_is_encores_byte_for_byte() {
    let format = by_name("json", Dialect::Encore5, &options()).unwrap();
    let text = GzDecoder::new(std::fs::File::open("../cli/tests/data/golden/expected.txt.gz").unwrap());
    let numbered = |line: String| line.split_once('\t').map(|(n, line)| (n.parse().unwrap(), line.to_owned())).unwrap();
    let theirs: BTreeMap<u64, String> = BufReader::new(text).lines().map(Result::unwrap).map(numbered).collect();
    let mut decoder = Decoder::new();
    let mut used = BTreeSet::new();
    let mut equal = 0;
    for message in golden() {
        let theirs = &theirs[&message.index];
        if !theirs.starts_with('{') {
            continue;
        }
        let names = computed(&message.expected["computed"]);
        if line(format.as_ref(), &mut decoder, &message.bytes, &names).as_ref() == Some(theirs) {
            equal += 1;
            continue;
        }
        // The faults that are not repeated in splunk lines are not repeated here.
        let exception = EXCEPTIONS.iter().position(|(m, f, _)| m.contains(&message.index) && f.contains(&"splunk"));
        assert!(used.insert((exception, message.index)) && exception.is_some(), "{}: {theirs}", message.index);
    }
    assert_eq!(equal, 1644);
}

#[test]
fn json_shows_packets_as_it_is_told() {
    let mut decoder = Decoder::new();
    for (encoding, packets, original_packet) in ENCODINGS {
        let format = by_name("json", Dialect::Encore5, &Options { packets, original_packet, ..options() }).unwrap();
        for message in golden().iter().filter(|m| m.expected["packets"].is_object() && m.index != 1069) {
            let expected = &message.expected["packets"][encoding]["computed"];
            let names = computed(&message.expected["computed"]);
            let ours = line(format.as_ref(), &mut decoder, &message.bytes, &names).unwrap();
            let ours: Value = serde_json::from_str(&ours).unwrap();
            assert_eq!(ours["@computed"], *expected, "{} {encoding}", message.index);
        }
    }
}

#[test]
fn what_encore_loses_is_printed() {
    let formats = ["splunk", "cef"].map(|name| by_name(name, Dialect::Encore5, &options()).unwrap());
    let mut decoder = Decoder::new();
    let (mut printed, mut silent) = ([0, 0], 0);
    for message in golden().iter().filter(|m| m.expected["computed"].is_null()) {
        let lines = formats.each_ref().map(|f| line(f.as_ref(), &mut decoder, &message.bytes, &[]));
        match lines {
            // Record length and message length disagree, or there is no whole record header.
            [None, None] => {
                assert!(matches!(message.index, 1138..=1140), "{}", message.index);
                silent += 1;
            }
            lines => lines.iter().zip(&mut printed).for_each(|(line, n)| *n += usize::from(line.is_some())),
        }
    }
    assert_eq!((printed, silent), ([84, 29], 3));
}

fn printed(name: &str, dialect: Dialect, event: &Event, names: &[(&'static str, Computed<'_>)]) -> String {
    let mut bytes = Vec::new();
    event.encode(Some(1_714_000_800), &mut bytes);
    line(by_name(name, dialect, &options()).unwrap().as_ref(), &mut Decoder::new(), &bytes, names).unwrap()
}

fn text(text: &str) -> Computed<'_> {
    Computed::Text(text.into())
}

#[test]
fn version_3_has_its_own_keys() {
    let mut event = Event::new(400).unwrap();
    event.set("eventSecond", 1_714_000_787u32).unwrap().set("generatorId", 1u32).unwrap().set("userId", 7u32).unwrap();
    event.set("blocked", 1u8).unwrap().set("priorityId", 1u32).unwrap().set("impact", 2u8).unwrap();
    let names = [
        ("recordTypeCategory", text("IPS EVENT")),
        ("recordTypeDescription", text("Intrusion Event")),
        ("message", text("a|b")),
        ("renderedId", Computed::Uint(2003)),
        ("classificationDescription", text("x|y = \\z")),
        ("blocked", text("Yes")),
        ("user", text("alice")),
        ("sensor", text("fw|1")),
        ("eventSecond", Computed::Uint(1_714_000_787)),
    ];
    let line = printed("cef", Dialect::Encore3, &event, &names);
    let start =
        "<13>Mar 05 07:08:09 golden-host CEF:0|Cisco|Firepower|6.0|[1:2003]|a|b|9|act=Blocked cat=\"x|y = \\\\z\" ";
    assert!(line.starts_with(start), "{line}");
    assert!(line.contains(" dvchost=fw|1 ") && line.ends_with(" suser=alice"), "{line}");
    let five = printed("cef", Dialect::Encore5, &event, &names);
    assert!(five.contains("|INTRUSION:400:1:2003|a|b|9|act=Dropped ") && five.ends_with(" suser=7"), "{five}");
    assert!(five.contains(" dvchost=fw\\|1 "), "{five}");

    let line = printed("splunk", Dialect::Encore3, &event, &names);
    for there in [" blocked=Yes ", " user=alice ", " rec_type_simple=\"IPS EVENT\" ", " sid=2003 "] {
        assert!(line.contains(there), "{there} in {line}");
    }
    for absent in ["rec_type_category", "blockType", "snort_version", "blocked_reason_id"] {
        assert!(!line.contains(absent), "{absent} in {line}");
    }
    event.set("blocked", 3u8).unwrap();
    assert!(printed("splunk", Dialect::Encore3, &event, &names).contains(" blocked=3 "));

    let mut packet = Event::new(2).unwrap();
    packet.set("packetSecond", 5u32).unwrap().set("packetMicrosecond", 6u32).unwrap();
    assert!(printed("splunk", Dialect::Encore3, &packet, &[]).ends_with(" packet_usec=5 packet_sec=6"));

    let mut user = Event::new(98).unwrap();
    user.set("id", 7u32).unwrap().set("username", "it's").unwrap();
    assert_eq!(printed("splunk", Dialect::Encore3, &user, &[]), "rec_type=98 ip_proto=0 id=7 name=it's");
    let block = "rec_type=98 ip_proto=0 id=7 username={'blockType': 0, 'blockLength': 12, 'data': \"it's\"}";
    assert_eq!(printed("splunk", Dialect::Encore5, &user, &[]), block);
}

#[test]
fn json_of_version_3_has_no_later_fields() {
    let keys = |dialect, event: &Event| -> BTreeSet<String> {
        let line = printed("json", dialect, event, &[]);
        serde_json::from_str::<Map<String, Value>>(&line).unwrap().keys().cloned().collect()
    };
    for (record, gone) in
        [(400, "blockedReasonId snortVersion httpHostname"), (71, "sourceSecurityGroupTag eveProcess")]
    {
        let event = Event::new(record).unwrap();
        let (three, five) = (keys(Dialect::Encore3, &event), keys(Dialect::Encore5, &event));
        assert!(three.is_subset(&five));
        for field in gone.split(' ') {
            assert!(five.contains(field) && !three.contains(field), "{field}");
        }
    }
}

#[test]
fn discovery_events_of_version_3_have_the_old_address() {
    let mut event = Event::new(19).unwrap();
    let header = event.discovery_mut().unwrap();
    header.set("legacyIpAddress", [192, 0, 2, 7]).unwrap().set("eventSecond", 9u32).unwrap();
    let line = printed("splunk", Dialect::Encore3, &event, &[]);
    assert!(line.ends_with(" mac_address=00:00:00:00:00:00 has_ipv6=0 legacy_ip_address=192.0.2.7"), "{line}");
}

const ENCODINGS: [(&str, PacketEncoding, bool); 3] = [
    ("ascii", PacketEncoding::Ascii, true),
    ("utf-8", PacketEncoding::Utf8, true),
    ("hex, original left out", PacketEncoding::Hex, false),
];

#[test]
fn packets_in_every_encoding() {
    let mut decoder = Decoder::new();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (encoding, packets, original_packet) in ENCODINGS {
        let options = Options { packets, original_packet, ..options() };
        for message in golden().iter().filter(|m| m.expected["packets"].is_object() && m.index != 1069) {
            let expected = &message.expected["packets"][encoding];
            // With the names of that run, and with those of any other.
            for names in [&expected["computed"], &message.expected["computed"]] {
                for name in ["splunk", "cef"] {
                    let format = by_name(name, Dialect::Encore5, &options).unwrap();
                    let ours = line(format.as_ref(), &mut decoder, &message.bytes, &computed(names));
                    compared += 1;
                    if !same(ours.as_deref(), expected.get(name), None) {
                        let index = message.index;
                        wrong.push(format!("{index} {encoding} {name}\n  ours   {ours:?}\n  theirs {expected:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(compared, 276);
}
