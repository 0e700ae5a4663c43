//! A plan gives what converting value by value gives, byte for byte, for every record of every version.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use proptest::prelude::*;
use support::{Dice, random_block};
use wire::decode::{Decoder, Record};
use wire::event::{Block, Event};
use wire::layout::{self, Kind, RecordLayout};
use wire::plan::Plan;
use wire::versions::{self, Version};

/// A random event of a record type as a version has it, or of the newest layout.
fn event_in(record: &'static RecordLayout, version: Option<&'static Version>, dice: &mut Dice) -> Option<Event> {
    if record.body.is_gap() {
        return None;
    }
    let mut event = Event::new(record.record_type).unwrap();
    event.set_netmap(dice.next() as u16);
    *event.main_mut() = random_block(event.main().layout(), dice);
    addresses(event.main_mut(), dice);
    if let Some(header) = event.discovery_mut() {
        *header = random_block(layout::DISCOVERY_HEADER, dice);
        addresses(header, dice);
        let _ = header.set("hasIpv6", (dice.next() % 2) as u8);
    }
    Some(match version {
        Some(version) => event.in_version(version)?.into_owned(),
        None => event,
    })
}

/// Makes some addresses IPv4 ones, or none.
fn addresses(block: &mut Block, dice: &mut Dice) {
    for (i, field) in block.layout().fields.iter().enumerate() {
        let octets = match (field.kind, dice.next() % 4) {
            (Kind::Ipv6 | Kind::Hex | Kind::Uuid, 0 | 1) if field.fixed == 16 => {
                [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], &dice.octets(4)[..]].concat()
            }
            (Kind::Ipv6 | Kind::Ipv4 | Kind::Hex, 2) => vec![0; field.fixed.into()],
            _ => continue,
        };
        block.set_at(i, octets.as_slice());
    }
}

/// What a server sent before there were plans.
fn value_by_value(record: &Record<'_>, version: &'static Version, timestamps: bool) -> Option<Vec<u8>> {
    let event = Event::try_from(record).ok()?;
    let mut out = Vec::new();
    event.in_version(version)?.encode_item(record.header.timestamp.filter(|_| timestamps), &mut out);
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn plans_give_what_conversion_gives(seed: u64) {
        let mut dice = Dice(seed);
        let (mut decoder, mut other) = (Decoder::new(), Decoder::new());
        let mut planned = 0;
        for event_type in versions::event_types() {
            let mut sources: Vec<(&'static RecordLayout, Option<&'static Version>)> = Vec::new();
            for version in event_type.versions {
                sources.extend(version.records.iter().map(|r| (*r, Some(version))));
                sources.extend(version.records.iter().map(|r| (*r, None)));
            }
            for (record, from) in sources {
                let Some(event) = event_in(record, from, &mut dice) else { continue };
                let mut stored = Vec::new();
                event.encode(Some(5).filter(|_| dice.next() % 4 != 1), &mut stored);
                for to in event_type.versions {
                    let read = decoder.decode(&stored).unwrap();
                    let Some(plan) = Plan::new(&read, to) else { continue };
                    let context = || format!(
                        "event type {}, record {}, from version {:?} to {}",
                        event_type.code, record.record_type, from.map(|v| v.version), to.version
                    );
                    for timestamps in [true, false] {
                        let mut out = b"before".to_vec();
                        let done = plan.convert(&read, read.header.timestamp.filter(|_| timestamps), &mut out);
                        prop_assert!(done, "{} was not converted", context());
                        let expected = value_by_value(&read, to, timestamps);
                        prop_assert_eq!(expected.as_deref(), Some(&out[6..]), "{}", context());
                        planned += 1;
                    }
                    // The same plan for another event of this layout, or none at all.
                    let Some(next) = event_in(record, from, &mut dice) else { continue };
                    let mut stored = Vec::new();
                    next.encode(Some(5), &mut stored);
                    let read = other.decode(&stored).unwrap();
                    let mut out = Vec::new();
                    if plan.convert(&read, Some(5), &mut out) {
                        prop_assert_eq!(value_by_value(&read, to, true), Some(out), "{}", context());
                    } else {
                        prop_assert!(out.is_empty());
                    }
                }
            }
        }
        prop_assert!(planned > 1000, "{planned}");
    }
}

/// The events a busy server sends most.
#[test]
fn the_records_that_are_sent_most_have_plans() {
    for (code, record) in [(71, 71), (12, 400), (111, 500), (101, 125), (31, 112), (131, 9)] {
        let event_type = versions::event_type(code).unwrap();
        let event = Event::new(record).unwrap();
        let mut bytes = Vec::new();
        event.encode(Some(1), &mut bytes);
        let mut decoder = Decoder::new();
        let read = decoder.decode(&bytes).unwrap();
        let newest = read.main().layout().unwrap();
        let without: Vec<_> = event_type
            .versions
            .iter()
            .filter(|v| v.own(record).and_then(|r| v.first_block(r)).is_some_and(|block| block != newest))
            .filter(|v| Plan::new(&read, v).is_none())
            .map(|v| v.version)
            .collect();
        assert!(without.is_empty(), "event type {code}, record {record}: {without:?}");
    }
}

#[test]
fn what_is_cut_short_or_of_another_layout_is_left_to_others() {
    let version = versions::event_type(71).and_then(|t| t.answer(14)).unwrap();
    let mut decoder = Decoder::new();
    let mut whole = Vec::new();
    let mut event = Event::new(71).unwrap();
    event.set("clientUrl", "http://example.com/").unwrap();
    event.encode(Some(1), &mut whole);
    let plan = Plan::new(&decoder.decode(&whole).unwrap(), version).unwrap();
    let mut out = Vec::new();
    assert!(plan.convert(&decoder.decode(&whole).unwrap(), Some(1), &mut out) && !out.is_empty());
    // A block that ends before its last field.
    let cut = whole.len() - 5;
    let mut short = whole[..cut].to_vec();
    short[4..8].copy_from_slice(&((cut - 16) as u32).to_be_bytes());
    let read = decoder.decode(&short).unwrap();
    assert!(read.problem().is_some());
    out.clear();
    assert!(!plan.convert(&read, Some(1), &mut out) && out.is_empty());
    let mut other = Vec::new();
    Event::new(400).unwrap().encode(Some(1), &mut other);
    assert!(!plan.convert(&decoder.decode(&other).unwrap(), Some(1), &mut out) && out.is_empty());
    assert_eq!(decoder.decode(&whole).unwrap().field("clientUrl").map(|v| v.octets().unwrap().len()), Some(19));
}
