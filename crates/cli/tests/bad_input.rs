//! Bytes that should not be: to the server from clients of its own, to the collector from a server.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use support::peer::{Client, End, Impostor, Visitor};
use support::{Collector, Process, Site, configuration};
use wire::event::Event;
use wire::message::{self, MessageType};

/// An event stream request for everything there is, one message a record.
const EVERYTHING: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0x08, 0x90, 0, 0x61];

/// The same as an extended request: the list of events is to follow.
const EXTENDED: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0x48, 0x90, 0, 0x61];

/// Memory a process may have needed at most, in MiB: far above what it takes, far below what was announced.
const MEMORY: u64 = 150;

#[test]
fn the_server_answers_nonsense_with_an_error_and_closes() {
    let site = Site::new();
    site.settings("request_seconds = 1\nkeep_alive_seconds = 1\n");
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let cases: [(&str, &[&[u8]], &str); 14] = [
        ("garbage", &[b"\xde\xad\xbe\xef garbage, and more of it"], "message header version 57005 instead of 1"),
        ("a web browser", &[b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], "message header version 18245 instead of 1"),
        ("another header version", &[&[0, 2, 0, 2, 0, 0, 0, 8]], "message header version 2 instead of 1"),
        (
            "another header version later",
            &[&EVERYTHING, &[0, 9, 0, 0, 0, 0, 0, 0]],
            "message header version 9 instead of 1",
        ),
        (
            "an absurd length",
            &[&[0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff]],
            "announces 4294967295 bytes, more than the 70000",
        ),
        (
            "an absurd length later",
            &[&EVERYTHING, &[0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff]],
            "announces 2147483647 bytes, more than the 70000",
        ),
        ("an unknown type first", &[&[0, 1, 0x30, 0x39, 0, 0, 0, 0]], "message type 12345 is not known here"),
        (
            "an unknown type later",
            &[&EVERYTHING, &[0, 1, 0x30, 0x39, 0, 0, 0, 0]],
            "message type 12345 is not known here",
        ),
        ("event data", &[&EVERYTHING, &[0, 1, 0, 4, 0, 0, 0, 1, 7]], "is no message a client sends"),
        ("a short request", &[&[0, 1, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0]], "Event Stream Request (2): 4 more bytes"),
        ("a list without request", &[&[0, 1, 8, 1, 0, 0, 0, 0]], "must follow an event stream request with bit 30"),
        ("a short list", &[&EXTENDED, &[0, 1, 8, 1, 0, 0, 0, 4, 0, 0, 0x1a, 0x0b]], "Streaming Request (2049)"),
        ("a second request", &[&EVERYTHING, &EVERYTHING], "came a second time"),
        ("half a request", &[&EVERYTHING[..11]], "within 1 seconds"),
    ];
    for (what, sent, words) in cases {
        let mut client = Client::connect(server.address, &pkcs12);
        for bytes in sent {
            client.send(bytes).unwrap();
        }
        let text = loop {
            match client.message() {
                Ok((MessageType::ERROR, body)) => break message::parse_error(&body).unwrap().1,
                Ok((MessageType::NULL | MessageType::STREAMING_INFORMATION, _)) => {}
                other => panic!("{what}: {other:?}"),
            }
        };
        assert!(text.contains(words), "{what}: {text}");
        assert_eq!(client.rest(), (Vec::new(), End::Closed), "{what}");
    }
    // One who leaves in the middle of a message gets no answer, and one who floods no memory.
    let mut client = Client::connect(server.address, &pkcs12);
    client.send(&EVERYTHING[..11]).unwrap();
    client.finish();
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    let mut client = Client::connect(server.address, &pkcs12);
    client.send(&EVERYTHING).unwrap();
    let nulls = [0, 1, 0, 0, 0, 0, 0, 0].repeat(100_000);
    client.send(&nulls).unwrap();
    drop(client);

    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "100"]).success();
    let mut good = Client::connect(server.address, &pkcs12);
    good.send(&EVERYTHING).unwrap();
    while !matches!(good.message().unwrap(), (MessageType::EVENT_DATA, _)) {}
    server.process.alive();
    let log = server.process.log();
    assert!(!log.contains("panicked") && !log.contains("a defect of this program"), "{log}");
    let errors: Vec<&str> = log.lines().filter(|l| l.contains("[ERROR]")).collect();
    assert_eq!(errors.len(), cases.len(), "{errors:#?}");
    for (error, (what, _, words)) in errors.iter().zip(cases) {
        assert!(error.contains(words), "{what}: {error}");
    }
    assert!(server.process.peak_memory() < MEMORY, "{} MiB", server.process.peak_memory());
}

/// A collector that talks to an impostor, and the connection.
fn visited(site: &Site, impostor: &Impostor) -> (Collector, Process, Visitor) {
    let collector = site.collector("collector", impostor.address(), &impostor.pkcs12);
    let process = collector.start();
    let mut visitor = impostor.accept();
    visitor.request();
    (collector, process, visitor)
}

fn impostor() -> (Site, Impostor) {
    let site = Site::new();
    let impostor = Impostor::new(site.path("home").parent().unwrap());
    (site, impostor)
}

/// An intrusion event with an id, as event data.
fn event(second: Option<u32>, id: u32) -> Vec<u8> {
    let mut event = Event::new(400).unwrap();
    event.set("eventId", id).unwrap().set("deviceId", 1u32).unwrap();
    let mut out = Vec::new();
    event.encode(second, &mut out);
    out
}

/// Event data with any record type and bytes, archived in second 1,000.
fn record(record_type: u32, data: &[u8]) -> Vec<u8> {
    let mut out = record_type.to_be_bytes().to_vec();
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(1000u32.to_be_bytes());
    out.extend([0; 4]);
    out.extend(data);
    out
}

/// Event data of a connection event, with its bytes changed.
fn connection(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut event = Event::new(71).unwrap();
    event.set("clientUrl", "http://example.com/").unwrap();
    let mut out = Vec::new();
    event.encode(Some(1000), &mut out);
    let mut data = out.split_off(16);
    change(&mut data);
    record(71, &data)
}

/// A bundle; each item comes with the first word of its header.
fn bundle(sequence: u32, items: &[(u32, &[u8])]) -> Vec<u8> {
    let mut body = [7u32.to_be_bytes(), sequence.to_be_bytes()].concat();
    for (word, item) in items {
        body.extend(word.to_be_bytes());
        body.extend((item.len() as u32).to_be_bytes());
        body.extend(*item);
    }
    let mut out = Vec::new();
    message::push(&mut out, MessageType::BUNDLE, &body);
    out
}

fn single(item: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    message::push(&mut out, MessageType::EVENT_DATA, item);
    out
}

/// Where `needle` first is in `data`.
fn position(data: &[u8], needle: &[u8]) -> usize {
    data.windows(needle.len()).position(|w| w == needle).unwrap()
}

#[test]
fn the_collector_delivers_all_it_can_understand() {
    let (site, impostor) = impostor();
    let (collector, mut process, mut visitor) = visited(&site, &impostor);

    let unknown_block = connection(|data| {
        let block = connection_block();
        let at = position(data, &block);
        data[at..at + 4].copy_from_slice(&9999u32.to_be_bytes());
    });
    let absurd_block = connection(|data| {
        let at = position(data, &connection_block());
        data[at + 4..at + 8].copy_from_slice(&u32::MAX.to_be_bytes());
    });
    let absurd_string = connection(|data| {
        let at = position(data, b"http://example.com/");
        data[at - 4..at].copy_from_slice(&0x7fff_ffffu32.to_be_bytes());
    });
    let tiny_string = connection(|data| {
        let at = position(data, b"http://example.com/");
        data[at - 4..at].copy_from_slice(&3u32.to_be_bytes());
    });
    let cut = connection(|data| data.truncate(90));
    let contradictory = {
        let mut item = event(Some(1000), 0);
        item[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        item
    };
    let unknown = record(3000, &[0xca, 0xfe]);
    let marked = {
        let mut item = event(Some(1000), 103);
        item[0] = 0x80;
        item[1] = 2;
        item
    };

    let mut stream = Vec::new();
    stream.extend(single(&unknown));
    stream.extend(single(&unknown_block));
    stream.extend(single(&absurd_block));
    stream.extend(single(&absurd_string));
    stream.extend(single(&tiny_string));
    stream.extend(single(&cut));
    // Not even a record: each is counted, and logged with its bytes.
    stream.extend(single(&contradictory));
    stream.extend(single(&[]));
    stream.extend(single(&[0, 0, 1]));
    // Both forms of item headers, a foreign item among them, and an item that reaches beyond its bundle.
    let (first, second) = (event(Some(1001), 101), event(Some(1001), 102));
    stream.extend(bundle(1, &[(4, &first), (0x0001_0004, &second), (6, &[1, 2, 3]), (4, &marked)]));
    let mut torn = bundle(2, &[(4, &event(Some(1001), 104)), (4, &event(Some(1001), 0))]);
    let length = torn.len() as u32 - 8 - 50;
    torn.truncate(torn.len() - 50);
    torn[4..8].copy_from_slice(&length.to_be_bytes());
    stream.extend(torn);
    stream.extend(bundle(3, &[]));
    // A message type nobody knows, a keep-alive, a host nobody asked for, and then good records; the first with the
    // short header, the last with bundles missing before it.
    message::push(&mut stream, MessageType(4003), &[1, 2, 3]);
    message::push(&mut stream, MessageType::NULL, &[]);
    message::push(&mut stream, MessageType::SINGLE_HOST_DATA, &[0; 9]);
    stream.extend(single(&event(None, 105)));
    stream.extend(bundle(9, &[(4, &event(Some(1002), 106))]));
    visitor.send(&stream);

    collector.wait_for_events(12, &process);
    assert!(process.terminate().success());
    let lines = collector.lines();
    let id = |line: &Value| line["eventId"].as_u64();
    let ids: Vec<u64> = lines.iter().filter(|l| l["recordType"] == 400).map(|l| id(l).unwrap()).collect();
    assert_eq!(ids, [101, 102, 103, 104, 105, 106], "in order, each once");
    assert_eq!(lines.len(), 12, "{lines:#?}");

    assert_eq!((&lines[0]["recordType"], &lines[0]["data"]), (&3000.into(), &"cafe".into()));
    assert_eq!((&lines[1]["recordType"], &lines[1]["blockType"]), (&71.into(), &9999.into()));
    let hex = lines[1]["data"].as_str().unwrap();
    assert!(hex.contains("687474703a2f2f6578616d706c652e636f6d2f"), "its bytes, the URL among them: {hex}");
    for (line, what) in lines[2..6].iter().zip(["block length", "string length", "short string", "cut"]) {
        assert_eq!(line["recordType"], 71, "{what}");
        assert!(line["@problem"].as_str().is_some_and(|p| p.len() > 10), "{what}: {line}");
    }
    assert_eq!(lines[8]["archiveTimestamp"], 1000);
    assert_eq!(lines[10]["archiveTimestamp"], 0, "a short record header has none");

    let log = process.log();
    assert_eq!(log.matches("a record was not understood and is lost").count(), 5, "{log}");
    for words in [
        "record length 4294967295 fits neither an 8-byte nor a 16-byte record header",
        "event data of 0 bytes is too short",
        "a bundle holds a Single Host Data (6) message",
        "an item reaches beyond its bundle",
        "message type 4003 of 3 bytes ignored",
        "5 bundles are missing in the server's numbering",
        "17 received = 12 delivered + 0 filtered + 5 not understood + 0 known before + 0 sent by another member + 0 pending",
    ] {
        assert!(log.contains(words), "{words:?} is missing in\n{log}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

/// The first eight bytes of the block of a connection event: type and length.
fn connection_block() -> Vec<u8> {
    let mut event = Event::new(71).unwrap();
    event.set("clientUrl", "http://example.com/").unwrap();
    let mut out = Vec::new();
    event.encode(Some(1000), &mut out);
    let decoded = wire::decode::Decoder::new().decode(&out).unwrap().main().block_type();
    let block = decoded.to_be_bytes();
    let at = position(&out, &block);
    out[at..at + 8].to_vec()
}

#[test]
fn the_collector_comes_back_after_a_server_that_is_none() {
    let (site, impostor) = impostor();
    let (collector, process, mut visitor) = visited(&site, &impostor);

    // What was right before is delivered; having received something, the collector does not wait long to come back.
    let mut second = 0;
    let mut good = || {
        second += 1;
        single(&event(Some(second), second))
    };

    // A web server behind TLS.
    visitor.send(&good());
    visitor.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    process.line("message header version 18516 instead of 1: the other side does not speak eStreamer");
    visitor.gone();

    // A message of 4 GB.
    let mut visitor = impostor.accept();
    visitor.request();
    visitor.send(&good());
    visitor.send(&[0, 1, 0, 4, 0xff, 0xff, 0xff, 0xff]);
    process.line("announces 4294967295 bytes, more than the 67108864 accepted here");
    visitor.gone();

    // A long message that never ends, then nothing.
    let mut visitor = impostor.accept();
    visitor.request();
    visitor.send(&good());
    visitor.send(&[0, 1, 0, 4, 0x03, 0xff, 0xff, 0xff, 0, 0]);
    visitor.close();
    process.line("The management center closed the connection, as it does when its service is restarted.");

    // An error message.
    let mut visitor = impostor.accept();
    visitor.request();
    visitor.send(&good());
    let mut error = Vec::new();
    message::push_error(&mut error, 19, "No space");
    visitor.send(&error);
    process.line("the management center reports error 19: No space");
    visitor.gone();

    // One that says nothing and closes, as a server does whose name rule the client breaks.
    impostor.accept().close();
    process.line("it does so when the client's certificate was issued for another address than the one it sees");
    process.lines("Next attempt in ", 5);

    // In the end it is a server after all.
    let mut visitor = impostor.accept();
    visitor.request();
    visitor.send(&good());
    collector.wait_for_events(5, &process);
    let ids: Vec<_> = collector.lines().iter().map(|l| l["eventId"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert!(!process.log().contains("panicked"), "{}", process.log());
    assert!(process.peak_memory() < MEMORY, "{} MiB", process.peak_memory());
}

#[test]
fn the_collector_explains_what_the_name_rule_does() {
    let site = Site::new();
    let pkcs12 = site.client("192.0.2.77");
    let mut server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let explained = |process: &Process| {
        process
            .line("issued for another address than the one it sees. Create the client on the server for the address");
    };
    let mut process = collector.start();
    explained(&process);
    server.process.line("does not match remote host: 127.0.0.1");
    assert!(process.terminate().success());
    let test = site.run(&["test", "--config", collector.config().to_str().unwrap()]);
    test.failed(1, &["issued for another address than the one it sees"]);

    // The same for a client that was removed while it was connected.
    let good = site.client("127.0.0.1");
    collector.configure(configuration(server.address, &good));
    let process = collector.start();
    process.line("Connected to ");
    server.process.line("Matched Certificate CN:127.0.0.1");
    site.run(&["clients", "remove", "--home", &site.home(), "127.0.0.1"]).success();
    process.line("The server has removed this client (alert certificate_revoked).");
    // And for a server that stops.
    server.process.signal(Signal::TERM);
    server.process.wait();
    process.line("refused the connection: nothing listens there");
}
