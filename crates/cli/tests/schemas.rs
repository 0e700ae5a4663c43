//! `estreamer decode --format ecs` and `ocsf` of the golden stream: what the schemas require is there, with the right
//! types and values.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use support::{gunzip, run};

/// The lines by the number of their message.
fn decoded(format: &str) -> BTreeMap<u64, Value> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stream.bin");
    fs::write(&file, gunzip(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/data/stream.bin.gz"))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_estreamer"));
    let done = run(command.args(["decode", "--number", "--format", format]).arg(&file), b"");
    assert_eq!(done.code, Some(3), "{}", done.err);
    let line = |line: &str| {
        let (number, json) = line.split_once('\t').unwrap();
        (number.parse().unwrap(), serde_json::from_str(json).unwrap())
    };
    done.out.lines().map(line).collect()
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Array(items) => items.first()?.get(key),
        value => value.get(key),
    })
}

#[derive(Debug, Clone, Copy)]
enum Type {
    Number,
    Text,
    Address,
    Time,
    Object,
    Texts,
    Addresses,
}

use Type::{Address, Addresses, Number, Object, Text, Texts, Time};

impl Type {
    fn fits(self, value: &Value) -> bool {
        let text = value.as_str();
        let all = |fits: fn(&str) -> bool| {
            value
                .as_array()
                .is_some_and(|items| !items.is_empty() && items.iter().all(|i| i.as_str().is_some_and(fits)))
        };
        match self {
            Number => value.is_u64(),
            Text => text.is_some_and(|text| !text.is_empty()),
            Address => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            Time => text.is_some_and(|text| text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()),
            Object => value.as_object().is_some_and(|map| !map.is_empty()),
            Texts => all(|text| !text.is_empty()),
            Addresses => all(|text| text.parse::<IpAddr>().is_ok()),
        }
    }
}

/// The types of ECS fields that are there.
const ECS: &[(&str, Type)] = &[
    ("event.severity", Number),
    ("event.start", Time),
    ("event.end", Time),
    ("event.created", Time),
    ("event.reason", Text),
    ("source.ip", Address),
    ("source.port", Number),
    ("source.bytes", Number),
    ("source.packets", Number),
    ("source.nat.ip", Address),
    ("source.nat.port", Number),
    ("source.as.number", Number),
    ("source.geo.country_name", Text),
    ("source.user.name", Text),
    ("destination.ip", Address),
    ("destination.port", Number),
    ("destination.bytes", Number),
    ("destination.packets", Number),
    ("client.ip", Address),
    ("network.bytes", Number),
    ("network.packets", Number),
    ("network.transport", Text),
    ("network.iana_number", Text),
    ("network.community_id", Text),
    ("network.vlan.id", Text),
    ("observer.name", Text),
    ("observer.ingress.zone", Text),
    ("observer.egress.interface.name", Text),
    ("rule.id", Text),
    ("rule.name", Text),
    ("rule.version", Text),
    ("file.name", Text),
    ("file.size", Number),
    ("file.hash.sha256", Text),
    ("file.mtime", Time),
    ("http.response.status_code", Number),
    ("dns.question.name", Text),
    ("tls.server.hash.sha1", Text),
    ("tls.version", Text),
    ("user.id", Text),
    ("user.name", Text),
    ("host.ip", Addresses),
    ("host.mac", Texts),
    ("related.ip", Addresses),
    ("related.hash", Texts),
    ("related.user", Texts),
    ("related.hosts", Texts),
];

/// The types that ECS allows in a category.
fn types_of(category: &str) -> &'static [&'static str] {
    match category {
        "network" => &["access", "allowed", "connection", "denied", "end", "info", "protocol", "start"],
        "intrusion_detection" => &["allowed", "denied", "info"],
        "malware" => &["info"],
        "file" => &["access", "change", "creation", "deletion", "info"],
        "authentication" | "session" => &["start", "end", "info"],
        "host" => &["access", "change", "end", "info", "start"],
        "iam" => &["admin", "change", "creation", "deletion", "group", "info", "user"],
        other => panic!("{other} is no category of ours"),
    }
}

#[test]
fn ecs_has_its_types_and_allowed_values() {
    let lines = decoded("ecs");
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, event) in &lines {
        for (path, required) in [
            ("@timestamp", Time),
            ("ecs.version", Text),
            ("event.kind", Text),
            ("event.category", Texts),
            ("event.type", Texts),
            ("event.module", Text),
            ("event.dataset", Text),
            ("event.code", Text),
            ("observer.vendor", Text),
            ("observer.product", Text),
            ("observer.type", Text),
        ] {
            assert!(at(event, path).is_some_and(|value| required.fits(value)), "{number} {path}: {event}");
        }
        for (path, expected) in ECS {
            if let Some(value) = at(event, path) {
                assert!(expected.fits(value), "{number} {path} is no {expected:?}: {value}");
                *seen.entry(path).or_default() += 1;
            }
        }
        assert!(matches!(at(event, "event.kind").unwrap().as_str(), Some("event" | "alert")), "{number}");
        let outcome = at(event, "event.outcome").map(|value| value.as_str().unwrap());
        assert!(matches!(outcome, None | Some("success" | "failure" | "unknown")), "{number} {outcome:?}");
        let list = |path| at(event, path).unwrap().as_array().unwrap().iter().map(|v| v.as_str().unwrap());
        for event_type in list("event.type") {
            let fits = list("event.category").any(|category| types_of(category).contains(&event_type));
            assert!(fits, "{number}: {event_type} in {:?}", list("event.category").collect::<Vec<_>>());
        }
    }
    for (path, _) in ECS {
        assert!(seen.contains_key(path), "nothing has {path}");
    }
    // The whole of a connection.
    let connection = &lines[&502];
    assert_eq!(at(connection, "event.dataset").unwrap(), "estreamer.connection");
    assert_eq!(at(connection, "cisco.estreamer.initiator_ip_address"), None, "it is source.ip");
    assert!(at(connection, "cisco.estreamer.connection_counter").is_some());
}

/// What each class requires.
const OCSF: &[(u64, &[(&str, Type)])] = &[
    (0, &[]),
    (
        2004,
        &[
            ("finding_info.uid", Text),
            ("finding_info.title", Text),
            ("finding_info.created_time", Number),
            ("evidences.connection_info.direction_id", Number),
        ],
    ),
    (3002, &[("user", Object), ("user.uid", Text), ("service.name", Text), ("status_id", Number)]),
    (
        4001,
        &[
            ("src_endpoint", Object),
            ("dst_endpoint", Object),
            ("connection_info.direction_id", Number),
            ("traffic.bytes", Number),
            ("disposition_id", Number),
            ("status_id", Number),
        ],
    ),
    (
        4010,
        &[
            ("actor.user.uid", Text),
            ("file.name", Text),
            ("file.type_id", Number),
            ("src_endpoint", Object),
            ("dst_endpoint", Object),
            ("connection_info.direction_id", Number),
        ],
    ),
];

#[test]
fn ocsf_has_what_its_classes_require() {
    let lines = decoded("ocsf");
    let mut classes: BTreeMap<u64, usize> = BTreeMap::new();
    for (number, event) in &lines {
        let class = event["class_uid"].as_u64().unwrap();
        let (_, required) = OCSF.iter().find(|(uid, _)| *uid == class).unwrap();
        *classes.entry(class).or_default() += 1;
        let base = [
            ("activity_id", Number),
            ("category_uid", Number),
            ("class_uid", Number),
            ("type_uid", Number),
            ("time", Number),
            ("severity_id", Number),
            ("metadata.version", Text),
            ("metadata.product.name", Text),
            ("metadata.product.vendor_name", Text),
            ("metadata.profiles", Texts),
            ("device.type_id", Number),
        ];
        for (path, expected) in base.iter().chain(*required) {
            assert!(at(event, path).is_some_and(|value| expected.fits(value)), "{number} {path}: {event}");
        }
        for (path, expected) in [
            ("start_time", Number),
            ("end_time", Number),
            ("message", Text),
            ("src_endpoint.ip", Address),
            ("src_endpoint.port", Number),
            ("dst_endpoint.ip", Address),
            ("evidences.src_endpoint.ip", Address),
            ("evidences.file.name", Text),
            ("evidences.file.hashes.algorithm_id", Number),
            ("evidences.file.hashes.value", Text),
            ("file.hashes.value", Text),
            ("finding_info.analytic.uid", Text),
            ("finding_info.types", Texts),
            ("malware.name", Text),
            ("tls.version", Text),
            ("firewall_rule.uid", Text),
            ("unmapped", Object),
        ] {
            let value = at(event, path);
            assert!(value.is_none_or(|value| expected.fits(value)), "{number} {path} is no {expected:?}: {value:?}");
        }
        assert_eq!(
            event["type_uid"].as_u64().unwrap(),
            class * 100 + event["activity_id"].as_u64().unwrap(),
            "{number}"
        );
        assert_eq!(event["category_uid"].as_u64().unwrap(), class / 1000, "{number}");
        let severity = event["severity_id"].as_u64().unwrap();
        assert!(severity <= 5, "{number}: {severity}");
    }
    println!("events by class: {classes:?}");
    let least = [(0, 100), (2004, 100), (3002, 20), (4001, 50), (4010, 20)];
    assert!(least.iter().all(|(class, least)| classes.get(class) >= Some(least)), "{classes:?}");
}
