//! `estreamer decode --dialect encore-5` against the lines of eNcore 5.2.11 for the same bytes, all of them byte for byte:
//! decoding, names and format together. What is different on purpose is listed here and nowhere else.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use flate2::Crc;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;
use support::{gunzip, run};

/// The formats, and how many lines of each are equal to eNcore's.
const FORMATS: [(&str, usize); 4] = [("json", 1644), ("splunk", 1646), ("cef", 555), ("cef2", 476)];

/// Where we differ: messages, formats, and why. Each is a fault of eNcore's decoder that loses or garbles the record, so
/// that no parser can depend on it.
const EXCEPTIONS: &[(RangeInclusive<u64>, &[&str], &str)] = &[
    (1069..=1069, &["json", "splunk"], "a packet is damaged by being taken for text, as it happens to be valid UTF-8"),
    (1092..=1092, &["json", "splunk"], "the host address is read 8 bytes too far after a short record header"),
    (1094..=1094, &["json", "splunk"], "the same: the rest of the discovery header is lost"),
    (1105..=1106, &["json", "splunk"], "the record is given up where the discovery header has no address"),
    (1107..=1107, &["json", "splunk"], "a discovery header without an address: the bytes that follow are no host"),
    (1109..=1109, &["json", "splunk"], "the same"),
    (1110..=1111, &["json"], "the same"),
    (1112..=1112, ALL, "a block that does not belong there is read with the layout of the expected one"),
    (1114..=1114, ALL, "the same"),
    (1116..=1119, ALL, "the same"),
    (1132..=1132, &["json", "splunk"], "a String block shorter than its own header is read as an empty one"),
    (1136..=1136, &["json", "splunk"], "a block of another type is read as the String block that should stand there"),
];

const ALL: &[&str] = &["json", "splunk", "cef", "cef2"];

/// What eNcore prints, whole or as its CRC-32.
enum Line {
    Text(String),
    Sum(u32),
}

impl Line {
    fn is(&self, ours: &str) -> bool {
        match self {
            Line::Text(text) => text == ours,
            Line::Sum(sum) => {
                let mut crc = Crc::new();
                crc.update(ours.as_bytes());
                crc.sum() == *sum
            }
        }
    }
}

#[test]
fn the_lines_are_encores() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream.bin");
    fs::write(&stream, packed("../wire/tests/data/stream.bin.gz")).unwrap();
    let expected = expected();
    let (mut used, mut wrong) = (BTreeSet::new(), Vec::new());
    for (format, count) in FORMATS {
        let out = decode(format, &["--number"], &stream);
        let ours = numbered(&out);
        let mut equal = 0;
        for (number, lines) in &expected {
            let Some(theirs) = lines.get(format) else { continue };
            let line = ours.get(number).map(String::as_str);
            if line.is_some_and(|line| theirs.is(line)) {
                equal += 1;
                continue;
            }
            match EXCEPTIONS.iter().position(|(messages, f, _)| messages.contains(number) && f.contains(&format)) {
                Some(exception) => drop(used.insert((exception, *number, format))),
                None => {
                    let theirs =
                        if let Line::Text(text) = theirs { text } else { "a line of which only the CRC is known" };
                    wrong.push(format!("{number} {format}\n  ours   {line:?}\n  theirs {theirs:?}"));
                }
            }
        }
        println!("{format}: {equal} lines equal");
        assert!(wrong.is_empty(), "{} lines differ:\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!(equal, count, "{format}");
    }
    for (i, (messages, formats, reason)) in EXCEPTIONS.iter().enumerate() {
        for (number, format) in messages.clone().flat_map(|m| formats.iter().map(move |f| (m, *f))) {
            // A record that a format does not print needs no exception there.
            if expected[&number].contains_key(format) {
                assert!(used.contains(&(i, number, format)), "{number} {format} is excused without need ({reason})");
            }
        }
    }
}

#[test]
fn bundles_give_the_same_lines() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, bundles) = (dir.path().join("stream.bin"), dir.path().join("bundles.bin"));
    fs::write(&stream, packed("../wire/tests/data/stream.bin.gz")).unwrap();
    fs::write(&bundles, packed("tests/data/golden/bundles.bin.gz")).unwrap();
    for (format, _) in FORMATS {
        let [one, other] = [&stream, &bundles].map(|file| decode(format, &[], file));
        assert!(one.lines().map(without_clock).eq(other.lines().map(without_clock)), "{format}");
    }
}

#[test]
fn times_without_zone_are_those_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream.bin");
    fs::write(&stream, packed("../wire/tests/data/stream.bin.gz")).unwrap();
    for (dialect, expected) in [
        ("encore-5", "\"eventDateTime\": \"2024-04-25T04:36:45\""),
        ("encore-3", "\"eventDateTime\": \"2024-04-25T04:36:45\""),
        ("standard", "\"eventDateTime\": \"2024-04-24T23:06:45Z\""),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estreamer"));
        command.args(["decode", "--format", "json", "--dialect", dialect]).arg(&stream).env("TZ", "XXX-5:30");
        let out = run(&mut command, b"").out;
        let first = out.lines().next().unwrap();
        assert!(first.contains(expected), "{dialect}: {first}");
    }
}

fn decode(format: &str, more: &[&str], file: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estreamer"));
    command.args(["decode", "--format", format, "--dialect", "encore-5"]).args(more).arg(file).env("TZ", "UTC");
    let done = run(&mut command, b"");
    assert_eq!(done.code, Some(3), "{}", done.err);
    done.out
}

/// Lines by the number of their message. eNcore's CEF has line ends inside: what begins with no number goes on.
fn numbered(out: &str) -> BTreeMap<u64, String> {
    let mut lines: BTreeMap<u64, String> = BTreeMap::new();
    for line in out.split_inclusive('\n') {
        let last = lines.last_key_value().map(|(n, _)| *n);
        let begins = line.split_once('\t').and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
        match begins.filter(|(number, _)| last.is_none_or(|last| last < *number)) {
            Some((number, rest)) => drop(lines.insert(number, at_the_golden_time(rest))),
            None => lines.get_mut(&last.unwrap()).unwrap().push_str(line),
        }
    }
    lines.values_mut().for_each(|line| line.truncate(line.len() - 1));
    lines
}

/// The syslog header of CEF has the time of printing and the name of this machine; that of the golden lines stands still.
fn at_the_golden_time(line: &str) -> String {
    match without_clock(line) {
        event if event.len() < line.len() => format!("<13>Mar 05 07:08:09 golden-host {event}"),
        event => event.to_owned(),
    }
}

fn without_clock(line: &str) -> &str {
    let event = line.strip_prefix("<13>").and_then(|line| Some(&line[line.find("CEF:0|")?..]));
    event.unwrap_or(line)
}

/// For each message the lines eNcore prints, by format.
fn expected() -> BTreeMap<u64, BTreeMap<&'static str, Line>> {
    let json = String::from_utf8(packed("tests/data/golden/expected.txt.gz")).unwrap();
    let mut expected: BTreeMap<u64, BTreeMap<&str, Line>> = BTreeMap::new();
    for line in json.lines() {
        let (number, line) = line.split_once('\t').unwrap();
        let lines = expected.entry(number.parse().unwrap()).or_default();
        if line.starts_with('{') {
            lines.insert("json", Line::Text(line.to_owned()));
        }
    }
    let others = String::from_utf8(packed("../outputs/tests/data/formats.jsonl.gz")).unwrap();
    for message in others.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let lines = expected.get_mut(&message["index"].as_u64().unwrap()).unwrap();
        for format in ["splunk", "cef", "cef2"] {
            // The CEF line, when it is the same.
            let same = message[format] == "=";
            match &message[if same { "cef" } else { format }] {
                Value::String(text) => drop(lines.insert(format, Line::Text(text.clone()))),
                Value::Number(sum) => {
                    let sum = u32::try_from(sum.as_u64().unwrap()).unwrap();
                    drop(lines.insert(format, Line::Sum(sum)));
                }
                _ => {}
            }
        }
    }
    expected
}

fn packed(path: &str) -> Vec<u8> {
    gunzip(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}
