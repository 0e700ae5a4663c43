//! The worked hex of the guides and of a published trace, decoded and, where it is whole, encoded again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value as Json;
use wire::client::{ClientRequest, ClientSession};
use wire::decode::{Decoder, Record, Value};
use wire::event::Event;
use wire::message::{self, Bundle, Message, MessageType};
use wire::record::{self, RecordHeader};
use wire::request::{EventStreamRequest, EventVersion, HostRequest, StreamingRequest, parse_services};
use wire::server::{ServerEvent, ServerSession};

fn unhex(text: &str) -> Vec<u8> {
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn one(bytes: &[u8]) -> Message<'_> {
    let message = message::first(bytes, 1 << 20).unwrap().expect("a whole message");
    assert_eq!(message.size(), bytes.len(), "the message length covers all of it");
    message
}

fn example(name: &str) -> Json {
    let all: Json = serde_json::from_str(include_str!("data/guide_examples.json")).unwrap();
    all.as_array().unwrap().iter().find(|e| e["name"] == name).cloned().unwrap()
}

fn bytes(example: &Json, key: &str) -> Vec<u8> {
    unhex(example[key].as_str().unwrap())
}

/// Compares the fields an example lists with a decoded record.
fn assert_fields(record: &Record<'_>, fields: &Json) {
    for (name, expected) in fields.as_object().unwrap() {
        let name = match name.as_str() {
            "headerVersion"
            | "messageType"
            | "messageLength"
            | "recordLength"
            | "stringBlockType"
            | "stringBlockLength"
            | "packetDataStartsWith" => continue,
            "recordType" => {
                assert_eq!(u64::from(record.record_type()), expected.as_u64().unwrap());
                continue;
            }
            "blockType" => {
                assert_eq!(u64::from(record.main().block_type()), expected.as_u64().unwrap());
                continue;
            }
            "blockLength" => {
                assert_eq!(u64::from(record.main().block_length()), expected.as_u64().unwrap());
                continue;
            }
            "sourceIp" => "sourceIpAddress",
            "destinationIp" => "destinationIpAddress",
            "nameLength" if record.field("nameLength").is_none() => "length",
            other => other,
        };
        let value = record.field(name).unwrap_or_else(|| panic!("no {name}"));
        match (value, expected) {
            (Value::Uint(n), Json::Number(e)) => assert_eq!(Some(n), e.as_u64(), "{name}"),
            (Value::Text(t), Json::String(e)) => assert_eq!(std::str::from_utf8(t).unwrap(), e, "{name}"),
            (Value::Ipv4(a), Json::String(e)) => assert_eq!(&std::net::Ipv4Addr::from(*a).to_string(), e, "{name}"),
            (Value::Uuid(u), Json::String(e)) => assert_eq!(u.to_vec(), unhex(e), "{name}"),
            (_, Json::Null) => {}
            (value, expected) => panic!("{name}: {value:?} instead of {expected}"),
        }
    }
}

fn assert_round_trip(record: &Record<'_>) {
    let mut again = Vec::new();
    Event::try_from(record).unwrap().encode(record.header.timestamp, &mut again);
    assert_eq!(again, record.bytes());
}

#[test]
fn the_guides_complete_records() {
    for name in ["priority_record", "intrusion_impact_alert_ipv4"] {
        let example = example(name);
        let bytes = bytes(&example, "hex_lengths_corrected");
        let mut decoder = Decoder::new();
        let record = decoder.decode(one(&bytes).body).unwrap();
        assert!(record.problem().is_none() && record.main().trailing().is_empty());
        assert_fields(&record, &example["fields"]);
        assert_round_trip(&record);
        // As printed the guide's lengths are too short: the first message ends early, and that is seen.
        let printed = self::bytes(&example, "hex");
        let cut = message::first(&printed, 1 << 20).unwrap().unwrap();
        assert!(cut.size() < printed.len());
        let damaged = decoder.decode(cut.body).map(|r| r.problem().is_some());
        assert_ne!(damaged, Ok(false), "{name}");
    }
}

#[test]
fn the_guides_incomplete_records_filled_up_as_their_notes_say() {
    for (name, tail) in [("packet_record", 945), ("classification_record", 32)] {
        let example = example(name);
        let mut bytes = bytes(&example, "hex");
        bytes.extend(std::iter::repeat_n(0, tail));
        assert_eq!(bytes.len() as u64, example["total_bytes"].as_u64().unwrap());
        let mut decoder = Decoder::new();
        let record = decoder.decode(one(&bytes).body).unwrap();
        assert!(record.problem().is_none());
        assert_fields(&record, &example["fields"]);
        assert_round_trip(&record);
    }
    let packet = bytes(&example("packet_record"), "hex");
    assert_eq!(packet[packet.len() - 8..], *b"0x0000: ");
}

#[test]
fn the_guides_heads_of_records() {
    let names =
        ["rule_message_record_head", "intrusion_event_5_4_head", "correlation_event_4_5_head", "user_event_5_1_head"];
    for name in names {
        let example = example(name);
        let mut bytes = bytes(&example, "hex");
        let fields = &example["fields"];
        let record_type = fields["recordType"].as_u64().unwrap();
        assert_eq!(u64::from(record::record_type(&bytes[8..])), record_type);
        // Filled with zeros to the length announced, the framing holds and nothing is lost.
        bytes.resize(example["total_bytes"].as_u64().unwrap() as usize, 0);
        let message = one(&bytes);
        assert_eq!(message.body.len() as u64, fields["messageLength"].as_u64().unwrap());
        if let Some(length) = fields["recordLength"].as_u64() {
            let header = RecordHeader::parse(message.body).unwrap();
            assert_eq!(u64::from(header.length), length);
            assert_eq!(header.timestamp.map(u64::from), fields["archiveTimestamp"].as_u64());
        }
    }
}

#[test]
fn the_guides_streaming_request() {
    let example = example("streaming_request");
    let bytes = bytes(&example, "hex");
    let request = StreamingRequest::parse(one(&bytes).body).unwrap();
    assert_eq!((request.service, request.flags, request.timestamp), (6667, 30, 0));
    assert_eq!(request.events, [EventVersion { version: 6, code: 71 }, EventVersion { version: 4, code: 21 }]);
}

#[test]
fn event_stream_requests_of_a_real_trace() {
    let real = [("ffffffff", "48900061"), ("00000000", "48900061"), ("5ed7f3b6", "48900061"), ("ffffffff", "08900061")];
    for (timestamp, flags) in real {
        let bytes = unhex(&format!("0001000200000008{timestamp}{flags}"));
        let request = EventStreamRequest::parse(one(&bytes).body).unwrap();
        assert_eq!(format!("{:08x}{:08x}", request.timestamp, request.flags), format!("{timestamp}{flags}"));
        let mut out = Vec::new();
        request.push(&mut out);
        assert_eq!(out, bytes);
    }
    // The guide's bit picture (5.3 p.30): 30 June 2003, flags 0, 1 and 5.
    let request = EventStreamRequest::parse(&unhex("3effaed1 00000023")).unwrap();
    assert_eq!((request.timestamp, request.flags), (1_056_943_825, 0x23));
}

#[test]
fn the_streaming_information_of_a_real_management_center() {
    let mut server = ServerSession::new(1);
    let request = unhex("00010002 00000008 ffffffff 48900061");
    assert!(matches!(server.receive(&request), Ok(Some((16, ServerEvent::Announced(_))))));
    let real = unhex(
        "00010803 00000030 00001389 00000008 00000000 00000000 00001388 00000008 00000000 00000000 00001a0b 00000008 00000000 00000000",
    );
    assert_eq!(server.output(), real, "our answer is the real one, byte for byte");
    assert_eq!(parse_services(&real[8..]), Ok(vec![5001, 5000, 6667]));
}

#[test]
fn the_streaming_request_of_a_real_client() {
    let real = unhex(
        "00010801 00000038 00001a0b 00000038 48900061 00000000 0009000c 00040015 0009001f 000b003d 000e0047 0004005b 00070065 0006006f 00020083 00000000",
    );
    let pairs = [(9, 12), (4, 21), (9, 31), (11, 61), (14, 71), (4, 91), (7, 101), (6, 111), (2, 131)];
    let events: Vec<_> = pairs.into_iter().map(|(version, code)| EventVersion { code, version }).collect();
    assert_eq!(StreamingRequest::parse(one(&real).body).unwrap().events, events);
    let mut client = ClientSession::new(ClientRequest { timestamp: 0, flags: 0x4890_0061, events });
    client.take_output();
    let services = unhex("00010803 00000010 00001a0b 00000008 00000000 00000000");
    client.receive(&services).unwrap();
    assert_eq!(client.take_output(), real, "what our client sends for that list is the real request");
}

#[test]
fn constructed_messages_of_the_protocol_description() {
    assert_eq!(one(&unhex("00010000 00000000")).kind, MessageType::NULL);
    let error = unhex("00010001 00000009 ffffffff 0003 627965");
    assert_eq!(message::parse_error(one(&error).body), Ok((-1, "bye".into())));
    let current =
        unhex("00010005 00000028 00000006 00000003 00000000000000000000ffff0a000001 00000000000000000000ffff0a000001");
    let host = HostRequest::parse(one(&current).body).unwrap();
    assert_eq!((host.data_type, host.flags), (6, 3));
    let legacy = unhex("00010005 00000010 00000005 00000000 0a000000 0a0000ff");
    assert_eq!(HostRequest::parse(one(&legacy).body).unwrap().end[12..], [10, 0, 0, 255]);
    let end = unhex("00010007 00000000");
    assert_eq!((one(&end).kind, one(&end).body.len()), (MessageType::MULTIPLE_HOST_DATA, 0));
}

#[test]
fn a_bundle_and_the_same_record_alone() {
    let record = unhex("0000007b 0000000a 00000001 00000002 6677");
    let bundle =
        unhex("00010fa2 00000022 00000007 00000001 00000004 00000012 0000007b 0000000a 00000001 00000002 6677");
    let alone = unhex("00010004 00000012 0000007b 0000000a 00000001 00000002 6677");
    let parsed = Bundle::parse(one(&bundle).body).unwrap();
    assert_eq!((parsed.connection, parsed.sequence), (7, 1));
    let items: Vec<_> = parsed.items.map(Result::unwrap).collect();
    assert_eq!(items, [one(&alone)]);
    let mut decoder = Decoder::new();
    let decoded = decoder.decode(&record).unwrap();
    assert_eq!(decoded.uint("id"), Some(1));
    assert!(matches!(decoded.field("name"), Some(Value::Text(b"fw"))));
    assert_round_trip(&decoded);
    // What our server makes of it is the same bundle.
    let mut server = ServerSession::new(7);
    server.receive(&unhex("00010002 00000008 00000000 40000000")).unwrap();
    server.receive(&unhex("00010801 00000014 00001a0b 00000014 40100000 00000000 00000000")).unwrap();
    server.sent(server.output().len());
    server.push(&record);
    server.flush();
    assert_eq!(server.output(), bundle);
}
