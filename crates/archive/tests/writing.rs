//! What a commit writes, when segments begin, and several writers at once. D and C are the rules of the crate's
//! documentation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use archive::{Archive, Batch, Start};
use common::{NETMAP, SEGMENT_HEADER, Site, batches, event, note, position, put, put_at, put_note, u32_at};

/// D1 to D8: the files of one commit, byte for byte.
#[test]
fn files_of_one_commit() {
    let site = Site::new();
    let mut batch = Batch::new();
    batch.push_sticky(b"key", &note("text")).unwrap();
    batch.push_event(&event(0x0102_0304, 4)).unwrap();
    batch.push_event(&event(5, 4)).unwrap();
    batch.set_position(b"src", b"pos").unwrap();
    site.open().commit(&mut batch).unwrap();

    let mut names: Vec<_> = fs::read_dir(site.dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["head", "lock", "unified2.1000"]);

    let bytes = fs::read(site.segment(1000)).unwrap();
    let mut want = Vec::new();
    want.extend_from_slice(b"eSsg\0\0\0\x01\0\0\0\x07\0\0\x03\xe8\0\0\0\0");
    want.extend_from_slice(&crc32c::crc32c(&want).to_be_bytes());
    let mut batch = |items: u32, flags: u32, sequence: u8, keys: u32, body: &[u8]| {
        let mut header = b"eSbt".to_vec();
        for word in [body.len() as u32, crc32c::crc32c(body), 1000, items, flags] {
            header.extend_from_slice(&word.to_be_bytes());
        }
        header.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, sequence]);
        header.extend_from_slice(&keys.to_be_bytes());
        let mut bound = vec![0, 0, 0, 7, 0, 0, 3, 0xe8];
        bound.extend_from_slice(&(want.len() as u64).to_be_bytes());
        bound.extend_from_slice(&header);
        want.extend_from_slice(&header);
        want.extend_from_slice(&crc32c::crc32c(&bound).to_be_bytes());
        want.extend_from_slice(body);
    };
    let stamped = |id| {
        let mut item = event(id, 4);
        item[16..20].copy_from_slice(&1000u32.to_be_bytes());
        item
    };
    batch(1, 1 | 16, 0, 7, &[&note("text")[..], b"\0\0\0\x03key"].concat());
    batch(2, 0, 0, 0, &[stamped(0x0102_0304), stamped(5)].concat());
    batch(1, 4 | 8, 2, 0, b"\0\0\0\x03src\0\0\0\x03pos");
    assert_eq!(bytes, want);

    let mut head = b"eShd\0\0\0\x07\0\0\x03\xe8\0\0\x03\xe8".to_vec();
    head.extend_from_slice(&(want.len() as u64).to_be_bytes());
    head.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    head.extend_from_slice(&crc32c::crc32c(&head).to_be_bytes());
    assert_eq!(site.head_bytes(), head);
}

/// C4
#[test]
fn clock_going_backwards() {
    let site = Site::new();
    let mut archive = site.open();
    let mut seconds = Vec::new();
    for (id, now) in [(1, 1000), (2, 1005), (3, 900), (4, 1004), (5, 1006)] {
        site.at(now);
        seconds.push(put(&mut archive, [id]).second);
    }
    assert_eq!(seconds, [1000, 1005, 1005, 1005, 1006]);
    site.at(10);
    assert_eq!(put(&mut site.open(), [6]).second, 1006, "a writer that starts knows the last second");
    assert_eq!(site.events(), [1, 2, 3, 4, 5, 6]);
}

/// C5
#[test]
fn segments_begin_by_age() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    for (id, now) in [(1, 1000), (2, 1009), (3, 1010), (4, 1011), (5, 1500)] {
        site.at(now);
        put(&mut archive, [id]);
    }
    for (second, ids) in [(1000, 1..=5), (1010, 3..=5), (1500, 5..=5)] {
        assert!(site.segment(second).exists());
        assert_eq!(site.read(Start::Second(second)).ids(), ids.collect::<Vec<_>>());
    }
    assert_eq!(archive::size(site.root(), NETMAP).unwrap().segments, 3);
    assert_eq!(archive::span(site.root(), NETMAP).unwrap(), Some((1000, 1500)));
}

/// C5: a segment that is too large goes on until the second is over.
#[test]
fn segments_begin_by_size_but_never_within_a_second() {
    let mut site = Site::new();
    site.segment_bytes = 100;
    let mut archive = site.open();
    for id in 1..=4 {
        put(&mut archive, [id]);
    }
    site.at(999);
    put(&mut archive, [5]);
    assert_eq!(archive::size(site.root(), NETMAP).unwrap().segments, 1);
    site.at(1001);
    put(&mut archive, [6]);
    assert_eq!(archive::size(site.root(), NETMAP).unwrap().segments, 2);
    assert_eq!(site.read(Start::Second(1001)).ids(), [6]);
}

/// C6: without the old segments, the new one has everything.
#[test]
fn each_segment_stands_alone() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    put_note(&mut archive, "a", "a1");
    put_note(&mut archive, "b", "b1");
    put_note(&mut archive, "a", "a2");
    put_at(&mut archive, 1, "s", "one");
    site.at(1010);
    put(&mut archive, [2]);
    drop(archive);
    fs::remove_file(site.segment(1000)).unwrap();
    fs::remove_file(site.dir().join("head")).unwrap();
    let mut archive = site.open();
    assert_eq!(position(&mut archive, "s").as_deref(), Some("one"));
    let seen = site.read(Start::Genesis);
    assert_eq!(seen.sticky(), [("a2", true), ("b1", true)]);
    assert_eq!(put_note(&mut archive, "b", "b1").bytes, 0);
    assert_eq!(put(&mut archive, [3]).first_sequence, 2);
}

/// C7
#[test]
fn what_is_known_is_not_written_again() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    let mut batch = Batch::new();
    batch.push_sticky(b"k", &note("v")).unwrap();
    batch.set_position(b"s", b"p").unwrap();
    let first = archive.commit(&mut batch.clone()).unwrap();
    assert_eq!((first.sticky, first.events), (1, 0));
    let end = site.head().unwrap();
    site.at(1020);
    let again = archive.commit(&mut batch).unwrap();
    assert_eq!((again.sticky, again.bytes, again.second), (0, 0, 1020));
    assert!(batch.is_empty());
    assert_eq!(archive.commit(&mut batch).unwrap().bytes, 0, "an empty batch");
    assert_eq!(site.head().unwrap(), end, "nothing was written, no segment begun");
    assert_eq!(put_note(&mut archive, "k", "w").sticky, 1);
    assert_eq!(put_note(&mut archive, "k", "v").sticky, 1, "the old value is a change again");
}

/// D7: a commit larger than a batch, and one item larger than a batch.
#[test]
fn large_commits_and_items() {
    let site = Site::new();
    let mut batch = Batch::new();
    for id in 0..50 {
        batch.push_event(&event(id, 50_000)).unwrap();
    }
    batch.push_event(&event(50, 3 * archive::MAX_BATCH)).unwrap();
    batch.push_event(&event(51, 4)).unwrap();
    let commit = site.open().commit(&mut batch).unwrap();
    assert_eq!(commit.events, 52);
    let path = site.segment(1000);
    let bytes = fs::read(&path).unwrap();
    let at = batches(&path);
    let bodies: Vec<u32> = at[..at.len() - 1].iter().map(|at| u32_at(&bytes, *at as usize + 4)).collect();
    // 250,000 bytes of events are five to a body; then the large one, and what follows it.
    assert_eq!(bodies.len(), 12);
    assert_eq!(bodies.iter().filter(|body| **body as usize > archive::MAX_BATCH).count(), 1);
    assert_eq!(at[0], SEGMENT_HEADER);
    assert_eq!(commit.bytes, bytes.len() as u64);
    assert_eq!(site.events(), (0..52).collect::<Vec<_>>());
}

/// C3: each writer sees what the others did: events, sticky items, positions, seconds, segments.
#[test]
fn writers_catch_up_with_each_other() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let (mut a, mut b) = (site.open(), site.open());
    put_note(&mut a, "k", "v");
    assert_eq!(put_note(&mut b, "k", "v").bytes, 0, "b knows what a wrote");
    put_at(&mut b, 1, "s", "one");
    assert_eq!(position(&mut a, "s").as_deref(), Some("one"));
    site.at(1010);
    put_at(&mut b, 2, "s", "two");
    site.at(1000);
    let commit = put_at(&mut a, 3, "t", "three");
    assert_eq!((commit.second, commit.first_sequence), (1010, 2), "a goes on in b's segment, in b's second");
    site.at(1020);
    put(&mut a, [4]);
    assert_eq!(position(&mut b, "t").as_deref(), Some("three"));
    assert_eq!(put(&mut b, [5]).first_sequence, 4);
    assert_eq!(site.events(), [1, 2, 3, 4, 5]);
    assert_eq!(site.recover().1.repairs, []);
}

/// C3: a writer that is alone reads the head and nothing else, however much there is.
#[test]
fn catching_up_with_nobody_is_cheap() {
    let read = || {
        let io = fs::read_to_string("/proc/thread-self/io").unwrap_or_default();
        io.lines().find_map(|line| line.strip_prefix("rchar: ")).map_or(0, |bytes| bytes.parse::<u64>().unwrap())
    };
    let site = Site::new();
    let mut archive = site.open();
    for id in 0..200 {
        let mut batch = Batch::new();
        batch.push_event(&event(id, 10_000)).unwrap();
        archive.commit(&mut batch).unwrap();
    }
    let measure = {
        let before = read();
        read() - before
    };
    let before = read();
    put(&mut archive, [200]);
    let own = read() - before - measure;
    assert!(own < 1000, "{own} bytes read");
    let before = read();
    put(&mut site.open(), [201]);
    let fresh = read() - before - measure;
    assert!(measure == 0 || fresh > 10_000, "a writer that starts reads the headers: {fresh} bytes");
    let before = read();
    put(&mut archive, [202]);
    let other = read() - before - measure;
    assert!(other < 1000, "{other} bytes read to catch up with one commit");
}

/// C3: several writers at the same time, and a reader that follows.
#[test]
fn writers_in_threads() {
    const WRITERS: u32 = 3;
    const COMMITS: u32 = 60;
    let mut site = Site::new();
    site.segment_seconds = 2;
    site.segment_bytes = 20_000;
    let seen = thread::scope(|scope| {
        let site = &site;
        let write = |w: u32| {
            scope.spawn(move || {
                let mut archive = site.open();
                for n in 0..COMMITS {
                    let id = w * 1000 + n;
                    let mut batch = Batch::new();
                    batch.push_event(&event(id, 100)).unwrap();
                    batch.push_event(&event(id + 500, 100)).unwrap();
                    batch.push_sticky(format!("{w}").as_bytes(), &note(&format!("{w}={n}"))).unwrap();
                    batch.set_position(format!("{w}").as_bytes(), &n.to_be_bytes()).unwrap();
                    archive.commit(&mut batch).unwrap();
                    if n % 10 == w {
                        site.at(1000 + n / 5);
                    }
                }
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        let mut reader = site.reader(Start::Genesis);
        let mut seen = common::Seen::default();
        loop {
            let last = writers.iter().all(|writer| writer.is_finished());
            let more = common::drain(&mut reader);
            seen.events.extend(more.events);
            seen.sticky.extend(more.sticky);
            seen.lost.extend(more.lost);
            if last {
                break seen;
            }
        }
    });
    assert_eq!(seen.lost, []);
    assert_eq!(
        seen.events.iter().map(|e| e.sequence).collect::<Vec<_>>(),
        (0..seen.events.len() as u64).collect::<Vec<_>>()
    );
    assert!(seen.events.is_sorted_by_key(|event| event.second));
    assert_eq!(seen.events, site.read(Start::Genesis).events, "following gives what reading afterwards gives");
    for w in 0..WRITERS {
        let mine: Vec<_> = seen.ids().into_iter().filter(|id| id / 1000 == w).collect();
        let want: Vec<_> = (0..COMMITS).flat_map(|n| [w * 1000 + n, w * 1000 + n + 500]).collect();
        assert_eq!(mine, want, "writer {w}: each event once, in order");
    }
    let last: BTreeMap<_, _> = seen.sticky.iter().map(|sticky| (&sticky.text[..1], &sticky.text[..])).collect();
    assert_eq!(last.into_values().collect::<Vec<_>>(), ["0=59", "1=59", "2=59"]);
}

/// Network maps are separate archives.
#[test]
fn network_maps() {
    let site = Site::new();
    assert_eq!(archive::netmaps(site.root()).unwrap(), []);
    assert_eq!(archive::span(site.root(), 3).unwrap(), None);
    for netmap in [3, 0] {
        let (mut archive, _) = Archive::open(site.root(), netmap, site.options()).unwrap();
        put(&mut archive, [netmap]);
    }
    assert_eq!(archive::netmaps(site.root()).unwrap(), [0, 3]);
    assert_eq!(archive::span(site.root(), 3).unwrap(), Some((1000, 1000)));
    let mut reader = archive::Reader::open(site.root(), 3, Start::Genesis).unwrap();
    assert_eq!(common::drain(&mut reader).ids(), [3]);
}
