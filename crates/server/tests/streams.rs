//! What clients get of the archive.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may fail loudly; clippy knows only #[test] functions as such"
)]

mod common;

use std::time::{Duration, Instant};

use common::{EXTENDED, NOW, Peer, Seen, Stand, connection, device, everything, packet, seconds, types, wait_for};
use pki::TlsVersions;
use wire::client::ClientRequest;
use wire::decode::Decoder;
use wire::request::EventVersion;

/// Second 1 000 000: a device and two connections; 1 000 600, in a new segment: one more. Every commit has its mark.
fn two_segments(stand: &mut Stand) {
    stand.at(1_000_000).commit(&[device(1, "fw")], &[connection(1), connection(2)]);
    stand.at(1_000_600).commit(&[], &[connection(3)]);
    assert_eq!(stand.segments().len(), 2);
}

fn marks(records: &[Vec<u8>]) -> Vec<u64> {
    let mut decoder = Decoder::new();
    records.iter().filter_map(|r| decoder.decode(r).unwrap().uint("initiatorPort")).collect()
}

#[test]
fn from_the_beginning_on_and_live_over_segments_with_metadata_first_and_once() {
    let mut stand = Stand::new("");
    two_segments(&mut stand);
    let bundle = stand.client("127.0.0.1");
    let mut peer = stand.connect(&bundle, 0, EXTENDED, everything());
    assert_eq!(peer.next(common::SOON), Seen::Services);
    let records = peer.records(4);
    assert_eq!(types(&records), [123, 71, 71, 71], "the snapshot in the second segment is not sent again");
    assert_eq!(seconds(&records), [None, Some(1_000_000), Some(1_000_000), Some(1_000_600)]);
    assert_eq!(marks(&records), [1, 2, 3]);
    assert_eq!(records[0], device(1, "fw")[8..], "byte for byte as it was archived");
    peer.quiet();

    // Live: in the same segment, then in a new one, with a new and a changed name.
    let begun = Instant::now();
    stand.at(1_000_601).commit(&[], &[connection(4)]);
    assert_eq!(marks(&peer.records(1)), [4]);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    stand.at(1_002_000).commit(&[device(1, "fw-new"), device(2, "ids")], &[connection(5)]);
    assert_eq!(stand.segments().len(), 3);
    let records = peer.records(3);
    assert_eq!(types(&records), [123, 123, 71]);
    assert_eq!(marks(&records), [5]);
    peer.quiet();

    let stats = stand.handle.stats();
    let session = &stats.sessions[0];
    assert_eq!((session.records, session.second, session.streaming), (8, 1_002_000, true));
    assert_eq!(session.name.as_deref(), Some("127.0.0.1"));
    drop(peer);
    stand.logged("Removed host entry for pid: 1");
    stand.logged_in_order(&[
        "Event Streamer:ConnectionHandler [INFO] Listening on 127.0.0.1:",
        "Event Streamer:ConnectionHandler [INFO] Accepted IPv4 connection from 127.0.0.1:",
        "Event Streamer:ConnectionHandler [INFO] Added 127.0.0.1 to host table",
        "Event Streamer:ConnectionHandler [INFO] Added 127.0.0.1(1) to host table",
        ": [1] EventStreamer child(127.0.0.1):ConnectionHandler [INFO] Resolved CN 127.0.0.1 to 127.0.0.1",
        "child(127.0.0.1):ConnectionHandler [INFO] Matched Certificate CN:127.0.0.1 to 127.0.0.1 (IPv4)",
        "child(127.0.0.1):sfestreamer [INFO] Got EVENT_STREAM_REQUEST length 8",
        "child(127.0.0.1):sfestreamer [INFO] Publishing service INFO total data size 48",
        "child(127.0.0.1):sfestreamer [INFO] Publishing service id:5001 - length size 8",
        "child(127.0.0.1):sfestreamer [INFO] Publishing service id:5000 - length size 8",
        "child(127.0.0.1):sfestreamer [INFO] Publishing service id:6667 - length size 8",
        "child(127.0.0.1):sfestreamer [INFO] Got UEC_STREAM_REQUEST length 56",
        "child(127.0.0.1):ConnectionHandler [INFO] requested service [6667] timestamp [0]",
        "child(127.0.0.1):ConnectionHandler [INFO] Got Event type 12, version ",
        "child(127.0.0.1):sfestreamer [INFO] EventStream Request (0x48900061): Since 0 w/ NS Events",
        "child(127.0.0.1):ConnectionHandler [INFO] creating iterator for service [6667] prefix [unified2.] timestamp [0]",
        "child(127.0.0.1):Unified2Iterator [INFO] Opened ",
        "netmap_0/unified2.1000000\n",
        "netmap_0/unified2.1000600\n",
        "netmap_0/unified2.1002000\n",
        "Event Streamer:ConnectionHandler [INFO] Child with pid 1 exited with status 5120",
    ]);
}

#[test]
fn from_now_on_and_from_a_second_on_over_ipv6() {
    let mut stand = Stand::new("");
    two_segments(&mut stand);
    stand.at(1_000_700).commit(&[device(2, "ids")], &[connection(4)]);
    let bundle = stand.client("::1");
    let request = |timestamp| ClientRequest { timestamp, flags: EXTENDED, events: everything() };
    let mut now = Peer::connect(stand.v6(), &bundle, request(NOW)).unwrap();
    assert_eq!(types(&now.records(2)), [123, 123], "names are needed, old events are not");
    let mut second = Peer::connect_as(stand.v6(), &bundle, request(1_000_700), TlsVersions::Only12).unwrap();
    let records = second.records(3);
    assert_eq!((types(&records), marks(&records)), (vec![123, 123, 71], vec![4]));
    let mut future = Peer::connect(stand.v6(), &bundle, request(2_000_000)).unwrap();
    assert_eq!(types(&future.records(2)), [123, 123]);
    now.quiet();
    stand.at(1_000_800).commit(&[], &[connection(5)]);
    for peer in [&mut now, &mut second, &mut future] {
        assert_eq!(marks(&peer.records(1)), [5]);
    }
    stand.logged_in_order(&[
        "Accepted IPv6 connection from [::1]:",
        "Added ::1 to host table",
        "Matched Certificate CN:::1 to ::1 (IPv6)",
    ]);
}

#[test]
fn without_the_extended_request_records_are_single_messages() {
    let mut stand = Stand::new("");
    stand.commit(&[device(1, "fw")], &[packet(7, 10), connection(1), packet(8, 10)]);
    let bundle = stand.client("127.0.0.1");
    let mut long = stand.connect(&bundle, 0, 0x0890_0061, vec![]);
    let mut short = stand.connect(&bundle, 0, 0x0810_0061, vec![]);
    for message in 0..3 {
        let Seen::Records(record) = long.next(common::SOON) else { panic!() };
        assert_eq!(record.len(), 1, "message {message}");
        let Seen::Records(cut) = short.next(common::SOON) else { panic!() };
        assert_eq!(types(&record), types(&cut));
        let header = if message == 0 { 8 } else { 16 };
        assert_eq!(record[0][header..], cut[0][8..]);
        assert_eq!(seconds(&record), [(message > 0).then_some(1_000_000)]);
        assert_eq!(seconds(&cut), [None]);
    }
    long.quiet();
    stand.logged("EventStream Request (0x08900061): Since 0 w/ NS Events w/ Packets w/ Extra IDS Event data w/ Metadata v4 w/ Impact Alerts w/ Impact Flags w/ Send archive timestamp");
}

#[test]
fn an_older_version_is_converted_for_the_client_that_asks_for_it() {
    let mut stand = Stand::new("");
    stand.commit(&[device(1, "fw")], &[connection(1), packet(1, 9), connection(2)]);
    let bundle = stand.client("127.0.0.1");
    let old = vec![EventVersion { code: 71, version: 14 }, EventVersion { code: 999, version: 1 }];
    let mut peer = stand.connect(&bundle, 0, 0x4080_0000, old);
    let records = peer.records(2);
    let mut decoder = Decoder::new();
    for (record, mark) in records.iter().zip(1..) {
        let record = decoder.decode(record).unwrap();
        assert!(record.problem().is_none());
        assert_eq!(record.main().block_type(), 163);
        assert_eq!(record.header.timestamp, Some(1_000_000));
        assert_eq!(record.uint("initiatorPort"), Some(mark));
        assert_eq!(record.field("clientUrl").unwrap().octets(), Some(&b"http://example.com/"[..]));
    }
    stand.logged("Event type 999, version 1 is not known: it is ignored");
}

#[test]
fn a_large_archive_comes_whole_and_in_order_in_bundles_and_singly() {
    let mut stand = Stand::new("");
    for part in 0..20u32 {
        let packets: Vec<_> = (0..500).map(|n| packet(part * 500 + n, 1000)).collect();
        stand.commit(&[], &packets);
    }
    let bundle = stand.client("127.0.0.1");
    let mut decoder = Decoder::new();
    for flags in [EXTENDED, 0x0890_0061] {
        let mut peer = stand.connect(&bundle, 0, flags, everything());
        let records = peer.records(10_000);
        for (record, mark) in records.iter().zip(0..) {
            assert_eq!(decoder.decode(record).unwrap().uint("eventId"), Some(mark));
        }
        peer.quiet();
    }
}

#[test]
fn a_client_that_acknowledges_nothing_gets_no_more_until_it_does() {
    let mut stand = Stand::new("");
    stand.commit(&[], &(0..40_000).map(|n| packet(n, 1)).collect::<Vec<_>>());
    let bundle = stand.client("127.0.0.1");
    let mut peer = stand.connect(&bundle, 0, 0x0080_0001, vec![]);
    peer.acknowledge = false;
    let mut count = 0;
    while let Seen::Records(records) = peer.next(Duration::from_secs(1)) {
        count += records.len();
    }
    let window = wire::server::WINDOW as usize;
    assert!((window..window + 20_000).contains(&count), "{count}");
    peer.acknowledge = true;
    peer.session.acknowledge();
    peer.say().unwrap();
    assert_eq!(peer.records(40_000 - count).len() + count, 40_000);
}

#[test]
fn damage_in_the_archive_is_logged_and_the_rest_is_sent() {
    let mut stand = Stand::new("");
    for mark in 1..=3 {
        stand.commit(&[], &[connection(mark)]);
    }
    let path = stand.segments().pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&path, bytes).unwrap();
    let bundle = stand.client("127.0.0.1");
    let mut peer = stand.connect(&bundle, 0, EXTENDED, everything());
    assert_eq!(marks(&peer.records(2)), [1, 3]);
    stand.logged("Unified2Iterator [ERROR] Lost 1 events (");
    stand.logged("unified2.1000000: the bytes there are damaged");
}

#[test]
fn many_idle_sessions_all_get_what_is_new_at_once() {
    let mut stand = Stand::new("max_connections_per_address = 100");
    stand.commit(&[device(1, "fw")], &[connection(1)]);
    let bundle = stand.client("127.0.0.1");
    let mut peers: Vec<_> = (0..60).map(|_| stand.connect(&bundle, NOW, EXTENDED, everything())).collect();
    for peer in &mut peers {
        peer.records(1);
    }
    wait_for("60 sessions", || (stand.handle.stats().sessions.len() == 60).then_some(()));
    let begun = Instant::now();
    stand.commit(&[], &[connection(2)]);
    for peer in &mut peers {
        assert_eq!(marks(&peer.records(1)), [2]);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
