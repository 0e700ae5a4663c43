//! `estreamer decode`: captured streams to lines.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Finished, run, shared};
use wire::message::{self, MessageType};
use wire::record::RecordHeader;

fn decode(arguments: &[&str], file: &Path, input: &[u8]) -> Finished {
    run(Command::new(env!("CARGO_BIN_EXE_estreamer")).arg("decode").args(arguments).arg(file), input)
}

/// Lines by the number of their message.
fn numbered(out: &str) -> BTreeMap<u64, Value> {
    let line = |line: &str| {
        let (number, json) = line.split_once('\t').unwrap();
        (number.parse().unwrap(), serde_json::from_str(json).unwrap())
    };
    out.lines().map(line).collect()
}

#[test]
fn every_record_of_the_golden_stream_has_its_line() {
    let Some(golden) = shared("golden") else { return };
    let stream = golden.join("stream.bin");
    let done = decode(&["--format", "json", "--number"], &stream, b"");
    done.failed(3, &["records of", "could not be decoded, or only in part"]);
    let lines = numbered(&done.out);
    let mut compared = 0;
    for expected in fs::read_to_string(golden.join("expected.jsonl")).unwrap().lines() {
        let expected: Value = serde_json::from_str(expected).unwrap();
        let (index, hex) = (expected["index"].as_u64().unwrap(), expected["hex"].as_str().unwrap());
        if expected["message_type"] != u64::from(MessageType::EVENT_DATA.0) {
            assert!(!lines.contains_key(&index), "message {index} is no record");
            continue;
        }
        let readable = RecordHeader::parse(&octets(hex)).is_ok();
        let line = lines.get(&index);
        assert_eq!(line.is_some(), readable, "message {index}: {hex}");
        if let Some(line) = line.filter(|_| !expected["json"].is_null()) {
            let record = expected["record_type"].as_u64().unwrap() & 0xffff;
            assert_eq!(line["recordType"], record, "message {index}");
            compared += 1;
        }
    }
    assert!(compared > 1600, "{compared}");

    // Without numbers the same lines, and from standard input the same output.
    let plain: String = done.out.lines().map(|l| l.split_once('\t').unwrap().1.to_owned() + "\n").collect();
    let piped = decode(&[], Path::new("-"), &fs::read(&stream).unwrap());
    assert_eq!((piped.code, piped.out == plain), (Some(3), true));
    assert!(piped.err.ends_with("records of - could not be decoded, or only in part\n"), "{}", piped.err);

    // The same records in bundles.
    let bundled = decode(&["--number"], &golden.join("bundles.bin"), b"");
    assert_eq!(bundled.code, Some(3));
    let unnumbered =
        |out: &str| out.lines().map(|l| l.split_once('\t').unwrap().1.to_owned() + "\n").collect::<String>();
    assert!(unnumbered(&bundled.out) == plain, "bundles hold the same records");
    let versioned = decode(&[], &golden.join("bundles_versioned.bin"), b"").success();
    assert_eq!(versioned.lines().count(), 40);
    assert!(plain.starts_with(&versioned), "and so do bundles with the other item headers");
}

#[test]
fn what_is_there_is_printed_before_the_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.bin");
    let mut stream = Vec::new();
    for second in [5, 6] {
        let mut event = wire::event::Event::new(400).unwrap();
        event.set("eventId", second).unwrap();
        let mut item = Vec::new();
        event.encode(Some(second), &mut item);
        message::push(&mut stream, MessageType::EVENT_DATA, &item);
    }
    let size = stream.len();
    let outcome = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        decode(&[], &file, b"")
    };
    assert_eq!(outcome(&stream).success().lines().count(), 2);
    assert_eq!(outcome(b"").success(), "");

    // Cut short: what is whole is printed.
    let cut = outcome(&stream[..size - 3]);
    let words =
        format!("message 1 at offset {} is cut short: {} bytes are there of {}", size / 2, size / 2 - 3, size / 2);
    cut.failed(1, &["capture.bin", &words]);
    assert_eq!(cut.out.lines().count(), 1);
    outcome(&stream[..size / 2 + 5]).failed(1, &["5 bytes are there of its header"]);

    // Garbage, at the beginning and later.
    outcome(b"GET / HTTP/1.1\r\n\r\n").failed(1, &["message 0 at offset 0: message header version 18245"]);
    let garbage = outcome(&[&stream[..], b"garbage!"].concat());
    garbage.failed(1, &[&format!("message 2 at offset {size}"), "must hold eStreamer messages back to back"]);
    assert_eq!(garbage.out.lines().count(), 2);
    let absurd = outcome(&[0, 1, 0, 4, 0xff, 0xff, 0xff, 0xff]);
    absurd.failed(1, &["announces 4294967295 bytes, more than the 67108864 accepted here"]);

    // A record that is none: the rest is printed, and the exit code says that something is missing.
    let mut odd = Vec::new();
    message::push(&mut odd, MessageType::EVENT_DATA, &[1, 2, 3]);
    odd.extend(&stream);
    let odd = outcome(&odd);
    odd.failed(3, &["message 0: event data of 3 bytes is too short", "1 records of"]);
    assert_eq!(odd.out.lines().count(), 2);

    decode(&[], &dir.path().join("absent"), b"").failed(1, &["absent cannot be opened"]);
    decode(&["--format", "xml"], &file, b"").failed(2, &["xml", "json"]);
}

fn octets(hex: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}
