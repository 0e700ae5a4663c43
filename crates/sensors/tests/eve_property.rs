//! Lines of Suricata in which any value may be anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use sensors::eve::{Bounds, Identity, Mapper, Output};
use serde_json::{Value, json};
use wire::decode::Decoder;

/// Lines that use every table and every special case.
fn lines() -> Vec<Value> {
    let line = |event_type: &str, more: Value| {
        let mut line = json!({
            "timestamp": "2024-03-01T12:00:05.250000+0100", "flow_id": 7, "event_type": event_type, "in_iface": "eth1",
            "src_ip": "10.0.0.1", "src_port": 50_000, "dest_ip": "2001:db8::7", "dest_port": 443, "proto": "TCP",
            "vlan": [42], "app_proto": "tls",
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    vec![
        line(
            "alert",
            json!({
                "alert": { "action": "blocked", "gid": 1, "signature_id": 7, "rev": 2, "signature": "Rule",
                           "category": "Misc Attack", "severity": 2 },
                "xff": "198.51.100.9", "packet": "AAECAwQ=", "packet_info": { "linktype": 1 }, "payload": "AA==",
                "http": { "hostname": "a.example.com", "url": "/a", "status": 200 },
                "flow": { "start": "2024-03-01T12:00:00.000000+0100", "dest_port": 443 },
                "smtp": { "mail_from": "a@example.com", "rcpt_to": ["b@example.com"] },
                "tls": { "fingerprint": "00:01:02" },
            }),
        ),
        line(
            "tls",
            json!({ "tls": {
            "sni": "a.example.com", "version": "TLS 1.2", "subject": "CN=a", "issuerdn": "CN=a",
            "fingerprint": "00:01:02", "notbefore": "2022-01-01T00:00:00", "notafter": "2023-01-01T00:00:00",
            "ja3s": { "string": "771,49200,35-23" },
        } }),
        ),
        line(
            "http",
            json!({ "http": { "hostname": "a", "url": "/a", "http_user_agent": "x", "http_refer": "y", "status": 200 } }),
        ),
        line(
            "dns",
            json!({ "dns": { "rrname": "a", "rrtype": "A", "rcode": "NOERROR", "answers": [{ "ttl": 300 }] } }),
        ),
        line("dns", json!({ "dns": { "queries": [{ "rrname": "a", "rrtype": "AAAA" }] } })),
        line("krb5", json!({ "krb5": { "msg_type": "KRB_AS_REP", "cname": "alice", "realm": "EXAMPLE.COM" } })),
        line(
            "smb",
            json!({ "smb": { "status": "STATUS_SUCCESS", "ntlmssp": { "user": "bob", "domain": "D", "host": "H" } } }),
        ),
        line("quic", json!({ "quic": { "sni": "a", "ua": "b" } })),
        line(
            "fileinfo",
            json!({ "fileinfo": {
            "filename": "/x", "size": 12, "stored": true, "magic": "PE32", "sha256": "ab".repeat(32),
        } }),
        ),
        line("anomaly", json!({ "anomaly": { "type": "stream", "event": "E", "app_proto": "smb" } })),
        line(
            "flow",
            json!({
                "flow": { "pkts_toserver": 4, "pkts_toclient": 5, "bytes_toserver": 6, "bytes_toclient": 7, "action": "drop",
                          "start": "2024-03-01T12:00:00.000000+0100", "end": "2024-03-01T12:00:05.000000+0100" },
                "tcp": { "tcp_flags": "1b" },
            }),
        ),
    ]
}

/// Any JSON, with the values that are on the edge of something.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), Just(65_536), Just(1 << 32)].prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        prop_oneof![Just("é".repeat(40_000)), Just("0".repeat(70_000)), Just("ff:".repeat(30)), Just(String::new())]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,4}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// The places of a value and of all in it.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| places(v, &format!("{at}/{i}"), found)),
        _ => {}
    }
    if !at.is_empty() {
        found.push(at.to_owned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_in_a_line_it_is_counted_and_becomes_whole_records(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), anything()), 1..12),
    ) {
        let mut lines = lines();
        for (line, place, value) in changes {
            let at = line.index(lines.len());
            let line = &mut lines[at];
            let mut found = Vec::new();
            places(line, "", &mut found);
            *line.pointer_mut(&found[place.index(found.len())]).unwrap() = value;
        }
        let identity = Identity { device_id: 7, device_name: "ids".to_owned(), netmap: 0, domain: None, zone: None };
        let mut mapper = Mapper::new(identity, Bounds::default()).unwrap();
        let (mut out, mut decoder) = (Output::default(), Decoder::new());
        for line in &lines {
            mapper.line(line.to_string().as_bytes(), 1_700_000_000, &mut out).unwrap();
        }
        mapper.finish(&mut out).unwrap();
        prop_assert!(mapper.tally().adds_up());
        prop_assert_eq!(mapper.tally().lines(), lines.len() as u64);
        for event in out.metadata_records().iter().chain(out.events()) {
            let mut bytes = Vec::new();
            event.encode(Some(0), &mut bytes);
            let record = decoder.decode(&bytes).unwrap();
            prop_assert_eq!(record.problem(), None);
            prop_assert!(!record.opaque() && record.main().trailing().is_empty());
            prop_assert!(bytes.len() < 400_000, "nothing is longer than what is kept of it");
        }
    }
}
