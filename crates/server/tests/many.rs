//! Five hundred sessions at once, of different requests, versions and positions, among them some that stall and some that
//! say nothing. Each gets what its request selects, in order, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

mod common;

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;

use common::{NOW, Peer, SOON, Seen, Stand, connection, device, everything, packet, wait_for};
use pki::Bundle;
use wire::client::ClientRequest;
use wire::decode::Decoder;
use wire::event::Event;
use wire::hosts::HostRequest;
use wire::message::{self, MessageType};
use wire::record::RecordHeader;
use wire::request::EventVersion;
use wire::subscription::{Form, Subscription};

const SESSIONS: usize = 500;

/// The first second of the archive; each of them has one commit of [`EACH`] events, connections and packets by turns.
const FIRST: u32 = 1_000_000;
const SECONDS: u32 = 20;
const EACH: u32 = 20;

/// What a session asks for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Everything in the newest version.
    Newest,
    /// Everything as products of 6.1 had it.
    Six,
    /// The flags of 5.x, without bundles.
    Five,
    MetadataAlone,
    HostsAlone,
}

impl Kind {
    fn of(number: usize) -> Kind {
        [Kind::Newest, Kind::Six, Kind::Five, Kind::MetadataAlone, Kind::HostsAlone][number % 5]
    }

    fn request(self, timestamp: u32) -> ClientRequest {
        let six = [(12, 9), (21, 4), (71, 14)].map(|(code, version)| EventVersion { code, version });
        let (flags, events) = match self {
            Kind::Newest => (common::EXTENDED, everything()),
            Kind::Six => (0x4890_0061, six.to_vec()),
            // Packets, metadata version 4, connection events version 5, archival timestamps.
            Kind::Five => (1 | 1 << 20 | 1 << 23 | 1 << 26, vec![]),
            Kind::MetadataAlone => (1 << 20, vec![]),
            Kind::HostsAlone => (0, vec![]),
        };
        ClientRequest { timestamp, flags, events }
    }
}

/// Record types and marks of the events of a second.
fn events(second: u32) -> Vec<(u16, u32)> {
    let first = (second - FIRST) * EACH;
    (first..first + EACH).map(|mark| (if mark.is_multiple_of(2) { 71 } else { 2 }, mark)).collect()
}

fn commit(stand: &mut Stand, second: u32) {
    let item = |(kind, mark): &(u16, u32)| if *kind == 71 { connection(*mark as u16) } else { packet(*mark, 100) };
    let items: Vec<_> = events(second).iter().map(item).collect();
    stand.at(second).commit(&[], &items);
}

/// What a request selects of the events from a second on: record type, data block of connection events, mark.
fn expected(request: &ClientRequest, from: u32, to: u32) -> Vec<(u16, u32, u32)> {
    let extended = request.flags & wire::request::flag::EXTENDED != 0;
    let entries = if extended { request.events.as_slice() } else { &[] };
    let subscription = Subscription::new(request.flags, request.timestamp, entries);
    let chosen = |(kind, mark): (u16, u32)| match subscription.form(kind)? {
        Form::Plain => Some((kind, 0, mark)),
        Form::Version(version) => {
            let record = version.own(kind)?;
            Some((kind, version.first_block(record).map_or(0, |block| block.number), mark))
        }
    };
    (from..to).flat_map(events).filter_map(chosen).collect()
}

/// What a record is.
fn seen(record: &[u8], decoder: &mut Decoder) -> (u16, u32, u32) {
    let record = decoder.decode(record).unwrap();
    assert!(record.problem().is_none(), "{:?}", record.problem());
    match record.record_type() {
        71 => (71, record.main().block_type(), record.uint("initiatorPort").unwrap() as u32),
        2 => (2, 0, record.uint("eventId").unwrap() as u32),
        other => (other, 0, 0),
    }
}

/// A session to its end: all of the archive from its start on, and what is committed once all are there.
fn session(number: usize, stand: &Stand, bundle: &Arc<Bundle>, waiting: &Waiting) -> JoinHandle<()> {
    let (address, bundle, waiting) = (stand.v4(), bundle.clone(), waiting.clone());
    let kind = Kind::of(number);
    // From the beginning, from a second on, from now on.
    let start = [0, FIRST + 5 + (number as u32 % 7), NOW][number / 5 % 3];
    let body = move || {
        let request = kind.request(start);
        let mut peer = Peer::connect(address, &bundle, request.clone()).unwrap();
        let mut decoder = Decoder::new();
        let from = if start == NOW { FIRST + SECONDS } else { start.max(FIRST) };
        let old = expected(&request, from, FIRST + SECONDS);
        let names = usize::from(!matches!(kind, Kind::HostsAlone));
        if let Kind::HostsAlone = kind {
            peer.session.request_hosts(&HostRequest::single([10, 0, 0, 1].into(), 0));
            peer.say().unwrap();
            assert_eq!(peer.next(SOON * 3), Seen::HostsEnd(false));
        }
        let mut got = records(&mut peer, old.len() + names);
        let metadata: Vec<_> = got.iter().filter(|r| RecordHeader::parse(r).unwrap().record_type == 123).collect();
        assert_eq!(metadata.len(), names, "session {number}");
        got.retain(|r| RecordHeader::parse(r).unwrap().record_type != 123);
        let got: Vec<_> = got.iter().map(|r| seen(r, &mut decoder)).collect();
        assert_eq!(got, old, "session {number}, {kind:?} from {start}");
        waiting.here.fetch_add(1, Ordering::SeqCst);
        waiting.all.wait();
        let new = expected(&request, FIRST + SECONDS, FIRST + SECONDS + 2);
        let got = records(&mut peer, new.len());
        let got: Vec<_> = got.iter().map(|r| seen(r, &mut decoder)).collect();
        assert_eq!(got, new, "session {number}, {kind:?}, live");
        waiting.all.wait();
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(body).unwrap()
}

#[derive(Clone)]
struct Waiting {
    here: Arc<AtomicUsize>,
    all: Arc<Barrier>,
}

fn records(peer: &mut Peer, count: usize) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while records.len() < count {
        match peer.next(SOON * 3) {
            Seen::Records(more) => records.extend(more),
            Seen::Services | Seen::KeepAlive => {}
            other => panic!("{other:?} after {} of {count} records", records.len()),
        }
    }
    records
}

/// Files this process needs: both ends of each connection, and what else is open.
fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (limit, wanted) = (getrlimit(Resource::Nofile), 4 * SESSIONS as u64);
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).unwrap();
    }
}

#[test]
fn each_of_five_hundred_sessions_gets_what_it_asked_for() {
    allow_files();
    // Sixteen stall: they are sessions too.
    let stalling = 16;
    let mut stand = Stand::new(&format!(
        "max_connections = {0}\nmax_connections_per_address = {0}\nmax_handshakes = 600\nlog_level = \"warn\"",
        SESSIONS + stalling
    ));
    stand.at(FIRST).commit(&[device(1, "fw")], &[]);
    for second in FIRST..FIRST + SECONDS {
        commit(&mut stand, second);
    }
    let bundle = Arc::new(stand.client("127.0.0.1"));
    // Some connect and say nothing, some ask without a dialogue and read nothing.
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(stand.v4()).unwrap()).collect();
    let stalled: Vec<_> =
        (0..stalling).map(|_| Peer::connect(stand.v4(), &bundle, Kind::Five.request(0)).unwrap()).collect();
    let waiting = Waiting { here: Arc::default(), all: Arc::new(Barrier::new(SESSIONS + 1)) };
    let sessions: Vec<_> = (0..SESSIONS).map(|number| session(number, &stand, &bundle, &waiting)).collect();
    let ended = || sessions.iter().any(JoinHandle::is_finished);
    while waiting.here.load(Ordering::SeqCst) < SESSIONS {
        assert!(!ended(), "a session has failed: what it said is above");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let stats = stand.handle.stats();
    let streaming = stats.sessions.iter().filter(|s| s.streaming).count();
    assert!(streaming >= SESSIONS, "{streaming} sessions");
    assert_eq!(stats.refused, 0);
    waiting.all.wait();
    commit(&mut stand, FIRST + SECONDS);
    commit(&mut stand, FIRST + SECONDS + 1);
    // One that failed would let the others wait for ever.
    let finished = std::thread::spawn({
        let waiting = waiting.clone();
        move || {
            waiting.all.wait();
        }
    });
    wait_for_long(|| finished.is_finished() || ended());
    for session in sessions {
        session.join().unwrap();
    }

    // Now much comes that the stalled ones do not take.
    for round in 0..30 {
        let items: Vec<_> = (0..40).map(|n| packet(round * 40 + n, 50_000)).collect();
        stand.at(FIRST + 100 + round).commit(&[], &items);
    }
    let behind = wait_for("sessions that are behind", || {
        let stats = stand.handle.stats();
        let behind: Vec<_> = stats.sessions.into_iter().filter(|s| s.lag.is_some_and(|lag| lag > 0)).collect();
        (behind.len() == stalling).then_some(behind)
    });
    // Two bundles, a chunk, and another one read ahead: far less than the 60 MB there are.
    for session in &behind {
        assert!(session.pending < 2 << 20, "{session:?}");
    }
    drop((silent, stalled));
    wait_for("the end of all", || stand.handle.stats().sessions.is_empty().then_some(()));
}

fn wait_for_long(done: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !done() {
        assert!(begun.elapsed() < SOON * 6, "it takes too long");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The bodies that a request selects of archived items, each with its record type: converted value by value, where the
/// server goes by plans; and as they are stored.
fn forms(items: &[Vec<u8>], request: &ClientRequest) -> Vec<[(u16, Vec<u8>); 2]> {
    let extended = request.flags & wire::request::flag::EXTENDED != 0;
    let entries = if extended { request.events.as_slice() } else { &[] };
    let subscription = Subscription::new(request.flags, request.timestamp, entries);
    let mut decoder = Decoder::new();
    let mut all = Vec::new();
    for item in items {
        let record = decoder.decode(&item[8..]).unwrap();
        let mut bytes = Vec::new();
        match subscription.form(record.record_type()) {
            None => continue,
            Some(Form::Plain) => bytes.extend_from_slice(&item[8..]),
            Some(Form::Version(version)) => match Event::try_from(&record).unwrap().in_version(version) {
                Some(event) => event.encode(Some(0), &mut bytes),
                None => bytes.extend_from_slice(&item[8..]),
            },
        }
        all.push([body(&bytes), body(&item[8..])]);
    }
    all
}

fn body(record: &[u8]) -> (u16, Vec<u8>) {
    let header = RecordHeader::parse(record).unwrap();
    (header.record_type, record[header.size..].to_vec())
}

#[test]
fn a_client_of_5x_and_one_of_today_get_their_own_layouts_of_the_same_events() {
    // Every record type in every version there is, as eNcore reads them.
    let packed = include_bytes!("../../wire/tests/data/stream.bin.gz");
    let mut stream = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut stream).unwrap();
    let (mut items, mut decoder, mut rest) = (Vec::new(), Decoder::new(), stream.as_slice());
    while let Some(message) = message::first(rest, u32::MAX).unwrap() {
        rest = &rest[message.size()..];
        // What is whole, and is an event with an archival timestamp.
        let good = decoder.decode(message.body).is_ok_and(|r| {
            r.problem().is_none()
                && !r.opaque()
                && r.header.timestamp.is_some()
                && r.layout.is_some_and(|l| !l.metadata)
        });
        if message.kind == MessageType::EVENT_DATA && good {
            let length = (message.body.len() as u32).to_be_bytes();
            items.push([&[0, 0, 0, 4], &length[..], message.body].concat());
        }
    }
    assert!(items.len() > 500, "{} events", items.len());
    let mut stand = Stand::new("");
    stand.at(FIRST).commit(&[], &items);
    let bundle = stand.client("127.0.0.1");
    // Bits of 5.0 and 5.1: intrusion events, impact alerts, user activity, and the newest versions of discovery,
    // connection and correlation events that have a flag.
    let old = [1 << 6, 1 << 5, 1 << 21, 1 << 23, 1 << 26, 1 << 28, 1 << 29].iter().sum();
    let requests = [
        ClientRequest { timestamp: 0, flags: old, events: vec![] },
        ClientRequest { timestamp: 0, flags: common::EXTENDED, events: everything() },
    ];
    let mut peers = requests.clone().map(|request| Peer::connect(stand.v4(), &bundle, request).unwrap());
    let mut layouts = Vec::new();
    for (peer, request) in peers.iter_mut().zip(&requests) {
        let expected = forms(&items, request);
        let got = records(peer, expected.len());
        let mut blocks = std::collections::BTreeSet::new();
        for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let [converted, stored] = expected;
            // A block that is of the version already goes as it is, older blocks in it included.
            let same = stored.0 == 10 && &body(got) == stored;
            assert!(same || &body(got) == converted, "event {at} of flags {:#x}", request.flags);
            let record = decoder.decode(got).unwrap();
            assert!(record.problem().is_none(), "{:?}", record.problem());
            blocks.insert((record.record_type(), record.main().block_type()));
        }
        peer.quiet();
        layouts.push(blocks);
    }
    let has = |at: usize, layout: (u16, u32)| layouts[at].contains(&layout);
    assert!(has(0, (71, 125)) && has(0, (207, 0)) && !has(0, (71, 174)) && !layouts[0].iter().any(|(t, _)| *t == 400));
    assert!(has(1, (71, 174)) && layouts[1].iter().any(|(t, _)| *t == 400) && !has(1, (71, 125)) && !has(1, (207, 0)));
}
