//! Sensors that are registered: what they capture, how they are held, what they report.
#![allow(clippy::unwrap_used, clippy::panic)]

mod archived;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use archived::{count, events, items};
use control::{Control, EventType, SensorState, SensorStatus};
use sensors::eve::{self, EveSensor};
use sensors::feed::{Feed, FeedError, Limits};
use sensors::simulate::{Settings, Simulation};
use sensors::{About, Registry};
use wire::event::Event;

const ABOUT: About<'static> = About { kind: "test", device: 7, name: "seven" };

static GO: AtomicBool = AtomicBool::new(false);

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn registry(&self) -> Registry {
        Registry::of_home(self.dir.path(), self.path("control.db"), None)
    }

    fn control(&self) -> Control {
        Control::open(&self.path("control.db")).unwrap()
    }

    fn archive(&self) -> PathBuf {
        self.path("archive")
    }

    fn feed(&self) -> Feed {
        self.open(b"test").unwrap()
    }

    fn open(&self, source: &[u8]) -> Result<Feed, FeedError> {
        Feed::registered(&self.archive(), 0, source, Limits::default(), Some(&self.registry()), ABOUT)
    }

    fn sensor(&self) -> SensorStatus {
        let mut sensors = self.control().sensors().unwrap();
        assert_eq!(sensors.len(), 1);
        sensors.remove(0)
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn event(record_type: u16, id: u32) -> Event {
    let mut event = Event::new(record_type).unwrap();
    if record_type != 71 {
        event.set("eventId", id).unwrap();
    }
    event
}

fn device(name: &str) -> Event {
    let mut event = Event::new(123).unwrap();
    event.set("id", 1u32).unwrap().set("name", name).unwrap();
    event
}

#[test]
fn only_checked_types_are_captured_and_the_position_goes_on() {
    let home = Home::new();
    home.control().set_captured(EventType::Packets, false).unwrap();
    let mut feed = home.feed();
    assert!(feed.event(&event(400, 1)).unwrap());
    assert!(!feed.event(&event(2, 1)).unwrap());
    feed.metadata(&device("a")).unwrap();
    feed.position(b"one").unwrap();
    feed.commit(&GO).unwrap();
    assert_eq!(count(&items(&home.archive())), [(123, 1), (400, 1)].into());
    assert_eq!((feed.counters().events(), feed.counters().discarded()), (1, 1));
    assert_eq!(feed.committed_position().unwrap().as_deref(), Some(&b"one"[..]));

    // Nothing but what is left out: it is due as events are, and the position goes on.
    assert!(!feed.event(&event(2, 2)).unwrap());
    assert!(feed.due_at().is_some());
    feed.position(b"two").unwrap();
    feed.commit(&GO).unwrap();
    assert_eq!(feed.committed_position().unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!((feed.counters().events(), feed.counters().discarded()), (1, 2));

    // At once.
    home.control().set_captured(EventType::Packets, true).unwrap();
    wait_for("packets", || feed.captures(2).then_some(()));
    assert!(feed.event(&event(2, 3)).unwrap());
    feed.commit(&GO).unwrap();
    let sensor = wait_for("a report", || Some(home.sensor()).filter(|s| s.events == 2));
    assert_eq!((sensor.discarded, sensor.kind.as_str(), sensor.device), (2, "test", 7));
    assert!(sensor.last_event.is_some() && sensor.lag.is_none());
}

#[test]
fn a_sensor_of_a_source_runs_once_and_is_the_same_after_a_restart() {
    let home = Home::new();
    let mut feed = home.feed();
    let error = home.open(b"test").unwrap_err().to_string();
    let pid = std::process::id();
    assert!(error.contains(&format!("(test, netmap 0) runs already (process {pid})")), "{error}");
    let other = home.open(b"other").unwrap();
    assert!(home.registry().runs(0, b"test") && !home.registry().runs(1, b"test"));
    drop(other);
    feed.event(&event(400, 1)).unwrap();
    feed.commit(&GO).unwrap();
    // What is counted is reported at the end at the latest.
    drop(feed);
    assert!(!home.registry().runs(0, b"test"));
    let find = || home.control().sensors().unwrap().into_iter().find(|s| s.source == "test").unwrap();
    assert_eq!((find().state, find().events), (SensorState::Stopped, 1));
    let mut feed = home.feed();
    feed.event(&event(400, 2)).unwrap();
    feed.commit(&GO).unwrap();
    wait_for("both events", || (find().events == 2 && find().state == SensorState::Running).then_some(()));
}

/// The files of an archive with their content.
fn content(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root.join("netmap_0");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn while_it_is_held_nothing_is_written_and_nothing_is_lost() {
    let home = Home::new();
    let settings = |registry| Settings {
        events: Some(3_000),
        rate: std::num::NonZeroU32::new(2_000),
        now: || Duration::from_secs(1_700_000_000),
        registry,
        ..Settings::new(3)
    };
    let mut simulation = Simulation::open(settings(Some(home.registry())), &home.archive(), 0).unwrap();
    let progress = simulation.progress().clone();
    let stop = Arc::new(AtomicBool::new(false));
    let until = stop.clone();
    let runs = thread::spawn(move || simulation.run(&until).unwrap());
    wait_for("events", || (progress.events() > 100).then_some(()));
    let control = home.control();
    for whole in [true, false] {
        match whole {
            true => drop(control.set_pause("backup").unwrap()),
            false => control.set_sensor_paused(home.sensor().id, true).unwrap(),
        }
        wait_for("the sensor to hold", || (home.sensor().state == SensorState::Paused).then_some(()));
        let (before, events) = (content(&home.archive()), progress.events());
        thread::sleep(Duration::from_millis(300));
        assert!(content(&home.archive()) == before && progress.events() == events);
        match whole {
            true => control.resume().unwrap(),
            false => control.set_sensor_paused(home.sensor().id, false).unwrap(),
        }
        wait_for("it to go on", || (progress.events() > events).then_some(()));
    }
    runs.join().unwrap();
    let got = events(&home.archive());
    let plain = Home::new();
    Simulation::open(settings(None), &plain.archive(), 0).unwrap().run(&GO).unwrap();
    assert_eq!(got.len(), 3_000);
    assert!(got == events(&plain.archive()), "the same as without a pause");

    // One that is told to stop while it is held ends.
    control.set_pause("backup").unwrap();
    let more = Settings { events: None, ..settings(Some(home.registry())) };
    let mut simulation = Simulation::open(more, &home.archive(), 0).unwrap();
    let before = content(&home.archive());
    let until = stop.clone();
    let runs = thread::spawn(move || simulation.run(&until).unwrap());
    wait_for("the sensor to hold", || (home.sensor().state == SensorState::Paused).then_some(()));
    stop.store(true, Ordering::Relaxed);
    runs.join().unwrap();
    assert!(content(&home.archive()) == before);
}

#[test]
fn a_feed_that_is_held_does_not_commit_whoever_forgets_to_wait() {
    let home = Home::new();
    home.control().set_pause("backup").unwrap();
    let mut feed = home.feed();
    assert!(feed.held() && matches!(feed.enter(), Err(FeedError::Held(why)) if why.contains("backup")));
    feed.event(&event(400, 1)).unwrap();
    let error = feed.commit(&AtomicBool::new(true)).unwrap_err();
    assert!(matches!(error, FeedError::Held(_)), "{error}");
    assert_eq!((feed.pending(), items(&home.archive())), (1, vec![]));
    home.control().resume().unwrap();
    feed.commit(&GO).unwrap();
    assert_eq!(events(&home.archive()).len(), 1);
}

#[test]
fn a_database_that_cannot_be_used_stops_no_sensor() {
    let home = Home::new();
    fs::write(home.path("control.db"), [7; 8192]).unwrap();
    let mut feed = home.feed();
    for id in 0..10 {
        assert!(feed.event(&event(2, id)).unwrap());
    }
    feed.commit(&GO).unwrap();
    assert_eq!(events(&home.archive()).len(), 10);
    drop(feed);

    // One that is locked while the sensor runs: what was not reported is told later.
    fs::remove_file(home.path("control.db")).unwrap();
    let mut feed = home.feed();
    let lock = rusqlite::Connection::open(home.path("control.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    feed.event(&event(2, 11)).unwrap();
    feed.commit(&GO).unwrap();
    thread::sleep(Duration::from_millis(1_200));
    feed.event(&event(2, 12)).unwrap();
    feed.commit(&GO).unwrap();
    assert_eq!(home.sensor().events, 0);
    lock.execute_batch("ROLLBACK").unwrap();
    wait_for("the events", || (home.sensor().events == 2).then_some(()));
}

#[test]
fn records_of_a_domain_carry_its_id_and_the_domain_is_named() {
    let home = Home::new();
    let registry = Registry { domain: Some("plant".into()), ..home.registry() };
    let root = home.archive();
    let mut feed = Feed::registered(&root, 5, b"test", Limits::default(), Some(&registry), ABOUT).unwrap();
    feed.event(&event(400, 1)).unwrap();
    let mut own = event(2, 1);
    own.set_netmap(3);
    feed.event(&own).unwrap();
    feed.metadata(&device("a")).unwrap();
    let mut named = Event::new(350).unwrap();
    named.set("id", 5u32).unwrap().set("name", "what a sensor calls it").unwrap();
    feed.metadata(&named).unwrap();
    feed.commit(&GO).unwrap();
    let mut reader = archive::Reader::open(&root, 5, archive::Start::Genesis).unwrap();
    let (mut buffer, mut all) = (Vec::new(), Vec::new());
    while let archive::Read::Batch(_) = reader.next(&mut buffer).unwrap() {
        all.extend_from_slice(&buffer);
    }
    let found: Vec<_> = wire::message::Items::new(&all)
        .map(|item| {
            let header = wire::record::RecordHeader::parse(item.unwrap().body).unwrap();
            (header.record_type, header.netmap)
        })
        .collect();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert!(all.windows(5).any(|w| w == b"plant") && !all.windows(4).any(|w| w == b"what"));
    assert_eq!(sorted, [(2, 3), (123, 5), (350, 5), (400, 5)], "one that says another domain keeps it");
}

#[test]
fn a_suricata_sensor_tells_how_far_it_is_behind() {
    let home = Home::new();
    let line = "{\"timestamp\":\"2022-11-18T00:15:50.679879+0100\",\"event_type\":\"anomaly\",\"src_ip\":\"192.0.2.1\",\
                \"src_port\":1,\"dest_ip\":\"192.0.2.2\",\"dest_port\":2,\"proto\":\"TCP\",\
                \"anomaly\":{\"type\":\"stream\",\"event\":\"stream.x\"}}\n";
    fs::write(home.path("eve.json"), line.repeat(3)).unwrap();
    let mut settings = eve::Settings::new(home.path("eve.json"), 3, "ids", 0);
    settings.registry = Some(home.registry());
    let mut sensor = EveSensor::open(&settings, &home.archive(), &home.path("sensors")).unwrap();
    sensor.read(&GO).unwrap();
    assert_eq!(sensor.counters().events(), 3);
    assert_eq!((sensor.counters().lag(), sensor.counters().last_event()), (Some(0), Some(1_668_726_950)));
    let status = wait_for("a report", || Some(home.sensor()).filter(|s| s.events == 3));
    assert_eq!((status.kind.as_str(), status.lag, status.last_event), ("eve", Some(0), Some(1_668_726_950)));

    // Held, it stops reading; its place stays.
    home.control().set_pause("backup").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let until = stop.clone();
    let runs = thread::spawn(move || {
        sensor.run(&until).unwrap();
        sensor.counters().events()
    });
    wait_for("the sensor to hold", || (home.sensor().state == SensorState::Paused).then_some(()));
    fs::write(home.path("eve.json"), line.repeat(5)).unwrap();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(events(&home.archive()).len(), 3);
    home.control().resume().unwrap();
    wait_for("the rest", || (events(&home.archive()).len() == 5).then_some(()));
    stop.store(true, Ordering::Relaxed);
    assert_eq!(runs.join().unwrap(), 5);
}
