//! `kill -9` of server, sensor and collector, again and again, while events flow: each is in the files exactly once.
//!
//! `ESTREAMER_TEST_EVENTS` sets the number of events, which then come as fast as they can; `ESTREAMER_TEST_KILLS` how
//! often the collector is killed in the test where it alone is; `ESTREAMER_TEST_SEED` repeats the moments of an earlier
//! run; `ESTREAMER_TEST_PROGRAM` is the command to test, as a release build:
//!
//! ```text
//! ESTREAMER_TEST_EVENTS=1000000 ESTREAMER_TEST_KILLS=50 ESTREAMER_TEST_PROGRAM=$PWD/target/release/estreamer \
//!     cargo test -p estreamer --test kill the_collector_alone -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use support::{Collector, Dice, Digest, Process, Server, Site, configuration, free_port, number};

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
    let asked = number("ESTREAMER_TEST_EVENTS").map(|n| usize::try_from(n).unwrap());
    let events = asked.unwrap_or(events);
    let mut dice = Dice::new(name);

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
    same_as_undisturbed(name, &site, &server, &collector, events);
    if lines_per_file < events {
        let files = collector.files();
        let (events, metadata) = collector.counts();
        assert_eq!(files.len(), (events + metadata).div_ceil(lines_per_file), "every file but the last is full");
    }
}

#[test]
fn the_collector_alone() {
    let name = "collector";
    let events = usize::try_from(number("ESTREAMER_TEST_EVENTS").unwrap_or(20_000)).unwrap();
    let kills = usize::try_from(number("ESTREAMER_TEST_KILLS").unwrap_or(5)).unwrap();
    let mut dice = Dice::new(name);
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    // Events flow as long as it is killed, on a machine that has time for it.
    let (home, total, rate) = (site.home(), events.to_string(), (events / kills).max(1).to_string());
    let begun = Instant::now();
    let mut collecting = collector.start();
    let simulate = ["sensor", "simulate", "--home", &home, "--events", &total, "--rate", &rate];
    let mut sensor = site.start("sensor", &simulate);
    let mut flowing = 0;
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(50 + dice.below(1500)));
        flowing += usize::from(sensor.running());
        collecting.kill();
        collecting = collector.start();
    }
    assert!(sensor.wait().success(), "{}", sensor.log());
    finish(&collector, events, &mut collecting);
    let seconds = begun.elapsed().as_secs();
    let (bytes, lines) = same_as_undisturbed(name, &site, &server, &collector, events);
    println!(
        "{name}: killed {kills} times, {flowing} of them while events came; {events} events in {seconds} s, each exactly \
         once in {lines} lines with metadata, {bytes} bytes"
    );
    assert!(flowing * 2 > kills, "the events came too fast: set ESTREAMER_TEST_EVENTS higher");
}

/// What a collector has written is what one writes that nobody disturbs. Gives its bytes and lines.
fn same_as_undisturbed(name: &str, site: &Site, server: &Server, collector: &Collector, events: usize) -> (u64, usize) {
    let undisturbed = site.collector("undisturbed", server.address, &site.path("127.0.0.1.pkcs12"));
    let mut collecting = undisturbed.start();
    finish(&undisturbed, events, &mut collecting);
    let (got, wanted) = (Digest::of(collector), Digest::of(&undisturbed));
    assert_eq!((got.events.len(), wanted.events.len()), (events, events));
    assert!(got.events == wanted.events, "{name}: the events of both collectors differ");
    assert!(got.metadata == wanted.metadata, "{name}: the metadata of both collectors differ");
    let bytes = collector.files().iter().map(|path| path.metadata().unwrap().len()).sum();
    let (events, metadata) = collector.counts();
    (bytes, events + metadata)
}

/// Waits until all events are there, then ends the collector, which delivers what it still has.
fn finish(collector: &Collector, events: usize, collecting: &mut Process) {
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
