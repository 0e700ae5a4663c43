//! The network map from Suricata's lines to discovery events, host data and impact: sensor, archive, server and reference
//! client, each in its process; and a server that is killed at random moments.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use archive::{Kind, Read, Reader, Start};
use serde_json::{Value, json};
use support::{Dice, Site, shared, wait_for};
use wire::decode::Decoder;
use wire::message::Items;

/// A flow of TCP in which the server answered.
fn flow(id: u64, from: &str, to: &str, port: u16) -> String {
    let line = json!({
        "timestamp": "2024-05-01T10:00:00.000000+0000", "flow_id": id, "event_type": "flow", "proto": "TCP",
        "src_ip": from, "src_port": 40_000, "dest_ip": to, "dest_port": port, "app_proto": "http",
        "flow": {"pkts_toserver": 6, "pkts_toclient": 5, "bytes_toserver": 600, "bytes_toclient": 5000,
                 "start": "2024-05-01T09:59:58.000000+0000", "end": "2024-05-01T10:00:00.000000+0000", "state": "closed"},
        "tcp": {"tcp_flags": "1b"}
    });
    format!("{line}\n")
}

fn alert(id: u64, from: &str, to: &str, port: u16) -> String {
    let line = json!({
        "timestamp": "2024-05-01T10:00:05.000000+0000", "flow_id": id, "event_type": "alert", "proto": "TCP",
        "src_ip": from, "src_port": 50_000, "dest_ip": to, "dest_port": port,
        "alert": {"action": "allowed", "gid": 1, "signature_id": 2_000_001, "rev": 1, "signature": "An attack",
                  "category": "Attempted Information Leak", "severity": 1}
    });
    format!("{line}\n")
}

/// Record type, host of the discovery event header, and the record of every event in the archive.
fn records(site: &Site) -> Vec<(u16, String, Vec<u8>)> {
    let mut reader = Reader::open(&site.path("home/archive"), 0, Start::Genesis).unwrap();
    let (mut buf, mut found, mut decoder) = (Vec::new(), Vec::new(), Decoder::new());
    loop {
        match reader.next(&mut buf).unwrap() {
            Read::Batch(info) if info.kind == Kind::Events => {
                for item in Items::new(&buf) {
                    let body = item.unwrap().body;
                    let record = decoder.decode(body).unwrap();
                    let host = record.discovery().and_then(|d| d.named("ipv6Address"));
                    let host = host.and_then(|v| v.octets()).and_then(|o| <[u8; 16]>::try_from(o).ok());
                    let host = host.map(|o| wire::event::address(&o).to_string()).unwrap_or_default();
                    found.push((record.record_type(), host, body.to_vec()));
                }
            }
            Read::Batch(_) => {}
            Read::Lost(lost) => panic!("{lost:?}"),
            Read::End => return found,
        }
    }
}

/// The hosts that match, by `estreamer hosts --json`.
fn hosts(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let home = site.home();
    let said = site.run(&[&["hosts", "--home", &home, "--json"], arguments].concat());
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_real_file_becomes_a_map() {
    let Some(data) = shared("data/suricata") else { return };
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    server.process.line("The network map of netmap 0 has");
    let file = data.join("eve.json.gz");
    let home = site.home();
    let sensor =
        ["sensor", "eve", "--home", &home, "--device", "3", "--name", "ids-3", "--once", file.to_str().unwrap()];
    site.run(&sensor).success();
    let flows = records(&site).iter().filter(|(kind, _, _)| *kind == 71).count();
    assert_eq!(flows, 1469);
    // The map is complete when its events are: it does not change any more.
    let mut before = 0;
    wait_for("a map that stands still", || {
        std::thread::sleep(Duration::from_millis(1500));
        let now = records(&site).len();
        (std::mem::replace(&mut before, now) == now && now > 2160).then_some(())
    });
    let all = hosts(&site, &[]);
    let sum = |key: &str| all.iter().map(|host| host[key].as_array().unwrap().len()).sum::<usize>();
    println!("4192 lines: {} hosts, {} servers, {} client applications", all.len(), sum("servers"), sum("clients"));
    let mut told = BTreeMap::new();
    for (kind, _, _) in records(&site).iter().filter(|(kind, _, _)| (10..=44).contains(kind) || *kind == 101) {
        *told.entry(*kind).or_insert(0) += 1;
    }
    println!("discovery events by record type: {told:?}");
    assert_eq!(told[&10], all.len());
    let [desk] = &hosts(&site, &["172.17.0.153"])[..] else { panic!("{all:?}") };
    assert_eq!(desk["macs"], json!(["0e:c6:39:2c:e9:b3"]), "{desk}");
    assert!(desk["os"].as_str().unwrap().contains("Windows"), "{desk}");
    assert!(sum("clients") > 3 && desk["users"].as_array().unwrap().len() == 1, "{desk}");
    let [controller] = &hosts(&site, &["172.17.0.7"])[..] else { panic!("{all:?}") };
    let ports: Vec<_> = controller["servers"].as_array().unwrap().iter().map(|s| s["port"].as_u64().unwrap()).collect();
    assert!([53, 88, 389, 445].iter().all(|port| ports.contains(port)), "{controller}");

    // The same by the protocol.
    let port = server.address.port().to_string();
    let pkcs12 = pkcs12.to_str().unwrap();
    let said = site.run(&["ssl-test", "127.0.0.1", "--port", &port, "-pk", pkcs12, "-h", "172.17.0.153", "--json"]);
    let said = said.success();
    assert!(said.contains("172.17.0.153") && said.contains("0e:c6:39:2c:e9:b3"), "{said}");
}

#[test]
fn ten_thousand_hosts_by_the_reference_client() {
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let lines: String =
        (0..10_000u32).map(|n| flow(n.into(), &format!("10.{}.{}.1", n / 200, n % 200), "203.0.113.7", 443)).collect();
    fs::write(site.path("eve.json"), lines).unwrap();
    let home = site.home();
    let file = site.path("eve.json");
    site.run(&["sensor", "eve", "--home", &home, "--device", "3", "--name", "a", "--once", file.to_str().unwrap()])
        .success();
    wait_for("all hosts", || (hosts(&site, &[]).len() == 10_000).then_some(()));
    let port = server.address.port().to_string();
    let ask = |hosts: &str| {
        let pkcs12 = pkcs12.to_str().unwrap();
        let said =
            site.run(&["ssl-test", "127.0.0.1", "--port", &port, "-pk", pkcs12, "-h", hosts, "--json"]).success();
        said.lines().filter(|line| line.starts_with('{')).count()
    };
    assert_eq!(ask("10.0.0.0/8"), 10_000);
    assert_eq!(ask("10.3.0.0-10.3.9.255"), 10);
    assert_eq!(ask("10.49.199.1"), 1);
}

#[test]
fn the_impact_of_an_alert_is_what_the_map_knows() {
    let site = Site::new();
    let server = site.serve(&[]);
    server.process.line("The network map of netmap 0 has");
    let (home, file) = (site.home(), site.path("eve.json"));
    fs::write(&file, flow(1, "10.0.0.9", "10.0.0.5", 80)).unwrap();
    let sensor = site
        .start("sensor", &["sensor", "eve", "--home", &home, "--device", "3", "--name", "a", file.to_str().unwrap()]);
    wait_for("the server in the map", || {
        let found = hosts(&site, &["10.0.0.5"]);
        (found.first()?["servers"][0]["name"] == "HTTP").then_some(())
    });
    // What a sensor looked up is believed for two seconds, a map that was not there for five.
    let mut lines = OpenOptions::new().append(true).open(&file).unwrap();
    let of = |kind: u16| records(&site).into_iter().filter(move |(other, _, _)| *other == kind).collect::<Vec<_>>();
    let mut number = 100;
    wait_for("an alert that the port is open", || {
        number += 10;
        let (open, closed) =
            (alert(number, "203.0.113.9", "10.0.0.5", 80), alert(number + 1, "203.0.113.9", "10.0.0.5", 81));
        let unknown = alert(number + 2, "203.0.113.9", "10.0.0.77", 80);
        let elsewhere = alert(number + 3, "203.0.113.9", "203.0.113.10", 80);
        write!(lines, "{open}{closed}{unknown}{elsewhere}").unwrap();
        let wanted = of(400).len() + 4;
        wait_for("the events", || (of(400).len() >= wanted).then_some(()));
        let mut decoder = Decoder::new();
        let mut levels = of(400).into_iter().skip(wanted - 4).map(|(_, _, record)| {
            let record = decoder.decode(&record).unwrap();
            (record.uint("impactFlags").unwrap(), record.uint("impact").unwrap())
        });
        let levels: Vec<_> = levels.by_ref().collect();
        (levels == [(7, 2), (3, 3), (1, 4), (0, 0)]).then_some(())
    });
    let (_, _, record) = of(9).pop().unwrap();
    let mut decoder = Decoder::new();
    let record = decoder.decode(&record).unwrap();
    assert_eq!((record.uint("impact"), record.uint("deviceId")), (Some(7), Some(3)));
    let text = record.field("description").unwrap().octets().unwrap();
    assert_eq!(text, b"An attack [Impact: Potentially Vulnerable]");
    drop(sensor);
}

#[test]
fn a_server_that_is_killed_tells_everything_once() {
    let site = Site::new();
    let mut dice = Dice::new("netmap");
    let (home, file) = (site.home(), site.path("eve.json"));
    fs::write(&file, "").unwrap();
    let mut server = site.serve(&[]);
    let port = server.address.port();
    let _sensor = site
        .start("sensor", &["sensor", "eve", "--home", &home, "--device", "3", "--name", "a", file.to_str().unwrap()]);
    let mut lines = OpenOptions::new().append(true).open(&file).unwrap();
    let (rounds, each) = (6u64, 150u64);
    for round in 0..rounds {
        for n in round * each..(round + 1) * each {
            let client = format!("10.1.{}.{}", n / 200, 1 + n % 200);
            lines.write_all(flow(n + 1, &client, &format!("10.2.0.{}", 1 + n % 50), 80).as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(dice.below(400)));
        server.process.kill();
        server = site.serve_at(port, &[]);
    }
    let wanted = (rounds * each + 50) as usize;
    wait_for("all hosts", || (hosts(&site, &[]).len() == wanted).then_some(()));
    wait_for("all events", || {
        (records(&site).iter().filter(|(kind, _, _)| *kind == 10).count() >= wanted).then_some(())
    });
    // One life more, which has nothing to tell.
    server.process.kill();
    let _server = site.serve_at(port, &[]);
    std::thread::sleep(Duration::from_millis(700));
    let mut told = BTreeMap::new();
    for (kind, host, _) in records(&site).into_iter().filter(|(kind, _, _)| *kind != 71) {
        *told.entry((kind, host)).or_insert(0) += 1;
    }
    assert!(told.values().all(|times| *times == 1), "{told:?}");
    let of = |kind: u16| told.keys().filter(|(other, _)| *other == kind).count();
    assert_eq!((of(10), of(11), of(15)), (wanted, 50, (rounds * each) as usize));
}
