//! A receiver that is away for a while: afterwards it has everything, in order; the collector keeps no more in memory
//! meanwhile, and a file beside it does not wait.
//!
//! `ESTREAMER_TEST_OUTAGE` sets the seconds, `ESTREAMER_TEST_RATE` the events a second, `ESTREAMER_TEST_PROGRAM` the
//! command to test, as a release build.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use archive::{Kind, Read, Reader, Start};
use serde_json::json;
use support::receivers::{LineReceiver, Shared, locked, uid};
use support::{Process, SOON, Site, configuration, free_port, number};

/// How much more memory than before the collector may have, in MiB.
const MORE: u64 = 48;

/// Seconds before the outage.
const BEFORE: u64 = 3;

/// Counts the events of an archive that grows.
struct Archived {
    reader: Reader,
    items: Vec<u8>,
    count: usize,
}

impl Archived {
    fn open(home: &str) -> Archived {
        let reader = Reader::open(&Path::new(home).join("archive"), 0, Start::Genesis).unwrap();
        Archived { reader, items: Vec::new(), count: 0 }
    }

    /// The events there are now.
    fn count(&mut self) -> usize {
        loop {
            match self.reader.next(&mut self.items).unwrap() {
                Read::Batch(info) if info.kind == Kind::Events => self.count += info.items as usize,
                Read::Batch(_) => {}
                Read::End => return self.count,
                Read::Lost(lost) => panic!("{lost:?}"),
            }
        }
    }
}

/// The memory of a process while something happens.
struct Memory<'a> {
    process: &'a Process,
    most: u64,
}

impl Memory<'_> {
    fn look(&mut self) -> u64 {
        let now = self.process.memory();
        self.most = self.most.max(now);
        now
    }

    /// Looks until it is so; it must come nearer all the time.
    fn until(&mut self, what: &str, goal: usize, mut count: impl FnMut() -> usize) {
        let (mut seen, mut grown) = (0, Instant::now());
        loop {
            self.process.alive();
            let now = count();
            if now >= goal {
                return;
            }
            if now != seen {
                (seen, grown) = (now, Instant::now());
            }
            assert!(grown.elapsed() < SOON, "{what}: {seen} of {goal}\n{}", self.process.log());
            self.look();
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_receiver_that_is_away_costs_no_memory_and_holds_up_nobody() {
    let outage = number("ESTREAMER_TEST_OUTAGE").unwrap_or(5);
    let rate = number("ESTREAMER_TEST_RATE").unwrap_or(1000);
    let events = usize::try_from((BEFORE + outage + 2) * rate).unwrap();
    let site = Site::new();
    let pkcs12 = site.client("127.0.0.1");
    let server = site.serve(&[]);
    let collector = site.collector("collector", server.address, &pkcs12);
    let (port, arrivals) = (free_port(), Shared::default());
    let mut receiver = LineReceiver::start(port, &arrivals);
    let mut config = configuration(server.address, &pkcs12);
    config["dialect"] = "standard".into();
    config["handler"]["eventUids"] = true.into();
    config["handler"]["filter"] = "class != metadata".into();
    config["handler"]["outputters"].as_array_mut().unwrap().push(json!({
        "adapter": "json",
        "stream": {"uri": format!("tcp://127.0.0.1:{port}"),
                   "options": {"spoolBytes": 64_u64 << 30, "retryMaxMilliseconds": 5000}},
    }));
    collector.configure(config);
    let process = collector.start();
    process.line("Connected to");
    let (home, total, speed) = (site.home(), events.to_string(), rate.to_string());
    let simulate = ["sensor", "simulate", "--home", &home, "--events", &total, "--rate", &speed];
    let mut sensor = site.start("sensor", &simulate);
    let received = || locked(&arrivals).events.len();
    let mut file = Lines::default();

    let mut memory = Memory { process: &process, most: 0 };
    memory.until("before", usize::try_from(BEFORE * rate).unwrap(), received);
    let (before, most_before) = (memory.look(), memory.most);

    receiver.stop();
    let (had, away) = (received(), Instant::now());
    let mut archived = Archived::open(&home);
    let mut behind = 0;
    memory.most = 0;
    while away.elapsed() < Duration::from_secs(outage) {
        process.alive();
        memory.look();
        let there = archived.count();
        behind = behind.max(there.saturating_sub(file.count(&collector)));
        std::thread::sleep(Duration::from_millis(100));
    }
    // The file goes on meanwhile: it has what was in the archive when the receiver is still away.
    let there = archived.count();
    memory.until("the file beside it", there, || file.count(&collector));
    assert_eq!(received(), had, "nobody is there to receive");
    let (during, most_during) = (memory.look(), memory.most);

    memory.most = 0;
    receiver = LineReceiver::start(port, &arrivals);
    let back = Instant::now();
    memory.until("after", events, received);
    let caught_up = back.elapsed();
    let (after, most_after) = (memory.look(), memory.most.max(process.memory()));
    assert!(sensor.wait().success(), "{}", sensor.log());
    collector.wait_for_events(events, &process);
    receiver.stop();

    let mut order = Vec::with_capacity(events);
    collector.each_line(|line| order.push(uid(line)));
    let arrivals = locked(&arrivals);
    println!(
        "away for {outage} s at {rate} events/s: {events} events in the file, {} at the receiver, {} repeats, all there \
         {:.1} s after it was back; the file was at most {behind} events behind the archive",
        arrivals.events.len(),
        arrivals.repeats,
        caught_up.as_secs_f64(),
    );
    println!(
        "memory of the collector in MiB, at the end and at most: before {before} {most_before}, during {during} \
         {most_during}, after {after} {most_after}"
    );
    assert_eq!(order.len(), events, "the file has each once");
    assert!(order == arrivals.order, "the receiver has other events than the file, or in another order");
    assert_eq!(arrivals.changed, 0);
    let limit = most_before + MORE;
    assert!(most_during <= limit && most_after <= limit, "more than {limit} MiB");
}

/// Counts the lines of a file that grows, reading each once.
#[derive(Default)]
struct Lines {
    bytes: u64,
    count: usize,
}

impl Lines {
    fn count(&mut self, collector: &support::Collector) -> usize {
        use std::io::{Read, Seek, SeekFrom};
        if let Some(path) = collector.files().first() {
            let mut file = std::fs::File::open(path).unwrap();
            file.seek(SeekFrom::Start(self.bytes)).unwrap();
            let mut buffer = vec![0; 1 << 20];
            loop {
                match file.read(&mut buffer).unwrap() {
                    0 => break,
                    n => {
                        self.bytes += n as u64;
                        self.count += buffer[..n].iter().filter(|b| **b == b'\n').count();
                    }
                }
            }
        }
        self.count
    }
}
