//! `estreamer decode`: captured streams to lines.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Finished, run};
use wire::event::Block;
use wire::hosts::HostRequest;
use wire::layout;
use wire::message::{self, MessageType};
use wire::server::ServerSession;

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

#[test]
fn hosts_are_lines_too_and_unknown_messages_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts.bin");
    let block = |number| Block::new(layout::block(1, number).unwrap());
    let (mut host, mut address) = (block(149), block(143));
    address.set("ipAddress", std::net::IpAddr::from([192, 0, 2, 7])).unwrap();
    host.set("ipAddresses", vec![address]).unwrap().set("netbiosName", "MAIL").unwrap();
    host.set("notes", "under \"the\" stairs").unwrap().set("hops", 3u8).unwrap();
    // As a server sends it.
    let mut server = ServerSession::new(1);
    server.receive(&[0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let (first, last) = ([192, 0, 2, 0].into(), [192, 0, 2, 255].into());
    for request in [HostRequest::single([192, 0, 2, 7].into(), 0), HostRequest::range(first, last, 1)] {
        let old = HostRequest { data_type: request.data_type - 2, ..request };
        for request in [request, old] {
            server.push_host(&request, &host);
            server.end_hosts(&request);
        }
    }
    fs::write(&file, server.output()).unwrap();
    let lines = decode(&["--number"], &file, b"").success();
    let lines = numbered(&lines);
    // Four hosts, an end after each of the two ranges.
    assert_eq!(lines.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4]);
    for (index, kind, block, notes) in [(0, 6, 149, ""), (1, 6, 92, ""), (2, 7, 149, "under \"the\" stairs")] {
        let line = &lines[&index];
        assert_eq!((&line["messageType"], &line["blockType"]), (&kind.into(), &block.into()), "{line}");
        assert_eq!((&line["netbiosName"]["data"], &line["notes"]["data"]), (&"MAIL".into(), &notes.into()));
        assert_eq!((&line["hops"], line.get("@problem")), (&3.into(), None));
    }
    assert_eq!(lines[&0]["ipAddresses"]["items"][0]["ipAddress"], "192.0.2.7");
    assert_eq!(lines[&1]["ipAddress"], "192.0.2.7");

    // A host cut short, and a message of a type nobody knows.
    let mut odd = Vec::new();
    let mut bytes = Vec::new();
    host.encode(&mut bytes);
    message::push(&mut odd, MessageType::SINGLE_HOST_DATA, &bytes[..20]);
    message::push(&mut odd, MessageType(999), &[1, 2, 3]);
    odd.extend(server.output());
    fs::write(&file, odd).unwrap();
    let done = decode(&[], &file, b"");
    done.failed(3, &["message 0: Single Host Data (6): Full Host Profile", "message 1: message type 999 of 3 bytes"]);
    assert_eq!(done.out.lines().count(), 5);
    let cut: Value = serde_json::from_str(done.out.lines().next().unwrap()).unwrap();
    assert!(cut["@problem"].as_str().unwrap().starts_with("Full Host Profile (series 1 block 149), field"), "{cut}");
}
