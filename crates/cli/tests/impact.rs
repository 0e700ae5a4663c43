//! The impact of Snort's and Suricata's events, by a map that is there, and by one that cannot be used.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::net::Ipv4Addr;

use archive::{Kind, Read, Reader, Start};
use rusqlite::Connection;
use serde_json::json;
use support::{Finished, Site, wait_for};
use wire::decode::Decoder;
use wire::message::Items;

/// Snort events about these hosts and TCP ports.
fn unified2(site: &Site, name: &str, targets: &[([u8; 4], u16)]) -> String {
    let folder = site.path(name);
    fs::create_dir(&folder).unwrap();
    let mut bytes = Vec::new();
    for (id, (address, port)) in (1u32..).zip(targets) {
        bytes.extend([0, 0, 0, 104, 0, 0, 0, 60]);
        let [source, destination] = [[203, 0, 113, 9], *address].map(|a| u32::from(Ipv4Addr::from(a)));
        for word in [0, id, 1_741_076_127, 7, 2000, 1, 3, 33, 1, source, destination] {
            bytes.extend(u32::to_be_bytes(word));
        }
        bytes.extend([0x9a, 0xc0]);
        bytes.extend(port.to_be_bytes());
        bytes.extend([6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    fs::write(folder.join("snort.log.1741076100"), bytes).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// Suricata's: a connection to the HTTP server of a host, and so many alerts about it.
fn eve(site: &Site, name: &str, alerts: u64) -> String {
    let file = site.path(name);
    let line = |kind: &str, id: u64, more: serde_json::Value| {
        let mut line = json!({
            "timestamp": "2025-03-04T09:15:27.482913+0100", "flow_id": id, "event_type": kind, "proto": "TCP",
            "src_ip": "203.0.113.9", "src_port": 50_000, "dest_ip": "10.0.0.5", "dest_port": 80,
            "ether": {"src_macs": ["02:00:00:00:00:01"], "dest_macs": ["02:00:00:00:00:05"]},
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let mut text = line(
        "flow",
        1,
        json!({"app_proto": "http", "flow": {"pkts_toserver": 6, "pkts_toclient": 5, "state": "closed",
                                             "start": "2025-03-04T09:15:26.000000+0100"}}),
    );
    for id in 2..alerts + 2 {
        let alert = json!({"action": "allowed", "gid": 1, "signature_id": 2_000_001, "rev": 1, "signature": "An attack",
                           "category": "Attempted Information Leak", "severity": 1});
        text += &line("alert", id, json!({ "alert": alert }));
    }
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn sensor(site: &Site, kind: &str, device: &str, input: &str) -> Finished {
    let home = site.home();
    site.run(&["sensor", kind, "--home", &home, "--device", device, "--name", device, "--once", input])
}

/// Impact flags and level of the intrusion events of a device, and the number of its impact alerts.
fn impacts(site: &Site, device: u64) -> (Vec<(u64, u64)>, usize) {
    let mut reader = Reader::open(&site.path("home/archive"), 0, Start::Genesis).unwrap();
    let (mut buf, mut levels, mut alerts, mut decoder) = (Vec::new(), Vec::new(), 0, Decoder::new());
    loop {
        match reader.next(&mut buf).unwrap() {
            Read::Batch(info) if info.kind == Kind::Events => {
                for item in Items::new(&buf) {
                    let record = decoder.decode(item.unwrap().body).unwrap();
                    if record.uint("deviceId") != Some(device) {
                        continue;
                    }
                    match record.record_type() {
                        400 => levels.push((record.uint("impactFlags").unwrap(), record.uint("impact").unwrap())),
                        9 => alerts += 1,
                        _ => {}
                    }
                }
            }
            Read::Batch(_) => {}
            Read::Lost(lost) => panic!("{lost:?}"),
            Read::End => return (levels, alerts),
        }
    }
}

#[test]
fn snort_events_have_the_impact_that_the_map_knows() {
    let site = Site::new();
    let server = site.serve(&[]);
    server.process.line("The network map of netmap 0 has");
    sensor(&site, "eve", "3", &eve(&site, "eve.json", 0)).success();
    let home = site.home();
    wait_for("the server in the map", || {
        site.run(&["hosts", "--home", &home, "--json", "10.0.0.5"]).out.contains("\"port\":80").then_some(())
    });
    let spool =
        unified2(&site, "snort", &[([10, 0, 0, 5], 80), ([10, 0, 0, 5], 81), ([10, 0, 0, 77], 80), ([8, 8, 8, 8], 80)]);
    sensor(&site, "unified2", "4", &spool).success();
    assert_eq!(impacts(&site, 4), (vec![(7, 2), (3, 3), (1, 4), (0, 0)], 1));
}

/// Both sensors get to the end of what they read, say once what is wrong, and know no impact.
fn goes_on_without_a_map(site: &Site, why: &str) {
    let spool = unified2(site, "snort", &[([10, 0, 0, 5], 80); 300]);
    let snort = sensor(site, "unified2", "4", &spool);
    let suricata = sensor(site, "eve", "3", &eve(site, "eve.json", 300));
    for (finished, device) in [(&snort, 4), (&suricata, 3)] {
        let log = &finished.err;
        assert_eq!(finished.code, Some(0), "{log}");
        let (levels, alerts) = impacts(site, device);
        assert!(levels.len() == 300 && levels.iter().all(|level| *level == (0, 0)) && alerts == 0, "{levels:?}");
        let said: Vec<_> = log.lines().filter(|line| line.contains("the impact of intrusion events is 0")).collect();
        assert!(said.len() == 1 && said[0].contains("map.db") && said[0].contains(why), "{log}");
        let sightings = log.matches("What this sensor sees of hosts does not get into the network map").count();
        assert_eq!(sightings, usize::from(device == 3), "{log}");
    }
}

#[test]
fn a_broken_map_stops_no_sensor() {
    let site = Site::new();
    fs::write(site.path("home/map.db"), [7; 5000]).unwrap();
    goes_on_without_a_map(&site, "not a database");
    // Nor the service, which says so, as does who asks.
    let server = site.serve(&[]);
    server.process.line("The network map of netmap 0 is not kept");
    let home = site.home();
    site.run(&["hosts", "--home", &home]).failed(1, &["map.db", "not a database"]);
}

#[test]
fn a_locked_map_stops_no_sensor() {
    let site = Site::new();
    let server = site.serve(&[]);
    server.process.line("The network map of netmap 0 has");
    drop(server);
    // Whoever has it alone lets nobody read, which a writer of the map never does.
    let alone = Connection::open(site.path("home/map.db")).unwrap();
    alone.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; DELETE FROM host; ").unwrap();
    goes_on_without_a_map(&site, "locked");
    alone.execute_batch("ROLLBACK").unwrap();
}
