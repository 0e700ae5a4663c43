//! The forms one block or record comes in, byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use wire::decode::{Decoder, Record, Value};
use wire::event::{Block, Event};
use wire::layout::{self, Kind};

fn item(record_type: u16, data: &[u8]) -> Vec<u8> {
    [&u32::from(record_type).to_be_bytes()[..], &(data.len() as u32).to_be_bytes(), data].concat()
}

/// The discovery event header of 40 bytes, or with the address 56.
fn discovery(address: bool) -> Vec<u8> {
    let mut header = vec![0; 40];
    header[..8].copy_from_slice(&[0, 0, 0, 7, 10, 1, 2, 3]);
    header[14] = address.into();
    header.resize(if address { 56 } else { 40 }, 0xaa);
    header
}

/// Decodes a record, lets `check` look at it, and writes it again.
fn check(record_type: u16, data: &[u8], check: impl Fn(&Record<'_>)) {
    let bytes = item(record_type, data);
    let mut decoder = Decoder::new();
    let record = decoder.decode(&bytes).unwrap();
    assert_eq!(record.problem(), None);
    check(&record);
    let mut again = Vec::new();
    Event::try_from(&record).unwrap().encode(None, &mut again);
    assert_eq!(again, bytes);
}

fn block_value<'r>(record: &Record<'r>, field: &str, name: &str) -> Option<u64> {
    match record.field(field) {
        Some(Value::Block(block)) => block.named(name).and_then(|v| v.as_uint()),
        _ => None,
    }
}

#[test]
fn the_discovery_header_of_all_ages() {
    // Before 5.2: the address in the header, two reserved octets.
    check(19, &discovery(false), |r| {
        assert!(
            matches!(r.field("legacyIpAddress"), Some(Value::Ipv4([10, 1, 2, 3]))) && r.field("ipv6Address").is_none()
        );
    });
    check(19, &discovery(true), |r| assert!(matches!(r.field("ipv6Address"), Some(Value::Ipv6([0xaa, ..])))));
}

#[test]
fn mac_addresses_with_and_without_block() {
    let old = [&[64][..], &[1, 2, 3, 4, 5, 6], &[1]].concat();
    let new = [&[0, 0, 0, 95, 0, 0, 0, 20][..], &old, &[0, 0, 0, 9]].concat();
    for (data, last_seen) in [(&old, None), (&new, Some(9))] {
        for (record_type, header) in [(27, discovery(false)), (28, discovery(true))] {
            check(record_type, &[&header, data.as_slice()].concat(), |r| {
                assert_eq!(block_value(r, "mac", "ttl"), Some(64));
                assert_eq!(block_value(r, "mac", "primary"), Some(1));
                assert_eq!(block_value(r, "mac", "lastSeen"), last_seen);
            });
        }
    }
}

#[test]
fn a_host_changes_its_address_in_four_or_sixteen_octets() {
    check(29, &[&discovery(false)[..], &[192, 0, 2, 1]].concat(), |r| {
        assert!(matches!(r.field("ipAddress"), Some(Value::Ipv4([192, 0, 2, 1]))));
        assert_eq!(r.layout.map(|l| l.body.fields[0].fixed), Some(4));
    });
    check(29, &[&discovery(false)[..], &[9; 16]].concat(), |r| {
        assert!(matches!(r.field("ipAddress"), Some(Value::Ipv6([9, ..]))));
    });
}

#[test]
fn an_indication_of_compromise_by_number_or_with_its_state() {
    check(160, &[&discovery(true)[..], &[0, 0, 0, 7, 0, 0, 0, 12, 0, 0, 0, 33]].concat(), |r| {
        assert_eq!(block_value(r, "id", "value"), Some(33));
    });
    // With the device of the last event, 45 bytes, and as one client reads it without, 41.
    for (length, device) in [(45u8, Some(0x1d1d_1d1d)), (41, None)] {
        let mut state = vec![0, 0, 0, 150, 0, 0, 0, length + 8];
        state.extend(0..length);
        state[8 + 33..8 + 37].fill(0x1d);
        check(160, &[discovery(true), state].concat(), |r| {
            assert_eq!(block_value(r, "id", "iocIdNumber"), Some(0x0001_0203));
            assert_eq!(block_value(r, "id", "lastDeviceId"), device);
            assert_eq!(block_value(r, "id", "lastCounter"), Some(u64::from(length - 2) << 8 | u64::from(length - 1)));
        });
    }
}

#[test]
fn client_applications_with_one_id_or_two() {
    let empty = |kind: u8| [0, 0, 0, kind, 0, 0, 0, 8];
    for (number, lists, two, one) in
        [(122u8, 1, ["id", "applicationProto"], "id"), (112, 2, ["applicationProto", "applicationId"], "applicationId")]
    {
        for ids in [&[5u32][..], &[5, 6], &[5, 0], &[0, 0], &[0]] {
            let mut data = [[0; 4], [0, 0, 0, 1]].concat();
            ids.iter().for_each(|id| data.extend(id.to_be_bytes()));
            data.extend([0, 0, 0, 0, 0, 0, 0, 10, b'v', b'1']);
            (0..lists).for_each(|_| data.extend(empty(31)));
            let bytes = [&[0, 0, 0, number, 0, 0, 0, data.len() as u8 + 8][..], &data].concat();
            let mut decoder = Decoder::new();
            let view = decoder.decode_block(1, &bytes);
            let found: Vec<u64> = two.iter().filter_map(|n| view.named(n)?.as_uint()).collect();
            assert_eq!(found, ids.iter().map(|id| u64::from(*id)).collect::<Vec<_>>(), "block {number}, {ids:?}");
            assert!(view.named(one).is_some());
            assert!(matches!(view.named("version"), Some(Value::Text(b"v1"))));
            let mut again = Vec::new();
            Block::from(view).encode(&mut again);
            assert_eq!((again, decoder.problem()), (bytes, None));
        }
    }
}

#[test]
fn users_as_a_block_and_before_that_as_plain_fields() {
    let block =
        [&[0, 0, 0, 57, 0, 0, 0, 28, 0, 0, 0, 3, 0, 0, 0, 1][..], &[0, 0, 0, 0, 0, 0, 0, 12, b'a', b'n', b'n', b'a']]
            .concat();
    // The id of the second is that of the block type.
    let flat = |id: u8| [&[0, 0, 0, id, 0, 0, 0, 4][..], b"anna"].concat();
    let flat_98 = |id: u8| [&[0, 0, 0, id, 0, 0, 0, 1, 0, 0, 0, 4][..], b"anna"].concat();
    for (record_type, data, id) in [
        (62, block.clone(), 3),
        (98, block, 3),
        (62, flat(4), 4),
        (62, flat(57), 57),
        (98, flat_98(4), 4),
        (98, flat_98(57), 57),
    ] {
        check(record_type, &data, |r| {
            assert!(matches!(r.field("username"), Some(Value::Text(b"anna"))));
            assert_eq!(r.uint("id"), Some(id));
            let key = [&record_type.to_be_bytes()[..], &id.to_be_bytes()].concat();
            assert_eq!(r.metadata_key(), Some(key));
        });
    }
}

#[test]
fn what_a_version_does_not_have_at_the_end_is_not_missing() {
    // A vulnerability without solution, and a login without VPN session.
    let mut vulnerability = Event::new(57).unwrap();
    vulnerability.set("id", 9u32).unwrap().set("title", "hole").unwrap().set("solution", "patch").unwrap();
    let mut bytes = Vec::new();
    vulnerability.encode(None, &mut bytes);
    let without = &bytes[8..bytes.len() - 9];
    check(57, without, |r| assert!(r.field("solution").is_none() && r.field("technicalDescription").is_some()));
    let mut login = Block::new(layout::block(1, 167).unwrap());
    login.set("username", "anna").unwrap();
    bytes.clear();
    login.encode(&mut bytes);
    let session = {
        let mut out = Vec::new();
        Block::new(layout::block(1, 166).unwrap()).encode(&mut out);
        out.len()
    };
    bytes.truncate(bytes.len() - session);
    let length = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    check(95, &[discovery(true), bytes].concat(), |r| {
        let Some(Value::Block(login)) = r.field("user") else { panic!("no login") };
        assert!(login.named("vpnSession").is_none() && login.trailing().is_empty());
    });
}

#[test]
fn connections_of_5_4_in_all_widths() {
    let forms: Vec<_> = layout::blocks().filter(|l| (l.series, l.number) == (1, 155)).collect();
    assert_eq!(forms.len(), 4);
    for form in forms {
        let mut block = Block::new(form);
        block.set("ruleReason", 2u32).unwrap().set("sslServerCertificateStatus", 3u32).unwrap();
        block.set("clientUrl", "http://example.com/").unwrap().set("sslServerName", "example.com").unwrap();
        let mut data = discovery(true);
        block.encode(&mut data);
        check(71, &data, |r| {
            assert_eq!(r.main().layout(), Some(form));
            assert_eq!((r.uint("ruleReason"), r.uint("sslServerCertificateStatus")), (Some(2), Some(3)));
            assert!(matches!(r.field("sslServerName"), Some(Value::Text(b"example.com"))));
        });
    }
}

#[test]
fn addresses_of_the_oldest_connections_are_little_endian() {
    let mut data = discovery(false);
    data.extend([0, 0, 0, 9, 0, 0, 0, 49, 1, 2, 0, 192, 9, 2, 0, 192]);
    data.extend([7; 33]);
    check(33, &data, |r| {
        assert!(matches!(r.field("initiatorIpAddress"), Some(Value::Ipv4([192, 0, 2, 1]))));
        assert!(matches!(r.field("responderIpAddress"), Some(Value::Ipv4([192, 0, 2, 9]))));
        assert_eq!(r.uint("initiatorPort"), Some(0x0707));
    });
}

#[test]
fn discovery_events_of_one_type_hold_blocks_or_a_few_bytes() {
    let vlan = [0, 0, 0, 14, 0, 0, 0, 12, 0, 5, 1, 2];
    check(6, &[&discovery(false)[..], &vlan, &vlan].concat(), |r| {
        let Some(Value::List(list)) = r.field("data") else { panic!("no blocks") };
        assert_eq!((list.block_type(), list.block_length()), (0, 24));
        assert_eq!(list.items().filter_map(|b| b.named("id")?.as_uint()).collect::<Vec<_>>(), [5, 5]);
    });
    check(6, &[&discovery(false)[..], &[0, 22]].concat(), |r| {
        assert!(matches!(r.field("data"), Some(Value::Hex([0, 22]))));
    });
    // Primitives that stand alone.
    let mut decoder = Decoder::new();
    let text = [0, 0, 0, 0, 0, 0, 0, 10, b'h', b'i'];
    assert!(matches!(decoder.decode_block(2, &text).named("data"), Some(Value::Text(b"hi"))));
    let list = [&[0, 0, 0, 11, 0, 0, 0, 20][..], &vlan].concat();
    let view = decoder.decode_block(1, &list);
    assert!(matches!(view.named("items"), Some(Value::List(items)) if items.items().count() == 1));
}

#[test]
fn gaps_are_named_and_keep_their_bytes() {
    let bytes = [0, 0, 0, 157, 0, 0, 0, 11, 1, 2, 3];
    let mut decoder = Decoder::new();
    let view = decoder.decode_block(1, &bytes);
    assert!(view.layout().is_none() && view.title().is_some_and(|t| t.starts_with("Connection Statistics")));
    assert_eq!((view.block_type(), view.block_length(), view.bytes()), (157, 11, &bytes[..]));
    for record_type in [30, 32, 114] {
        check(record_type, &[&discovery(true)[..], &[1, 2, 3]].concat(), |r| {
            assert!(r.opaque() && r.layout.is_none() && r.uint("deviceId") == Some(7));
            assert_eq!((r.body().bytes(), r.body().block_length()), (&[1, 2, 3][..], 3));
            assert!(r.body().title().is_some() && layout::record(record_type).is_some_and(|l| !l.name.is_empty()));
        });
    }
}

#[test]
fn lists_and_blobs_are_written_in_the_kind_they_were_found_in() {
    let event = Event::new(45).unwrap();
    let mut bytes = Vec::new();
    event.encode(None, &mut bytes);
    let blob = bytes.len() - 8;
    bytes[blob + 3] = 1;
    check(45, &bytes[8..], |r| assert!(matches!(r.field("data"), Some(Value::Blob { block_type: 1, .. }))));
    let host = layout::block(1, 139).unwrap();
    let mut data = discovery(true);
    let start = data.len();
    Block::new(host).encode(&mut data);
    let mut odd = data.clone();
    let empty_list = |at: &usize| matches!(data[*at..at + 8], [0, 0, 0, 11 | 31, 0, 0, 0, 8]);
    for at in (start..data.len() - 8).filter(empty_list) {
        odd[at + 3] = if data[at + 3] == 11 { 31 } else { 2 };
    }
    assert_ne!(odd, data);
    check(10, &odd, |_| {});
    check(10, &data, |_| {});
    // What follows an inline block, and what follows the fields of a nested one.
    let vlan = [0, 0, 0, 14, 0, 0, 0, 14, 0, 5, 1, 2, 0xee, 0xee];
    check(34, &[&discovery(true)[..], &vlan, &[0xdd; 3]].concat(), |r| {
        assert_eq!((r.main().trailing(), r.body().trailing()), (&[0xee, 0xee][..], &[0xdd; 3][..]));
    });
}

#[test]
fn no_layout_needs_a_list_to_know_its_series() {
    for layout in layout::blocks() {
        for field in layout.fields {
            let series = match field.kind {
                Kind::Block { expected, .. } => expected.series,
                Kind::List { of, .. } => of.series,
                _ => continue,
            };
            assert!(layout.series == 0 || layout.series == series, "{} {}", layout.title, field.name);
        }
    }
}
