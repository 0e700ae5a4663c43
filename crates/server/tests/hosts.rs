//! Host data requests, answered from the network map of what was archived.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use common::*;
use netmap::Map;
use wire::decode::{Decoder, Value};
use wire::event::Event;
use wire::hosts::{HostForm, HostRequest, addresses};
use wire::record::record_type;

const ALL: &str = "network_map = true\nmonitored_networks = [\"10.0.0.0/8\", \"fd00::/8\"]\n";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn flow(from: IpAddr, to: IpAddr, port: u16) -> Vec<u8> {
    let mut event = Event::new(71).unwrap();
    event.set("deviceId", 1u32).unwrap().set("initiatorIpAddress", from).unwrap();
    event.set("responderIpAddress", to).unwrap().set("responderPort", port).unwrap().set("protocol", 6u8).unwrap();
    event.set("responderTransmittedPackets", 4u64).unwrap().set("applicationId", 846u32).unwrap();
    event.set("clientApplicationId", 847u32).unwrap().set("clientApplicationVersion", "9.6").unwrap();
    event.set("lastPacketTimestamp", 1_700_000_000u32).unwrap();
    let mut item = Vec::new();
    event.encode_item(Some(0), &mut item);
    item
}

fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32
}

/// Waits until the map has this many hosts.
fn mapped(stand: &Stand, hosts: u64) {
    wait_for("the network map", || {
        let map = Map::open(&stand.home.map_path(), 0).unwrap()?;
        (map.sizes().unwrap().0 >= hosts).then_some(())
    });
}

/// Asks, and gives the blocks of the answer, records left out.
fn ask(peer: &mut Peer, request: &HostRequest) -> Vec<Vec<u8>> {
    peer.session.request_hosts(request);
    peer.say().unwrap();
    let mut hosts = Vec::new();
    loop {
        match peer.next(SOON) {
            Seen::Host(multiple, block) => {
                assert_eq!(multiple, request.multiple());
                hosts.push(block);
                if !multiple {
                    return hosts;
                }
            }
            Seen::HostsEnd(_) => return hosts,
            Seen::Records(_) | Seen::KeepAlive | Seen::Services => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn hosts_are_answered_in_every_version() {
    let mut stand = Stand::new(ALL);
    let bundle = stand.client("127.0.0.1");
    stand
        .at(now())
        .commit_as("eve:1", &[flow(ip("10.0.0.1"), ip("10.0.0.2"), 22), flow(ip("fd00::1"), ip("10.0.0.2"), 22)]);
    mapped(&stand, 3);
    let mut peer = stand.connect(&bundle, NOW, 0, vec![]);
    let mut decoder = Decoder::new();
    for (data_type, number) in [(0, 34), (1, 34), (2, 47), (3, 47), (4, 92), (5, 92), (6, 149), (7, 149)] {
        let request = HostRequest { data_type, ..HostRequest::range(ip("10.0.0.2"), ip("10.0.0.9"), 3) };
        for request in [request, HostRequest { form: HostForm::Legacy, ..request }] {
            let hosts = ask(&mut peer, &request);
            let [host] = &hosts[..] else { panic!("{data_type}: {} hosts", hosts.len()) };
            let view = decoder.decode_block(1, host);
            assert_eq!((view.block_type(), view.problem(), view.trailing().len()), (number, None, 0));
            let block = wire::event::Block::from(view);
            assert_eq!(addresses(&block), [ip("10.0.0.2")], "{number}");
            let Some(Value::List(servers)) = view.named("tcpServers") else { panic!("{number}") };
            let server = servers.items().next().unwrap();
            assert_eq!(server.named("port").unwrap().as_uint(), Some(22), "{number}");
            let id = match server.named("detectedServers") {
                Some(Value::List(found)) => found.items().next().unwrap().named("applicationId"),
                _ => server.named("applicationId"),
            };
            assert_eq!(id.unwrap().as_uint(), Some(846), "{number}");
        }
        assert_eq!(
            ask(&mut peer, &HostRequest { data_type, ..HostRequest::single(ip("10.9.9.9"), 0) }),
            Vec::<Vec<u8>>::new()
        );
    }
    // A client application, and IPv6.
    let hosts = ask(&mut peer, &HostRequest::single(ip("fd00::1"), 0));
    let view = decoder.decode_block(1, &hosts[0]);
    assert_eq!(addresses(&view.into()), [ip("fd00::1")]);
    let Some(Value::List(clients)) = view.named("clientApplications") else { panic!("no clients") };
    let client = clients.items().next().unwrap();
    assert_eq!(client.named("applicationId").unwrap().as_uint(), Some(847));
    assert_eq!(client.named("version").unwrap().octets(), Some(&b"9.6"[..]));
    let everything = HostRequest::range(ip("::"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 0);
    assert_eq!(ask(&mut peer, &everything).len(), 3);
    // What is new was told.
    let mut reader = stand.connect(&bundle, 0, EXTENDED, everything_events());
    let types: Vec<_> = reader.records(8).iter().map(|r| record_type(r)).collect();
    assert_eq!(types, [71, 71, 10, 15, 10, 11, 10, 15]);
}

fn everything_events() -> Vec<wire::request::EventVersion> {
    wire::subscription::newest_events()
}

#[test]
fn ten_thousand_hosts_flow_as_the_client_takes_them() {
    let mut stand = Stand::new(ALL);
    let bundle = stand.client("127.0.0.1");
    let hosts = 10_000u32;
    stand.at(now());
    for first in (0..hosts).step_by(1000) {
        let address = |n: u32| IpAddr::from((0x0a00_0000 + 1 + n).to_be_bytes());
        let flows: Vec<_> = (first..first + 1000).map(|n| flow(address(n), ip("203.0.113.1"), 443)).collect();
        stand.commit_as("eve:1", &flows);
    }
    mapped(&stand, hosts.into());
    let mut peer = stand.connect(&bundle, NOW, EXTENDED, everything_events());
    assert_eq!(peer.next(SOON), Seen::Services);
    let request = HostRequest::range(ip("0.0.0.0"), ip("255.255.255.255"), 3);
    peer.session.request_hosts(&request);
    peer.say().unwrap();
    // The client takes nothing: what the sockets do not hold waits on disk, not in memory.
    let session = || stand.handle.stats().sessions.first().map_or((0, 0), |s| (s.bytes, s.pending));
    let mut last = (0, 0);
    wait_for("the answer to stand still", || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = session();
        assert!(now.1 < 1 << 20, "{} bytes wait", now.1);
        (std::mem::replace(&mut last, now) == now && now.0 > 100_000).then_some(())
    });
    // Events of the session go on in between.
    stand.commit_as("eve:1", &[flow(ip("10.0.0.1"), ip("203.0.113.2"), 443)]);
    let (mut found, mut records, mut decoder) = (Vec::new(), 0, Decoder::new());
    loop {
        match peer.next(SOON) {
            Seen::Host(true, block) => {
                let view = decoder.decode_block(1, &block);
                assert_eq!(view.problem(), None);
                found.push(addresses(&view.into())[0]);
            }
            Seen::Records(some) => records += some.len(),
            Seen::HostsEnd(true) => break,
            Seen::KeepAlive => {}
            other => panic!("{other:?} after {} hosts", found.len()),
        }
    }
    assert_eq!(found.len(), hosts as usize);
    assert!(found.is_sorted() && found[0] == ip("10.0.0.1"));
    while records == 0 {
        let Seen::Records(some) = peer.next(SOON) else { continue };
        records += some.len();
    }
}
