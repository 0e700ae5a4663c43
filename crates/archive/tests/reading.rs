//! Where reading starts, what it gives, and what happens when something is gone. Q and C are the rules of the
//! crate's documentation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code may fail loudly")]

mod common;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use archive::{Batch, Catalog, Cause, Keep, Lag, Position, Reader, Start, Tail};
use common::{NETMAP, Seen, Site, batches, drain, event, flip, length, note, put, put_note};

/// Segments at 1000 (events 1, 2, 3 in 1000, 1002, 1002), 1010 (4, 5 in 1010, 1015) and 1030 (6 in 1030), with a sticky
/// change before each event but 3.
fn three_segments() -> Site {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    for (id, second) in [(1, 1000), (2, 1002), (3, 1002), (4, 1010), (5, 1015), (6, 1030)] {
        site.at(second);
        let mut batch = Batch::new();
        batch.push_event(&event(id, 20)).unwrap();
        if id != 3 {
            batch.push_sticky(b"k", &note(&format!("k{id}"))).unwrap();
        }
        batch.set_position(b"s", &[id as u8]).unwrap();
        archive.commit(&mut batch).unwrap();
    }
    site
}

/// Q1: for each start, the events, and the sticky items with the number of events before them.
#[test]
fn start_points() {
    let site = three_segments();
    let all = [1, 2, 3, 4, 5, 6];
    let seen = |start| {
        let seen = site.read(start);
        assert_eq!(seen.lost, []);
        let sticky: Vec<_> = seen.sticky.iter().map(|s| (s.text.clone(), s.snapshot, s.after)).collect();
        (seen.ids(), sticky)
    };
    let sticky =
        |list: &[(&str, bool, usize)]| list.iter().map(|(t, s, n)| (t.to_string(), *s, *n)).collect::<Vec<_>>();
    let whole = sticky(&[
        ("k1", false, 0),
        ("k2", false, 1),
        ("k2", true, 3),
        ("k4", false, 3),
        ("k5", false, 4),
        ("k5", true, 5),
        ("k6", false, 5),
    ]);
    for start in [Start::Genesis, Start::Second(0), Start::Second(999), Start::Second(1000)] {
        assert_eq!(seen(start), (all.to_vec(), whole.clone()), "{start:?}");
    }
    for start in [Start::Second(1001), Start::Second(1002)] {
        let mut want = whole.clone();
        want.iter_mut().for_each(|sticky| sticky.2 = sticky.2.saturating_sub(1));
        assert_eq!(seen(start), (all[1..].to_vec(), want), "{start:?}: sticky items of the segment from before");
    }
    let want = sticky(&[("k2", true, 0), ("k4", false, 0), ("k5", false, 1), ("k5", true, 2), ("k6", false, 2)]);
    for start in [Start::Second(1003), Start::Second(1010)] {
        assert_eq!(seen(start), (all[3..].to_vec(), want.clone()), "{start:?}: not those of the segment before");
    }
    let want = sticky(&[("k2", true, 0), ("k4", false, 0), ("k5", false, 0), ("k5", true, 1), ("k6", false, 1)]);
    for start in [Start::Second(1011), Start::Second(1015)] {
        assert_eq!(seen(start), (all[4..].to_vec(), want.clone()), "{start:?}");
    }
    let want = sticky(&[("k5", true, 0), ("k6", false, 0)]);
    for start in [Start::Second(1016), Start::Second(1029), Start::Second(1030)] {
        assert_eq!(seen(start), (vec![6], want.clone()), "{start:?}");
    }
    for start in [Start::Second(1031), Start::Second(u32::MAX), Start::Now] {
        assert_eq!(seen(start), (vec![], want.clone()), "{start:?}");
    }
}

/// Q1: a reader gives what is appended later, across segments.
#[test]
fn following() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut from_nothing = [Start::Genesis, Start::Now, Start::Second(5000)].map(|start| site.reader(start));
    for reader in &mut from_nothing {
        assert_eq!(drain(reader), Seen::default(), "nothing there, not even a directory");
        assert_eq!((reader.position(), reader.lag().unwrap()), (None, None));
    }
    let mut archive = site.open();
    put(&mut archive, [1]);
    put_note(&mut archive, "k", "v");
    let mut now = site.reader(Start::Now);
    for reader in &mut from_nothing {
        assert_eq!(drain(reader).ids(), [1]);
    }
    assert_eq!(drain(&mut now).sticky(), [("v", false)]);
    assert_eq!(now.lag().unwrap(), Some(Lag { committed: 1000, events: Some(0) }));
    site.at(1010);
    put(&mut archive, [2]);
    put(&mut archive, [3]);
    assert_eq!(now.lag().unwrap(), Some(Lag { committed: 1010, events: Some(2) }));
    site.at(1020);
    put(&mut archive, [4]);
    for reader in from_nothing.iter_mut().chain([&mut now]) {
        let seen = drain(reader);
        assert_eq!((seen.ids(), seen.sticky()), (vec![2, 3, 4], vec![("v", true), ("v", true)]));
        let offset = length(&site.segment(1020));
        assert_eq!(reader.position(), Some(Position { segment: 1020, offset, second: 1020 }));
        assert_eq!(drain(reader), Seen::default());
    }
}

/// C2: what is written but not in the head is not read, in the same segment and in a new one.
#[test]
fn nothing_is_visible_before_the_head() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    put(&mut archive, [1]);
    let first = site.head_bytes();
    put(&mut archive, [2]);
    let second = site.head_bytes();
    site.at(1010);
    put(&mut archive, [3]);
    let third = site.head_bytes();
    site.set_head(&first);
    let mut reader = site.reader(Start::Genesis);
    let mut later = [Start::Now, Start::Second(1010)].map(|start| site.reader(start));
    for (head, id) in [(first, 1), (second, 2), (third, 3)] {
        site.set_head(&head);
        assert_eq!(drain(&mut reader).ids(), [id]);
        assert_eq!(site.events(), (1..=id).collect::<Vec<_>>());
        assert_eq!(site.read(Start::Now).ids(), []);
    }
    assert_eq!(later.each_mut().map(|reader| drain(reader).ids()), [[2, 3], [2, 3]]);
}

/// Q2: in each of many batches, one after the other; what is lost is exactly that batch.
#[test]
fn corrupt_batch_anywhere() {
    let site = Site::new();
    let mut archive = site.open();
    for id in 0..20 {
        site.at(1000 + id);
        put(&mut archive, [id]);
    }
    let path = site.segment(1000);
    let at = batches(&path);
    for id in 0..20u32 {
        let (from, to) = (at[id as usize], at[id as usize + 1]);
        for offset in [from, from + 17, from + 39, from + 40, to - 1] {
            flip(&path, offset);
            let seen = site.read(Start::Genesis);
            assert_eq!(seen.ids(), (0..20).filter(|other| *other != id).collect::<Vec<_>>(), "byte {offset}");
            let lost: Vec<_> = seen.lost.iter().map(|l| (l.offset, l.bytes, l.cause)).collect();
            assert_eq!(lost, [(from, to - from, Cause::Damaged)]);
            let follower = seen.lost[0].events;
            // Without a batch before or behind, nobody can count what a damaged header had.
            assert!(follower == 1 || offset < from + 40 && (id == 0 || id == 19), "byte {offset}");
            for start in 0..20u32 {
                let want: Vec<_> = (start..20).filter(|other| *other != id).collect();
                assert_eq!(site.read(Start::Second(1000 + start)).ids(), want, "from {start}, byte {offset}");
            }
            flip(&path, offset);
        }
    }
}

/// Q2: damage where the sticky items of an earlier second are looked for.
#[test]
fn corrupt_sticky_before_the_start() {
    let site = Site::new();
    let mut archive = site.open();
    for (second, key) in [(1000, "a"), (1001, "b"), (1002, "c")] {
        site.at(second);
        put_note(&mut archive, key, key);
        put(&mut archive, [second]);
    }
    let path = site.segment(1000);
    for byte in [3, 45] {
        flip(&path, batches(&path)[2] + byte);
        let seen = site.read(Start::Second(1002));
        let whole = (vec![("a", false), ("c", false)], vec![1002]);
        assert_eq!((seen.sticky(), seen.ids()), whole);
        // A body is found bad when it is read; a bad header was left out of the index.
        assert!(seen.lost.len() <= 1);
        flip(&path, batches(&path)[2] + byte);
    }
}

/// Q2: damage that reaches to the end of a segment that is no longer written.
#[test]
fn damage_at_the_end_of_an_old_segment() {
    let site = three_segments();
    let path = site.segment(1000);
    let at = batches(&path);
    let end = length(&path);
    // Event 3 and its position.
    common::overwrite(&path, at[6], &vec![0xee; (end - at[6]) as usize]);
    let seen = site.read(Start::Genesis);
    assert_eq!(seen.ids(), [1, 2, 4, 5, 6]);
    let lost: Vec<_> = seen.lost.iter().map(|lost| (lost.offset, lost.bytes, lost.events, lost.cause)).collect();
    assert_eq!(lost, [(at[6], end - at[6], 0, Cause::Damaged), (24, 0, 1, Cause::Missing)]);
    // And one that was cut short.
    common::cut(&path, at[6] + 50);
    let seen = site.read(Start::Genesis);
    assert_eq!(seen.ids(), [1, 2, 4, 5, 6]);
    assert_eq!(seen.lost.iter().map(|lost| (lost.bytes, lost.events)).collect::<Vec<_>>(), [(50, 0), (0, 1)]);
}

/// Q3
#[test]
fn deleted_segment_under_a_reader() {
    let site = three_segments();
    let mut reader = site.reader(Start::Genesis);
    let mut buf = Vec::new();
    reader.next(&mut buf).unwrap();
    let gone = site.retain(Keep { bytes: Some(0), ..Keep::default() });
    assert_eq!(gone.segments, 2, "all but the newest");
    let seen = drain(&mut reader);
    assert_eq!(seen.ids(), [1, 2, 3, 6], "the open one to its end, then the next one there is");
    assert_eq!(seen.sticky().last(), Some(&("k6", false)));
    assert_eq!(seen.lost.len(), 1);
    let lost = &seen.lost[0];
    assert_eq!((lost.events, lost.bytes, lost.cause), (2, 0, Cause::Missing));
    assert_eq!(lost.path, site.segment(1030));
    // A reader that starts now starts with what there is.
    assert_eq!(site.events(), [6]);
    assert_eq!(site.read(Start::Second(1001)).ids(), [6]);
}

/// Retention deletes whole old segments, and never the newest.
#[test]
fn retention() {
    let site = three_segments();
    let (first, second) = (length(&site.segment(1000)), length(&site.segment(1010)));
    let retain = |since, bytes| {
        let gone = site.retain(Keep { since, bytes, ..Keep::default() });
        (gone.segments, gone.bytes)
    };
    let all = archive::size(site.root(), NETMAP).unwrap().bytes;
    assert_eq!(retain(None, None), (0, 0));
    assert_eq!(retain(Some(1009), Some(all)), (0, 0), "the first one may have something of 1009");
    assert_eq!(retain(Some(1010), None), (1, first));
    assert_eq!(archive::span(site.root(), NETMAP).unwrap(), Some((1010, 1030)));
    assert_eq!(retain(None, Some(all - first - 1)), (1, second));
    assert_eq!(retain(Some(u32::MAX), Some(0)), (0, 0));
    fs::remove_file(site.dir().join("head")).unwrap();
    assert_eq!(retain(Some(u32::MAX), Some(0)), (0, 0));
    site.open();
    assert_eq!(site.events(), [6]);
}

/// Q4: many readers of one catalog, in threads, over old and new segments.
#[test]
fn shared_catalog() {
    let site = three_segments();
    let catalog = Catalog::new(site.root(), NETMAP);
    thread::scope(|scope| {
        for n in 0..8 {
            let (catalog, site) = (&catalog, &site);
            scope.spawn(move || {
                for second in (995 + n..1035).step_by(3) {
                    let mut reader = Reader::in_catalog(catalog.clone(), Start::Second(second)).unwrap();
                    assert_eq!(drain(&mut reader), site.read(Start::Second(second)), "{second}");
                }
            });
        }
    });
    // The index grows with the segment.
    let mut archive = site.open();
    site.at(1033);
    put(&mut archive, [7]);
    let mut reader = Reader::in_catalog(catalog.clone(), Start::Second(1031)).unwrap();
    assert_eq!(drain(&mut reader).ids(), [7]);
    assert_eq!(catalog.head().unwrap(), site.head());
}

/// Q4, R6: an index does not outlive what it describes.
#[test]
fn index_of_a_segment_that_was_cut() {
    let site = Site::new();
    let mut archive = site.open();
    for id in 1..=4 {
        site.at(1000 + id);
        put(&mut archive, [id]);
    }
    let path = site.segment(1001);
    let catalog = Catalog::new(site.root(), NETMAP);
    let read = |second| drain(&mut Reader::in_catalog(catalog.clone(), Start::Second(second)).unwrap()).ids();
    assert_eq!(read(1003), [3, 4]);
    common::cut(&path, batches(&path)[2]);
    site.open();
    assert_eq!(read(1002), [2]);
    for id in [5, 6] {
        site.at(1000 + id);
        put(&mut archive, [id, id]);
    }
    assert_eq!(read(1002), [2, 5, 5, 6, 6]);
    assert_eq!(read(1006), [6, 6]);
    // Cut and grown past where it was, while nobody looked.
    common::cut(&path, batches(&path)[2]);
    for id in [7, 8, 9] {
        site.at(1000 + id);
        put(&mut archive, [id, id, id]);
    }
    assert_eq!(read(1002), [2, 7, 7, 7, 8, 8, 8, 9, 9, 9]);
    assert_eq!(read(1008), [8, 8, 8, 9, 9, 9]);
}

/// Five hundred readers of a catalog share the file descriptors.
#[test]
fn shared_files() {
    let site = three_segments();
    let catalog = Catalog::new(site.root(), NETMAP);
    let open = || {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.filter(|path| path.starts_with(site.root())).count()
    };
    let mut readers: Vec<_> = (0..500).map(|_| Reader::in_catalog(catalog.clone(), Start::Genesis).unwrap()).collect();
    assert_eq!(open(), 2, "a segment and the head");
    for reader in &mut readers {
        assert_eq!(drain(reader).ids(), [1, 2, 3, 4, 5, 6]);
    }
    assert_eq!(open(), 2, "another segment and the head");
}

/// A tail wakes for a change, once. It looks every 20 ms; the test leaves room for a busy machine.
#[test]
fn tail() {
    let site = Site::new();
    let mut tail = Tail::new(site.root(), NETMAP);
    assert_eq!(tail.committed().unwrap(), None);
    let begun = Instant::now();
    assert_eq!(tail.wait(Duration::from_millis(30)).unwrap(), None);
    assert!(begun.elapsed() >= Duration::from_millis(30));
    let mut archive = site.open();
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            thread::sleep(Duration::from_millis(60));
            put(&mut archive, [1]);
            Instant::now()
        });
        let head = tail.wait(Duration::from_secs(10)).unwrap().unwrap();
        let late = Instant::now().saturating_duration_since(writer.join().unwrap());
        assert_eq!((head.segment, head.second, head.sequence), (1000, 1000, 1));
        assert!(late < Duration::from_secs(1), "{late:?}");
    });
    assert_eq!(tail.committed().unwrap(), None, "told once");
}

/// Speed of a replay, for `cargo test --release -p estreamer-archive --test reading -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn replay_speed() {
    let site = Site::new();
    let mut archive = site.open();
    let begun = Instant::now();
    for _ in 0..512 {
        let mut batch = Batch::new();
        (0..2000).for_each(|id| batch.push_event(&event(id, 500)).unwrap());
        archive.commit(&mut batch).unwrap();
    }
    let bytes = length(&site.segment(1000)) as f64 / 1e6;
    eprintln!("wrote {bytes:.0} MB at {:.0} MB/s", bytes / begun.elapsed().as_secs_f64());
    let (begun, mut buf, mut reader) = (Instant::now(), Vec::new(), site.reader(Start::Genesis));
    while reader.next(&mut buf).unwrap() != archive::Read::End {}
    eprintln!("read it at {:.0} MB/s", bytes / begun.elapsed().as_secs_f64());
}
