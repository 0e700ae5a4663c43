//! What is said of lines that are no records, and what is filled in.
#![allow(clippy::unwrap_used, clippy::panic)]

use publish::{Defaults, parse};
use wire::decode::{Decoder, Value};

fn error(line: &str) -> String {
    parse(line.as_bytes(), &Defaults::default()).unwrap_err().to_string()
}

/// Reads a line and looks at the record it gives.
fn read<T>(line: &str, look: impl FnOnce(&wire::decode::Record<'_>) -> T) -> T {
    let line = parse(line.as_bytes(), &Defaults { device: Some(9), time: Some((1_714_000_000, 5)) }).unwrap();
    let mut decoder = Decoder::new();
    let record = decoder.decode(&line.record).unwrap();
    assert_eq!(record.problem(), None);
    look(&record)
}

#[test]
fn errors_say_what_stands_where_and_what_is_allowed() {
    for (line, text) in [
        ("{", "this is not JSON: EOF while parsing an object at line 1 column 1"),
        ("[1]", "a list of 1 must be an object"),
        (
            r#"{"recordType": 1, "recordType": 2}"#,
            "this is not JSON: the key \"recordType\" comes twice at line 1 column 34",
        ),
        (
            r#"{"policyId": 1}"#,
            "recordType is missing; give the number of a record type, such as 112 (estreamer schema list has them)",
        ),
        (
            r#"{"recordType": "Corelation Event"}"#,
            "field recordType: \"Corelation Event\" is no record type: give its number, 0 to 65535, or its name; is Correlation Event meant?",
        ),
        (
            r#"{"recordType": 70000}"#,
            "field recordType: 70000 is no record type: give its number, 0 to 65535, or its name",
        ),
        (
            r#"{"recordType": 9999, "x": 1}"#,
            "record 9999, field x: has no known fields: give its octets in hex as \"data\"",
        ),
        (
            r#"{"recordType": 112, "polcyId": 1}"#,
            "record 112, field polcyId: 1 Correlation Event (block 1:156) has no such field; is policyId meant?",
        ),
        (
            r#"{"recordType": 112, "sourcePort": 70000}"#,
            "record 112, field sourcePort: 70000 is too large for 2 bytes: 0 to 65535 is allowed",
        ),
        (
            r#"{"recordType": 112, "sourcePort": -1}"#,
            "record 112, field sourcePort: -1 must be a whole number, 0 to 65535",
        ),
        (
            r#"{"recordType": 112, "ipProtocol": "TPC"}"#,
            "record 112, field ipProtocol: \"TPC\" is neither a number nor a name of IpProtocol; is TCP meant?",
        ),
        (
            r#"{"recordType": 112, "sourceIpv6Address": "10.0.0.256"}"#,
            "record 112, field sourceIpv6Address: \"10.0.0.256\" must be an IP address, such as \"192.0.2.7\" or \"2001:db8::7\"",
        ),
        (
            r#"{"recordType": 112, "sslPolicyId": "0102"}"#,
            "record 112, field sslPolicyId: \"0102\" must be 16 octets in hex, 32 digits",
        ),
        (
            r#"{"recordType": 112, "ingressInterfaceUuid": "00000000-0000-0000-0000-000000000001", "ingressIntefaceUuid": "00000000-0000-0000-0000-000000000002"}"#,
            "record 112, field ingressIntefaceUuid: \"00000000-0000-0000-0000-000000000002\" is the same field as ingressInterfaceUuid, which is given too",
        ),
        (r#"{"recordType": 112, "blockType": 85}"#, "record 112, field blockType: 85 is the block"),
        (
            r#"{"recordType": 112, "eventDescription": 7}"#,
            "record 112, field eventDescription: 7 must be a text, or {\"hex\": \"…\"} with octets in hex",
        ),
        (
            r#"{"recordType": 112, "id": []}"#,
            "record 112, field id: a list of 0 must be a text of 1 to 256 bytes or a number, to be an id",
        ),
        (
            r#"{"recordType": 112, "netmap": 40000}"#,
            "record 112, field netmap: 40000 is too large for 2 bytes: 0 to 32767 is allowed",
        ),
        (
            r#"{"recordType": 112, "@problem": "cut"}"#,
            "record 112: the line was printed of a damaged record, so that it is not all there: \"cut\"",
        ),
        (
            r#"{"recordType": 6, "data": [{"blockType": 0, "data": "x"}, {}]}"#,
            "record 6, field data[1]: can be any block, so blockType must say which",
        ),
        (
            r#"{"recordType": 10, "hostProfile": {"ipAddress": "192.0.2.7", "hosp": 1}}"#,
            "record 10, field hostProfile.hosp: 1 Host Profile (block 1:139) has no such field; is hops meant?",
        ),
    ] {
        let found = error(line);
        assert!(found.starts_with(text), "{line}\n{found}\n{text}");
    }
    let many = format!(r#"{{"recordType": 6, "data": [{}]}}"#, vec![r#"{"blockType":174}"#; 40_000].join(","));
    assert!(error(&many).contains("too many blocks"), "a short line stands for no more than it should");
}

#[test]
fn what_an_event_leaves_out_is_filled_in() {
    // Correlation, file, malware, intrusion, connection (in the discovery header), packet.
    for (record, second) in [
        (112, "correlationEventSecond"),
        (500, "fileEventTimestamp"),
        (125, "malwareEventTimestamp"),
        (400, "eventSecond"),
        (71, "eventSecond"),
        (2, "eventSecond"),
    ] {
        let line = format!(r#"{{"recordType": {record}}}"#);
        assert_eq!(read(&line, |record| record.uint(second)), Some(1_714_000_000), "record {record}");
        if record != 125 {
            assert_eq!(read(&line, |record| record.uint("deviceId")), Some(9), "record {record}");
        }
        let line = format!(r#"{{"recordType": {record}, "{second}": 7}}"#);
        assert_eq!(read(&line, |record| record.uint(second)), Some(7), "record {record}");
    }
    assert_eq!(read(r#"{"recordType": 66}"#, |record| record.uint("deviceId")), None, "metadata has no device");
}

#[test]
fn names_aliases_and_versions() {
    let address = |line: &str| {
        read(line, |record| match record.field("sourceIpv6Address") {
            Some(Value::Ipv6(octets)) => wire::event::address(octets).to_string(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(address(r#"{"recordType": "correlation event", "sourceIpv6Address": "192.0.2.1"}"#), "192.0.2.1");
    assert_eq!(address(r#"{"recordType": "112", "sourceIpv6Address": "2001:db8::1"}"#), "2001:db8::1");
    let old = r#"{"recordType": 112, "blockType": 128, "ipProtocol": "tcp"}"#;
    assert_eq!(read(old, |record| (record.main().block_type(), record.uint("ipProtocol"))), (128, Some(6)));
    // In metadata `id` is a field, and the caller's is `@id`.
    let line = parse(br#"{"recordType": 123, "id": 9, "@id": "x", "name": "n"}"#, &Defaults::default()).unwrap();
    assert_eq!(line.id.as_deref(), Some("x"));
    let line = parse(br#"{"recordType": 112, "id": 17}"#, &Defaults::default()).unwrap();
    assert_eq!(line.id.as_deref(), Some("17"));
}

#[test]
fn the_examples_of_the_manual_are_records() {
    let manual = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/server.md");
    let text = std::fs::read_to_string(manual).unwrap();
    let examples: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"recordType\"")).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        read(example, |record| assert!(!record.opaque()));
    }
}
