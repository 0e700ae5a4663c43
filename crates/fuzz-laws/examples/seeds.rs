//! Writes the seeds of the fuzz targets: `cargo run -p estreamer-laws --example seeds`.
//!
//! Those of `pkcs12` come from `fuzz/pkcs12-seeds.sh`, and files named `golden-…` or `found-…` are no work of this
//! program: it leaves both alone.

use std::fs;
use std::io;
use std::path::PathBuf;
use wire::event::{Block, Event, Value, sixteen};
use wire::layout::{Field, Kind, Layout};
use wire::message::{self, MessageType};
use wire::request::{EventStreamRequest, EventVersion, SERVICES, StreamingRequest, push_services};
use wire::subscription::newest_events;

/// Record types of every shape: with and without discovery header, block, list, text, blob, nested block.
const RECORDS: [u16; 24] =
    [2, 4, 9, 10, 15, 19, 34, 62, 66, 71, 98, 110, 111, 112, 115, 119, 123, 125, 161, 170, 270, 400, 500, 502];

fn main() -> io::Result<()> {
    records()?;
    lines()?;
    bundles()?;
    sessions()?;
    requests()?;
    unified2()?;
    eve()
}

fn records() -> io::Result<()> {
    for record_type in RECORDS {
        let Ok(event) = filled(record_type) else { continue };
        let mut item = Vec::new();
        event.encode(Some(1_714_000_000), &mut item);
        write("record", &format!("type-{record_type}"), &item)?;
    }
    let mut unknown = Vec::new();
    for word in [9999u32, 12, 1_714_000_000, 0, 1, 2, 3] {
        unknown.extend_from_slice(&word.to_be_bytes());
    }
    write("record", "unknown", &unknown)
}

/// Records as they are printed, and lines by hand.
fn lines() -> io::Result<()> {
    let format = outputs::Json::new();
    let mut decoder = wire::decode::Decoder::new();
    for record_type in RECORDS {
        let Ok(event) = filled(record_type) else { continue };
        let mut item = Vec::new();
        event.encode(None, &mut item);
        let Ok(record) = decoder.decode(&item) else { continue };
        let mut line = Vec::new();
        outputs::Format::format(&format, &outputs::Resolved { record: &record, computed: &[] }, &mut line);
        write("record_json", &format!("type-{record_type}"), &line)?;
    }
    let by_hand = r#"{"recordType": 112, "id": "a", "netmap": 2, "ipProtocol": "TCP", "sourceIpv6Address": "192.0.2.1"}

{"recordType": "Malware Event Record", "blockType": 80, "detectionName": "x", "fileName": {"hex": "c3"}}
{"recordType": 9999, "data": "00ff"}
{"recordType": 6, "data": [{"blockType": 0, "data": "x"}, {"blockType": 999, "data": "01"}]}
{"recordType": 71, "discoveryHeader": {"hasIpv6": 1}, "policyRevisoin": 3}"#;
    write("record_json", "by-hand", by_hand.as_bytes())
}

/// Metadata and an event it names; items for framing as well.
fn bundles() -> io::Result<()> {
    for record_types in [&[123, 66, 119, 400][..], &[98, 4, 71], &[110, 111, 2, 9], &[15, 10], &[500, 125]] {
        let mut items = Vec::new();
        for record_type in record_types {
            if let Ok(event) = filled(*record_type) {
                event.encode_item(Some(1_714_000_000), &mut items);
            }
        }
        let name = record_types.iter().map(u16::to_string).collect::<Vec<_>>().join("-");
        write("json", &name, &items)?;
    }
    let mut items = Vec::new();
    for record_type in [4, 66, 123] {
        if let Ok(event) = filled(record_type) {
            event.encode_item(None, &mut items);
        }
    }
    write("framing", "items", &items)?;
    let bundle = [&7u32.to_be_bytes()[..], &1u32.to_be_bytes(), &items].concat();
    write("framing", "bundle", &bundle)?;
    let mut stream = Vec::new();
    message::push(&mut stream, MessageType::NULL, &[]);
    message::push(&mut stream, MessageType::BUNDLE, &bundle);
    message::push_error(&mut stream, 19, "No space");
    write("framing", "stream", &stream)
}

fn sessions() -> io::Result<()> {
    let plain = EventStreamRequest { timestamp: 0, flags: 0x0890_0061 };
    let extended = EventStreamRequest { timestamp: u32::MAX, flags: 0x4890_0061 };
    let mut hosts = 6u32.to_be_bytes().to_vec();
    hosts.resize(40, 1);

    let mut client = Vec::new();
    plain.push(&mut client);
    message::push(&mut client, MessageType::NULL, &[]);
    message::push(&mut client, MessageType::HOST_DATA_REQUEST, &hosts);
    message::push_error(&mut client, -1, "bye");
    // One piece; then pieces of odd sizes, and in between records, items, flushes, keep-alives, hosts, sending.
    write("server_session", "plain", &[&[0][..], &client].concat())?;
    write("server_session", "plain-cut", &[&[4, 0x27, 0xc3, 0x4f, 0x8a][..], &client].concat())?;
    write("server_session", "twice", &[&[1, 0x2f][..], &client, &client].concat())?;

    let mut client = Vec::new();
    extended.push(&mut client);
    request(0x4890_0061).push(&mut client);
    for _ in 0..12 {
        message::push(&mut client, MessageType::NULL, &[]);
    }
    message::push(&mut client, MessageType::HOST_DATA_REQUEST, &hosts);
    write("server_session", "extended", &[&[0][..], &client].concat())?;
    let acts = [15, 0x3f, 0x27, 0x47, 0x2b, 0xc3, 0x47, 0x67, 0x87, 0xa7, 0xc1, 0x23, 0xe7, 0x45, 0x29, 0x1f];
    write("server_session", "extended-cut", &[&acts[..], &client].concat())?;
    write("server_session", "web", b"\x02\x03\x25GET / HTTP/1.1\r\n\r\n")?;

    let mut server = Vec::new();
    push_services(&mut server, &SERVICES);
    message::push(&mut server, MessageType::NULL, &[]);
    for sequence in [1u32, 2, 5] {
        let mut bundle = [&7u32.to_be_bytes()[..], &sequence.to_be_bytes()].concat();
        for record_type in [123, 4] {
            if let Ok(event) = filled(record_type) {
                event.encode_item(None, &mut bundle);
            }
        }
        message::push(&mut server, MessageType::BUNDLE, &bundle);
    }
    message::push(&mut server, MessageType::EVENT_DATA, &[0, 0, 0, 9, 0, 0, 0, 0]);
    message::push(&mut server, MessageType::MULTIPLE_HOST_DATA, &[0, 0, 0, 140, 0, 0, 0, 8]);
    message::push(&mut server, MessageType::SINGLE_HOST_DATA, &[]);
    message::push(&mut server, MessageType(4003), b"?");
    message::push_error(&mut server, 19, "No space");
    write(
        "client_session",
        "extended",
        &[&[0x0f, 0x48, 3, 1, 9, 30, 7, 2, 1, 1, 1, 1, 5, 6, 7, 8][..], &server].concat(),
    )?;
    write("client_session", "plain", &[&[2, 0x08, 0x0d][..], &server].concat())?;
    let mut other = Vec::new();
    push_services(&mut other, &[5000]);
    write("client_session", "no-service", &[&[1, 0x48][..], &other].concat())
}

fn request(flags: u32) -> StreamingRequest {
    StreamingRequest { service: message::ESTREAMER_SERVICE, flags, timestamp: 0, events: newest_events() }
}

fn requests() -> io::Result<()> {
    let body = |message: Vec<u8>| message.get(message::HEADER..).unwrap_or_default().to_vec();
    let mut out = Vec::new();
    EventStreamRequest { timestamp: 1_714_000_000, flags: 0x4890_0061 }.push(&mut out);
    write("request", "stream", &body(out))?;
    let mut out = Vec::new();
    request(0x4890_0061).push(&mut out);
    write("request", "newest", &body(out))?;
    let mut odd = request(u32::MAX);
    odd.events = [(71, 99), (71, 3), (7777, 1), (21, 4)].map(|(code, version)| EventVersion { code, version }).to_vec();
    let mut out = Vec::new();
    odd.push(&mut out);
    write("request", "odd", &body(out))?;
    let mut out = Vec::new();
    push_services(&mut out, &SERVICES);
    write("request", "services", &body(out))?;
    let mut hosts = [6u32.to_be_bytes(), 3u32.to_be_bytes()].concat();
    write("request", "hosts-4", &[&hosts[..], &[10, 0, 0, 0, 10, 0, 0, 255]].concat())?;
    hosts.extend(sixteen([192, 0, 2, 1].into()));
    hosts.extend(sixteen([192, 0, 2, 9].into()));
    write("request", "hosts-16", &hosts)?;
    let mut out = Vec::new();
    message::push_error(&mut out, -1, "connection closed");
    write("request", "error", &body(out))
}

fn unified2() -> io::Result<()> {
    let event: Vec<u8> = (1..=72u8).collect();
    let packet = [&[0, 0, 0, 1].repeat(6)[..], &[0, 0, 0, 20], &[0x45; 20]].concat();
    let uri = b"/index.html";
    let mut extra = Vec::new();
    for word in [4, 32 + uri.len() as u32, 0, 1, 1_714_000_000, 9, 1, 8 + uri.len() as u32] {
        extra.extend_from_slice(&word.to_be_bytes());
    }
    extra.extend_from_slice(uri);
    let frame = |kind: u32, body: &[u8]| [&kind.to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), body].concat();
    // The events with the sizes Snort gives them.
    for (kind, size) in
        [(7, 52), (72, 76), (99, 56), (104, 60), (105, 84), (111, 76), (112, 100), (114, 174), (207, 110)]
    {
        let body: Vec<u8> = event.iter().copied().cycle().take(size).collect();
        write("unified2", &format!("event-{kind}"), &frame(kind, &body))?;
    }
    let body: Vec<u8> = event.iter().copied().take(60).collect();
    let all = [frame(104, &body), frame(2, &packet), frame(110, &extra), frame(9, b"?"), vec![0; 16]].concat();
    write("unified2", "spool", &all)?;
    write("unified2", "torn", all.get(..130).unwrap_or_default())
}

/// Lines of every kind that becomes something, each alone and all together.
fn eve() -> io::Result<()> {
    let common = r#""timestamp":"2024-03-01T12:00:05.250000+0100","flow_id":7,"in_iface":"eth1","src_ip":"10.0.0.1","src_port":50000,"dest_ip":"2001:db8::7","dest_port":443,"proto":"TCP""#;
    let alert = r#""alert":{"action":"blocked","gid":1,"signature_id":7,"rev":2,"signature":"Rule","category":"Misc Attack","severity":2},"xff":"198.51.100.9","packet":"AAECAwQ=","packet_info":{"linktype":1},"payload":"AA==","vlan":[42]"#;
    let lines = [
        ("alert", alert),
        (
            "tls",
            r#""tls":{"sni":"a.example.com","version":"TLS 1.2","subject":"CN=a","issuerdn":"CN=a","fingerprint":"00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13","notbefore":"2022-01-01T00:00:00","notafter":"2023-01-01T00:00:00","ja3s":{"string":"771,49200,35-23"}}"#,
        ),
        (
            "http",
            r#""http":{"hostname":"a.example.com","url":"/a?b","http_user_agent":"x","http_refer":"y","status":200}"#,
        ),
        (
            "dns",
            r#""dns":{"type":"answer","rrname":"a.example.com","rrtype":"A","rcode":"NOERROR","answers":[{"rrname":"a","ttl":300}]}"#,
        ),
        ("krb5", r#""krb5":{"msg_type":"KRB_AS_REP","cname":"alice","realm":"EXAMPLE.COM"}"#),
        ("smb", r#""smb":{"status":"STATUS_SUCCESS","ntlmssp":{"user":"bob","domain":"EXAMPLE","host":"WS-1"}}"#),
        (
            "fileinfo",
            r#""app_proto":"http","fileinfo":{"filename":"/x.exe","size":12,"stored":true,"magic":"PE32","sha256":"abababababababababababababababababababababababababababababababab"}"#,
        ),
        ("anomaly", r#""anomaly":{"type":"stream","event":"STREAM_X","app_proto":"smb"}"#),
        (
            "flow",
            r#""app_proto":"tls","flow":{"pkts_toserver":4,"bytes_toclient":7000,"start":"2024-03-01T12:00:00.000000+0100","end":"2024-03-01T12:00:05.000000+0100"},"tcp":{"tcp_flags":"1b"}"#,
        ),
        ("stats", r#""stats":{"uptime":1}"#),
    ];
    let mut all = String::new();
    for (kind, rest) in lines {
        let line = format!("{{\"event_type\":\"{kind}\",{common},{rest}}}\n");
        write("eve", kind, line.as_bytes())?;
        all += &line;
    }
    write("eve", "all", all.as_bytes())
}

/// An event in which every field has a value of its own.
fn filled(record_type: u16) -> Result<Event, wire::event::UnknownRecord> {
    let mut event = Event::new(record_type)?;
    if let Some(header) = event.discovery_mut() {
        fill(header, 0);
    }
    fill(event.main_mut(), 0);
    Ok(event)
}

fn fill(block: &mut Block, depth: usize) {
    let layout: &'static Layout = block.layout();
    for (position, field) in layout.fields.iter().enumerate() {
        block.set_at(position, value(field, position, depth));
    }
}

fn value(field: &Field, position: usize, depth: usize) -> Value {
    let inner = |layout: &'static Layout| {
        let mut block = Block::new(layout);
        if depth < 3 {
            fill(&mut block, depth + 1);
        }
        block
    };
    match field.kind {
        Kind::Uint => Value::Uint(1 + position as u64),
        Kind::Hex | Kind::Uuid | Kind::Mac | Kind::Ipv4 => Value::Octets(vec![position as u8; field.fixed.into()]),
        Kind::Ipv6 => sixteen([192, 0, 2, position as u8].into()).into(),
        Kind::String | Kind::Blob | Kind::Counted { .. } => field.name.into(),
        Kind::Block { expected, .. } => inner(expected).into(),
        Kind::List { of, .. } => vec![inner(of)].into(),
    }
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(name), bytes)
}
