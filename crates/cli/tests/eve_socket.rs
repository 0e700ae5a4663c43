//! A Suricata sensor on a socket, killed: what it has read becomes events, each once.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde_json::json;
use support::archived::numbers;
use support::{Dice, Process, Site, wait_for};

fn alert(number: u64) -> String {
    let line = json!({
        "timestamp": "2024-03-01T12:00:05.250000+0100", "flow_id": number, "event_type": "alert", "src_ip": "10.0.0.1",
        "src_port": 50_000, "dest_ip": "192.0.2.7", "dest_port": 80, "proto": "TCP",
        "alert": {"signature_id": number, "gid": 1, "severity": 1},
    });
    format!("{line}\n")
}

/// A sensor that listens.
fn sensor(site: &Site) -> Process {
    let (home, path) = (site.home(), socket(site).display().to_string());
    let arguments = ["sensor", "eve", "--home", &home, "--device", "3", "--socket", &path];
    let process = site.start("sensor", &arguments);
    wait_for("the socket", || {
        process.alive();
        UnixStream::connect(&path).ok()
    });
    process
}

fn socket(site: &Site) -> PathBuf {
    site.path("eve.sock")
}

/// The numbers of the alerts in the archive, in order.
fn alerts(site: &Site) -> Vec<u64> {
    numbers(&site.path("home/archive"), 400, "ruleId")
}

/// The files of what was read and is not in the archive.
fn spool(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.path("home/sensors")).unwrap().map(|e| e.unwrap().path());
    let Some(folder) = entries.into_iter().find(|path| path.extension().is_some_and(|e| e == "spool")) else {
        return Vec::new();
    };
    let files = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    files.filter(|path| fs::metadata(path).is_ok_and(|m| m.len() > 0)).collect()
}

/// The numbers of the whole lines in them.
fn spooled(site: &Site) -> Vec<u64> {
    let mut numbers = Vec::new();
    for file in spool(site) {
        let text = fs::read_to_string(file).unwrap_or_default();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            numbers.push(value["alert"]["signature_id"].as_u64().unwrap());
        }
    }
    numbers
}

/// Takes the archive's lock, as another writer does for its commits, until it is dropped.
fn busy(site: &Site) -> fs::File {
    let lock = fs::File::open(site.path("home/archive/netmap_0/lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    lock
}

#[test]
fn what_was_read_while_the_archive_took_nothing_survives_a_kill() {
    let site = Site::new();
    let mut process = sensor(&site);
    let mut suricata = UnixStream::connect(socket(&site)).unwrap();
    suricata.write_all(alert(1).as_bytes()).unwrap();
    wait_for("the first event", || (alerts(&site) == [1]).then_some(()));
    let lock = busy(&site);
    let text: String = (2..=2000).map(alert).collect();
    suricata.write_all(text.as_bytes()).unwrap();
    wait_for("all lines in the spool", || (spooled(&site).last() == Some(&2000)).then_some(()));
    process.kill();
    assert_eq!(alerts(&site), [1], "none of them is in the archive");
    drop(lock);
    let mut process = sensor(&site);
    wait_for("all events", || (alerts(&site).len() >= 2000).then_some(()));
    assert_eq!(alerts(&site), (1..=2000).collect::<Vec<u64>>(), "each once and in order");
    // What the archive has is deleted, at the latest when the sensor ends.
    process.signal(Signal::TERM);
    assert!(process.wait().success(), "{}", process.log());
    assert_eq!(spool(&site), Vec::<PathBuf>::new());
    assert!(!socket(&site).exists());
}

#[test]
fn a_sensor_that_is_killed_at_any_moment_loses_and_repeats_nothing_it_has_read() {
    let mut dice = Dice::new("eve_socket");
    let site = Site::new();
    let mut next = 0;
    let mut must: HashSet<u64> = HashSet::new();
    let mut sent = 0;
    for _ in 0..6 {
        let mut process = sensor(&site);
        let mut suricata = UnixStream::connect(socket(&site)).unwrap();
        let from = next;
        // Suricata writes as fast as it can, until nobody listens.
        let writer = std::thread::spawn(move || {
            let mut number = from;
            while number < from + 4_000 && suricata.write_all(alert(number + 1).as_bytes()).is_ok() {
                number += 1;
            }
            number
        });
        std::thread::sleep(Duration::from_millis(dice.below(250)));
        process.kill();
        next = writer.join().unwrap() + 1;
        sent += next - from - 1;
        must.extend(spooled(&site));
        must.extend(alerts(&site));
    }
    let mut process = sensor(&site);
    wait_for("all that was read", || {
        let there: HashSet<u64> = alerts(&site).into_iter().collect();
        must.is_subset(&there).then_some(())
    });
    assert!(process.terminate().success(), "{}", process.log());
    let there = alerts(&site);
    assert!(there.is_sorted_by(|a, b| a < b), "each once, and in order");
    assert!(there.iter().all(|number| must.contains(number)));
    println!("{} of {sent} lines were read, and are there", there.len());
}

#[test]
fn an_end_in_order_takes_what_is_there_and_leaves_nothing() {
    let site = Site::new();
    let mut process = sensor(&site);
    let mut suricata = UnixStream::connect(socket(&site)).unwrap();
    let text: String = (1..=3000).map(alert).collect();
    suricata.write_all(text.as_bytes()).unwrap();
    // What Suricata has handed over is read, if it is not yet; the next run has it.
    assert!(process.terminate().success(), "{}", process.log());
    let mut process = sensor(&site);
    wait_for("all events", || (alerts(&site).len() >= 3000).then_some(()));
    assert_eq!(alerts(&site), (1..=3000).collect::<Vec<u64>>());
    assert!(process.terminate().success(), "{}", process.log());
    assert_eq!(spool(&site), Vec::<PathBuf>::new());
    // What is no line of JSON, or has no end, is counted and told.
    let mut process = sensor(&site);
    let mut suricata = UnixStream::connect(socket(&site)).unwrap();
    suricata.write_all(&vec![b'x'; 3 << 20]).unwrap();
    suricata.write_all(format!("\n{}", alert(3001).trim_end()).as_bytes()).unwrap();
    drop(suricata);
    wait_for("the last event", || (alerts(&site).last() == Some(&3001)).then_some(()));
    process.line("longer than a line may be");
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(3), "{}", process.log());
}
