//! Enumerations: every number survives, known ones print as names, all others as numbers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use std::collections::HashSet;
use wire::decode::{Decoder, View};
use wire::event::{Block, Event, Value};
use wire::layout::{self, Certainty, Kind, Layout, Naming};
use wire::names::{self, Enumeration, OpenNumber};
use wire::names::{
    Blocked, CertificateStatus, ChangeSubtype, CipherSuite, Country, EtherType, EventType, FileAction, Icmp6Type,
    IcmpType, ImpactFlags, ImpactLevel, IpProtocol, NewSubtype, Protocol, RuleReason, TlsFlowFlags, YesNo,
};

/// The fields of a layout that have an enumeration, with what the one and the other field are set to.
fn named(layout: &'static Layout) -> impl Iterator<Item = (usize, &'static Naming)> {
    (0..layout.fields.len()).flat_map(move |position| layout.names(position).map(move |n| (position, n)))
}

/// A block with this number in this field, and with what makes the field one of the enumeration.
fn block(layout: &'static Layout, position: usize, naming: &Naming, number: u64) -> Block {
    let mut block = Block::new(layout);
    if let Some((other, condition)) = naming.when {
        block.set_at(other.into(), condition);
    }
    if let Some(other) = layout.fields[position].present_if {
        block.set_at(other.into(), 1u8);
    }
    block.set_at(position, number);
    block
}

/// What a number has to print as.
fn text(names: &Enumeration, number: u64) -> String {
    let name = |n: u64| names.names.iter().find(|(m, _)| *m == n).map(|(_, name)| (*name).to_owned());
    if !names.bits || number == 0 {
        return name(number).unwrap_or_else(|| number.to_string());
    }
    let bits: Vec<u64> = (0..64).map(|bit| number & 1 << bit).filter(|bit| *bit != 0).collect();
    let (known, unknown): (Vec<u64>, Vec<u64>) = bits.into_iter().partition(|bit| name(*bit).is_some());
    let rest: u64 = unknown.iter().sum();
    let rest = (rest != 0).then(|| format!("{rest:#x}"));
    known.into_iter().filter_map(name).chain(rest).collect::<Vec<_>>().join(", ")
}

fn check(view: View<'_>, position: usize, naming: &Naming, number: u64) {
    assert_eq!(view.uint(position), Some(number));
    assert_eq!(view.enumeration(position), Some(naming.of));
    assert_eq!(view.show(position).unwrap().to_string(), text(naming.of, number), "{}", naming.of.name);
}

/// Every field with an enumeration, in every block and record, with this number as far as it has room for it.
fn every_field_keeps(number: u64) {
    let mut decoder = Decoder::new();
    let mut bytes = Vec::new();
    let cut = |layout: &Layout, position: usize| number >> (64 - 8 * u32::from(layout.fields[position].fixed));
    for layout in layout::blocks().filter(|l| l.header) {
        for (position, naming) in named(layout) {
            let number = cut(layout, position);
            bytes.clear();
            block(layout, position, naming, number).encode(&mut bytes);
            let view = decoder.decode_block(layout.series, &bytes);
            check(view, position, naming, number);
            let mut again = Vec::new();
            Block::from(view).encode(&mut again);
            assert_eq!(again, bytes);
        }
    }
    for record in layout::records() {
        let headers = record.discovery_header.then_some(layout::DISCOVERY_HEADER);
        for layout in [record.body].into_iter().chain(headers) {
            for (position, naming) in named(layout) {
                let number = cut(layout, position);
                let mut event = Event::new(record.record_type).unwrap();
                let block = block(layout, position, naming, number);
                match layout == record.body {
                    true => *event.main_mut() = block,
                    false => *event.discovery_mut().unwrap() = block,
                }
                bytes.clear();
                event.encode(None, &mut bytes);
                let found = decoder.decode(&bytes).unwrap();
                let view = if layout == record.body { found.body() } else { found.discovery().unwrap() };
                check(view, position, naming, number);
                let mut again = Vec::new();
                Event::try_from(&found).unwrap().encode(None, &mut again);
                assert_eq!(again, bytes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_number_survives_and_prints_as_a_name_or_as_itself(number: u64) {
        every_field_keeps(number);
    }

    #[test]
    fn any_number_is_of_every_type(number: u64) {
        prop_assert_eq!(TlsFlowFlags::new(number).map(u64::from), Some(number));
        prop_assert_eq!(FileAction::new(number).is_some(), number <= u32::MAX.into());
        let action = FileAction(number as u32);
        prop_assert_eq!(FileAction::new(action.number()), Some(action));
        prop_assert_eq!(u32::from(action), number as u32);
        prop_assert_eq!(Value::from(action), Value::Uint(action.number()));
        prop_assert_eq!(action.to_string(), text(FileAction::NAMES, action.number()));
        prop_assert_eq!(ImpactFlags(number as u32).to_string(), text(ImpactFlags::NAMES, (number as u32).into()));
    }
}

#[test]
fn known_numbers_survive_and_print_as_names() {
    every_field_keeps(0);
    every_field_keeps(u64::MAX);
    let mut decoder = Decoder::new();
    for layout in layout::blocks().filter(|l| l.header) {
        for (position, naming) in named(layout) {
            let top = u64::MAX >> (64 - 8 * u32::from(layout.fields[position].fixed));
            for (number, name) in naming.of.names.iter().filter(|(n, _)| *n <= top) {
                let mut bytes = Vec::new();
                block(layout, position, naming, *number).encode(&mut bytes);
                let view = decoder.decode_block(layout.series, &bytes);
                assert_eq!(view.show(position).unwrap().to_string(), *name);
            }
        }
    }
}

#[test]
fn enumerations_are_in_order() {
    let mut seen = HashSet::new();
    for e in names::enumerations() {
        assert!(seen.insert(e.name) && !e.title.is_empty() && !e.source.is_empty(), "{}", e.name);
        assert!(e.names.is_sorted_by(|a, b| a.0 < b.0), "{}", e.name);
        assert!(e.names.iter().all(|(_, name)| !name.trim().is_empty() && !name.contains('|')), "{}", e.name);
        assert!(!e.bits || e.names.iter().all(|(n, _)| n.count_ones() <= 1), "{}", e.name);
        assert_eq!(e.names.is_empty(), e.certainty == Certainty::Gap, "{}", e.name);
        let metadata = |r: &u16| layout::record(*r).is_some_and(|l| l.metadata);
        assert!(e.metadata.iter().all(metadata), "{}", e.name);
    }
}

#[test]
fn only_integers_have_enumerations_and_all_enumerations_have_fields() {
    let bodies = layout::records().iter().map(|r| r.body);
    let mut used = HashSet::new();
    for layout in layout::blocks().chain(bodies).chain([layout::DISCOVERY_HEADER]) {
        for (position, naming) in named(layout) {
            assert!(matches!(layout.fields[position].kind, Kind::Uint));
            used.insert(naming.of.name);
        }
    }
    assert!(names::enumerations().iter().all(|e| used.contains(e.name)));
}

#[test]
fn enumerations_say_what_resolution_says() {
    for (e, table) in [
        (FileAction::NAMES, "fileActions"),
        (Blocked::NAMES, "blocked"),
        (CipherSuite::NAMES, "sslCipherSuite"),
        (IpProtocol::NAMES, "ipProtocols"),
        (ChangeSubtype::NAMES, "discovery.1001"),
        (RuleReason::NAMES, "firewallRuleReasons"),
    ] {
        let table = names::tables().iter().find(|t| t.table == table).unwrap();
        for (key, name) in table.entries {
            let names::NameKey::Number(n) = key else { panic!("{}: {key:?}", table.table) };
            assert_eq!(e.name(*n), Some(*name));
        }
    }
    // What resolution does not know: it prints what it always printed.
    assert_eq!((names::name("ipProtocols", 255), IpProtocol(255).name()), (None, Some("Reserved")));
    assert_eq!(names::name("sslCipherSuite", 0x1301), None);
    assert_eq!(CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite(0x1301));
    assert_eq!(names::discovery_event(1000, 9), None);
}

#[test]
fn names_and_numbers() {
    assert_eq!(FileAction::MALWARE_BLOCK, FileAction(4));
    assert_eq!(FileAction::MALWARE_BLOCK.to_string(), "Malware Block");
    assert_eq!(FileAction(200).to_string(), "200");
    assert_eq!((FileAction(200).name(), FileAction(1).name()), (None, Some("Detect")));
    assert_eq!(format!("{:?}", FileAction(4)), "FileAction(4)");
    assert_eq!(Country(276).to_string(), "Germany");
    assert_eq!(Country::COTE_D_IVOIRE.to_string(), "C\u{f4}te d'Ivoire");
    assert_eq!((EtherType::IPV6.0, Protocol(6), Protocol(0x86dd)), (0x86dd, Protocol::TCP, Protocol::IPV6_34525));
    assert_eq!(YesNo(2).to_string(), "2");
    assert!(EventType::NEW < EventType::CHANGE);
}

#[test]
fn sets_of_bits() {
    let mut flags = ImpactFlags::MONITORED_NETWORK | ImpactFlags::IN_NETWORK_MAP;
    assert_eq!((flags.0, flags.name()), (3, None));
    assert!(flags.contains(ImpactFlags::IN_NETWORK_MAP) && flags.contains(ImpactFlags(0)));
    assert!(!flags.contains(ImpactFlags::OS_VULNERABILITY | ImpactFlags::IN_NETWORK_MAP));
    assert_eq!(flags.to_string(), "Monitored network, In network map");
    flags |= ImpactFlags(0x300);
    assert_eq!(flags.to_string(), "Monitored network, In network map, 0x300");
    assert_eq!((ImpactFlags(0).to_string(), ImpactFlags(0x100).to_string()), ("0".into(), "0x100".into()));
    // Some sets have a name for nothing at all.
    assert_eq!(
        (RuleReason(0).to_string(), RuleReason(65).to_string()),
        ("N/A".into(), "IP Block, Intrusion Block".into())
    );
    assert!(CertificateStatus::NOT_CHECKED.to_string().starts_with("Not checked"));
    assert_eq!(TlsFlowFlags(1 << 63).to_string(), "0x8000000000000000");
}

#[test]
fn a_field_has_the_type_of_its_record() {
    let mut decoder = Decoder::new();
    let mut bytes = Vec::new();
    let mut event = Event::new(400).unwrap();
    event.set("impactFlags", ImpactFlags::IN_NETWORK_MAP).unwrap().set("impact", 5u8).unwrap();
    event.set("ipProtocolId", IpProtocol::ICMP).unwrap().set("sourcePortOrIcmpType", IcmpType::ECHO).unwrap();
    event.encode(None, &mut bytes);
    let record = decoder.decode(&bytes).unwrap();
    assert_eq!(record.number("impact"), Some(ImpactLevel::GRAY_UNKNOWN_IMPACT));
    assert_eq!(record.number::<ImpactFlags>("impact"), None);
    assert_eq!(record.number::<ImpactFlags>("impactFlags"), Some(ImpactFlags(2)));
    assert_eq!(record.number("sourcePortOrIcmpType"), Some(IcmpType(8)));
    assert_eq!(record.number::<Icmp6Type>("sourcePortOrIcmpType"), None);
    assert_eq!(record.show("impact").unwrap().to_string(), "Gray (unknown impact)");
    assert_eq!(record.show("sourcePortOrIcmpType").unwrap().to_string(), "Echo");
    // Numbers that are no enumeration print all the same; what is no number does not.
    assert_eq!(record.show("destinationPortOrIcmpType").unwrap().to_string(), "0");
    assert!(record.show("sourceIpAddress").is_none() && record.show("nothing").is_none());
    assert_eq!(record.number::<FileAction>("nothing"), None);

    // A port is no ICMP type.
    event.set("ipProtocolId", IpProtocol::TCP).unwrap();
    bytes.clear();
    event.encode(None, &mut bytes);
    let record = decoder.decode(&bytes).unwrap();
    assert_eq!(record.number::<IcmpType>("sourcePortOrIcmpType"), None);
    assert_eq!(record.show("sourcePortOrIcmpType").unwrap().to_string(), "8");

    // The same name is something else in an impact alert, and in the discovery event header.
    let mut event = Event::new(9).unwrap();
    event.set("impact", 9u32).unwrap();
    bytes.clear();
    event.encode(None, &mut bytes);
    let record = decoder.decode(&bytes).unwrap();
    assert_eq!(record.number("impact"), Some(ImpactFlags::MONITORED_NETWORK | ImpactFlags::OS_VULNERABILITY));
    let mut event = Event::new(10).unwrap();
    event.set("eventType", EventType::NEW).unwrap().set("eventSubtype", NewSubtype::NEW_HOST).unwrap();
    bytes.clear();
    event.encode(None, &mut bytes);
    let record = decoder.decode(&bytes).unwrap();
    assert_eq!(record.number("eventType"), Some(EventType(1000)));
    assert_eq!(record.number("eventSubtype"), Some(NewSubtype(1)));
    assert_eq!(record.show("eventSubtype").unwrap().to_string(), "New Host");
}
