//! Output of real sensors: Snort 2.9 logs and the maps that belong to them.
//! They are not part of the repository; without them these tests say so.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use common::{decoded, drain, poll, snort, stored};
use sensors::maps::{MapFiles, RuleMaps};
use sensors::unified2::{Event, Frame, Item, Record, Spool, extra};

/// Calls `each` with every record of a file.
fn for_each(path: &Path, mut each: impl FnMut(Record<'_>)) {
    let mut spool = Spool::open(path, None, None).unwrap();
    while let Some(item) = spool.poll().unwrap() {
        match item {
            Item::Record(entry) => each(entry.record),
            Item::Notice(notice) => panic!("{notice}"),
        }
    }
}

fn events(path: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    for_each(path, |record| {
        if let Record::Event(event) = record {
            events.push(event);
        }
    });
    events
}

#[test]
fn every_record_of_a_real_log() {
    let Some(path) = snort("unified2-current.log") else {
        return;
    };
    let mut kinds = BTreeMap::<u32, u64>::new();
    let mut extras = BTreeSet::new();
    let mut first_extra = None;
    let mut first_packet = None;
    for_each(&path, |record| {
        assert_eq!(record.trailing(), 0);
        let kind = match record {
            Record::Event(event) => event.record_type,
            Record::Packet(packet) => {
                assert_eq!(packet.linktype, 1);
                first_packet.get_or_insert((packet.event_id, packet.data.len()));
                packet.record_type
            }
            Record::ExtraData(extra) => {
                extras.insert(extra.kind);
                first_extra.get_or_insert((extra.kind, extra.data.len(), extra.data[..10].to_vec()));
                110
            }
            other => panic!("{other:?}"),
        };
        *kinds.entry(kind).or_default() += 1;
    });
    assert_eq!(kinds, BTreeMap::from([(2, 5741), (104, 5675), (110, 1952)]));
    assert_eq!(first_extra, Some((extra::HTTP_URI, 196, b"/subscribe".to_vec())));
    assert_eq!(first_packet, Some((2, 106)));
    assert!(extras.contains(&extra::HTTP_HOSTNAME));
}

#[test]
fn events_of_a_real_log() {
    let Some(path) = snort("unified2-current.log") else {
        return;
    };
    let events = events(&path);
    assert_eq!(
        events[0],
        Event {
            record_type: 104,
            sensor_id: 0,
            event_id: 1,
            event_second: 1_321_131_865,
            event_microsecond: 0x0007_6267,
            signature_id: 18_608,
            generator_id: 1,
            signature_revision: 3,
            classification_id: 33,
            priority_id: 1,
            ip_source: [10, 0, 1, 6].into(),
            ip_destination: [199, 47, 216, 149].into(),
            sport_itype: 52_378,
            dport_icode: 80,
            protocol: 6,
            impact_flag: 0,
            impact: 0,
            blocked: 0,
            mpls_label: 0,
            vlan_id: 0,
            pad: 0,
            app_name: None,
            snort3: None,
            trailing: 0,
        }
    );
    let rules: BTreeSet<_> = events.iter().map(|e| (e.generator_id, e.signature_id)).collect();
    assert_eq!(rules.len(), 18);
}

#[test]
fn a_real_ipv6_event() {
    let Some(path) = snort("ipv6-alert.unified2") else {
        return;
    };
    let event = events(&path)[0];
    assert_eq!((event.record_type, event.event_second), (105, 0x5818_b9ac));
    assert_eq!(event.ip_source.to_string(), "fe80::dacb:8aff:feed:a146");
    assert_eq!(event.ip_destination.to_string(), "fe80::215:17ff:fe0d:6f7");
    assert_eq!((event.signature_id, event.signature_revision), (18_474, 3));
    // ICMPv6; this sensor left type and code 0.
    assert_eq!((event.protocol, event.sport_itype, event.dport_icode), (58, 0, 0));
    let bytes = fs::read(&path).unwrap();
    assert_eq!(decoded(&bytes).len(), 2);
}

#[test]
fn a_real_event_of_many_packets() {
    let Some(path) = snort("multi-record-event.unified2") else {
        return;
    };
    let mut order = Vec::new();
    for_each(&path, |record| match record {
        Record::Event(event) => order.push((104, event.event_id, 0)),
        Record::Packet(packet) => order.push((2, packet.event_id, packet.data.len())),
        Record::ExtraData(extra) => order.push((110, extra.event_id, extra.data.len())),
        other => panic!("{other:?}"),
    });
    assert_eq!(order.len(), 17);
    assert_eq!(order[..3], [(104, 89, 0), (110, 89, 18_570), (2, 89, 227)]);
    assert!(order.iter().all(|(_, event, _)| *event == 89));
}

#[test]
fn a_real_log_grows_and_rotates() {
    let Some(path) = snort("unified2-current.log") else {
        return;
    };
    let bytes = fs::read(path).unwrap();
    let whole = decoded(&bytes);
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path(), None, None).unwrap();
    let mut got = Vec::new();
    // Two files, the first one ending at a record, written in odd pieces.
    let mut middle = 0;
    while middle < bytes.len() / 2 {
        middle += Frame::split(&bytes[middle..], 0).unwrap().unwrap().size();
    }
    for (second, part) in [(1_321_131_865, &bytes[..middle]), (1_321_131_999, &bytes[middle..])] {
        let name = dir.path().join(format!("unified2.log.{second}"));
        for piece in part.chunks(7919) {
            append(&name, piece);
            got.extend(drain(&mut spool));
        }
    }
    assert!(got == whole);
}

#[test]
fn a_real_log_restarts_anywhere() {
    let Some(path) = snort("unified2-current.log") else {
        return;
    };
    let whole = decoded(&fs::read(&path).unwrap());
    let mut spool = Spool::open(&path, None, None).unwrap();
    for taken in 0..whole.len() {
        if taken % 13 == 0 {
            let mut again = Spool::open(&path, None, Some(stored(&spool))).unwrap();
            assert_eq!(poll(&mut again).as_ref(), whole.get(taken));
        }
        assert_eq!(poll(&mut spool).as_ref(), whole.get(taken));
    }
    let mut again = Spool::open(&path, None, Some(stored(&spool))).unwrap();
    assert_eq!(poll(&mut again), None);
}

#[test]
fn maps_of_the_real_log() {
    let (Some(packed), Some(log)) = (snort("sid-msg.map.gz"), snort("unified2-current.log")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let sid_msg = dir.path().join("sid-msg.map");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(packed).unwrap()).read_to_end(&mut text).unwrap();
    fs::write(&sid_msg, text).unwrap();
    let maps = RuleMaps::load_files(MapFiles {
        sid_msg: Some(sid_msg),
        gen_msg: snort("gen-msg.map"),
        classification: snort("classification.config"),
    })
    .unwrap();
    assert_eq!(maps.sizes(), (19_243, 460, 35));
    assert_eq!(maps.warnings().count(), 0);

    let qaz = maps.message(1, 108).unwrap();
    assert_eq!(qaz.message, "BACKDOOR QAZ Worm Client Login access");
    assert_eq!(qaz.references[0].to_string(), "mcafee,98775");
    assert_eq!(maps.message(3, 108), Some(qaz));
    assert_eq!(maps.message(142, 7).unwrap().message, "pop: Unix-to-Unix Decoding failed");

    // Every event has a text, and its classification the event's priority.
    for event in events(&log) {
        let (gid, sid) = (event.generator_id, event.signature_id);
        assert!(maps.message(gid, sid).is_some(), "{gid}:{sid}");
        if event.classification_id != 0 {
            let class = maps.classification(event.classification_id).unwrap();
            assert_eq!(class.id, event.classification_id);
            assert_eq!(class.priority, event.priority_id, "{gid}:{sid}");
        }
    }
    let policy = maps.classification(33).unwrap();
    assert_eq!(policy.name, "policy-violation");
    assert_eq!(policy.description, "Potential Corporate Privacy Violation");
}

fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}
