//! `kill -9` of server, sensor and collector, again and again, while events flow: each is in the files exactly once.
//!
//! `ESTREAMER_TEST_EVENTS` sets the number of events, which then come as fast as they can; `ESTREAMER_TEST_SEED` repeats
//! the moments of an earlier run.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::{Digest, Process, Site, configuration, free_port};

/// How long the events flow, in seconds, unless their number is given.
const SECONDS: usize = 7;

/// How often each process is killed at least.
const ROUNDS: usize = 3;

#[test]
fn one_file() {
    exactly_once("one file", 30_000, 1_000_000_000);
}

#[test]
fn files_of_500_lines() {
    exactly_once("files of 500 lines", 15_000, 500);
}

fn exactly_once(name: &str, events: usize, lines_per_file: usize) {
    let number = |key: &str| env::var(key).ok().map(|text| text.parse::<u64>().unwrap());
    let asked = number("ESTREAMER_TEST_EVENTS").map(|n| usize::try_from(n).unwrap());
    let events = asked.unwrap_or(events);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("ESTREAMER_TEST_SEED").unwrap_or(u64::from(clock.subsec_nanos()) | 1);
    println!("{name}: ESTREAMER_TEST_SEED={seed}");
    let mut dice = Dice(seed);

    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let port = free_port();
    let (home, total, rate) = (site.home(), events.to_string(), (events / SECONDS).to_string());
    let mut simulate = vec!["sensor", "simulate", "--home", &home, "--events", &total];
    if asked.is_none() {
        simulate.extend(["--rate", &rate]);
    }
    let mut server = site.serve_at(port, &[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let mut settings = configuration(server.address, &pkcs12);
    settings["handler"]["outputters"][0]["stream"]["options"]["maxLogs"] = lines_per_file.into();
    collector.configure(settings);
    let mut collecting = collector.start();
    let mut sensor = site.start("sensor", &simulate);

    let mut sensor_kills = 0;
    let mut rounds = 0;
    while rounds < ROUNDS || sensor.running() {
        for victim in dice.order() {
            std::thread::sleep(Duration::from_millis(100 + dice.below(500)));
            match victim {
                0 => {
                    server.process.kill();
                    server = site.serve_at(port, &[]);
                }
                1 if sensor.running() => {
                    sensor.kill();
                    sensor = site.start("sensor", &simulate);
                    sensor_kills += 1;
                }
                1 => {}
                _ => {
                    collecting.kill();
                    println!("{name}: {:?} events and metadata when the collector was killed", collector.counts());
                    collecting = collector.start();
                }
            }
        }
        rounds += 1;
    }
    println!("{name}: {rounds} rounds, {sensor_kills} of them with a sensor at work");
    assert!(sensor_kills >= ROUNDS, "the events came too fast: set ESTREAMER_TEST_EVENTS higher");
    assert!(sensor.wait().success(), "{}", sensor.log());
    assert!(sensor.log().contains(&format!("the archive has {events} of seed 1")), "{}", sensor.log());

    finish(&collector, events, &mut collecting);
    let undisturbed = site.collector("undisturbed", server.address, &pkcs12);
    let mut collecting = undisturbed.start();
    finish(&undisturbed, events, &mut collecting);

    let (got, wanted) = (Digest::of(&collector), Digest::of(&undisturbed));
    assert_eq!((got.events.len(), wanted.events.len()), (events, events));
    assert!(got.events == wanted.events, "{name}: the events of both collectors differ; seed {seed}");
    assert!(got.metadata == wanted.metadata, "{name}: the metadata of both collectors differ; seed {seed}");
    if lines_per_file < events {
        let files = collector.files();
        let (events, metadata) = collector.counts();
        assert_eq!(files.len(), (events + metadata).div_ceil(lines_per_file), "every file but the last is full");
    }
}

/// Waits until all events are there, then ends the collector, which delivers what it still has.
fn finish(collector: &support::Collector, events: usize, collecting: &mut Process) {
    // A collector that was killed first cuts off what no checkpoint knows; what is there before that does not count.
    collecting.line("Connected to");
    collector.wait_for_events(events, collecting);
    assert!(collecting.terminate().success());
    let log = collecting.log();
    for word in ["panicked", "ERROR    a record", "not understood and is lost"] {
        assert!(!log.contains(word), "{log}");
    }
    assert!(log.contains("+ 0 not understood"), "{log}");
}

/// A small generator of random numbers.
struct Dice(u64);

impl Dice {
    /// A number from 0 to `limit` - 1.
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// 0, 1 and 2 in random order.
    fn order(&mut self) -> [u8; 3] {
        let mut order = [0, 1, 2];
        for i in [2, 1] {
            let j = usize::try_from(self.below(i as u64 + 1)).unwrap();
            order.swap(i, j);
        }
        order
    }
}
