//! The network map obeys orders: it writes nothing in a pause, and tells nothing while discovery events are unchecked.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Site, wait_for};

fn on(site: &Site, words: &[&str], rest: &[&str]) -> String {
    let home = site.home();
    site.run(&[words, &["--home", &home], rest].concat()).success()
}

/// Gives lines about some addresses to a sensor: each begins a connection, or resolves an address.
fn feed(site: &Site, name: &str, kind: &str, addresses: &[&str]) {
    let lines: String = addresses.iter().enumerate().map(|(number, at)| line(number, kind, at)).collect();
    let (home, file) = (site.home(), site.path(&format!("{name}.json")));
    fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    site.run(&["sensor", "eve", "--home", &home, "--device", "3", "--name", name, "--once", file]).success();
}

fn line(number: usize, kind: &str, at: &str) -> String {
    let mut line = json!({ "timestamp": "2025-03-04T09:15:27.482913+0100", "event_type": kind });
    let more = match kind {
        "arp" => json!({"arp": {"hw_type": "ethernet", "proto_type": "ipv4", "opcode": "request", "src_ip": at,
                                "src_mac": format!("02:00:00:00:00:{number:02x}"), "dest_ip": "10.0.0.254",
                                "dest_mac": "00:00:00:00:00:00"}}),
        _ => json!({"flow_id": number + 1, "proto": "TCP", "src_ip": at, "src_port": 50_000, "dest_ip": "203.0.113.7",
                    "dest_port": 443, "flow": {"pkts_toserver": 3, "pkts_toclient": 3, "state": "closed",
                                               "start": "2025-03-04T09:15:26.000000+0100"}}),
    };
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{line}\n")
}

/// The addresses of all hosts.
fn hosts(site: &Site) -> Vec<String> {
    let home = site.home();
    let said = site.run(&["hosts", "--home", &home, "--json"]);
    let host = |line: &str| serde_json::from_str::<Value>(line).unwrap()["address"].as_str().unwrap().to_owned();
    said.out.lines().map(host).collect()
}

/// How many events of each type the archive has.
fn events(site: &Site) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for event in support::archived::archived(site).0 {
        *found.entry(event["recordType"].as_u64().unwrap()).or_insert(0) += 1;
    }
    found
}

/// Archive and map as they are on the disk.
fn content(site: &Site) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> =
        fs::read_dir(site.path("home/archive/netmap_0")).unwrap().map(|e| e.unwrap().path()).collect();
    files.extend(["home/map.db", "home/map.db-wal"].map(|file| site.path(file)).into_iter().filter(|f| f.exists()));
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn in_a_pause_nothing_is_written_and_afterwards_everything_comes_once() {
    let site = Site::new();
    let mut server = site.serve(&[]);
    feed(&site, "a", "flow", &["10.0.0.1", "10.0.0.2"]);
    wait_for("the first hosts", || (events(&site).get(&10) == Some(&2)).then_some(()));
    // Something to do: the archive has connections, and the table has sightings, that no mapper has read.
    assert!(server.process.terminate().success());
    feed(&site, "b", "flow", &["10.0.0.3", "10.0.0.4"]);
    feed(&site, "c", "arp", &["10.0.0.3", "10.0.0.5"]);
    assert_eq!(on(&site, &["pause"], &[]), "paused; 0 sensors hold\n");
    let before = content(&site);
    let mut server = site.serve(&[]);
    server.process.line("The stream is paused");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(content(&site) == before, "a service that starts in a pause");
    on(&site, &["resume"], &[]);
    let told = || events(&site).get(&10).copied();
    wait_for("the other hosts", || (hosts(&site).len() == 5 && told() == Some(5)).then_some(()));

    // A mapper that runs: what it has learned and not written it leaves, and learns it again.
    feed(&site, "d", "flow", &["10.0.0.6", "10.0.0.7"]);
    assert_eq!(on(&site, &["pause"], &[]), "paused; 0 sensors hold\n");
    let before = content(&site);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(content(&site) == before, "a mapper that is held");
    let (archive, map) = (events(&site), hosts(&site));
    assert!(server.process.terminate().success());
    assert_eq!((events(&site), hosts(&site)), (archive, map), "a service that ends in a pause");
    on(&site, &["resume"], &[]);
    let _server = site.serve(&[]);
    wait_for("the last hosts", || (hosts(&site).len() == 7 && told() == Some(7)).then_some(()));
    let events = events(&site);
    assert_eq!((events[&10], events[&28]), (7, 2), "{events:?}");
}

#[test]
fn a_pause_names_the_map_that_does_not_hold() {
    let site = Site::new();
    let server = site.serve(&[]);
    feed(&site, "a", "flow", &["10.0.0.1"]);
    wait_for("the map", || (hosts(&site).len() == 1).then_some(()));
    server.process.signal(rustix::process::Signal::STOP);
    let home = site.home();
    site.run(&["pause", "--home", &home, "--timeout", "1"]).failed(3, &["but not yet: the network map of netmap 0."]);
    server.process.signal(rustix::process::Signal::CONT);
    assert_eq!(on(&site, &["pause"], &[]), "paused; 0 sensors hold\n");
}

#[test]
fn while_discovery_is_unchecked_the_map_learns_and_tells_nothing() {
    let site = Site::new();
    let server = site.serve(&[]);
    feed(&site, "a", "flow", &["10.0.0.1"]);
    wait_for("the map", || (events(&site).get(&10) == Some(&1)).then_some(()));
    on(&site, &["events", "uncheck"], &["discovery"]);
    server.process.line("Event types that are not enabled and not sent: Discovery Events");
    let before = events(&site);
    // Connections are discovery events themselves and not in the archive; ARP is what the map still learns from.
    feed(&site, "b", "flow", &["10.0.0.2"]);
    feed(&site, "c", "arp", &["10.0.0.1", "10.0.0.3"]);
    wait_for("the host", || (hosts(&site) == ["10.0.0.1", "10.0.0.3"]).then_some(()));
    assert_eq!(events(&site), before);
    // What was learned meanwhile is known, and not told of later; what is new is.
    on(&site, &["events", "check"], &["discovery"]);
    server.process.line("All event types are enabled");
    feed(&site, "d", "flow", &["10.0.0.3", "10.0.0.4"]);
    wait_for("the new host", || (events(&site).get(&10) == Some(&2)).then_some(()));
    feed(&site, "e", "arp", &["10.0.0.9", "10.0.0.5"]);
    wait_for("two more", || (events(&site).get(&10) == Some(&4)).then_some(()));
    let of_host = |at: &str| {
        let all = support::archived::archived(&site).0;
        let mine = all.iter().filter(|e| e["recordType"] != 71 && e.to_string().contains(&format!("\"{at}\"")));
        mine.map(|e| e["recordType"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of_host("10.0.0.3"), [14], "its first connection tells a transport protocol");
    assert_eq!(of_host("10.0.0.9"), [10, 28]);
}
