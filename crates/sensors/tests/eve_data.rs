//! The real eve.json of a Suricata in an archive: what each of its lines becomes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archived;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use archived::{Item, count, events, items};
use sensors::eve::{EveSensor, Settings, Tally};

static GO: AtomicBool = AtomicBool::new(false);

fn data() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/suricata/eve.json.gz");
    if !path.exists() {
        println!("skipped: no real sensor output at {}", path.display());
        return None;
    }
    Some(path)
}

/// What an archive has of events, without what differs between runs.
fn drain(input: &Path, dir: &Path) -> Tally {
    let settings = Settings::new(input, 7, "ids-1", 0);
    let mut sensor = EveSensor::open(&settings, &dir.join("archive"), &dir.join("state")).unwrap();
    sensor.drain(&GO).unwrap();
    sensor.tally().clone()
}

/// Lines, records by type, lines joined, lines without anything new, lines not mapped.
type Line = (u64, Vec<(u16, u64)>, u64, u64, u64);

/// The lines of each event type: records they became, joined to a connection event, nothing new for it, not mapped.
fn table(tally: &Tally) -> BTreeMap<&str, Line> {
    let mut table = BTreeMap::new();
    for (name, row) in tally.rows() {
        assert_eq!((row.carried, row.waiting, row.parts.len()), (0, 0, 0), "{name}");
        let records = row.records.iter().map(|(record, count)| (*record, *count)).collect();
        table.insert(&**name, (row.lines, records, row.joined, row.repeated, row.lost()));
    }
    table
}

#[test]
fn every_line_of_a_real_file_is_accounted_for() {
    let Some(path) = data() else { return };
    let dir = tempfile::tempdir().unwrap();
    let tally = drain(&path, dir.path());
    println!("{tally}");
    assert!(tally.adds_up());
    assert_eq!((tally.lines(), tally.bad(), tally.unmapped(), tally.unfinished()), (4192, 0, 2, 0));
    let expected = BTreeMap::from([
        ("alert", (653, vec![(400, 653)], 0, 0, 0)),
        ("anomaly", (11, vec![(400, 11)], 0, 0, 0)),
        ("dcerpc", (265, vec![], 57, 208, 0)),
        ("dhcp", (1, vec![], 0, 0, 1)),
        ("dns", (473, vec![], 473, 0, 0)),
        ("fileinfo", (16, vec![(500, 16)], 0, 0, 0)),
        ("flow", (1469, vec![(71, 1469)], 0, 0, 0)),
        ("http", (18, vec![], 12, 6, 0)),
        ("krb5", (60, vec![(94, 1), (95, 3)], 33, 27, 0)),
        ("smb", (477, vec![], 49, 428, 0)),
        ("stats", (1, vec![], 0, 0, 1)),
        ("tls", (748, vec![], 748, 0, 0)),
    ]);
    assert_eq!(table(&tally), expected);

    let archive = dir.path().join("archive");
    let found = events(&archive);
    assert_eq!(
        count(&found),
        BTreeMap::from([(71, 1469), (94, 1), (95, 3), (400, 664), (500, 16)]),
        "the archive has what the table says"
    );
    named(&items(&archive));
    connections(&found);
    alerts(&found);
    logins(&found);

    // The position is that of the end: nothing comes twice.
    let again = drain(&path, dir.path());
    assert_eq!((again.lines(), events(&archive).len()), (0, found.len()));
}

/// Checks that what an event refers to was named before it.
fn named(items: &[Item]) {
    let mut known = BTreeSet::new();
    for item in items {
        if item.metadata {
            let key = match item.record_type {
                66 => vec![item.uint("generatorId"), item.uint("ruleId")],
                115..=119 | 145 | 530 => continue,
                _ => vec![item.uint("id")],
            };
            known.insert((item.record_type, key));
            continue;
        }
        let needs: &[(u16, &str)] = match item.record_type {
            71 => &[
                (123, "deviceId"),
                (120, "ruleAction"),
                (63, "applicationId"),
                (55, "clientApplicationId"),
                (109, "webApplicationId"),
                (98, "userId"),
                (602, "sslCipherSuite"),
                (604, "sslVersion"),
            ],
            400 => &[(123, "deviceId"), (67, "classificationId"), (4, "priorityId"), (63, "applicationId")],
            500 => &[(123, "deviceId"), (63, "applicationId")],
            _ => &[],
        };
        for (record, field) in needs {
            let id = item.uint(field);
            assert!(id == 0 || known.contains(&(*record, vec![id])), "record {record} does not name {field} {id}");
        }
        if item.record_type == 400 {
            let rule = vec![item.uint("generatorId"), item.uint("ruleId")];
            assert!(known.contains(&(66, rule.clone())), "rule {rule:?}");
        }
        if item.record_type == 71 && !item.text("dnsQuery").is_empty() {
            for (record, field) in [(320, "dnsRecordType"), (321, "dnsResponseType")] {
                assert!(known.contains(&(record, vec![item.uint(field)])), "{field}");
            }
        }
    }
}

fn connections(found: &[Item]) {
    let all: Vec<&Item> = found.iter().filter(|item| item.record_type == 71).collect();
    let sum = |field: &str| all.iter().map(|item| item.uint(field)).sum::<u64>();
    let having = |field: &str| all.iter().filter(|item| !item.text(field).is_empty()).count();
    // Taken from the file with other means.
    assert_eq!(having("sslServerName"), 106);
    assert_eq!(all.iter().filter(|item| item.uint("sslVersion") == 5).count(), 748);
    assert_eq!(having("dnsQuery"), 244);
    assert_eq!(having("userAgent"), 12);
    assert_eq!(sum("intrusionEventCount"), 664);
    assert_eq!(sum("fileEventCount"), 16);
    assert_eq!(
        [
            sum("initiatorTransmittedPackets"),
            sum("responderTransmittedPackets"),
            sum("initiatorTransmittedBytes"),
            sum("responderTransmittedBytes")
        ],
        TRAFFIC
    );
    let ids: BTreeSet<(u64, u64, u64)> = all
        .iter()
        .map(|item| (item.uint("instanceId"), item.uint("connectionCounter"), item.uint("firstPacketTimestamp")))
        .collect();
    assert_eq!(ids.len(), 1469, "each connection can be told from the others");
}

/// Packets and bytes from the initiators and to them, in all flow lines.
const TRAFFIC: [u64; 4] = [11_637, 13_303, 2_219_175, 3_420_736];

fn alerts(found: &[Item]) {
    let connections: BTreeSet<(u64, u64, u64)> = found
        .iter()
        .filter(|item| item.record_type == 71)
        .map(|item| (item.uint("instanceId"), item.uint("connectionCounter"), item.uint("firstPacketTimestamp")))
        .collect();
    for alert in found.iter().filter(|item| item.record_type == 400 && item.uint("generatorId") == 1) {
        let connection =
            (alert.uint("connectionInstanceId"), alert.uint("connectionCounter"), alert.uint("connectionTimestamp"));
        assert!(connections.contains(&connection), "an alert belongs to its connection");
        assert_eq!((alert.uint("impact"), alert.uint("blocked"), alert.uint("deviceId")), (0, 0, 7));
        assert_eq!(alert.octets("sourceIpAddress")[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    }
}

fn logins(found: &[Item]) {
    let user = |item: &Item| {
        item.decode(|record| {
            let user = record.field("user").unwrap();
            let wire::decode::Value::Block(user) = user else { panic!("{user:?}") };
            let text = |name| user.named(name).and_then(|value| value.octets()).map(<[u8]>::to_vec).unwrap();
            String::from_utf8(text("username")).unwrap()
        })
    };
    let names: BTreeSet<String> = found.iter().filter(|item| matches!(item.record_type, 94 | 95)).map(user).collect();
    assert_eq!(names, BTreeSet::from(["jessie.andrews".to_owned()]));
}
