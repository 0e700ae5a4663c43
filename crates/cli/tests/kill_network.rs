//! `kill -9` of the collector, again and again at random moments, with an output to the network: no event is lost, what
//! comes twice was under way at a kill, and it comes with the same id and the same bytes.
//!
//! `ESTREAMER_TEST_EVENTS` and `ESTREAMER_TEST_KILLS` make it larger, `ESTREAMER_TEST_SEED` repeats the moments of an
//! earlier run, `ESTREAMER_TEST_PROGRAM` is the command to test, as a release build.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::receivers::{LineReceiver, Shared, bulk, hash, locked, uid, wait_for_arrivals};
use support::{Dice, Site, configuration, free_port, number};

/// Lines of a batch.
const BATCH: usize = 200;

/// For how long a batch on a connection without answers is taken to be under way.
const DOUBT: Duration = Duration::from_secs(2);

/// What may pass beside that until a line comes again: a batch waits, a collector starts and connects, on a machine that
/// has other things to do.
const START: Duration = Duration::from_secs(15);

#[test]
fn lines_over_tcp() {
    let (port, arrivals) = (free_port(), Shared::default());
    let receiver = LineReceiver::start(port, &arrivals);
    let stream =
        json!({"uri": format!("tcp://127.0.0.1:{port}"), "options": {"batchLines": BATCH, "batchMilliseconds": 20}});
    // Longer than the doubt now and then, and shorter.
    let kills = killed("tcp", 3, 5000, &stream, &arrivals);
    receiver.stop();
    let longest = locked(&arrivals).longest;
    println!("tcp: a line came again after {longest:.1?} at most, of {kills} kills");
    assert!(longest < DOUBT + START, "{longest:?}");
}

#[test]
fn bulk_requests() {
    let arrivals = Shared::default();
    let documents = arrivals.clone();
    // As with an id for each document: what is there already is told so.
    let port = bulk(move |_, document| if locked(&documents).take(document) { 201 } else { 409 });
    let options = json!({"type": "elasticsearch", "idField": "/@computed/eventUid", "batchLines": BATCH, "batchMilliseconds": 20});
    let stream = json!({"uri": format!("http://127.0.0.1:{port}"), "options": options});
    let kills = killed("bulk", 5, 1500, &stream, &arrivals);
    let repeats = locked(&arrivals).repeats;
    assert!(repeats <= kills * BATCH, "{repeats} repeats at {kills} kills: more than a batch of {BATCH} each time");
}

/// Kills the collector some times, at most so many milliseconds after its start, while events come, until all are where
/// they belong. Gives the number of kills.
fn killed(name: &str, kills: usize, longest: u64, stream: &Value, arrivals: &Shared) -> usize {
    let kills = number("ESTREAMER_TEST_KILLS").map_or(kills, |n| usize::try_from(n).unwrap());
    let seconds = (kills * usize::try_from(longest).unwrap()).div_ceil(1600);
    let events = number("ESTREAMER_TEST_EVENTS").map_or(2500 * seconds, |n| usize::try_from(n).unwrap());
    let mut dice = Dice::new(name);
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let mut config = configuration(server.address, &pkcs12);
    config["dialect"] = "standard".into();
    config["handler"]["eventUids"] = true.into();
    config["handler"]["filter"] = "class != metadata".into();
    config["handler"]["outputters"].as_array_mut().unwrap().push(json!({"adapter": "json", "stream": stream}));
    collector.configure(config);
    let begun = Instant::now();
    let mut collecting = collector.start();
    let (home, total, rate) = (site.home(), events.to_string(), (events / seconds).max(1).to_string());
    let simulate = ["sensor", "simulate", "--home", &home, "--events", &total, "--rate", &rate];
    let mut sensor = site.start("sensor", &simulate);
    let mut flowing = 0;
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(50 + dice.below(longest)));
        flowing += usize::from(sensor.running());
        collecting.kill();
        collecting = collector.start();
    }
    assert!(sensor.wait().success(), "{}", sensor.log());
    collecting.line("Connected to");
    collector.wait_for_events(events, &collecting);
    wait_for_arrivals(arrivals, events, &collecting);
    assert!(collecting.terminate().success(), "{}", collecting.log());
    assert!(!collecting.log().contains("panicked"), "{}", collecting.log());

    let mut lines = HashMap::new();
    let mut count = 0;
    collector.each_line(|line| {
        lines.insert(uid(line), hash(line));
        count += 1;
    });
    assert_eq!((count, lines.len()), (events, events), "{name}: the file has each event once, with an id of its own");
    let arrivals = locked(arrivals);
    println!(
        "{name}: killed {kills} times, {flowing} of them while events came; {events} events in {} s; file {count} lines, \
         receiver {} different events, {} repeats",
        begun.elapsed().as_secs(),
        arrivals.events.len(),
        arrivals.repeats
    );
    arrivals.assert_same(name, &lines);
    kills
}
