//! Laws of converting between versions, over the whole schema: what two versions both have survives the way from one to
//! the other and back; nothing else appears.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use proptest::prelude::*;
use std::collections::BTreeSet;
use support::{Dice, random_block};
use wire::decode::Decoder;
use wire::event::{Block, Event, Value};
use wire::layout::{self, Field, Kind, Layout, RecordLayout};
use wire::versions::{self, EventType, Version};

/// Every pair of layouts that are the same thing in two versions.
fn pairs() -> Vec<(&'static Layout, &'static Layout)> {
    let mut kinds: Vec<Vec<&'static Layout>> = Vec::new();
    // Blocks by their title, record bodies without a block by the event they carry.
    let bodies = layout::records().iter().filter(|r| r.inline_block().is_none() && r.event != r.record_type);
    let bodies = bodies.map(|r| (r.body, layout::record(r.event).unwrap().main_layout()));
    for layout in layout::blocks().filter(|l| l.header && !l.is_gap()) {
        match kinds.iter_mut().find(|k| (k[0].series, k[0].title) == (layout.series, layout.title)) {
            Some(kind) => kind.push(layout),
            None => kinds.push(vec![layout]),
        }
    }
    for (body, newest) in bodies {
        match kinds.iter_mut().find(|k| k.contains(&newest)) {
            Some(kind) => kind.push(body),
            None => kinds.push(vec![newest, body]),
        }
    }
    let pairs = kinds.iter().flat_map(|kind| kind.iter().flat_map(|a| kind.iter().map(|b| (*a, *b))));
    pairs.filter(|(a, b)| a != b).collect()
}

/// Makes every value one that all versions have room for: IPv4 addresses, numbers of the narrowest width there is,
/// numbers where some version has text.
fn tame(block: &mut Block, others: &[&'static Layout], dice: &mut Dice) {
    for (i, field) in block.layout().fields.iter().enumerate() {
        let elsewhere = || others.iter().filter_map(|l| l.fields.get(l.position(field.name)?));
        let narrowest = elsewhere().filter(|f| matches!(f.kind, Kind::Uint)).map(|f| f.fixed).min();
        let value = match (block.value(i).clone(), field.kind) {
            (_, Kind::Uint) if field.counts.is_some() => continue,
            (Value::Uint(n), _) => {
                let size = narrowest.unwrap_or(8).min(field.fixed);
                // A condition that held must hold still.
                Value::Uint((n & (u64::MAX >> (64 - 8 * u32::from(size)))).max(u64::from(n != 0)))
            }
            (Value::Octets(_), Kind::Ipv6 | Kind::Uuid | Kind::Hex)
                if field.fixed == 16 && elsewhere().any(|f| matches!(f.kind, Kind::Ipv4)) =>
            {
                mapped(dice)
            }
            (Value::Octets(_), Kind::String) if narrowest.is_some() => {
                let room = u64::MAX >> (64 - 8 * u32::from(narrowest.unwrap()));
                Value::Octets((dice.next() & room).to_string().into_bytes())
            }
            (Value::Octets(o), Kind::Ipv4) if o.iter().all(|o| *o == 0) => Value::Octets(vec![192, 0, 2, 1]),
            (Value::Block(mut inner), _) => {
                let same = same_kind(inner.layout());
                tame(&mut inner, &same, dice);
                Value::Block(inner)
            }
            (Value::List(mut items), _) => {
                for item in &mut items {
                    let same = same_kind(item.layout());
                    tame(item, &same, dice);
                }
                Value::List(items)
            }
            (other, _) => other,
        };
        block.set_at(i, value);
    }
}

fn mapped(dice: &mut Dice) -> Value {
    let mut octets = vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    octets.extend([10, dice.next() as u8, dice.next() as u8, dice.next() as u8]);
    Value::Octets(octets)
}

fn same_kind(layout: &'static Layout) -> Vec<&'static Layout> {
    layout::blocks().filter(|l| (l.series, l.title) == (layout.series, layout.title) && !l.is_gap()).collect()
}

/// Whether values can stand for each other: both hold one value, or both hold blocks.
fn comparable(a: &Field, b: &Field) -> bool {
    let shape = |f: &Field| match f.kind {
        Kind::Block { .. } => 1,
        Kind::List { .. } => 2,
        _ => 0,
    };
    shape(a) == shape(b)
}

/// What a field of `a` must be again after a way through layout `b`: nested blocks keep what both of theirs have.
fn kept(a: &Value, from: &'static Field, through: &'static Field) -> Value {
    let nested = |block: &Block, expected: &'static Layout| match expected.series != 0 && block_of(expected) {
        true => block.convert(expected).convert(block.layout()),
        false => block.clone(),
    };
    match (a, through.kind) {
        (Value::Block(block), Kind::Block { expected, .. }) => Value::Block(nested(block, expected)),
        (Value::List(items), Kind::List { of, .. }) => Value::List(items.iter().map(|i| nested(i, of)).collect()),
        _ if comparable(from, through) => a.clone(),
        _ => Value::Unset,
    }
}

/// A particular block, not any.
fn block_of(expected: &Layout) -> bool {
    layout::block(expected.series, expected.number).is_some()
}

fn bytes(block: &Block) -> Vec<u8> {
    let mut out = Vec::new();
    block.encode(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn every_pair_of_versions_keeps_what_both_have(seed: u64) {
        let mut dice = Dice(seed);
        for (a, b) in pairs() {
            let mut before = random_block(a, &mut dice);
            tame(&mut before, &[a, b], &mut dice);
            let there = before.convert(b);
            prop_assert_eq!(there.layout(), b);
            let back = there.convert(a);
            let mut both = 0;
            for (i, field) in a.fields.iter().enumerate().filter(|(_, f)| f.counts.is_none()) {
                let context = || format!("{}: {} -> {} -> back, {}", a.title, a.number, b.number, field.name);
                match b.position(field.name) {
                    Some(j) if comparable(field, &b.fields[j]) => {
                        both += 1;
                        prop_assert_eq!(back.value(i), &kept(before.value(i), field, &b.fields[j]), "{}", context());
                    }
                    // One address and a list of addresses stand for each other.
                    _ if matches!(field.name, "ipAddress" | "ipAddresses") => {}
                    _ => prop_assert_eq!(back.value(i), &Value::Unset, "{} came from nowhere", context()),
                }
            }
            prop_assert!(both > 0, "{} {} and {} have nothing in common", a.title, a.number, b.number);
        }
    }

    #[test]
    fn every_event_goes_through_every_version_of_its_type_and_back(seed: u64) {
        let mut dice = Dice(seed);
        let mut decoder = Decoder::new();
        for event_type in versions::event_types() {
            for from in event_type.versions {
                for record in from.records {
                    let Some(event) = event_in(from, record, &mut dice) else { continue };
                    for to in event_type.versions.iter().filter(|v| v.sends(record)) {
                        let context = format!("event type {}, record {}, version {} -> {}", event_type.code, record.record_type, from.version, to.version);
                        let there = event.in_version(to).unwrap().into_owned();
                        prop_assert_eq!(there.record().event, record.event, "{}", &context);
                        // What is sent is what the version has, and reads as that.
                        let mut sent = Vec::new();
                        there.encode(Some(5), &mut sent);
                        let read = decoder.decode(&sent).unwrap();
                        prop_assert!(read.problem().is_none(), "{}: {:?}", &context, read.problem());
                        prop_assert!(!to.short_header || read.discovery().is_none_or(|d| d.named("ipv6Address").is_none()));
                        let read = Event::try_from(&read).unwrap();
                        // And back: once more the same, and what is there is what was there.
                        let Some(back) = read.in_version(from) else {
                            return Err(TestCaseError::fail(format!("{context}: no way back")));
                        };
                        if back.record().record_type == record.record_type {
                            let again = back.in_version(to).unwrap();
                            prop_assert_eq!(bytes(again.main()), bytes(there.main()), "{}", &context);
                            nothing_new(event.main(), back.main()).map_err(|e| TestCaseError::fail(format!("{context}: {e}")))?;
                        }
                    }
                }
            }
        }
    }
}

/// A random event of a record type as a version has it.
fn event_in(version: &'static Version, record: &'static RecordLayout, dice: &mut Dice) -> Option<Event> {
    let mut event = Event::new(record.record_type).unwrap();
    if record.body.is_gap() {
        return None;
    }
    let newest = random_block(event.main().layout(), dice);
    *event.main_mut() = newest;
    tame_event(&mut event, dice);
    if let Some(header) = event.discovery_mut() {
        *header = random_block(layout::DISCOVERY_HEADER, dice);
    }
    Some(event.in_version(version).unwrap().into_owned())
}

fn tame_event(event: &mut Event, dice: &mut Dice) {
    let mut others = same_kind(event.main().layout());
    others.extend(layout::records().iter().filter(|r| r.event == event.record().event).map(RecordLayout::main_layout));
    others.extend(layout::blocks().filter(|l| l.series == 0 && l.number == u32::from(event.record().record_type)));
    others.push(event.main().layout());
    tame(event.main_mut(), &others, dice);
}

/// Every value of `after` was in `before`, or is not set.
fn nothing_new(before: &Block, after: &Block) -> Result<(), String> {
    for (i, field) in after.layout().fields.iter().enumerate().filter(|(_, f)| f.counts.is_none()) {
        let (old, new) = (before.value(i), after.value(i));
        let empty = match new {
            Value::Unset | Value::Uint(0) => true,
            Value::Octets(o) => o.iter().all(|o| *o == 0),
            Value::List(items) => items.is_empty(),
            _ => false,
        };
        match (old, new) {
            _ if empty || old == new => {}
            (Value::Block(a), Value::Block(b)) => nothing_new(a, b)?,
            (Value::List(a), Value::List(b)) if a.len() == b.len() => {
                a.iter().zip(b).try_for_each(|(a, b)| nothing_new(a, b))?;
            }
            // What was not set has the bytes of nothing.
            (Value::Unset, Value::Block(b)) => nothing_new(&Block::new(b.layout()), b)?,
            _ => return Err(format!("{} was {old:?} and is {new:?}", field.name)),
        }
    }
    Ok(())
}

fn event_type(code: u16) -> &'static EventType {
    versions::event_type(code).unwrap()
}

#[test]
fn an_event_with_ipv6_addresses_goes_out_as_the_record_that_has_room_for_them() {
    let mut event = Event::new(400).unwrap();
    let set = |event: &mut Event, name: &str, text: &str| {
        event.set(name, text.parse::<std::net::IpAddr>().unwrap()).unwrap();
    };
    let sent = |event: &Event, version: u16| -> u16 {
        event.in_version(event_type(12).answer(version).unwrap()).unwrap().record().record_type
    };
    set(&mut event, "sourceIpAddress", "192.0.2.1");
    assert_eq!([0, 1, 2, 3, 4, 11].map(|v| sent(&event, v)), [1, 7, 104, 207, 400, 400]);
    set(&mut event, "destinationIpAddress", "2001:db8::1");
    assert_eq!([0, 1, 2, 3, 4, 11].map(|v| sent(&event, v)), [72, 72, 105, 208, 400, 400]);
    event.set("impactFlags", 0x1fu8).unwrap().set("vlanId", 7u16).unwrap();
    let old = event.in_version(event_type(12).answer(3).unwrap()).unwrap().into_owned();
    assert_eq!((old.named("impactFlags"), old.named("vlanId")), (Some(&Value::Uint(0x1f)), Some(&Value::Uint(7))));
    // What a replayed stream of 5.1 has, a client of today gets as record 400.
    let new = old.in_version(event_type(12).answer(11).unwrap()).unwrap();
    assert_eq!(new.named("destinationIpAddress"), event.named("destinationIpAddress"));
    assert_eq!(new.record().record_type, 400);
}

#[test]
fn a_number_that_does_not_fit_is_never_another_number() {
    let mut new = Block::new(layout::block(1, 174).unwrap());
    new.set("initiatorTransmittedBytes", 5_000_000_000u64).unwrap();
    new.set("tcpFlag", 0x0112u16).unwrap().set("applicationId", 70_000u32).unwrap();
    let old = new.convert(layout::block(1, 43).unwrap());
    assert_eq!(old.named("initiatorTransmittedBytes"), Some(&Value::Uint(u32::MAX.into())));
    assert_eq!(old.named("applicationId"), Some(&Value::Uint(0)), "not the application 4464");
    let old = new.convert(layout::block(1, 56).unwrap());
    assert_eq!(old.named("tcpFlag"), Some(&Value::Uint(0x12)));
    let mut host = Block::new(layout::block(1, 153).unwrap());
    host.set("sourceIpAddress", [0x20; 16]).unwrap();
    let old = host.convert(layout::block(1, 20).unwrap());
    assert_eq!(old.named("sourceIpAddress"), Some(&Value::Unset), "an IPv6 address is no IPv4 address");
}

#[test]
fn a_host_with_many_addresses_had_one_before() {
    let (new, old) = (layout::block(1, 149).unwrap(), layout::block(1, 111).unwrap());
    let address = |octets: [u8; 16]| {
        let mut block = Block::new(layout::block(1, 143).unwrap());
        block.set("ipAddress", octets).unwrap();
        block
    };
    let four = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9];
    let mut host = Block::new(new);
    host.set("ipAddresses", vec![address([0x20; 16]), address(four)]).unwrap();
    let before = host.convert(old);
    assert_eq!(before.named("ipAddress"), Some(&Value::Octets(vec![192, 0, 2, 9])));
    let Some(Value::List(items)) = before.convert(new).named("ipAddresses").cloned() else { panic!() };
    assert_eq!(items, [address(four)]);
}

#[test]
fn nested_blocks_have_the_layouts_of_the_version() {
    let mut event = Event::new(10).unwrap();
    let mut dice = Dice(7);
    *event.main_mut() = random_block(event.main().layout(), &mut dice);
    // Discovery version 5 (4.9): host profile 91, host servers 89, MAC addresses 95, fingerprints 87.
    let old = event.in_version(event_type(61).answer(5).unwrap()).unwrap();
    let Some(Value::Block(host)) = old.named("hostProfile").cloned() else { panic!() };
    assert_eq!(host.layout().number, 91);
    let mut seen = BTreeSet::new();
    for field in host.layout().fields {
        if let Some(Value::List(items)) = host.named(field.name) {
            seen.extend(items.iter().map(|i| i.layout().number));
        }
    }
    assert!(seen.is_subset(&BTreeSet::from([4, 42, 87, 89, 95])), "{seen:?}");
}

#[test]
fn the_discovery_event_header_had_no_ipv6_part_before_5_2() {
    let mut event = Event::new(71).unwrap();
    let address: std::net::IpAddr = "192.0.2.7".parse().unwrap();
    event.set_netmap(3);
    let header = event.discovery_mut().unwrap();
    header.set("hasIpv6", 1u8).unwrap().set("ipv6Address", address).unwrap();
    let (old, new) = (event_type(71).answer(8).unwrap(), event_type(71).answer(9).unwrap());
    assert!(old.short_header && !new.short_header);
    let mut bytes = Vec::new();
    event.in_version(old).unwrap().encode(Some(9), &mut bytes);
    let mut decoder = Decoder::new();
    let record = decoder.decode(&bytes).unwrap();
    assert_eq!(record.header.netmap, 3, "the domain stays");
    assert_eq!(record.field("legacyIpAddress").unwrap().octets(), Some(&[192, 0, 2, 7][..]));
    assert!(record.field("ipv6Address").is_none() && record.main().block_type() == 137);
}

#[test]
fn the_table_of_versions_holds_together() {
    for event_type in versions::event_types() {
        let mut last: Option<&Version> = None;
        for version in event_type.versions {
            assert!(version.all_metadata || !version.records.is_empty(), "{} {}", event_type.code, version.version);
            // An event that could be sent once can be sent in every later version.
            if let Some(last) = last.filter(|_| !version.all_metadata) {
                let lost = last.records.iter().find(|r| !version.sends(r));
                assert!(lost.is_none(), "{} {} lost {lost:?}", event_type.code, version.version);
            }
            last = Some(version);
        }
        // The newest version has the newest layouts.
        let newest = event_type.versions.last().unwrap();
        for record in newest.records {
            let expected = record.inline_block().map(|(_, l)| l);
            assert!(newest.first_block(record) == expected || expected.is_none(), "record {}", record.record_type);
        }
    }
    // Every record that is no metadata belongs to an event type or has a flag; those without are named.
    let flagged = [2, 110];
    let asked = |r: &RecordLayout| versions::event_types().iter().any(|t| t.versions.iter().any(|v| v.sends(r)));
    let rest = layout::records().iter().filter(|r| !r.metadata && !flagged.contains(&r.record_type) && !asked(r));
    assert_eq!(rest.map(|r| r.record_type).collect::<Vec<_>>(), [0u16; 0]);
}
