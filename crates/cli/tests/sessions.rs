//! Sessions beside each other through the real programs: what becomes of one that is too many, and what each gets when
//! they ask for different versions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use archive::{Read, Reader, Start};
use client::Plugin;
use support::peer::{Client, Impostor};
use support::{Finished, Site, configuration, is_metadata, program, wait_for};
use wire::client::{ClientEvent, ClientRequest, ClientSession};
use wire::decode::{Decoder, Value};
use wire::layout;
use wire::message::{self, MessageType};
use wire::request::{EventVersion, flag};

/// What a client is told when the only place is taken.
const FULL: &str = "The server has 1 connections already; try again later.";

/// An event stream request for intrusion events that come from now on.
const NOW: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0x08, 0x90, 0, 0x61];

/// The record type of intrusion events in current versions.
const INTRUSION: u16 = 400;

/// Asks for everything with `ssl-test`; `more` are further options.
fn ssl_test(site: &Site, address: SocketAddr, pkcs12: &Path, more: &[&str]) -> Finished {
    let port = address.port().to_string();
    site.run(&[&["ssl-test", "127.0.0.1", "-po", &port, "-pk", pkcs12.to_str().unwrap(), "-s", "all"], more].concat())
}

/// Waits until so many sessions stream.
fn streaming(site: &Site, count: usize) {
    wait_for(&format!("{count} sessions"), || {
        let said = site.run(&["manage", "status", "--json", "--home", &site.home()]).out;
        let status: serde_json::Value = serde_json::from_str(&said).unwrap();
        let sessions = status["sessions"].as_array().unwrap();
        (sessions.iter().filter(|s| s["state"] == "streaming").count() == count).then_some(())
    });
}

/// Lets the simulator go on until it has made this many events.
fn simulate(site: &Site, events: &str) {
    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", events]).success();
}

#[test]
fn a_full_server_is_waited_for_and_nothing_is_lost_or_comes_twice() {
    let site = Site::new();
    site.settings("max_connections = 1\n");
    let pkcs12 = site.client("127.0.0.1");
    simulate(&site, "400");
    let server = site.serve(&[]);
    let mut holder = Client::connect(server.address, &pkcs12);
    holder.send(&NOW).unwrap();
    streaming(&site, 1);

    let told = format!("the server reports error 1: {FULL}");
    ssl_test(&site, server.address, &pkcs12, &[]).failed(1, &[&told]);
    ssl_test(&site, server.address, &pkcs12, &["--extended"]).failed(1, &[&told]);
    ssl_test(&site, server.address, &pkcs12, &["-h", "10.0.0.1"]).failed(1, &[&told]);

    let collector = site.collector("collector", server.address, &pkcs12);
    let mut config = configuration(server.address, &pkcs12);
    config["handler"]["eventUids"] = true.into();
    collector.configure(config);
    let mut process = collector.start();
    // It comes again, after a pause each time.
    process.lines(&format!("the management center reports error 1: {FULL} Next attempt in "), 2);
    process.alive();
    assert_eq!(collector.counts(), (0, 0));
    server.process.line("Refused: there are 1 connections already (max_connections)");

    drop(holder);
    collector.wait_for_events(400, &process);
    // Now it has the place, and gets what comes.
    ssl_test(&site, server.address, &pkcs12, &[]).failed(1, &[&told]);
    simulate(&site, "600");
    collector.wait_for_events(600, &process);
    assert!(process.terminate().success(), "{}", process.log());
    let mut events: BTreeMap<String, usize> = BTreeMap::new();
    collector.each_line(|line| {
        if !is_metadata(line) {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            *events.entry(line["@computed"]["eventUid"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    });
    assert_eq!((events.len(), events.values().max()), (600, Some(&1)));

    streaming(&site, 0);
    ssl_test(&site, server.address, &pkcs12, &["--count", "5"]).success();
}

/// A real record: type 123, length, the device's number and name.
const DEVICE: [u8; 18] = [0, 0, 0, 123, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 2, b'f', b'w'];

/// The error message of a full server.
fn error() -> Vec<u8> {
    let mut error = Vec::new();
    message::push_error(&mut error, 1, FULL);
    error
}

#[test]
fn what_a_server_says_last_is_told_although_it_vanishes_at_once() {
    let site = Site::empty();
    let impostor = Impostor::new(&site.path(""));
    // Before it has read the request: that is answered by a reset.
    let said = thread::scope(|scope| {
        let client = scope.spawn(|| ssl_test(&site, impostor.address(), &impostor.pkcs12, &[]));
        impostor.accept().send(&error());
        client.join().unwrap()
    });
    said.failed(1, &[FULL]);
    let collector = site.collector("collector", impostor.address(), &impostor.pkcs12);
    let process = collector.start();
    impostor.accept().send(&error());
    process.line(&format!("the management center reports error 1: {FULL} Next attempt in "));
}

#[test]
fn what_a_server_says_last_is_told_although_nothing_can_be_sent_to_it_any_more() {
    let site = Site::empty();
    let impostor = Impostor::new(&site.path(""));
    let port = impostor.address().port().to_string();
    let mut command = Command::new(program());
    command.args(["ssl-test", "127.0.0.1", "-po", &port, "-s", "all", "-pk"]).arg(&impostor.pkcs12);
    let mut child = command.current_dir(site.path("")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut visitor = impostor.accept();
    visitor.request();
    // More than fits into a pipe, when it is printed.
    let (mut items, mut bundle) = ([0, 0, 0, 7, 0, 0, 0, 1].to_vec(), Vec::new());
    (0..1500).for_each(|_| message::push(&mut items, MessageType::EVENT_DATA, &DEVICE));
    message::push(&mut bundle, MessageType::BUNDLE, &items);
    visitor.send(&bundle);
    out.read_exact(&mut [0; 1]).unwrap();
    // It has the bundle, and cannot acknowledge it before somebody reads what it prints.
    visitor.send(&error());
    visitor.reset();
    let mut printed = String::new();
    out.read_to_string(&mut printed).unwrap();
    let mut said = String::new();
    err.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(printed.len() > 100_000 && said.contains(FULL), "{} bytes; {said}", printed.len());
}

/// What a client has got.
#[derive(Debug, Default)]
struct Got {
    /// How many records of each kind of event, by the record type that carries it in current versions.
    kinds: BTreeMap<u16, usize>,
    /// By record type the data blocks it comes in; 0 for none.
    blocks: BTreeMap<u16, BTreeSet<u32>>,
    /// Of intrusion events.
    ids: BTreeSet<u64>,
    metadata: usize,
}

impl Got {
    /// Counts a record, which must be as its layout says.
    fn count(&mut self, decoder: &mut Decoder, item: &[u8]) {
        let record = decoder.decode(item).unwrap();
        assert!(record.problem().is_none() && !record.opaque(), "{}: {:?}", record.record_type(), record.problem());
        let known = layout::record(record.record_type()).unwrap();
        if known.metadata {
            self.metadata += 1;
            return;
        }
        *self.kinds.entry(known.event).or_default() += 1;
        let block = match record.body().value(0) {
            Some(Value::Block(block)) => block.block_type(),
            _ => record.main().block_type(),
        };
        self.blocks.entry(record.record_type()).or_default().insert(block);
        if known.event == INTRUSION {
            self.ids.insert(record.uint("eventId").unwrap());
        }
    }

    fn total(&self) -> usize {
        self.kinds.values().sum()
    }

    /// The blocks in which these record types came.
    fn of<const N: usize>(&self, types: &[(u16, u32); N]) -> [Vec<u32>; N] {
        types.map(|(of, _)| self.blocks.get(&of).into_iter().flatten().copied().collect())
    }
}

/// A client that asks for given versions.
struct Asking {
    client: Client,
    session: ClientSession,
}

impl Asking {
    fn begin(address: SocketAddr, pkcs12: &Path, request: ClientRequest) -> Asking {
        let mut client = Client::connect(address, pkcs12);
        let mut session = ClientSession::new(request);
        client.send(&session.take_output()).unwrap();
        if !session.streaming() {
            let services = client.message().unwrap();
            take(&mut session, services, &mut Got::default());
            client.send(&session.take_output()).unwrap();
        }
        Asking { client, session }
    }

    /// Reads until it has this many events.
    fn read(&mut self, events: usize) -> Got {
        let mut got = Got::default();
        while got.total() < events {
            let message = self.client.message().unwrap_or_else(|error| panic!("{error}, after {got:?}"));
            take(&mut self.session, message, &mut got);
            self.client.send(&self.session.take_output()).unwrap();
        }
        got
    }
}

fn take(session: &mut ClientSession, (kind, body): (MessageType, Vec<u8>), got: &mut Got) {
    let mut bytes = Vec::new();
    message::push(&mut bytes, kind, &body);
    let mut decoder = Decoder::new();
    match session.receive(&bytes).unwrap().unwrap().1 {
        ClientEvent::Records(records) => {
            assert_eq!(records.missed, 0);
            records.for_each(|item| got.count(&mut decoder, item.unwrap()));
            session.acknowledge();
        }
        ClientEvent::KeepAlive | ClientEvent::Services(_) => {}
        other => panic!("{other:?}"),
    }
}

/// What the archive has, as it was written.
fn archived(site: &Site) -> Got {
    let mut reader = Reader::open(&site.path("home/archive"), 0, Start::Genesis).unwrap();
    let (mut items, mut decoder, mut got) = (Vec::new(), Decoder::new(), Got::default());
    loop {
        match reader.next(&mut items).unwrap() {
            Read::Batch(_) => {
                message::Items::new(&items).for_each(|item| got.count(&mut decoder, item.unwrap().body));
            }
            Read::End => return got,
            Read::Lost(lost) => panic!("{lost:?}"),
        }
    }
}

#[test]
fn clients_that_ask_for_different_versions_at_once_get_the_same_events() {
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    simulate(&site, "3000");
    let server = site.serve(&[]);
    let common = flag::PACKETS | flag::METADATA | flag::ARCHIVAL_TIMESTAMP | flag::EXTRA_DATA;
    // The newest that flags can name: intrusion events of 5.0, connections, discovery, correlation of 4.10, and
    // user activity and impact alerts.
    let flags = common | flag::INTRUSION | flag::IMPACT_ALERTS | 1 << 21 | 1 << 26 | 1 << 28 | 1 << 29;
    let plain = ClientRequest { timestamp: 0, flags, events: Vec::new() };
    // What a client of 5.3 asks for.
    let versions = [(12, 6), (21, 4), (31, 8), (61, 11), (71, 10), (91, 4), (101, 4), (111, 3), (131, 2)];
    let events = versions.map(|(code, version)| EventVersion { code, version }).to_vec();
    let middle = ClientRequest { timestamp: 0, flags: common | flag::EXTENDED, events };
    let mut newest = Plugin::Print.extended_request(0);
    newest.flags |= common;
    let mut clients = [plain, middle, newest].map(|request| Asking::begin(server.address, &pkcs12, request));
    streaming(&site, 3);
    // More comes while all three are there.
    simulate(&site, "4000");
    let all = archived(&site);
    assert!(all.total() == 4000 && all.kinds.len() > 10, "{all:?}");
    // No flag asks for malware and file events.
    const NO_FLAG: [u16; 2] = [125, 500];
    let mut flagged = all.kinds.clone();
    flagged.retain(|kind, _| !NO_FLAG.contains(kind));
    let expected = [flagged, all.kinds.clone(), all.kinds.clone()];
    let [plain, middle, newest] = thread::scope(|scope| {
        let mut readers = clients.iter_mut().zip(&expected);
        let threads = [(); 3].map(|()| {
            let (client, kinds) = readers.next().unwrap();
            scope.spawn(|| client.read(kinds.values().sum()))
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!([&plain.kinds, &middle.kinds, &newest.kinds], [&expected[0], &expected[1], &expected[2]]);
    streaming(&site, 3);

    for client in [&plain, &middle, &newest] {
        assert!(client.ids == all.ids && client.ids.len() == all.kinds[&INTRUSION] && client.metadata > 100);
    }

    // Each in the record and data block of its version (`crates/wire/schema/requests.toml`).
    let blocks = [(10, 91), (71, 125), (94, 75), (95, 73), (112, 107), (9, 20), (207, 0), (208, 0)];
    assert_eq!(plain.of(&blocks), blocks.map(|(_, block)| vec![block]));
    assert!(!plain.blocks.contains_key(&INTRUSION), "{:?}", plain.blocks);
    let blocks =
        [(10, 139), (71, 152), (94, 120), (95, 127), (112, 128), (9, 153), (400, 41), (125, 35), (500, 38), (502, 38)];
    assert_eq!(middle.of(&blocks), blocks.map(|(_, block)| vec![block]));
    let blocks =
        [(10, 139), (71, 174), (94, 158), (95, 167), (112, 156), (9, 153), (400, 85), (125, 80), (500, 79), (502, 79)];
    assert_eq!(newest.of(&blocks), blocks.map(|(_, block)| vec![block]));
    assert_eq!(newest.blocks, all.blocks, "the simulator writes the newest versions");
}
