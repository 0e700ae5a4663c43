//! Several management centers at once: each event once, from whichever of them, whoever is killed when.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::{Archive, Batch, Kind, Options, Read, Reader, Start};
use serde_json::{Value, json};
use support::{Collector, Process, Server, Site, configuration, free_port, is_metadata};

/// A configuration for these servers: address, PKCS#12 file, name and set.
fn several(servers: &[(&Server, &Path, &str, Option<&str>)]) -> Value {
    let mut config = configuration(servers[0].0.address, servers[0].1);
    let entry = |(server, pkcs12, name, set): &(&Server, &Path, &str, Option<&str>)| json!({"host": "127.0.0.1", "port": server.address.port(), "pkcs12Filepath": pkcs12, "name": name, "set": set});
    config["subscription"]["servers"] = servers.iter().map(entry).collect();
    config["dialect"] = "standard".into();
    config["handler"]["eventUids"] = true.into();
    config
}

/// How many events there are by management center and id.
fn events(collector: &Collector) -> BTreeMap<(String, String), usize> {
    let mut events = BTreeMap::new();
    collector.each_line(|line| {
        if !is_metadata(line) {
            let line: Value = serde_json::from_slice(line).unwrap();
            let name = |key: &str| line["@computed"][key].as_str().unwrap().to_owned();
            *events.entry((name("managementCenter"), name("eventUid"))).or_default() += 1;
        }
    });
    events
}

/// Ends a collector; gives the counts of a source in its last words, in the order of the log line.
fn ended(process: &mut Process, source: &str) -> Vec<u64> {
    assert!(process.terminate().success(), "{}", process.log());
    let log = process.log();
    let line = log.lines().find(|l| l.contains(&format!("Stopped. {source}: "))).unwrap_or_else(|| panic!("{log}"));
    let counts = line.split_once("Stopped. ").unwrap().1.split_once(": ").unwrap().1;
    counts.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn two_management_centers_at_once() {
    let sites = [Site::new(), Site::new()];
    let (count, total) = (4000, "4000");
    let port = free_port();
    let mut servers = [sites[0].serve_at(port, &[]), sites[1].serve(&[])];
    let keys = [sites[0].client("127.0.0.1"), sites[1].client("127.0.0.1")];
    let collector = sites[0].collector("collector", servers[0].address, &keys[0]);
    collector.configure(several(&[(&servers[0], &keys[0], "north", None), (&servers[1], &keys[1], "south", None)]));
    let mut process = collector.start();
    let feed = |site: &Site, seed: &str| {
        let home = site.home();
        site.start(
            "sensor",
            &["sensor", "simulate", "--home", &home, "--events", total, "--rate", "2000", "--seed", seed],
        )
    };
    // The same seed: what differs is only where it comes from.
    let mut sensors = [feed(&sites[0], "1"), feed(&sites[1], "1")];
    std::thread::sleep(Duration::from_millis(700));
    process.kill();
    process = collector.start();
    std::thread::sleep(Duration::from_millis(300));
    servers[0].process.kill();
    servers[0] = sites[0].serve_at(port, &[]);
    for sensor in &mut sensors {
        assert!(sensor.wait().success(), "{}", sensor.log());
    }
    // Not before it has cut off what no checkpoint knows.
    process.lines("Connected to", 2);
    collector.wait_for_events(2 * count, &process);
    for source in ["north", "south"] {
        assert!(!process.log().contains("panicked"));
        let events: Vec<usize> = events(&collector).iter().filter(|((n, _), _)| n == source).map(|(_, c)| *c).collect();
        assert_eq!((events.len(), events.iter().max()), (count, Some(&1)), "{source}");
    }
    let counts = ended(&mut process, "south");
    assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "received = all that became of it: {counts:?}");
}

/// Copies what one archive gets to another, as a standby has the events of the active one: with archival timestamps of
/// its own.
struct Mirror {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Mirror {
    fn start(from: PathBuf, to: PathBuf) -> Mirror {
        let stop: Arc<AtomicBool> = Arc::default();
        let until = stop.clone();
        let thread = std::thread::spawn(move || mirror(&from, &to, &until));
        Mirror { stop, thread: Some(thread) }
    }

    /// Ends when all there is has been copied.
    fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn mirror(from: &Path, to: &Path, stop: &AtomicBool) {
    let mut reader = Reader::open(from, 0, Start::Genesis).unwrap();
    let (mut archive, _) = Archive::open(to, 0, Options::default()).unwrap();
    let mut items = Vec::new();
    let mut batch = Batch::new();
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        match reader.next(&mut items).unwrap() {
            Read::Batch(info) => {
                let mut rest = items.as_slice();
                while let Some(length) = rest.get(4..8) {
                    let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                    let (item, after) = rest.split_at(8 + length);
                    rest = after;
                    match info.kind {
                        Kind::Events => batch.push_event(item).unwrap(),
                        Kind::Sticky { .. } => {
                            let mut decoder = wire::decode::Decoder::new();
                            let key = decoder.decode(&item[8..]).unwrap().metadata_key().unwrap();
                            batch.push_sticky(&key, item).unwrap();
                        }
                    }
                }
                archive.commit(&mut batch).unwrap();
            }
            Read::End if stopping => return,
            Read::End => std::thread::sleep(Duration::from_millis(300)),
            Read::Lost(lost) => panic!("{lost:?}"),
        }
    }
}

#[test]
fn a_pair_of_which_one_is_killed_and_comes_back() {
    let (active, standby) = (Site::new(), Site::new());
    let (count, total) = (6000, "6000");
    let ports = [free_port(), free_port()];
    let mut servers = [active.serve_at(ports[0], &[]), standby.serve_at(ports[1], &[])];
    let keys = [active.client("127.0.0.1"), standby.client("127.0.0.1")];
    let collector = active.collector("collector", servers[0].address, &keys[0]);
    let pair = Some("pair");
    let mut config = several(&[(&servers[0], &keys[0], "one", pair), (&servers[1], &keys[1], "two", pair)]);
    config["handler"]["outputters"][0]["stream"]["options"]["maxLogs"] = 700.into();
    collector.configure(config);
    let mut process = collector.start();
    let home = active.home();
    let simulate = ["sensor", "simulate", "--home", &home, "--events", total, "--rate", "1500"];
    let mut sensor = active.start("sensor", &simulate);
    let mirror = Mirror::start(active.path("home/archive"), standby.path("home/archive"));
    let pause = || std::thread::sleep(Duration::from_millis(600));
    pause();
    // The active one goes, the standby goes on, and the collector has to start in between.
    servers[0].process.kill();
    pause();
    process.kill();
    process = collector.start();
    pause();
    servers[0] = active.serve_at(ports[0], &[]);
    pause();
    servers[1].process.kill();
    process.kill();
    process = collector.start();
    pause();
    servers[1] = standby.serve_at(ports[1], &[]);
    assert!(sensor.wait().success(), "{}", sensor.log());
    mirror.finish();
    collector.wait_for_events(count, &process);
    // What the other member sends again is known.
    process.lines("Connected to", 2);
    std::thread::sleep(Duration::from_millis(500));
    let events = events(&collector);
    assert_eq!((events.len(), events.values().max()), (count, Some(&1)));
    assert!(events.keys().all(|(name, _)| name == "pair"));
    let counts = ended(&mut process, "two");
    assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "received = all that became of it: {counts:?}");
}
