//! A disk that is full: all sensors wait, the service goes on serving and says what is wrong, and when there is room again
//! everything goes on by itself, each event exactly once.
//!
//! The disk is a small file system in memory, which only root can mount; without that the tests are skipped.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};
use support::archived::archived;
use support::disk::Disk;
use support::lines::flows;
use support::{Site, wait_for};
use wire::event::Event;
use wire::message::{self, MessageType};

/// How many numbers after its beginning a flow of the EVE lines ends.
const LAG: u64 = 20;

/// Appends EVE lines: an HTTP line and an alert of a flow for each number, and the end of a flow that began before.
fn eve(file: &Path, from: u64, count: u64) {
    append(file, flows(from, count, LAG).as_bytes());
}

/// Appends Snort events with these numbers to a unified2 file.
fn unified2(file: &Path, from: u32, count: u32) {
    let mut bytes = Vec::new();
    for id in from + 1..=from + count {
        bytes.extend([0, 0, 0, 104, 0, 0, 0, 60]);
        for word in [0, id, 1_322_000_000, 7, 2000, 1, 3, 33, 1, 0x0a01_06c7, 0x2fd8_95ca] {
            bytes.extend(u32::to_be_bytes(word));
        }
        bytes.extend([0x9a, 0xc0, 0, 80, 6, 0x20, 0, 1, 0, 0, 0, 5, 0, 12, 0, 0]);
    }
    append(file, &bytes);
}

/// Captured messages with so many intrusion events, of device 977.
fn capture(file: &Path, count: u64) {
    let mut stream = Vec::new();
    for i in 1..=count {
        let mut event = Event::new(400).unwrap();
        event.set("eventId", i).unwrap().set("deviceId", 977u32).unwrap();
        let mut record = Vec::new();
        event.encode(Some(1_700_000_000), &mut record);
        message::push(&mut stream, MessageType::EVENT_DATA, &record);
    }
    append(file, &stream);
}

fn append(file: &Path, bytes: &[u8]) {
    File::options().append(true).create(true).open(file).unwrap().write_all(bytes).unwrap();
}

/// Posts records with these numbers; the status of the answer.
fn post(address: &str, token: &str, ids: std::ops::RangeInclusive<u32>) -> u16 {
    let line = |id| format!("{}\n", json!({"recordType": 112, "id": format!("post {id}"), "policyId": 10_000 + id}));
    let body: String = ids.map(line).collect();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A number of the events of a type and device, in their order.
fn numbers(events: &[Value], record_type: u64, device: u64, field: &str) -> Vec<u64> {
    let of = |event: &&Value| event["recordType"] == record_type && event["deviceId"] == device;
    events.iter().filter(of).map(|event| event[field].as_u64().unwrap()).collect()
}

#[test]
fn every_sensor_waits_and_goes_on() {
    let site = Site::empty();
    let Some(disk) = Disk::mount(&site.path("home"), 24) else { return };
    site.init();
    // The network map makes events of its own.
    site.settings("keep_free_bytes = 0\nnetwork_map = false\n");
    let home = site.home();
    let pkcs12 = site.client("127.0.0.1");
    let (lines, spool, records) = (site.path("eve.json"), site.path("unified2.log.1"), site.path("capture.bin"));
    let (lines_text, spool_text) = (lines.to_str().unwrap().to_owned(), spool.to_str().unwrap().to_owned());
    let simulate = |events: &str| ["sensor", "simulate", "--home", &home, "--events", events].map(str::to_owned);
    let start =
        |name: &str, arguments: &[String]| site.start(name, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(start("simulate", &simulate("3000")).wait().success());

    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let collecting = collector.start();
    eve(&lines, 0, 50);
    unified2(&spool, 0, 50);
    let mut eve_sensor = site.start("eve", &["sensor", "eve", "--home", &home, "--device", "903", &lines_text]);
    let mut snort = site.start("snort", &["sensor", "unified2", "--home", &home, "--device", "902", &spool_text]);
    let token = site.run(&["tokens", "add", "--home", &home, "poster"]).success().trim().to_owned();
    let mut door = site
        .start("record-json", &["sensor", "record-json", "--home", &home, "--listen", "127.0.0.1:0", "--plain-http"]);
    let line = door.line("Records are taken at http");
    let address = line.split("://").nth(1).unwrap().trim_end_matches("/records").to_owned();
    assert_eq!(post(&address, &token, 1..=1), 200);
    collector.wait_for_events(3000 + 50 + 30 + 50 + 1, &collecting);

    disk.fill();
    eve(&lines, 50, 100);
    unified2(&spool, 50, 100);
    capture(&records, 200);
    let published: String = (2..=101)
        .map(|i| format!("{}\n", json!({"recordType": 112, "id": format!("line {i}"), "policyId": 10_000 + i})))
        .collect();
    std::fs::write(site.path("lines.json"), published).unwrap();
    let mut simulating = start("simulate", &simulate("5000"));
    let mut replaying = site.start("replay", &["sensor", "replay", "--home", &home, records.to_str().unwrap()]);
    let lines_file = site.path("lines.json");
    let mut publishing = site.start("publish", &["publish", "--home", &home, lines_file.to_str().unwrap()]);
    for sensor in [&simulating, &replaying, &snort, &eve_sensor, &publishing] {
        sensor.line("has no room, so this sensor waits");
    }
    assert_eq!(post(&address, &token, 201..=300), 503);
    server.process.line("DiskManager [ERROR] The file system of ");
    // Who comes now is served.
    let second = site.collector("second", server.address, &pkcs12);
    let also = second.start();
    second.wait_for_events(3000 + 50 + 30 + 50 + 1, &also);
    // Nobody gives up, and who is killed does no harm.
    simulating.kill();
    eve_sensor.kill();
    let mut simulating = start("simulate", &simulate("5000"));
    simulating.line("has no room, so this sensor waits");
    let eve_sensor = site.start("eve", &["sensor", "eve", "--home", &home, "--device", "903", &lines_text]);
    eve_sensor.line("has no room, so this sensor waits");
    for process in [&simulating, &replaying, &snort, &eve_sensor, &publishing, &door, &server.process] {
        process.alive();
    }

    disk.clear();
    for sensor in [&mut simulating, &mut replaying, &mut publishing] {
        assert!(sensor.wait().success(), "{}", sensor.log());
    }
    // (`publish` logs warnings only.)
    for sensor in [&snort, &eve_sensor, &replaying, &simulating] {
        sensor.line("has room again");
    }
    server.process.line("The archive has room again");
    assert_eq!(post(&address, &token, 201..=300), 200);
    let all = 5000 + 150 + 130 + 150 + 200 + 100 + 101;
    for (collector, process) in [(&collector, &collecting), (&second, &also)] {
        collector.wait_for_events(all, process);
        assert_eq!(collector.counts().0, all);
    }
    for process in [&mut snort, &mut door] {
        assert!(process.terminate().success());
    }
    drop(eve_sensor);
    let (events, _) = archived(&site);
    assert_eq!(events.len(), all);
    assert_eq!(numbers(&events, 400, 903, "ruleId"), (1..=150).collect::<Vec<_>>());
    assert_eq!(numbers(&events, 71, 903, "httpResponse"), (1..=130).collect::<Vec<_>>());
    assert_eq!(numbers(&events, 400, 902, "eventId"), (1..=150).collect::<Vec<_>>());
    assert_eq!(numbers(&events, 400, 977, "eventId"), (1..=200).collect::<Vec<_>>());
    // The simulation has events with policies of small numbers.
    let policy = |event: &Value| event["policyId"].as_u64().filter(|id| event["recordType"] == 112 && *id > 10_000);
    let mut policies: Vec<u64> = events.iter().filter_map(policy).map(|id| id - 10_000).collect();
    policies.sort_unstable();
    assert_eq!(policies, (1..=101).chain(201..=300).collect::<Vec<_>>());
    assert!(simulating.log().contains("the archive has 5000 of seed 1"));
    site.run(&["store", "check", "--home", &home]).success();
}

/// The database of open flows is on a full disk of its own: the sensor waits for it as it does for the archive, and a start
/// without room says so.
#[test]
fn open_flows_without_room() {
    let site = Site::new();
    let Some(disk) = Disk::mount(&site.path("home/sensors"), 1) else { return };
    let (home, lines) = (site.home(), site.path("eve.json"));
    let arguments = ["sensor", "eve", "--home", &home, "--device", "903", lines.to_str().unwrap()];
    eve(&lines, 0, 100);
    let sensor = site.start("eve", &arguments);
    let alerts = || numbers(&archived(&site).0, 400, 903, "ruleId");
    wait_for("the first events", || (alerts().len() == 100).then_some(()));
    disk.fill();
    eve(&lines, 100, 400);
    sensor.line("has no room, so this sensor waits");
    drop(sensor);
    disk.clear();
    // One that ended well leaves nothing on which the next could build.
    let mut sensor = site.start("eve", &arguments);
    wait_for("more events", || (alerts().len() >= 150).then_some(()));
    assert!(sensor.terminate().success());
    disk.fill();
    let sensor = site.start("eve", &arguments);
    sensor.line("has no room, so this sensor waits");
    sensor.alive();
    disk.clear();
    sensor.line("has room again");
    wait_for("all events", || (alerts().len() >= 500).then_some(()));
    drop(sensor);
    let (events, _) = archived(&site);
    assert_eq!(numbers(&events, 400, 903, "ruleId"), (1..=500).collect::<Vec<_>>());
    assert_eq!(numbers(&events, 71, 903, "httpResponse"), (1..=480).collect::<Vec<_>>());
}
