//! What becomes a host, and what is told of it.

use wire::decode::Decoder;
use wire::event::{Block, Event};
use wire::layout;

use super::*;
use crate::{Fact, Networks, Sighting, Sightings};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// H1, H2, T1
#[test]
fn who_answers_is_a_host_and_serves() {
    let mut stand = Stand::new();
    let closed = Flow { answers: 1, ..flow("10.0.0.1", "10.0.0.3", 23) };
    let silent = Flow { answers: 0, ..flow("10.0.0.1", "10.0.0.4", 23) };
    let outside = flow("10.0.0.1", "203.0.113.9", 443);
    let named = Flow { application: 676, client: 638, ..flow("10.0.0.1", "10.0.0.2", 80) };
    stand.flows(&[named.clone(), closed, silent, outside, named.clone()]);
    let mut mapper = stand.mapper(Policy::default());
    drain(&mut mapper);
    assert_eq!(stand.told(), [10, 15, 10, 11, 10]);
    drain(&mut mapper);
    stand.flows(&[Flow { protocol: 17, ..flow("10.0.0.2", "10.0.0.1", 53) }]);
    drain(&mut mapper);
    // Both speak UDP now, and the one serves.
    assert_eq!(stand.told()[5..], [14, 14, 12]);

    let map = stand.map();
    let host = map.host(ip("10.0.0.2")).unwrap().unwrap();
    let server = host.server(6, 80).unwrap();
    assert_eq!((server.application, server.hits, server.last_seen), (676, 2, 500));
    assert_eq!(map.host(ip("10.0.0.1")).unwrap().unwrap().clients[0].hits, 2);
    assert!(map.host(ip("10.0.0.3")).unwrap().unwrap().servers.is_empty());
    for absent in ["10.0.0.4", "203.0.113.9"] {
        assert_eq!(map.host(ip(absent)).unwrap(), None);
    }
    assert_eq!(map.sizes().unwrap(), (3, 2, 1));
    let page = map.page("", None, 2).unwrap();
    assert_eq!((page.total, page.hosts.len(), page.next), (3, 2, Some(ip("10.0.0.2"))));
    assert_eq!(map.page("", page.next, 2).unwrap().hosts.len(), 1);
    assert_eq!(map.page("0.0.3", None, 10).unwrap().hosts[0].0, ip("10.0.0.3"));
    // The newest profile has what is known.
    let new = stand.records().into_iter().find(|(kind, _, _)| *kind == 11).unwrap();
    let mut decoder = Decoder::new();
    let record = decoder.decode(&new.2).unwrap();
    assert_eq!((record.uint("eventSecond"), record.uint("deviceId")), (Some(500), Some(3)));
    assert_eq!((record.uint("eventType"), record.uint("eventSubtype")), (Some(1000), Some(2)));
}

/// T2, T3, H3
#[test]
fn what_others_tell_is_taken_and_not_told_again() {
    let mut stand = Stand::new();
    let mut server = Block::new(layout::block(1, 103).unwrap());
    server.set("port", 25u16).unwrap();
    let mut new = Event::new(11).unwrap();
    new.set("hasIpv6", 1u8).unwrap().set("ipv6Address", ip("198.51.100.7")).unwrap();
    new.set("hostServer", server).unwrap();
    stand.write("records:x", std::slice::from_ref(&new));
    stand.write("simulator:1", &[flow("10.0.0.1", "10.0.0.2", 80).event()]);
    stand.write("replay:1", &[flow("10.0.0.3", "10.0.0.4", 80).event()]);
    stand.write("", &[flow("10.0.0.5", "10.0.0.1", 80).event()]);
    let mut mapper = stand.mapper(Policy::default());
    drain(&mut mapper);
    assert_eq!(stand.told(), [11]);
    assert_eq!(mapper.hosts(), 6);
    assert_eq!(stand.map().host(ip("198.51.100.7")).unwrap().unwrap().servers.len(), 1);
    // Only others told of these hosts: that they are forgotten is not told either (H5).
    stand.set_clock(1000 + crate::WEEK + 1);
    mapper.expire_for_test();
    drain(&mut mapper);
    assert_eq!((stand.told(), mapper.hosts()), (vec![11], 0));
}

/// H4
#[test]
fn at_the_limit_hosts_are_dropped_or_replaced() {
    let all = [flow("10.0.0.1", "8.8.8.8", 53), flow("10.0.0.2", "8.8.8.8", 53), flow("10.0.0.3", "8.8.8.8", 53)];
    for (at_limit, told, stays) in
        [(AtLimit::Drop, vec![10, 10, 44], "10.0.0.1"), (AtLimit::Replace, vec![10, 10, 21, 10], "10.0.0.3")]
    {
        let mut stand = Stand::new();
        stand.flows(&all[..1]);
        let mut mapper = stand.mapper(limit(2, at_limit));
        drain(&mut mapper);
        stand.set_clock(1001);
        stand.flows(&all[1..]);
        stand.flows(&all[2..]);
        drain(&mut mapper);
        assert_eq!((stand.told(), mapper.hosts()), (told, 2));
        assert!(stand.map().host(ip(stays)).unwrap().is_some());
    }
}

/// H5
#[test]
fn what_is_not_seen_is_forgotten() {
    let mut stand = Stand::new();
    stand.flows(&[flow("10.0.0.1", "10.0.0.2", 80), Flow { client: 7, ..flow("10.0.0.1", "10.0.0.2", 81) }]);
    let policy = Policy { timeout: 100, ..Policy::default() };
    let mut mapper = stand.mapper(policy);
    drain(&mut mapper);
    stand.set_clock(1090);
    stand.flows(&[flow("10.0.0.9", "10.0.0.2", 80), flow("10.0.0.1", "8.8.8.8", 80)]);
    drain(&mut mapper);
    let before = stand.told().len();
    stand.set_clock(1101);
    mapper.expire_for_test();
    drain(&mut mapper);
    assert_eq!(counted(&stand.told()[before..]), BTreeMap::from([(25, 1), (35, 1)]));
    stand.set_clock(1300);
    mapper.expire_for_test();
    drain(&mut mapper);
    assert_eq!(counted(&stand.told()[before + 2..]), BTreeMap::from([(19, 3)]));
    assert_eq!(mapper.hosts(), 0);
}

/// H6, and what a machine says of itself
#[test]
fn leases_move_addresses_and_routers_have_no_hosts() {
    let mut stand = Stand::new();
    let mut mapper = stand.mapper(Policy::default());
    drain(&mut mapper);
    let mac = [0x02, 0, 0, 0, 0, 7];
    let see = |stand: &Stand, address: &str, fact: Fact| {
        let mut sightings = Sightings::new(&stand.map_path(), 0);
        let sighting = Sighting { address: ip(address), device: 3, second: 600, fact };
        sightings.add(sighting.clone());
        sightings.add(sighting);
        sightings.commit();
    };
    see(&stand, "10.0.0.1", Fact::Dhcp { mac, lease: 3600 });
    see(&stand, "10.0.0.1", Fact::DhcpClient { name: "desk-7".into(), class: "MSFT 5.0".into() });
    drain(&mut mapper);
    assert_eq!(stand.told(), [10, 28, 101]);
    see(&stand, "10.0.0.5", Fact::Dhcp { mac, lease: 3600 });
    drain(&mut mapper);
    assert_eq!(stand.told()[3..], [29]);
    let map = stand.map();
    assert_eq!(map.host(ip("10.0.0.1")).unwrap(), None);
    let host = map.host(ip("10.0.0.5")).unwrap().unwrap();
    assert_eq!((host.mac(), host.name.as_str(), host.addresses.len()), (Some(mac), "desk-7", 1));
    assert_eq!(map.system(&host).unwrap().unwrap(), "Microsoft Windows");
    assert_eq!(map.page("desk-7", None, 10).unwrap().total, 1);
    assert_eq!(map.page("windows", None, 10).unwrap().total, 1);

    // Frames of two hosts with one address.
    stand.flows(&[flow("10.0.1.1", "8.8.8.8", 53), flow("10.0.1.2", "8.8.8.8", 53)]);
    drain(&mut mapper);
    let router = [0x02, 0, 0, 0, 0, 9];
    see(&stand, "10.0.1.1", Fact::Frame { mac: router });
    drain(&mut mapper);
    assert_eq!(stand.map().host(ip("10.0.1.1")).unwrap().unwrap().mac(), Some(router));
    see(&stand, "10.0.1.2", Fact::Frame { mac: router });
    see(&stand, "10.0.1.3", Fact::Frame { mac: router });
    drain(&mut mapper);
    for host in ["10.0.1.1", "10.0.1.2"] {
        assert_eq!(stand.map().host(ip(host)).unwrap().unwrap().mac(), None);
    }
    assert_eq!(stand.map().host(ip("10.0.1.3")).unwrap(), None, "a frame makes no host");
}

/// What is told of frames before the host is there, and of hosts elsewhere
#[test]
fn frames_wait_for_their_host_and_show_routers_for_good() {
    let mut stand = Stand::new();
    let mut mapper = stand.mapper(Policy::default());
    let see = |stand: &Stand, frames: &[(&str, [u8; 6])]| {
        let mut sightings = Sightings::new(&stand.map_path(), 0);
        for (address, mac) in frames {
            sightings.add(Sighting { address: ip(address), device: 3, second: 600, fact: Fact::Frame { mac: *mac } });
        }
        sightings.commit();
    };
    let (one, two, router) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 9]);
    // The host one has a global address as well, which is in no monitored network. Broadcasts say nothing.
    see(&stand, &[("10.0.0.1", one), ("2001:db8::1", one), ("0.0.0.0", one), ("10.0.0.2", router)]);
    see(&stand, &[("255.255.255.255", [255; 6]), ("224.0.0.251", [1, 0, 0x5e, 0, 0, 0xfb])]);
    drain(&mut mapper);
    assert!(stand.told().is_empty());
    stand.flows(&[flow("10.0.0.1", "10.0.0.2", 80)]);
    drain(&mut mapper);
    assert_eq!(stand.told(), [10, 28, 10, 28, 11]);
    let mac = |stand: &Stand, host: &str| stand.map().host(ip(host)).unwrap().unwrap().mac();
    assert_eq!((mac(&stand, "10.0.0.1"), mac(&stand, "10.0.0.2")), (Some(one), Some(router)));
    see(&stand, &[("8.8.8.8", router)]);
    drain(&mut mapper);
    assert_eq!((mac(&stand, "10.0.0.1"), mac(&stand, "10.0.0.2")), (Some(one), None));
    // A later mapper knows it too.
    drop(mapper);
    let mut mapper = stand.mapper(Policy::default());
    see(&stand, &[("10.0.0.2", router), ("10.0.0.2", two)]);
    drain(&mut mapper);
    assert_eq!((mac(&stand, "10.0.0.2"), stand.told().len()), (Some(two), 6));
    // A router that is a host itself says so by ARP.
    let mut sightings = Sightings::new(&stand.map_path(), 0);
    let arp = Fact::Arp { mac: router };
    sightings.add(Sighting { address: ip("10.0.0.254"), device: 3, second: 600, fact: arp });
    sightings.commit();
    see(&stand, &[("1.1.1.1", router), ("10.0.0.254", router)]);
    drain(&mut mapper);
    assert_eq!(mac(&stand, "10.0.0.254"), Some(router));
}

#[test]
fn a_range_gives_each_host_once() {
    let mut stand = Stand::new();
    stand.flows(&[flow("10.0.0.1", "8.8.8.8", 1), flow("10.0.0.9", "8.8.8.8", 1), flow("fd00::1", "2001:db8::1", 1)]);
    let mut mapper = stand.mapper(Policy::default());
    drain(&mut mapper);
    let told = crate::outbox::Told { heard: 1000, second: 500, microsecond: 0, device: 3, quiet: true };
    let id = mapper.find_for_test(ip("10.0.0.1"));
    mapper.also_for_test(id, ip("10.0.0.3"), told);
    drain(&mut mapper);
    let map = stand.map();
    let all = (ip("0.0.0.0"), ip("ffff::"));
    let ends = |first, last, after| {
        let hosts = map.range(first, last, after, 10).unwrap();
        hosts.into_iter().map(|(at, _)| at.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ends(all.0, all.1, None), ["10.0.0.1", "10.0.0.9", "fd00::1"]);
    assert_eq!(ends(ip("10.0.0.2"), all.1, None), ["10.0.0.3", "10.0.0.9", "fd00::1"]);
    assert_eq!(ends(ip("10.0.0.2"), all.1, Some(ip("10.0.0.3"))), ["10.0.0.9", "fd00::1"]);
    assert_eq!(ends(all.0, all.1, Some(ip("10.0.0.1"))), ["10.0.0.9", "fd00::1"]);
    assert_eq!(ends(ip("10.0.0.4"), ip("10.0.0.8"), None), Vec::<String>::new());
}

#[test]
fn impact_is_what_the_map_knows() {
    use crate::{Attack, Impact, Judge, MAPPED, MONITORED, SERVED};
    let mut stand = Stand::new();
    stand.flows(&[flow("10.0.0.1", "10.0.0.2", 80)]);
    let mut mapper = stand.mapper(Policy { monitored: Networks::parse(["10.0.0.0/24"]).unwrap(), ..Policy::default() });
    drain(&mut mapper);
    let mut judge = Judge::new(&stand.map_path(), 0);
    let mut level = |source: &str, destination: &str, port: u16, red: bool| {
        let (source, destination) = (ip(source), ip(destination));
        let attack = Attack { source, destination, ports: (40_000, port), protocol: 6, dropped: false, red };
        judge.judge(&attack)
    };
    assert_eq!(level("203.0.113.1", "10.0.0.2", 80, false), Impact { flags: MONITORED | MAPPED | SERVED, level: 2 });
    assert_eq!(level("203.0.113.1", "10.0.0.2", 81, false), Impact { flags: MONITORED | MAPPED, level: 3 });
    assert_eq!(level("203.0.113.1", "10.0.0.77", 80, false), Impact { flags: MONITORED, level: 4 });
    assert_eq!(level("203.0.113.1", "10.0.1.1", 80, false), Impact { flags: 0, level: 0 });
    assert_eq!(level("203.0.113.1", "10.0.1.1", 80, true).level, 1);
}
