//! Events, metadata and positions on their way into an archive.
#![allow(clippy::unwrap_used, clippy::panic)]

mod archived;

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use archived::{count, items};
use sensors::feed::{Feed, FeedError, Limits};
use wire::event::Event;

static GO: AtomicBool = AtomicBool::new(false);

fn open(root: &Path, limits: Limits) -> Feed {
    Feed::open(root, 0, b"test", limits).unwrap()
}

fn packet(id: u32, size: usize) -> Event {
    let mut event = Event::new(2).unwrap();
    event.set("eventId", id).unwrap().set("packetData", &vec![id as u8; size][..]).unwrap();
    event
}

fn device(id: u32, name: &str) -> Event {
    let mut event = Event::new(123).unwrap();
    event.set("id", id).unwrap().set("name", name).unwrap();
    event
}

#[test]
fn events_metadata_and_position_become_durable_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = open(dir.path(), Limits::default());
    assert_eq!(feed.committed_position().unwrap(), None);
    feed.event(&packet(1, 10)).unwrap();
    feed.metadata(&device(1, "a")).unwrap();
    feed.position(b"one").unwrap();
    assert_eq!(feed.committed_position().unwrap(), None);
    assert_eq!((feed.pending(), feed.counters().events(), items(dir.path())), (1, 0, vec![]));
    feed.commit(&GO).unwrap();
    assert_eq!(feed.committed_position().unwrap().as_deref(), Some(&b"one"[..]));

    feed.event(&packet(2, 10)).unwrap();
    feed.position(b"two").unwrap();
    drop(feed);
    let mut feed = open(dir.path(), Limits::default());
    assert_eq!(feed.committed_position().unwrap().as_deref(), Some(&b"one"[..]), "what was not committed is gone");
    let got = items(dir.path());
    assert_eq!(got.iter().map(|item| item.record_type).collect::<Vec<_>>(), [123, 2], "metadata comes first");
    assert_eq!((got[0].text("name"), got[1].uint("eventId")), ("a".to_owned(), 1));
}

#[test]
fn metadata_is_written_when_it_is_new_and_not_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let names = |root: &Path| -> Vec<_> { items(root).iter().map(|item| item.text("name")).collect() };
    for _ in 0..2 {
        // The second time everything is there already.
        let mut feed = open(dir.path(), Limits::default());
        for _ in 0..3 {
            feed.metadata(&device(1, "a")).unwrap();
            feed.metadata(&device(2, "b")).unwrap();
            feed.commit(&GO).unwrap();
        }
        assert_eq!(names(dir.path()), ["a", "b"]);
    }
    let mut feed = open(dir.path(), Limits::default());
    feed.metadata(&device(1, "c")).unwrap();
    feed.commit(&GO).unwrap();
    feed.metadata(&device(1, "a")).unwrap();
    feed.commit(&GO).unwrap();
    assert_eq!(names(dir.path()), ["a", "b", "c", "a"]);
}

#[test]
fn a_group_is_due_by_size_number_or_age() {
    let dir = tempfile::tempdir().unwrap();
    let long = Duration::from_secs(1000);
    let mut feed = open(dir.path(), Limits { bytes: 100_000, events: 5, age: long });
    assert!(!feed.due() && feed.due_at().is_none());
    for id in 0..5 {
        assert!(!feed.due());
        feed.event(&packet(id, 1)).unwrap();
    }
    assert!(feed.due());
    feed.commit(&GO).unwrap();
    assert!(!feed.due() && feed.due_at().is_none());
    feed.event(&packet(9, 99_999)).unwrap();
    assert!(feed.due());

    let mut feed = open(dir.path(), Limits { age: Duration::from_millis(5), ..Limits::default() });
    feed.position(b"p").unwrap();
    assert!(feed.due_at().unwrap() <= Instant::now() + Duration::from_millis(5));
    thread::sleep(Duration::from_millis(6));
    assert!(feed.due());
}

#[test]
fn counters_tell_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = open(dir.path(), Limits::default());
    let counters = feed.counters().clone();
    feed.commit(&GO).unwrap();
    assert_eq!((counters.commits(), counters.bytes()), (0, 0));
    for id in 0..7 {
        feed.event(&packet(id, 1)).unwrap();
    }
    feed.event(&Event::new(400).unwrap()).unwrap();
    assert_eq!(counters.by_type(), []);
    feed.commit(&GO).unwrap();
    assert_eq!(counters.by_type(), [(2, 7), (400, 1)]);
    assert_eq!((counters.events(), counters.events_of(2), counters.events_of(3)), (8, 7, 0));
    assert_eq!((counters.commits(), counters.skipped(), counters.storage_full()), (1, 0, false));
    let files = std::fs::read_dir(dir.path().join("netmap_0")).unwrap().map(|entry| entry.unwrap());
    let segment = files.into_iter().find(|entry| entry.file_name().to_string_lossy().starts_with("unified2.")).unwrap();
    assert_eq!(counters.bytes(), segment.metadata().unwrap().len());
}

#[test]
fn events_and_metadata_are_not_mixed_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = open(dir.path(), Limits::default());
    assert!(matches!(feed.event(&device(1, "a")), Err(FeedError::NotEvent(123))));
    let error = feed.metadata(&packet(1, 1)).unwrap_err();
    assert_eq!(error.to_string(), "record 2 is an event, not metadata: give it to Feed::event");
    assert!(feed.event_item(b"no item").is_err());
    assert!(feed.position(&vec![0; archive::MAX_FIELD + 1]).is_err());
    assert!(feed.due_at().is_none());
}

const ROOT: &str = "SENSORS_TEST_ROOT";

/// The child of `a_full_disk_is_waited_out`: files cannot grow beyond a limit until another thread lifts it.
#[test]
fn child_on_a_full_disk() {
    let Ok(root) = env::var(ROOT) else { return };
    let root = Path::new(&root);
    let mut feed = open(root, Limits::default());
    let counters = feed.counters().clone();
    let mut id = 0;
    let stop = AtomicBool::new(true);
    let refused = loop {
        feed.event(&packet(id, 20_000)).unwrap();
        feed.position(&id.to_be_bytes()).unwrap();
        id += 1;
        if let Err(error) = feed.commit(&stop) {
            break error;
        }
    };
    // Told to stop, it does not wait, and says what is not in the archive.
    assert!(matches!(refused, FeedError::Stopped { events: 1, .. }), "{refused}");
    assert!(counters.storage_full() && id > 1);
    assert_eq!(feed.pending(), 1);
    assert_eq!(feed.committed_position().unwrap(), Some((id - 2).to_be_bytes().to_vec()));

    feed.event(&packet(id, 20_000)).unwrap();
    feed.position(&id.to_be_bytes()).unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            assert!(counters.storage_full(), "it waits");
            let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
            let room = rustix::process::Rlimit { current: limit.maximum, ..limit };
            rustix::process::setrlimit(rustix::process::Resource::Fsize, room).unwrap();
        });
        feed.commit(&AtomicBool::new(false)).unwrap();
    });
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(!counters.storage_full());
    let ids: Vec<u64> = items(root).iter().map(|item| item.uint("eventId")).collect();
    assert_eq!(ids, (0..=u64::from(id)).collect::<Vec<_>>());
    assert_eq!(feed.committed_position().unwrap(), Some(id.to_be_bytes().to_vec()));
    assert_eq!(counters.events(), u64::from(id) + 1);
    std::fs::write(root.join("passed"), "").unwrap();
}

#[test]
fn a_full_disk_is_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    // The signal is ignored so that writing fails with an error. 400 blocks are 200 or 400 KiB, as the shell counts.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 400; exec \"$0\" --exact child_on_a_full_disk"])
        .arg(env::current_exe().unwrap())
        .env(ROOT, dir.path())
        .status()
        .unwrap();
    assert!(status.success() && dir.path().join("passed").exists());
    assert!(count(&items(dir.path()))[&2] > 5);
}

#[test]
fn a_stop_does_not_keep_what_there_is_from_being_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = open(dir.path(), Limits::default());
    feed.event(&packet(1, 1)).unwrap();
    feed.commit(&AtomicBool::new(true)).unwrap();
    assert_eq!(items(dir.path()).len(), 1);
}
