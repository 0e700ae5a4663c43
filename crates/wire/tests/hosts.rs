//! Host data: requests in both forms, and answers of every version from one session to the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod support;

use common::unhex;
use proptest::prelude::*;
use std::net::IpAddr;
use support::{Dice, random_block};
use wire::client::{ClientEvent, ClientRequest, ClientSession};
use wire::decode::Decoder;
use wire::event::{Block, Value, sixteen};
use wire::hosts::{self, BANNER_BYTES, BANNERS, HostForm, HostRequest, HostRequestLength, NOTES, host_data};
use wire::layout::{self, Layout};
use wire::message::{self, MessageType};
use wire::server::{ServerEvent, ServerSession};

/// All versions of the full host profile, and the block that came before it.
const VERSIONS: [u32; 7] = [34, 47, 92, 111, 135, 140, 149];

fn block(number: u32) -> &'static Layout {
    layout::block(1, number).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host under some addresses, everything else made up.
fn host(seed: u64, addresses: &[&str]) -> Block {
    let mut host = random_block(block(149), &mut Dice(seed));
    let item = |address: &&str| {
        let mut item = Block::new(block(143));
        item.set("ipAddress", ip(address)).unwrap();
        item
    };
    host.set("ipAddresses", addresses.iter().map(item).collect::<Vec<_>>()).unwrap();
    let mut server = random_block(block(104), &mut Dice(seed));
    server.set("banner", [7; 300]).unwrap();
    host.set("tcpServers", vec![server.clone(), server]).unwrap();
    host.set("notes", "in the cellar").unwrap();
    host
}

fn pushed(request: &HostRequest) -> Vec<u8> {
    let mut out = Vec::new();
    request.push(&mut out);
    out
}

#[test]
fn the_worked_requests() {
    let current =
        unhex("00010005 00000028 00000006 00000003 00000000000000000000ffff0a000001 00000000000000000000ffff0a000001");
    let request = HostRequest::parse(&current[8..]).unwrap();
    assert_eq!(request, HostRequest::single(ip("10.0.0.1"), NOTES | BANNERS));
    assert_eq!(pushed(&request), current);
    let legacy = unhex("00010005 00000010 00000005 00000000 0a000000 0a0000ff");
    let request = HostRequest::parse(&legacy[8..]).unwrap();
    let range = HostRequest::range(ip("10.0.0.0"), ip("10.0.0.255"), 0);
    assert_eq!(request, HostRequest { data_type: 5, form: HostForm::Legacy, ..range });
    assert_eq!(pushed(&request), legacy);
    assert_eq!((request.multiple(), request.layout().number), (true, 92));
    for length in (0..100).filter(|n| ![16, 40].contains(n)) {
        assert_eq!(HostRequest::parse(&vec![0; length]), Err(HostRequestLength(length)));
    }
}

#[test]
fn data_types_and_their_blocks() {
    let table: Vec<_> = host_data().iter().map(|d| (d.data_type, d.multiple, d.layout.number)).collect();
    let expected =
        [(0, false, 34), (1, true, 34), (2, false, 47), (3, true, 47), (4, false, 92), (5, true, 92)].into_iter();
    assert_eq!(table, expected.chain([(6, false, 149), (7, true, 149)]).collect::<Vec<_>>());
    // An unknown data type gets the newest, told by `data`.
    for (data_type, multiple) in [(8, false), (9, true), (u32::MAX, true)] {
        let request = HostRequest { data_type, ..HostRequest::single(ip("::1"), 0) };
        assert!(request.data().is_none());
        assert_eq!((request.multiple(), request.layout().number), (multiple, 149));
    }
}

#[test]
fn addresses_asked_for() {
    let single = HostRequest::single(ip("10.0.0.5"), 0);
    let other_end = HostRequest { end: sixteen(ip("10.0.0.9")), ..single };
    for request in [single, other_end] {
        assert!(request.contains(ip("10.0.0.5")) && !request.contains(ip("10.0.0.6")), "the end is for ranges");
    }
    for (first, last) in [("10.0.0.5", "10.0.0.9"), ("10.0.0.9", "10.0.0.5")] {
        let range = HostRequest::range(ip(first), ip(last), 0);
        assert_eq!(range.ends(), (ip("10.0.0.5"), ip("10.0.0.9")));
        let inside = ["10.0.0.5", "10.0.0.7", "::ffff:10.0.0.9"];
        assert!(inside.iter().all(|a| range.contains(ip(a))));
        assert!(["10.0.0.4", "10.0.0.10", "2001:db8::", "::1"].iter().all(|a| !range.contains(ip(a))));
    }
    // IPv4 stands among IPv6 as ::ffff:a.b.c.d.
    let mixed = HostRequest::range(ip("2001:db8::ff"), ip("192.0.2.0"), 0);
    assert!(["192.0.2.0", "255.255.255.255", "2001:db8::ff", "64:ff9b::1"].iter().all(|a| mixed.contains(ip(a))));
    assert!(["192.0.1.255", "2001:db8::1:0", "::1"].iter().all(|a| !mixed.contains(ip(a))));
    let all = HostRequest::range(ip("::"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 0);
    assert!(["0.0.0.0", "::", "10.1.2.3", "fe80::1"].iter().all(|a| all.contains(ip(a))));
}

proptest! {
    #[test]
    fn requests_are_written_as_they_are_read(
        data_type: u32, flags: u32, start: [u8; 16], end: [u8; 16], legacy: bool, v4: (bool, bool),
    ) {
        let mapped = |octets: [u8; 16], v4| {
            let [a, b, c, d, ..] = octets;
            if v4 { sixteen([a, b, c, d].into()) } else { octets }
        };
        let (start, end) = (mapped(start, v4.0), mapped(end, v4.1));
        let form = if legacy { HostForm::Legacy } else { HostForm::Current };
        let request = HostRequest { data_type, flags, start, end, form };
        let out = pushed(&request);
        let message = message::first(&out, 100).unwrap().unwrap();
        prop_assert_eq!((message.kind, message.size()), (MessageType::HOST_DATA_REQUEST, out.len()));
        let read = HostRequest::parse(message.body).unwrap();
        // Only IPv4 addresses fit into the legacy form.
        let form = if v4 == (true, true) { form } else { HostForm::Current };
        prop_assert_eq!(read, HostRequest { form, ..request });
        prop_assert_eq!(out.len(), if form == HostForm::Legacy { 24 } else { 48 });
        let (first, last) = read.ends();
        prop_assert!(sixteen(first) <= sixteen(last) && read.contains(first) && read.contains(last));
    }
}

/// Both sides of a session that is open for host requests alone.
fn sessions() -> (ClientSession, ServerSession) {
    let mut client = ClientSession::new(ClientRequest { timestamp: 0, flags: 0, events: Vec::new() });
    let mut server = ServerSession::new(1);
    let request = client.take_output();
    assert!(matches!(server.receive(&request), Ok(Some((_, ServerEvent::Subscribed { .. })))));
    (client, server)
}

/// What the client hears: blocks, and the end.
#[derive(Debug, PartialEq)]
enum Heard {
    Host(bool, Block),
    End(bool),
}

/// Asks for hosts, answers from a map, and gives what the client hears.
fn ask(client: &mut ClientSession, server: &mut ServerSession, request: &HostRequest, map: &[Block]) -> Vec<Heard> {
    client.request_hosts(request);
    let up = client.take_output();
    let Ok(Some((used, ServerEvent::Hosts(asked)))) = server.receive(&up) else { panic!("no request for hosts") };
    assert_eq!((used, &asked), (up.len(), request));
    for host in map.iter().filter(|host| asked.wants(host)) {
        server.push_host(&asked, host);
    }
    server.end_hosts(&asked);
    let down = server.output().to_vec();
    server.sent(down.len());
    hear(client, &down)
}

fn hear(client: &mut ClientSession, mut down: &[u8]) -> Vec<Heard> {
    let (mut heard, mut decoder) = (Vec::new(), Decoder::new());
    while let Some((used, event)) = client.receive(down).unwrap() {
        heard.push(match event {
            ClientEvent::Host { multiple, block } => {
                let view = decoder.decode_block(1, block);
                assert!(view.problem().is_none() && view.trailing().is_empty(), "{:?}", view.problem());
                Heard::Host(multiple, view.into())
            }
            ClientEvent::HostsEnd { multiple } => Heard::End(multiple),
            other => panic!("{other:?}"),
        });
        down = &down[used..];
    }
    assert!(down.is_empty());
    heard
}

#[test]
fn every_data_type_in_both_forms() {
    let map = [host(1, &["10.0.0.1"]), host(2, &["2001:db8::1", "10.0.0.2"]), host(3, &["10.0.1.1"])];
    let (mut client, mut server) = sessions();
    for data_type in 0..10 {
        for form in [HostForm::Current, HostForm::Legacy] {
            let range = HostRequest::range(ip("10.0.0.255"), ip("10.0.0.0"), NOTES | BANNERS);
            let range = HostRequest { data_type, form, ..range };
            let heard = ask(&mut client, &mut server, &range, &map);
            if data_type % 2 == 1 {
                let [Heard::Host(true, one), Heard::Host(true, two), Heard::End(true)] = &heard[..] else {
                    panic!("{heard:?}")
                };
                assert!(one == &decoded(&range.answer(&map[0])) && two == &decoded(&range.answer(&map[1])));
                assert_eq!(one.layout(), range.layout());
                let nobody = HostRequest { end: range.start, ..range };
                assert_eq!(ask(&mut client, &mut server, &nobody, &map), [Heard::End(true)]);
            } else {
                assert_eq!(ask(&mut client, &mut server, &range, &map), [Heard::End(false)], "not found");
                let single = HostRequest { start: sixteen(ip("10.0.0.2")), ..range };
                let heard = ask(&mut client, &mut server, &single, &map);
                let [Heard::Host(false, one)] = &heard[..] else { panic!("{heard:?}") };
                assert_eq!((one.layout(), one), (single.layout(), &decoded(&single.answer(&map[1]))));
                // Two hosts with one address: the first is the whole answer.
                let twice = [map[1].clone(), map[1].clone()];
                assert_eq!(ask(&mut client, &mut server, &single, &twice).len(), 1);
            }
        }
    }
}

/// The block as it is after a journey.
fn decoded(block: &Block) -> Block {
    let mut bytes = Vec::new();
    block.encode(&mut bytes);
    Decoder::new().decode_block(1, &bytes).into()
}

#[test]
fn hosts_come_between_bundles() {
    let mut server = ServerSession::new(1);
    server.receive(&unhex("00010002 00000008 00000000 40000000")).unwrap();
    server.receive(&unhex("00010801 00000014 00001a0b 00000014 40100000 00000000 00000000")).unwrap();
    server.sent(server.output().len());
    server.push(&[1; 20]);
    let request = HostRequest::range(ip("10.0.0.0"), ip("10.0.0.9"), 0);
    server.push_host(&request, &host(1, &["10.0.0.1"]));
    server.push(&[2; 20]);
    server.end_hosts(&request);
    let (mut rest, mut kinds) = (server.output(), Vec::new());
    while let Some(message) = message::first(rest, 1 << 20).unwrap() {
        kinds.push((message.kind.0, message.body.is_empty()));
        rest = &rest[message.size()..];
    }
    assert_eq!(kinds, [(4002, false), (7, false), (4002, false), (7, true)]);
}

#[test]
fn blocks_of_all_versions_arrive_as_they_were_sent() {
    for (seed, number) in VERSIONS.into_iter().enumerate() {
        for kind in [MessageType::SINGLE_HOST_DATA, MessageType::MULTIPLE_HOST_DATA] {
            let sent = random_block(block(number), &mut Dice(seed as u64));
            let mut bytes = Vec::new();
            sent.encode(&mut bytes);
            // The message length is the block length.
            assert_eq!(bytes[4..8], (bytes.len() as u32).to_be_bytes());
            let mut down = Vec::new();
            message::push(&mut down, kind, &bytes);
            let heard = hear(&mut sessions().0, &down);
            let [Heard::Host(multiple, host)] = &heard[..] else { panic!("{heard:?}") };
            let mut again = Vec::new();
            host.encode(&mut again);
            assert_eq!(again, bytes, "block {number}");
            assert_eq!((host.layout().number, *multiple), (number, kind == MessageType::MULTIPLE_HOST_DATA));
        }
    }
}

#[test]
fn a_host_cut_anywhere_is_a_partial_host() {
    for (seed, number) in VERSIONS.into_iter().enumerate() {
        let mut bytes = Vec::new();
        random_block(block(number), &mut Dice(seed as u64)).encode(&mut bytes);
        let mut decoder = Decoder::new();
        for end in 0..bytes.len() {
            let view = decoder.decode_block(1, &bytes[..end]);
            let problem = view.problem().expect("the block says how long it is").to_string();
            assert!(!problem.contains("record"), "{problem}");
            assert!(end < 8 || view.layout().is_some_and(|l| l.number == number));
        }
    }
}

#[test]
fn notes_and_banners_only_when_asked_for() {
    let whole = host(4, &["10.0.0.1"]);
    for version in host_data().iter().map(|d| d.data_type).chain([8]) {
        for flags in 0..4 {
            let request = HostRequest { data_type: version, ..HostRequest::single(ip("10.0.0.1"), flags) };
            let answer = decoded(&request.answer(&whole));
            let notes = if flags & NOTES == 0 { Value::Octets(vec![]) } else { "in the cellar".into() };
            // 34 has neither notes nor banners.
            assert_eq!(answer.named("notes"), (request.layout().number != 34).then_some(&notes));
            if request.layout().number == 34 {
                continue;
            }
            let Some(Value::List(servers)) = answer.named("tcpServers") else { panic!("{answer:?}") };
            assert_eq!(servers.len(), 2);
            for server in servers {
                let banner = if flags & BANNERS == 0 { 0 } else { BANNER_BYTES };
                assert_eq!(server.named("banner"), Some(&Value::Octets(vec![7; banner])), "data type {version}");
            }
        }
    }
    // What is kept is not touched.
    assert_eq!(whole, host(4, &["10.0.0.1"]));
}

#[test]
fn old_versions_keep_what_they_have_room_for() {
    let new = host(5, &["2001:db8::1", "10.0.0.1", "10.0.0.2"]);
    let full = NOTES | BANNERS;
    for data_type in [0, 2, 4] {
        let request = HostRequest { data_type, ..HostRequest::single(ip("10.0.0.2"), full) };
        let old = request.answer(&new);
        assert_eq!(old.named("ipAddress"), Some(&Value::Octets(vec![10, 0, 0, 2])), "the address asked for");
        assert_eq!(hosts::addresses(&old), [ip("10.0.0.2")]);
        assert!(request.wants(&new) && request.wants(&old));
        // And back: what both versions have is the same. Lists are as long; items lose what theirs have no room for.
        let back = HostRequest::single(ip("10.0.0.2"), full).answer(&decoded(&old));
        assert_eq!(hosts::addresses(&back), [ip("10.0.0.2")]);
        let mut kept = 0;
        for field in new.layout().fields.iter().filter(|f| old.layout().position(f.name).is_some()) {
            match (new.named(field.name).unwrap(), back.named(field.name).unwrap()) {
                (Value::List(a), Value::List(b)) => assert_eq!(a.len(), b.len(), "{}", field.name),
                (Value::Octets(a), Value::Octets(b)) => assert_eq!(a, b, "{}", field.name),
                (a, b) => assert_eq!(a, b, "{}", field.name),
            }
            kept += 1;
        }
        assert!(kept >= 13, "{kept} fields for data type {data_type}");
    }
    // The versions of the family that 6 and 7 ask for.
    for number in [111, 135, 140] {
        let old = decoded(&random_block(block(number), &mut Dice(6)));
        let back = old.convert(block(149)).convert(block(number));
        for field in old.layout().fields {
            match field.name {
                // 140 and 149 have no such field.
                "vlanPresence" => {}
                name if name.ends_with("Fingerprints") || name == "clientApplications" => {}
                name => assert_eq!(back.named(name), old.named(name), "block {number}"),
            }
        }
        let answer = HostRequest::single(ip("10.0.0.1"), full).answer(&old);
        assert_eq!(hosts::addresses(&answer), hosts::addresses(&old));
    }
    // A host without an IPv4 address.
    let request = HostRequest { data_type: 4, ..HostRequest::single(ip("2001:db8::1"), 0) };
    let old = decoded(&request.answer(&host(6, &["2001:db8::1"])));
    assert_eq!(old.named("ipAddress"), Some(&Value::Octets(vec![0; 4])));
    assert!(hosts::addresses(&old).is_empty() && !request.wants(&old));
    // 34 has a field that says whether there is a VLAN: 0 yes, 1 no.
    for (vlan, presence) in [(0u16, 1), (5, 0)] {
        let mut host = Block::new(block(149));
        host.set("vlanId", vlan).unwrap();
        let old = HostRequest { data_type: 0, ..request }.answer(&host);
        assert_eq!(old.named("vlanPresence"), Some(&Value::Uint(presence)));
    }
}

#[test]
fn messages_of_unknown_types_are_answered_with_an_error_in_every_state() {
    let begin = unhex("00010002 00000008 00000000 00000000");
    let announce = unhex("00010002 00000008 00000000 40000000");
    let extended = [&announce[..], &unhex("00010801 00000014 00001a0b 00000014 40100000 00000000 00000000")].concat();
    for (before, served) in [(&[][..], false), (&begin, true), (&announce, false), (&extended, true)] {
        for kind in [3u16, 8, 9, 999, 2048, 2050, 2052, 4001, 4003, 65535] {
            let mut server = ServerSession::new(1);
            let mut rest = before;
            while let Some((used, _)) = server.receive(rest).unwrap() {
                rest = &rest[used..];
            }
            assert_eq!(server.streaming(), served);
            if served {
                server.push(&[1; 20]);
            }
            let mut unknown = Vec::new();
            message::push(&mut unknown, MessageType(kind), &[1, 2, 3]);
            let error = server.receive(&unknown).unwrap_err().to_string();
            assert!(error.starts_with(&format!("message type {kind} is not known here")), "{error}");
            let (mut rest, mut last) = (server.output(), None);
            while let Some(message) = message::first(rest, 1 << 20).unwrap() {
                rest = &rest[message.size()..];
                last = Some(message);
            }
            let last = last.unwrap();
            assert_eq!(last.kind, MessageType::ERROR);
            assert_eq!(message::parse_error(last.body).unwrap().1, error, "the client is told the same");
        }
    }
}
