//! The simulator as a whole: every record is decoded again, every id looked up.

use super::packet;
use super::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use wire::decode::{Decoder, Record, Value, View};
use wire::names::{self, NameKey};
use wire::resolution::{self, Naming, Rule};

const NOW: u32 = 1_790_000_000;

fn run(seed: u64, steps: std::ops::Range<u64>) -> (Simulator, Generated) {
    let mut simulator = Simulator::new(seed).unwrap();
    let mut out = Generated::new();
    for step in steps {
        simulator.step(step, NOW + (step / 100) as u32, (step % 100) as u32 * 10_000, &mut out).unwrap();
    }
    (simulator, out)
}

/// The record in a bundle item whose frame is right.
fn record(item: &[u8]) -> &[u8] {
    assert_eq!(item[..4], [0, 0, 0, 4]);
    assert_eq!(u32::from_be_bytes(item[4..8].try_into().unwrap()) as usize, item.len() - 8);
    &item[8..]
}

/// A part of a key as a table sees it: numbers as numbers, identifiers and hashes in hexadecimal, however they are
/// written in the record.
fn part(value: Value) -> String {
    match value {
        Value::Uint(n) => n.to_string(),
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        other => other.octets().unwrap_or_default().iter().map(|o| format!("{o:02x}")).collect(),
    }
}

fn zero(part: &str) -> bool {
    part.bytes().all(|b| b == b'0')
}

/// Follows a dotted path; leads into the first item of lists.
fn at<'r>(record: &Record<'r>, path: &str) -> Option<Value<'r>> {
    let mut names = path.split('.');
    let mut value = record.field(names.next()?)?;
    for name in names {
        let view: View = match value {
            Value::Block(view) => view,
            Value::List(list) => list.items().next()?,
            _ => return None,
        };
        value = view.named(name)?;
    }
    Some(value)
}

type Tables = HashMap<(String, Vec<String>), String>;

fn built_in() -> Tables {
    let mut tables = Tables::new();
    for table in names::tables() {
        for (key, name) in table.entries {
            let key = match key {
                NameKey::Number(n) => n.to_string(),
                NameKey::Octets(octets) => octets.iter().map(|o| format!("{o:02x}")).collect(),
            };
            tables.insert((table.table.to_owned(), vec![key]), (*name).to_owned());
        }
    }
    tables
}

fn store(tables: &mut Tables, record: &Record) {
    for store in resolution::stores().iter().filter(|s| s.record == record.record_type()) {
        let key = store.key.iter().map(|name| match name.parse::<u64>() {
            Ok(constant) => constant.to_string(),
            Err(_) => part(record.field(name).unwrap()),
        });
        let value = match store.value.strip_prefix('=') {
            Some(text) => text.to_owned(),
            None => part(record.field(store.value).unwrap()),
        };
        tables.insert((store.table.to_owned(), key.collect()), value);
    }
}

#[test]
fn the_same_step_gives_the_same_records_whatever_came_before() {
    let (_, all) = run(7, 0..3000);
    let (_, again) = run(7, 0..3000);
    assert!(all == again);
    let (_, tail) = run(7, 2000..3000);
    assert!(all.events.ends_with(&tail.events) && all.refers.ends_with(&tail.refers));
    let (_, other) = run(8, 0..3000);
    assert!(all.events != other.events);
    let (one, two) = (Simulator::new(7).unwrap(), Simulator::new(7).unwrap());
    assert_eq!(one.catalog(), two.catalog());
    assert_ne!(one.catalog(), Simulator::new(8).unwrap().catalog());
}

#[test]
fn only_the_times_depend_on_the_time() {
    let mut simulator = Simulator::new(3).unwrap();
    let mut decoder = Decoder::new();
    let (mut early, mut late) = (Generated::new(), Generated::new());
    for step in 0..2000 {
        simulator.step(step, NOW, 5, &mut early).unwrap();
        simulator.step(step, NOW + 86_400, 5, &mut late).unwrap();
    }
    assert_eq!((&early.types, &early.ends, &early.refers), (&late.types, &late.ends, &late.refers));
    for (a, b) in early.items().zip(late.items()) {
        let first = decoder.decode(record(a)).unwrap().uint("firstPacketTimestamp");
        let second = decoder.decode(record(b)).unwrap().uint("firstPacketTimestamp");
        assert_eq!(first.map(|s| s + 86_400), second);
    }
}

#[test]
fn the_catalog_has_every_key_once_under_the_key_the_decoder_gives() {
    for seed in 0..5 {
        let simulator = Simulator::new(seed).unwrap();
        let (mut keys, mut decoder) = (HashSet::new(), Decoder::new());
        for metadata in simulator.catalog() {
            let record = decoder.decode(record(&metadata.item)).unwrap();
            assert!(record.problem().is_none() && !record.opaque(), "{:?}", record.problem());
            assert_eq!(record.header.timestamp.is_some(), record.record_type() == 111);
            assert_eq!(record.metadata_key().as_ref(), Some(&metadata.key));
            assert!(keys.insert(&metadata.key));
        }
    }
}

#[test]
fn every_id_has_a_name_among_the_metadata_referred_to_before() {
    let (simulator, _) = run(11, 0..0);
    let mut simulator = simulator;
    let (mut tables, mut decoder, mut out) = (built_in(), Decoder::new(), Generated::new());
    let mut sent = vec![false; simulator.catalog().len()];
    for step in 0..20_000 {
        out.clear();
        simulator.step(step, NOW, 0, &mut out).unwrap();
        for index in &out.refers {
            if !std::mem::replace(&mut sent[*index as usize], true) {
                let item = &simulator.catalog()[*index as usize].item;
                store(&mut tables, &decoder.decode(record(item)).unwrap());
            }
        }
        for item in out.items() {
            let record = decoder.decode(record(item)).unwrap();
            assert!(record.problem().is_none() && !record.opaque(), "{:?}", record.problem());
            assert_eq!(record.header.timestamp, Some(0));
            assert!(record.main().trailing().is_empty() && record.body().trailing().is_empty());
            let names = resolution::names_of(record.record_type());
            for named in names.iter().filter(|n| n.only.is_empty() || n.only.contains(&Naming::Ours)) {
                let parts: Vec<_> = named.key.iter().filter_map(|path| at(&record, path)).map(part).collect();
                if parts.len() != named.key.len() || parts.iter().any(|part| zero(part)) {
                    continue;
                }
                // The types of extra data are named by record 111, which fills another table than the one for XFF.
                let table = if named.table == "xffTypes" { "xdataTypes" } else { named.table };
                let known = |parts: &[String]| tables.contains_key(&(table.to_owned(), parts.to_vec()));
                let number = |i: usize| parts[i].parse::<u64>().unwrap();
                let found = match named.rule {
                    Rule::DiscoveryEvent => names::discovery_event(number(0), number(1)).is_some(),
                    Rule::Bits => {
                        let mut bits = (0..64).map(|i| 1u64 << i).filter(|bit| number(0) & bit != 0);
                        known(&parts) || bits.all(|bit| known(&[bit.to_string()]))
                    }
                    _ => table.is_empty() || known(&parts),
                };
                assert!(found, "record {}: {} {parts:?} has no name in {table}", record.record_type(), named.name);
            }
        }
    }
    // All there is comes up soon, but for the accounts (62) of people who have not logged in.
    let kind = |metadata: &Metadata| u16::from_be_bytes([metadata.key[0], metadata.key[1]]);
    let unseen = simulator.catalog().iter().zip(&sent).filter(|(_, sent)| !**sent);
    let missing: Vec<_> = unseen.map(|(metadata, _)| kind(metadata)).filter(|kind| *kind != 62).collect();
    assert!(missing.len() < 20, "never referred to: {missing:?}");
}

#[test]
fn the_mix_is_that_of_an_enterprise() {
    for seed in [1, 2, 3] {
        let (simulator, out) = run(seed, 0..20_000);
        let kinds: BTreeMap<u16, u64> = simulator.kinds().collect();
        assert_eq!(kinds.values().sum::<u64>(), out.ends.len() as u64);
        // Packets and extra data belong to their intrusion events.
        let all = kinds.iter().filter(|(kind, _)| ![2, 110].contains(*kind)).map(|(_, n)| *n).sum::<u64>() as f64;
        let share = |types: &[u16]| types.iter().filter_map(|t| kinds.get(t)).sum::<u64>() as f64 * 100.0 / all;
        let expected: [(&[u16], f64, f64); 8] = [
            (&[71], 78.0, 3.0),
            (&[400], 12.0, 2.5),
            (&[500, 502], 4.0, 1.5),
            (&[125], 1.0, 0.4),
            (&[94, 95], 3.0, 0.7),
            (&[10, 11, 12, 15], 1.0, 0.4),
            (&[9], 0.3, 0.25),
            (&[112], 0.4, 0.3),
        ];
        for (types, percent, tolerance) in expected {
            let found = share(types);
            assert!(
                (found - percent).abs() < tolerance,
                "seed {seed}: records {types:?} are {found:.2} % of {kinds:?}"
            );
        }
        assert!(kinds[&2] >= kinds[&400]);
        for kind in [2, 9, 10, 11, 12, 15, 71, 94, 95, 110, 112, 125, 400, 500, 502] {
            assert!(kinds.contains_key(&kind), "seed {seed}: no record {kind}");
        }
    }
}

#[test]
fn packets_are_right_and_belong_to_their_event() {
    let (_, out) = run(5, 0..20_000);
    let (mut decoder, mut ports, mut packets, mut v6) = (Decoder::new(), HashMap::new(), 0, 0);
    for item in out.items() {
        let record = decoder.decode(record(item)).unwrap();
        let key = |r: &Record| (r.uint("deviceId"), r.uint("eventId"), r.uint("eventSecond"));
        let of = |r: &Record, name: &str| r.uint(name).unwrap() as u16;
        if record.record_type() == 400 {
            let pair = (of(&record, "sourcePortOrIcmpType"), of(&record, "destinationPortOrIcmpType"));
            let addresses = ["sourceIpAddress", "destinationIpAddress"].map(|n| part(record.field(n).unwrap()));
            let old = ports.insert(key(&record), (of(&record, "ipProtocolId") as u8, pair, addresses));
            assert!(old.is_none(), "two events have the same id");
        } else if record.record_type() == 2 {
            let (protocol, (source, destination), addresses) = ports.get(&key(&record)).expect("its event comes first");
            let frame = record.field("packetData").unwrap().octets().unwrap();
            let found = packet::check(frame).unwrap();
            let answered = found == (*protocol, *destination, *source);
            assert!(found == (*protocol, *source, *destination) || answered, "{found:?}");
            let frame: String = frame.iter().map(|o| format!("{o:02x}")).collect();
            let (from, to) = if answered { (&addresses[1], &addresses[0]) } else { (&addresses[0], &addresses[1]) };
            // IPv4 addresses are the last four octets of the sixteen.
            let skip = if from.starts_with("00000000000000000000ffff") { 24 } else { 0 };
            assert!(frame.contains(&format!("{}{}", &from[skip..], &to[skip..])));
            packets += 1;
            v6 += usize::from(skip == 0);
        }
    }
    assert!(packets > 2000 && v6 > 100, "{packets} packets, {v6} of them IPv6");
}

#[test]
fn intrusion_and_file_events_belong_to_a_connection() {
    let (_, out) = run(9, 0..20_000);
    let mut decoder = Decoder::new();
    let mut connections = HashMap::new();
    let mut events = Vec::new();
    for item in out.items() {
        let record = decoder.decode(record(item)).unwrap();
        let key = |names: [&str; 4]| names.map(|name| record.uint(name).unwrap());
        match record.record_type() {
            71 => {
                let names = ["deviceId", "instanceId", "connectionCounter", "firstPacketTimestamp"];
                let counts = ["intrusionEventCount", "fileEventCount"].map(|name| record.uint(name).unwrap());
                assert!(connections.insert(key(names), counts).is_none(), "two connections are the same");
                let [first, last, seen] =
                    ["firstPacketTimestamp", "lastPacketTimestamp", "eventSecond"].map(|n| record.uint(n).unwrap());
                assert!(first <= last && last <= seen);
                let [packets, octets] =
                    ["initiatorTransmittedPackets", "initiatorTransmittedBytes"].map(|n| record.uint(n).unwrap());
                assert!(packets > 0 && (packets * 42..=packets * 1514).contains(&octets), "{octets} in {packets}");
                let [packets, octets] =
                    ["responderTransmittedPackets", "responderTransmittedBytes"].map(|n| record.uint(n).unwrap());
                assert!((packets * 42..=packets * 1514).contains(&octets), "{octets} in {packets}");
            }
            400 => {
                events.push((0, key(["deviceId", "connectionInstanceId", "connectionCounter", "connectionTimestamp"])))
            }
            500 | 502 => {
                events.push((1, key(["deviceId", "connectionInstance", "connectionCounter", "connectionTimestamp"])))
            }
            _ => {}
        }
    }
    for (kind, key) in events {
        let counts = connections.get_mut(&key).expect("a connection");
        counts[kind] -= 1;
    }
    assert!(connections.values().all(|counts| *counts == [0, 0]), "a connection counts more events than there are");
}

#[test]
fn bursts_come_from_one_stranger_with_several_rules() {
    let (_, out) = run(4, 0..10 * BURST_PERIOD);
    let mut decoder = Decoder::new();
    let mut sources: HashMap<String, HashSet<u64>> = HashMap::new();
    for item in out.items() {
        let record = decoder.decode(record(item)).unwrap();
        if record.record_type() == 400 {
            let source = part(record.field("sourceIpAddress").unwrap());
            sources.entry(source).or_default().insert(record.uint("ruleId").unwrap());
        }
    }
    assert!(sources.values().filter(|rules| rules.len() >= 6).count() >= 5);
}

#[test]
fn the_first_second_of_time_is_no_obstacle() {
    let mut simulator = Simulator::new(0).unwrap();
    let mut out = Generated::new();
    for step in (0..500).chain(u64::MAX - 500..=u64::MAX) {
        simulator.step(step, 0, u32::MAX, &mut out).unwrap();
        simulator.step(step, u32::MAX, 0, &mut out).unwrap();
    }
    assert!(out.items().count() > 2000);
}
