//! Bytes to records: every layout, exact errors, and bytes that are no records.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::IpAddr;

use common::{event, extra, packet, record, words};
use proptest::prelude::*;
use sensors::unified2::{Event, Frame, MAX_RECORD, Record, RecordError, kind};

fn decode(bytes: &[u8]) -> Result<Record<'_>, RecordError> {
    Frame::split(bytes, 1000).unwrap().unwrap().decode()
}

fn as_event(bytes: &[u8]) -> Event {
    match decode(bytes).unwrap() {
        Record::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The nine common fields, addresses, ports and flags.
fn event_body(source: &[u8], destination: &[u8]) -> Vec<u8> {
    let mut body = words(&[11, 12, 13, 14, 15, 16, 17, 18, 19]);
    body.extend_from_slice(source);
    body.extend_from_slice(destination);
    body.extend_from_slice(&[0x12, 0x34, 0x56, 0x78, 6, 0x20, 1, 2]);
    body
}

const V4: ([u8; 4], [u8; 4]) = ([192, 0, 2, 1], [198, 51, 100, 7]);
const V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x42];

#[test]
fn first_layouts() {
    let body = event_body(&V4.0, &V4.1);
    assert_eq!(body.len(), 52);
    let event = as_event(&record(kind::EVENT_V1, &body));
    assert_eq!(
        event,
        Event {
            record_type: 7,
            sensor_id: 11,
            event_id: 12,
            event_second: 13,
            event_microsecond: 14,
            signature_id: 15,
            generator_id: 16,
            signature_revision: 17,
            classification_id: 18,
            priority_id: 19,
            ip_source: ip("192.0.2.1"),
            ip_destination: ip("198.51.100.7"),
            sport_itype: 0x1234,
            dport_icode: 0x5678,
            protocol: 6,
            impact_flag: 0x20,
            impact: 1,
            blocked: 2,
            mpls_label: 0,
            vlan_id: 0,
            pad: 0,
            app_name: None,
            snort3: None,
            trailing: 0,
        }
    );
    let event = as_event(&record(kind::EVENT_V1_IPV6, &event_body(&V6, &V6)));
    assert_eq!(event.ip_source, ip("2001:db8::42"));
    assert_eq!((event.sport_itype, event.blocked), (0x1234, 2));
}

#[test]
fn second_layouts_add_label_and_vlan() {
    for (kind, mut body) in [
        (kind::EVENT_V2, event_body(&V4.0, &V4.1)),
        (kind::EVENT_V2_IPV6, event_body(&V6, &V6)),
        (kind::EVENT_MPLS, event_body(&V4.0, &V4.1)),
        (kind::EVENT_MPLS_IPV6, event_body(&V6, &V6)),
        (kind::EVENT_NG, event_body(&V4.0, &V4.1)),
        (kind::EVENT_NG_IPV6, event_body(&V6, &V6)),
    ] {
        body.extend_from_slice(&[0, 1, 2, 3, 0, 100, 0, 7]);
        let event = as_event(&record(kind, &body));
        assert_eq!(
            (event.mpls_label, event.vlan_id, event.pad, event.trailing),
            (0x0001_0203, 100, 7, 0),
            "type {kind}"
        );
        body.extend_from_slice(&[0; 116]);
        assert_eq!(as_event(&record(kind, &body)).trailing, 116);
    }
}

#[test]
fn mpls_events_may_lack_the_vlan() {
    let mut body = event_body(&V4.0, &V4.1);
    body.extend_from_slice(&[0, 0, 0, 9]);
    let event = as_event(&record(kind::EVENT_MPLS, &body));
    assert_eq!((event.mpls_label, event.vlan_id), (9, 0));
}

#[test]
fn application_names() {
    for (kind, mut body) in [(kind::EVENT_APP, event_body(&V4.0, &V4.1)), (kind::EVENT_APP_IPV6, event_body(&V6, &V6))]
    {
        body.extend_from_slice(&[0; 8]);
        let nameless = [body.as_slice(), &[0; 16]].concat();
        assert_eq!(as_event(&record(kind, &nameless)).app_name, None);
        body.extend_from_slice(b"facebook\0junk...");
        let event = as_event(&record(kind, &body));
        assert_eq!(event.app_name.unwrap().to_string(), "facebook");
        assert_eq!(event.trailing, 0);
    }
}

#[test]
fn snort_3_events() {
    let mut body = words(&[0, 12, 13, 14, 116, 55, 2, 18, 19, 1, 2, 3]);
    body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
    body.extend_from_slice(&V6);
    body.extend_from_slice(&[0, 0, 0, 5, 0, 53, 0x12, 0x34, 0, 100, 0, 0]);
    body.extend_from_slice(&[0x46, 17, 3, 2]);
    let mut name = [0; 64];
    name[..3].copy_from_slice(b"DNS");
    body.extend_from_slice(&name);
    assert_eq!(body.len(), 160);
    let event = as_event(&record(kind::EVENT_V3, &body));
    assert_eq!((event.generator_id, event.signature_id), (116, 55));
    assert_eq!(event.ip_source, ip("192.0.2.1"));
    assert_eq!(event.ip_destination, ip("2001:db8::42"));
    assert_eq!((event.sport_itype, event.dport_icode), (53, 0x1234));
    assert_eq!((event.vlan_id, event.mpls_label, event.protocol), (100, 5, 17));
    assert_eq!((event.blocked, event.impact_flag), (1, 0x20));
    assert_eq!(event.app_name.unwrap().as_bytes(), b"DNS");
    let snort3 = event.snort3.unwrap();
    assert_eq!((snort3.policy_context, snort3.policy_inspect, snort3.policy_detect), (1, 2, 3));
    assert_eq!((snort3.status, snort3.action), (3, 2));
}

#[test]
fn packets_and_buffers() {
    for kind in [kind::PACKET, kind::BUFFER] {
        let mut body = words(&[1, 2, 3, 4, 5, 6, 3]);
        body.extend_from_slice(b"abcde");
        let bytes = record(kind, &body);
        let Record::Packet(packet) = decode(&bytes).unwrap() else {
            panic!("not a packet");
        };
        assert_eq!((packet.sensor_id, packet.event_id, packet.event_second), (1, 2, 3));
        assert_eq!((packet.packet_second, packet.packet_microsecond), (4, 5));
        assert_eq!((packet.record_type, packet.linktype), (kind, 6));
        assert_eq!((packet.data, packet.trailing), (b"abc".as_slice(), 2));
    }
}

#[test]
fn extra_data_counts_its_overhead() {
    let bytes = extra(7, b"/index.html");
    let Record::ExtraData(extra) = decode(&bytes).unwrap() else {
        panic!("not extra data");
    };
    assert_eq!((extra.event_type, extra.event_length), (4, 43));
    assert_eq!((extra.event_id, extra.kind, extra.data_type), (7, 9, 1));
    assert_eq!((extra.data, extra.trailing), (b"/index.html".as_slice(), 0));
}

#[test]
fn unknown_types_are_kept() {
    let bytes = record(4711, b"whatever");
    assert_eq!(decode(&bytes).unwrap(), Record::Unknown { record_type: 4711, bytes: b"whatever" });
}

#[test]
fn errors_name_type_field_and_offset() {
    let short = record(kind::EVENT_V1, &words(&[0; 9])[..35]);
    assert_eq!(
        decode(&short).unwrap_err().to_string(),
        "unified2 record type 7: field priority_id at offset 1040 needs 4 bytes, the record has 3 left"
    );
    let lying = record(kind::PACKET, &words(&[0, 0, 0, 0, 0, 1, 100]));
    assert_eq!(
        decode(&lying).unwrap_err().to_string(),
        "unified2 record type 2: field packet_data at offset 1036 needs 100 bytes, the record has 0 left"
    );
    let blob = record(kind::EXTRA_DATA, &words(&[4, 0, 0, 0, 0, 9, 1, 7]));
    assert_eq!(
        decode(&blob).unwrap_err().to_string(),
        "unified2 record type 110: field blob_length at offset 1036 is 7, but it counts itself and data_type, 8 bytes"
    );
}

#[test]
fn headers_that_cannot_be() {
    let long = words(&[7, MAX_RECORD + 1]);
    assert_eq!(
        Frame::split(&long, 5).unwrap_err().to_string(),
        "unified2 record type 7 at offset 5 claims 16777217 bytes, more than the 16777216 allowed"
    );
    assert_eq!(Frame::split(&[0; 64], 5), Err(RecordError::Zeros { offset: 5 }));
    assert_eq!(Frame::split(&words(&[7, MAX_RECORD]), 5), Ok(None));
    assert_eq!(Frame::split(&[0; 7], 5), Ok(None));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Some(frame)) = Frame::split(&bytes, 0) {
            let _ = frame.decode();
        }
    }

    #[test]
    fn random_bodies_never_panic(
        kind in proptest::sample::select(vec![2_u32, 3, 7, 72, 99, 100, 104, 105, 110, 111, 112, 114, 207, 208]),
        body in proptest::collection::vec(any::<u8>(), 0..300),
        offset in any::<u64>(),
    ) {
        let bytes = record(kind, &body);
        let frame = Frame::split(&bytes, offset).unwrap().unwrap();
        prop_assert_eq!(frame.body, body.as_slice());
        let _ = frame.decode();
    }

    #[test]
    fn a_cut_body_is_an_error_and_a_cut_record_is_waited_for(cut in 0_usize..60) {
        for whole in [event(1), packet(2, 20), extra(3, b"0123456789abcdefghij")] {
            prop_assert_eq!(Frame::split(&whole[..8 + cut.min(whole.len() - 9)], 0), Ok(None));
            let body = &whole[8..8 + cut.min(whole.len() - 9)];
            let kind = u32::from_be_bytes([whole[0], whole[1], whole[2], whole[3]]);
            let cut = record(kind, body);
            let short = matches!(decode(&cut), Err(RecordError::Short { .. }));
            prop_assert!(short);
        }
    }
}
