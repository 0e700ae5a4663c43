//! One name a field: what an older version of a block calls a thing, the newest calls it too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use wire::event::{Block, Event, Value};
use wire::layout::{self, Certainty, Layout, Status};

/// Fields of older versions that the newest one has no more: series, title, names.
const DROPPED: &[(u8, &str, &[&str])] = &[
    // Numbered types gave way to application ids; the list of 168 to the category of 169.
    (
        1,
        "Connection Statistics",
        &["clientApplicationTypeId", "connectionType", "payloadType", "securityIntelligenceList3", "serviceName"],
    ),
    (
        1,
        "Correlation Event",
        &["destinationFingerprintId", "destinationServerName", "sourceFingerprintId", "sourceServerName"],
    ),
    (
        1,
        "Host Profile",
        &[
            "confidence",
            "criticality",
            "fingerprintId",
            "fingerprintUuid",
            "hostName",
            "osName",
            "osVendor",
            "osVersion",
            "pathMtu",
        ],
    ),
    // One address became a list of addresses.
    (1, "Full Host Profile", &["confidence", "fingerprintUuid", "ipAddress", "vlanPresence"]),
    // What is known of a server moved into Server Information blocks.
    (
        1,
        "Host Server",
        &[
            "applicationId",
            "banner",
            "product",
            "serverName",
            "sourceId",
            "sourceType",
            "subServers",
            "vendor",
            "version",
        ],
    ),
    (
        1,
        "Full Host Server",
        &["applicationId", "lastUsed", "product", "sourceId", "sourceType", "subServers", "vendor", "version"],
    ),
    (1, "Host Client Application", &["typeId"]),
    (1, "Web Application", &["payloadType"]),
    (1, "Operating System", &["fingerprintId", "osName", "vendor", "version"]),
    (1, "Attribute Definition", &["userId"]),
    // User input named a user; since 4.7 it names a source. Where all of it changed, the old block is a kind of its own.
    (1, "User Protocol List", &["userId"]),
    (1, "User Login Information", &["applicationId"]),
    (2, "Malware Event", &["hostIpAddress"]),
];

/// All versions of every kind of block, oldest first.
fn kinds() -> BTreeMap<(u8, &'static str), Vec<&'static Layout>> {
    let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let blocks = (1..=2).flat_map(|s| (0..=1000).filter_map(move |n| layout::block(s, n)));
    blocks.for_each(|l| kinds.entry((l.series, l.title)).or_default().push(l));
    kinds
}

#[test]
fn older_versions_use_the_names_of_the_newest() {
    let mut dropped: BTreeMap<(u8, &str), BTreeSet<&str>> = BTreeMap::new();
    for ((series, title), versions) in kinds() {
        let (newest, older) = versions.split_last().unwrap();
        for field in older.iter().flat_map(|l| l.fields) {
            if newest.position(field.name).is_none() {
                dropped.entry((series, title)).or_default().insert(field.name);
            }
        }
    }
    let listed: BTreeMap<_, BTreeSet<&str>> =
        DROPPED.iter().map(|(series, title, names)| ((*series, *title), names.iter().copied().collect())).collect();
    assert_eq!(dropped, listed);
}

#[test]
fn every_event_kind_has_all_its_versions() {
    let kinds = kinds();
    let numbers = |series: u8, title: &str| -> Vec<u32> {
        let found = kinds.iter().find(|((s, t), _)| (*s, *t) == (series, title));
        found.map_or_else(Vec::new, |(_, versions)| versions.iter().map(|l| l.number).collect())
    };
    let connections =
        [9, 18, 32, 43, 56, 101, 115, 125, 126, 137, 144, 152, 154, 155, 160, 163, 168, 169, 170, 171, 173, 174];
    assert_eq!(numbers(1, "Connection Statistics"), connections);
    assert_eq!(numbers(1, "Connection Chunk"), [66, 119, 136]);
    assert_eq!(numbers(1, "Correlation Event"), [19, 33, 52, 70, 84, 107, 116, 128, 156]);
    assert_eq!(numbers(1, "Intrusion Impact Alert"), [20, 153]);
    assert_eq!(numbers(1, "User Login Information"), [73, 121, 127, 159, 165, 167]);
    assert_eq!(numbers(1, "User Information"), [75, 120, 158]);
    assert_eq!(numbers(1, "Host Profile"), [6, 13, 15, 30, 34, 91, 132, 139]);
    assert_eq!(numbers(1, "Full Host Profile"), [47, 92, 111, 135, 140, 149]);
    assert_eq!(numbers(1, "Host Server"), [2, 12, 36, 68, 89, 98, 103]);
    assert_eq!(numbers(1, "Full Host Server"), [50, 69, 90, 99, 104]);
    assert_eq!(numbers(1, "Server Information"), [88, 105, 117]);
    assert_eq!(numbers(1, "Host Client Application"), [29, 42, 100, 122]);
    assert_eq!(numbers(1, "Operating System Fingerprint"), [87, 130]);
    assert_eq!(numbers(1, "Host MAC Address"), [5, 95]);
    assert_eq!(numbers(1, "Scan Result"), [45, 72, 102, 142]);
    assert_eq!(numbers(1, "User Product"), [65, 118, 134]);
    assert_eq!(numbers(2, "Intrusion Event"), [25, 34, 41, 42, 45, 60, 81, 85]);
    assert_eq!(numbers(2, "Malware Event"), [16, 24, 33, 35, 44, 47, 62, 80]);
    assert_eq!(numbers(2, "File Event"), [23, 32, 38, 43, 46, 56, 79]);
    assert_eq!(numbers(2, "File Event SHA Hash"), [26, 40]);
    // The newest of each is the one its records expect.
    for record in layout::records().iter().filter(|r| r.body.status == Status::Current) {
        if let Some((_, block)) = record.inline_block().filter(|(_, l)| !matches!(l.number, 53 | 55)) {
            let newest = numbers(block.series, block.title).pop();
            assert_eq!(newest, Some(block.number), "record {}", record.record_type);
        }
    }
}

#[test]
fn flat_intrusion_events_use_the_names_of_the_block() {
    let newest = layout::block(2, 85).unwrap();
    for record_type in [1, 7, 72, 99, 100, 104, 105, 207, 208] {
        let record = layout::record(record_type).unwrap();
        let foreign: Vec<&str> =
            record.body.fields.iter().map(|f| f.name).filter(|n| newest.position(n).is_none()).collect();
        // A byte of padding that became the impact flags.
        assert_eq!(foreign, if record_type == 1 { vec!["reserved"] } else { vec![] }, "record {record_type}");
    }
}

#[test]
fn the_schema_covers_what_is_known() {
    assert_eq!(layout::records().len(), 177);
    let gaps: Vec<u16> = layout::records().iter().filter(|r| r.body.is_gap()).map(|r| r.record_type).collect();
    assert_eq!(gaps, [30, 32, 114]);
    let blocks = |series| (0..=1000).filter_map(move |n| layout::block(series, n));
    assert_eq!((blocks(1).count(), blocks(2).count()), (171, 61));
    assert!(blocks(1).chain(blocks(2)).all(|l| l.is_gap() == (l.number == 157 && l.series == 1)));
    assert!(blocks(1).chain(blocks(2)).all(|l| !l.source.is_empty() && !l.title.is_empty()));
    assert_eq!(layout::block(1, 174).map(|l| (l.certainty, l.status)), Some((Certainty::Observed, Status::Current)));
    assert_eq!(layout::block(1, 9).map(|l| (l.certainty, l.status)), Some((Certainty::Documented, Status::Legacy)));
}

#[test]
fn values_move_between_versions_that_write_them_in_another_way() {
    let (old, new) = (layout::block(1, 101).unwrap(), layout::block(1, 174).unwrap());
    let mut block = Block::new(old);
    block.set("initiatorIpAddress", [192, 0, 2, 1]).unwrap().set("initiatorTransmittedBytes", 5u32).unwrap();
    block.set("netflowSource", [192, 0, 2, 9]).unwrap().set("netbios", "WORKGROUP").unwrap();
    let newer = block.convert(new);
    let mapped = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01".to_vec();
    assert_eq!(newer.named("initiatorIpAddress"), Some(&Value::Octets(mapped)));
    let back = newer.convert(old);
    for name in ["initiatorIpAddress", "netflowSource", "initiatorTransmittedBytes", "netbios"] {
        assert_eq!(back.named(name), block.named(name), "{name}");
    }
    // An IPv6 address has no place in four octets.
    let mut six = Block::new(new);
    six.set("initiatorIpAddress", [0x20; 16]).unwrap();
    assert_eq!(six.convert(old).named("initiatorIpAddress"), Some(&Value::Unset));
    // An address that became a number, a number that became a text.
    let mut event = Event::new(97).unwrap();
    event.set("sourceIp", [10, 0, 0, 1]).unwrap();
    event.convert(layout::block(1, 156).unwrap());
    assert_eq!(event.named("sourceIp"), Some(&Value::Uint(0x0a00_0001)));
    let mut scan = Block::new(layout::block(1, 44).unwrap());
    scan.set("id", 4711u32).unwrap();
    assert_eq!(scan.convert(layout::block(1, 109).unwrap()).named("id"), Some(&Value::Octets(b"4711".to_vec())));
}
