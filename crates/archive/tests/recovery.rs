//! Each way an archive can be found after a crash or on a bad disk, by name. R and C are the rules of the crate's
//! documentation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code may fail loudly")]

mod common;

use std::fs;

use archive::{Archive, Batch, Cause, Error, Recovery, Repair, Start};
use common::{
    BATCH_HEADER, NETMAP, SEGMENT_HEADER, Site, batches, cut, event, flip, length, overwrite, position, put, put_at,
    put_note,
};

/// Three commits in one segment: event 1, events 2 and 3, then event 4 with a position. Returns their ends.
fn three_commits(site: &Site) -> [u64; 3] {
    let mut archive = site.open();
    put(&mut archive, [1]);
    let first = site.head().unwrap().offset;
    put(&mut archive, [2, 3]);
    let second = site.head().unwrap().offset;
    put_at(&mut archive, 4, "s", "four");
    [first, second, site.head().unwrap().offset]
}

/// As `three_commits`, but the last writer died before it published its commit.
fn third_unpublished(site: &Site) -> [u64; 3] {
    let mut archive = site.open();
    put(&mut archive, [1]);
    let first = site.head().unwrap().offset;
    put(&mut archive, [2, 3]);
    let head = site.head_bytes();
    let second = site.head().unwrap().offset;
    put_at(&mut archive, 4, "s", "four");
    let third = site.head().unwrap().offset;
    site.set_head(&head);
    [first, second, third]
}

/// Opens, and checks that the archive has these events and that one more can be appended.
fn expect(site: &Site, events: &[u32]) -> Recovery {
    let (mut archive, recovery) = site.recover();
    assert!(recovery.checked);
    assert_eq!(site.events(), events);
    let lost: u64 = site.read(Start::Genesis).lost.iter().map(|lost| lost.bytes).sum();
    put(&mut archive, [99]);
    assert_eq!(site.events(), [events, &[99]].concat());
    let (_, again) = site.recover();
    assert!(lost > 0 || again.repairs.is_empty(), "a repair is made once: {:?}", again.repairs);
    recovery
}

fn truncated(site: &Site, offset: u64, bytes: u64, events: u64) -> Repair {
    Repair::Truncated { path: site.segment(1000), offset, bytes, events }
}

#[test]
fn nothing_there() {
    let site = Site::new();
    assert_eq!(expect(&site, &[]).repairs, []);
}

#[test]
fn all_in_order() {
    let site = Site::new();
    three_commits(&site);
    assert_eq!(expect(&site, &[1, 2, 3, 4]).repairs, []);
}

/// R1
#[test]
fn whole_commit_that_was_not_published_is_kept() {
    let site = Site::new();
    third_unpublished(&site);
    assert_eq!(site.events(), [1, 2, 3], "C2: not visible before the repair");
    assert_eq!(expect(&site, &[1, 2, 3, 4]).repairs, [Repair::Head]);
    assert_eq!(position(&mut site.open(), "s").as_deref(), Some("four"));
}

/// R1, C1: cut anywhere in the last commit, it is gone whole, position included.
#[test]
fn torn_header_torn_body_and_commit_without_marker() {
    let site = Site::new();
    let [_, second, third] = third_unpublished(&site);
    let (path, head) = (site.segment(1000), site.head_bytes());
    let whole = fs::read(&path).unwrap();
    let event_batch = second + BATCH_HEADER + event(4, 20).len() as u64;
    for end in second..third {
        fs::write(&path, &whole[..end as usize]).unwrap();
        site.set_head(&head);
        let (mut archive, recovery) = site.recover();
        // The event batch alone is whole but does not have the last flag.
        let events = u64::from(end >= event_batch);
        let repairs = if end == second { vec![] } else { vec![truncated(&site, second, end - second, events)] };
        assert_eq!(recovery.repairs, repairs, "cut at {end}");
        assert_eq!(site.events(), [1, 2, 3]);
        assert_eq!(length(&path), second);
        assert_eq!(position(&mut archive, "s"), None, "cut at {end}");
    }
    expect(&site, &[1, 2, 3]);
}

/// R1: a write in which some blocks did not reach the disk.
#[test]
fn bad_crc_at_tail() {
    let site = Site::new();
    let [_, second, third] = third_unpublished(&site);
    let (path, head) = (site.segment(1000), site.head_bytes());
    let whole = fs::read(&path).unwrap();
    for at in second..third {
        fs::write(&path, &whole).unwrap();
        site.set_head(&head);
        flip(&path, at);
        let (_, recovery) = site.recover();
        assert!(matches!(recovery.repairs[..], [Repair::Truncated { offset, .. }] if offset == second), "byte {at}");
        assert_eq!(site.events(), [1, 2, 3], "byte {at}");
    }
    expect(&site, &[1, 2, 3]);
}

/// R1
#[test]
fn zero_filled_tail() {
    let site = Site::new();
    let [_, _, third] = three_commits(&site);
    cut(&site.segment(1000), third + 200_000);
    assert_eq!(expect(&site, &[1, 2, 3, 4]).repairs, [truncated(&site, third, 200_000, 0)]);
}

/// R1: bytes of an older commit in a recycled block, or an archive within an event, at the tail (D4).
#[test]
fn copy_of_an_older_commit_at_tail() {
    let site = Site::new();
    let [first, second, third] = three_commits(&site);
    let path = site.segment(1000);
    let copy = fs::read(&path).unwrap()[first as usize..second as usize].to_vec();
    overwrite(&path, third, &copy);
    assert_eq!(expect(&site, &[1, 2, 3, 4]).repairs, [truncated(&site, third, copy.len() as u64, 0)]);
}

/// R5
#[test]
fn head_missing() {
    let site = Site::new();
    three_commits(&site);
    fs::remove_file(site.dir().join("head")).unwrap();
    assert_eq!(site.events(), [], "readers wait for the repair");
    assert_eq!(expect(&site, &[1, 2, 3, 4]).repairs, [Repair::Head]);
}

/// R5
#[test]
fn head_corrupt_empty_or_of_another_network_map() {
    let site = Site::new();
    three_commits(&site);
    let head = site.head_bytes();
    let other = Site::new();
    let (mut archive, _) = Archive::open(other.root(), NETMAP + 1, other.options()).unwrap();
    put(&mut archive, [1]);
    let foreign = fs::read(other.root().join(format!("netmap_{}/head", NETMAP + 1))).unwrap();
    for bad in [&b""[..], &head[..39], &[0; 40], &[&head[..39], &[!head[39]]].concat(), &foreign] {
        site.set_head(bad);
        assert_eq!(site.head(), None);
        let (_, recovery) = site.recover();
        assert_eq!(recovery.repairs, [Repair::Head], "{bad:?}");
        assert_eq!(site.head_bytes(), head);
    }
    expect(&site, &[1, 2, 3, 4]);
}

/// R5
#[test]
fn head_stale_by_commits_and_segments() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    put(&mut archive, [1]);
    let stale = site.head_bytes();
    put(&mut archive, [2]);
    for (second, id) in [(1010, 3), (1020, 4), (1030, 5)] {
        site.at(second);
        put(&mut archive, [id]);
    }
    drop(archive);
    site.set_head(&stale);
    assert_eq!(expect(&site, &[1, 2, 3, 4, 5]).repairs, [Repair::Head]);
}

/// R6
#[test]
fn head_ahead_of_file() {
    let site = Site::new();
    let [first, second, _] = three_commits(&site);
    site.at(1005);
    put(&mut site.open(), [5]);
    site.at(1000);
    let third = site.head().unwrap().offset;
    let path = site.segment(1000);
    cut(&path, second - 1);
    let (mut archive, recovery) = site.recover();
    assert_eq!(recovery.repairs, [Repair::Missing { path, offset: first, bytes: third - first }, Repair::Head]);
    let commit = put(&mut archive, [6]);
    assert_eq!((commit.first_sequence, commit.second), (5, 1005), "numbers are not used twice, seconds not again");
    let seen = site.read(Start::Genesis);
    assert_eq!(seen.ids(), [1, 6]);
    assert_eq!(seen.lost.iter().map(|lost| lost.events).sum::<u64>(), 4);
}

/// R6: the reader had already read what is gone.
#[test]
fn head_ahead_of_file_under_a_reader() {
    let site = Site::new();
    let [_, second, _] = three_commits(&site);
    let mut reader = site.reader(Start::Genesis);
    assert_eq!(common::drain(&mut reader).ids(), [1, 2, 3, 4]);
    cut(&site.segment(1000), second);
    assert_eq!(common::drain(&mut reader), common::Seen::default());
    let (mut archive, recovery) = site.recover();
    assert_eq!(recovery.repairs.len(), 2, "{recovery:?}");
    assert_eq!(common::drain(&mut reader), common::Seen::default());
    put(&mut archive, [5]);
    let seen = common::drain(&mut reader);
    assert_eq!((seen.ids(), seen.lost), (vec![5], vec![]));
}

/// R6
#[test]
fn newest_segment_gone() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    put_note(&mut archive, "k", "v");
    put_at(&mut archive, 1, "s", "one");
    site.at(1010);
    put_at(&mut archive, 2, "s", "two");
    let mut reader = site.reader(Start::Now);
    fs::remove_file(site.segment(1010)).unwrap();

    // A writer that is running, and one that starts.
    let (mut fresh, recovery) = site.recover();
    assert!(matches!(recovery.repairs[..], [Repair::Missing { offset: 0, .. }]), "{recovery:?}");
    assert_eq!(position(&mut fresh, "s").as_deref(), Some("one"));
    let commit = put(&mut archive, [3]);
    assert_eq!((commit.second, commit.first_sequence), (1011, 2), "in a new segment");
    put(&mut fresh, [4]);
    let seen = site.read(Start::Genesis);
    assert_eq!(seen.ids(), [1, 3, 4]);
    assert_eq!(seen.lost.iter().map(|lost| lost.events).sum::<u64>(), 1);
    let seen = common::drain(&mut reader);
    assert_eq!((seen.ids(), seen.sticky()), (vec![3, 4], vec![("v", true), ("v", true)]));
}

/// R4
#[test]
fn empty_segment_file_and_torn_segment_header() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    put(&mut archive, [1]);
    site.at(1010);
    for bytes in [&b""[..], b"eSsg", &[0; 24], &[0; 5000]] {
        let path = site.segment(1010);
        fs::write(&path, bytes).unwrap();
        let (_, recovery) = site.recover();
        assert_eq!(recovery.repairs, [Repair::Removed { path, bytes: bytes.len() as u64 }]);
        assert!(!site.segment(1010).exists());
    }
    expect(&site, &[1]);
}

/// R4: the only segment is torn.
#[test]
fn first_segment_torn() {
    let site = Site::new();
    put(&mut site.open(), [1]);
    fs::remove_file(site.dir().join("head")).unwrap();
    let path = site.segment(1000);
    let bytes = length(&path) - 1;
    cut(&path, bytes);
    assert_eq!(expect(&site, &[]).repairs, [Repair::Removed { path, bytes }]);
}

/// R4, C6, C9: a segment torn anywhere, also right behind its snapshot, is removed; a whole one is kept. A running
/// writer notices as well.
#[test]
fn segment_with_only_snapshot() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    put_note(&mut archive, "k", "v");
    put_at(&mut archive, 1, "s", "one");
    let before = site.head_bytes();
    site.at(1010);
    put_at(&mut archive, 2, "s", "two");
    let path = site.segment(1010);
    let whole = fs::read(&path).unwrap();
    assert_eq!(batches(&path).len(), 5, "snapshot of sticky and positions, event, position, end");
    // The head as the dying writer left it: it says that a segment is being created.
    let mut rolling = before.clone();
    rolling[32..36].copy_from_slice(&1010u32.to_be_bytes());
    let crc = crc32c::crc32c(&rolling[..36]);
    rolling[36..].copy_from_slice(&crc.to_be_bytes());

    for end in (0..whole.len()).step_by(7).chain(batches(&path)[..4].iter().map(|at| *at as usize)) {
        fs::write(&path, &whole[..end]).unwrap();
        site.set_head(&rolling);
        let (mut fresh, recovery) = site.recover();
        assert_eq!(recovery.repairs, [Repair::Removed { path: path.clone(), bytes: end as u64 }, Repair::Head]);
        assert_eq!(position(&mut fresh, "s").as_deref(), Some("one"), "cut at {end}");
        assert_eq!(site.events(), [1]);
    }
    let mut running = site.open();
    fs::write(&path, &whole).unwrap();
    site.set_head(&rolling);
    assert_eq!(position(&mut running, "s").as_deref(), Some("two"));
    assert_eq!(site.events(), [1, 2]);
}

/// R3
#[test]
fn corrupt_batch_in_the_middle() {
    let site = Site::new();
    let [first, second, _] = three_commits(&site);
    let path = site.segment(1000);
    flip(&path, first + BATCH_HEADER + 30);
    assert_eq!(expect(&site, &[1, 4]).repairs, [], "bodies of committed events are not read");
    let lost = site.read(Start::Genesis).lost;
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].offset, lost[0].bytes, lost[0].events), (first, second - first, 2));
    assert_eq!((&lost[0].path, lost[0].cause), (&path, Cause::Damaged));
    // A bad header is noticed.
    flip(&path, first + 5);
    let (_, recovery) = site.recover();
    assert_eq!(recovery.repairs, [Repair::Damaged { path, offset: first, bytes: second - first }]);
    assert_eq!(site.read(Start::Genesis).lost, lost, "the reader loses the same as before");
}

/// R3, Q2
#[test]
fn garbage_between_batches() {
    let site = Site::new();
    let [first, second, third] = three_commits(&site);
    let path = site.segment(1000);
    // From within the first commit into the second, with a magic in it.
    overwrite(&path, first - 10, b"garbage eSbt garbage eSbt");
    let (_, recovery) = site.recover();
    assert_eq!(recovery.repairs, [Repair::Damaged { path, offset: first, bytes: second - first }]);
    let seen = site.read(Start::Genesis);
    assert_eq!(seen.ids(), [4]);
    assert_eq!(
        seen.lost.iter().map(|lost| (lost.offset, lost.bytes, lost.events)).collect::<Vec<_>>(),
        [(SEGMENT_HEADER, first - SEGMENT_HEADER, 1), (first, second - first, 2)]
    );
    assert_eq!(site.head().unwrap().offset, third);
}

/// R3: damage at the very end of committed bytes is not a torn write.
#[test]
fn damage_at_the_end_of_committed_bytes() {
    let site = Site::new();
    let [_, second, third] = three_commits(&site);
    let path = site.segment(1000);
    overwrite(&path, second, &vec![0; (third - second) as usize]);
    let recovery = expect(&site, &[1, 2, 3]);
    assert_eq!(recovery.repairs, [Repair::Damaged { path: path.clone(), offset: second, bytes: third - second }]);
    assert!(length(&path) > third);
    assert_eq!(site.read(Start::Genesis).lost[0].events, 1);
}

/// R2: without a head, damage before another commit is still not taken for a torn write.
#[test]
fn damage_in_the_middle_and_no_head() {
    let site = Site::new();
    let [first, second, _] = three_commits(&site);
    fs::remove_file(site.dir().join("head")).unwrap();
    let path = site.segment(1000);
    flip(&path, first + BATCH_HEADER + 3);
    let damaged = Repair::Damaged { path, offset: first, bytes: second - first };
    assert_eq!(expect(&site, &[1, 4]).repairs, [damaged, Repair::Head]);
}

/// R1, C1: of a commit of many batches the first was not written, but the last was, and there is no head.
#[test]
fn head_missing_and_last_commit_without_its_beginning() {
    let site = Site::new();
    let [_, second, third] = three_commits(&site);
    fs::remove_file(site.dir().join("head")).unwrap();
    overwrite(&site.segment(1000), second, &[0; 50]);
    let repairs = expect(&site, &[1, 2, 3]).repairs;
    assert_eq!(repairs, [truncated(&site, second, third - second, 0), Repair::Head]);
}

/// R2: of a damaged commit, what is whole counts, since it was synced.
#[test]
fn damaged_end_of_a_commit_and_no_head() {
    let site = Site::new();
    let mut archive = site.open();
    put_at(&mut archive, 1, "s", "one");
    put(&mut archive, [2]);
    drop(archive);
    fs::remove_file(site.dir().join("head")).unwrap();
    let path = site.segment(1000);
    let at = batches(&path);
    flip(&path, at[1] + 2);
    let (mut archive, recovery) = site.recover();
    assert_eq!(recovery.repairs[0], Repair::Damaged { path, offset: at[1], bytes: at[2] - at[1] });
    assert_eq!(position(&mut archive, "s"), None);
    assert_eq!(site.events(), [1, 2]);
}

/// R7
#[test]
fn damaged_segment_header() {
    let site = Site::new();
    three_commits(&site);
    let path = site.segment(1000);
    flip(&path, 3);
    let (mut archive, recovery) = site.recover();
    assert_eq!(recovery.repairs, [Repair::Damaged { path, offset: 0, bytes: SEGMENT_HEADER }]);
    put(&mut archive, [5]);
    let seen = site.read(Start::Genesis);
    assert_eq!((seen.ids(), seen.lost), (vec![1, 2, 3, 4, 5], vec![]));
}

/// R7
#[test]
fn damaged_snapshot() {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    put_note(&mut archive, "a", "a1");
    put_note(&mut archive, "b", "b1");
    put_at(&mut archive, 1, "s", "one");
    site.at(1010);
    put_note(&mut archive, "b", "b2");
    site.at(1020);
    put_note(&mut archive, "c", "c3");
    drop(archive);
    // The snapshot of the newest segment is a and b2 in one batch, then the position of s.
    let (path, older) = (site.segment(1020), site.segment(1010));
    flip(&path, batches(&path)[0] + 50);
    flip(&path, batches(&path)[1] + 50);
    flip(&older, batches(&older)[1] + 50);
    let (mut archive, recovery) = site.recover();
    assert!(matches!(recovery.repairs[..], [Repair::Damaged { offset: 24, .. }]), "{recovery:?}");
    assert_eq!(position(&mut archive, "s").as_deref(), Some("one"));
    site.at(1030);
    put(&mut archive, [2]);
    let mut now = site.read(Start::Now);
    now.sticky.sort_by(|a, b| a.text.cmp(&b.text));
    assert_eq!(now.sticky(), [("a1", true), ("b2", true), ("c3", true)]);
}

/// R8
#[test]
fn segment_of_another_version_or_place() {
    let site = Site::new();
    three_commits(&site);
    let path = site.segment(1000);
    let whole = fs::read(&path).unwrap();
    let mut newer = whole.clone();
    newer[7] = 2;
    let crc = crc32c::crc32c(&newer[..20]);
    newer[20..24].copy_from_slice(&crc.to_be_bytes());
    fs::write(&path, &newer).unwrap();
    let error = Archive::open(site.root(), NETMAP, site.options()).unwrap_err();
    assert!(matches!(error, Error::Version { found: 2, known: 1, .. }), "{error}");
    assert!(matches!(archive::Reader::open(site.root(), NETMAP, Start::Genesis), Err(Error::Version { .. })));
    fs::write(&path, &whole).unwrap();

    fs::rename(site.dir(), site.root().join("netmap_8")).unwrap();
    let error = Archive::open(site.root(), 8, site.options()).unwrap_err();
    assert!(matches!(error, Error::Misplaced { netmap: NETMAP, start: 1000, .. }), "{error}");
    assert_eq!(fs::read(site.root().join("netmap_8/unified2.1000")).unwrap(), whole, "nothing was changed");
}

/// Opening while another process commits does not wait, and repairs nothing.
#[test]
fn a_live_writer_needs_no_recovery() {
    let site = Site::new();
    let [_, _, third] = three_commits(&site);
    let lock = fs::OpenOptions::new().write(true).open(site.dir().join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    // What the live writer has written so far.
    cut(&site.segment(1000), third + 100);
    let (mut archive, recovery) = site.recover();
    assert_eq!(recovery, Recovery::default());
    assert!(!recovery.checked);
    assert_eq!(length(&site.segment(1000)), third + 100);
    drop(lock);
    // It died: the next commit repairs.
    put(&mut archive, [5]);
    assert_eq!(site.events(), [1, 2, 3, 4, 5]);
}

/// R1 in a running writer: another one died in the middle.
#[test]
fn torn_tail_of_another_writer() {
    let site = Site::new();
    let mut archive = site.open();
    put(&mut archive, [1]);
    let end = site.head().unwrap().offset;
    overwrite(&site.segment(1000), end, b"eSbt torn");
    put(&mut archive, [2]);
    assert_eq!(site.events(), [1, 2]);
    // And one that died after its write.
    let head = site.head_bytes();
    put_at(&mut site.open(), 3, "s", "three");
    site.set_head(&head);
    assert_eq!(position(&mut archive, "s").as_deref(), Some("three"));
    put(&mut archive, [4]);
    assert_eq!(site.events(), [1, 2, 3, 4]);
}

/// C1: events and positions of one commit share their fate, at every byte.
#[test]
fn position_and_events_atomic() {
    let site = Site::new();
    let mut archive = site.open();
    put_at(&mut archive, 1, "s", "1");
    let (head, path) = (site.head_bytes(), site.segment(1000));
    let start = length(&path) as usize;
    let mut batch = Batch::new();
    for id in [2, 3] {
        batch.push_event(&event(id, 600_000)).unwrap();
    }
    batch.push_sticky(b"k", &common::note("v")).unwrap();
    batch.set_position(b"s", b"3").unwrap();
    archive.commit(&mut batch).unwrap();
    drop(archive);
    let whole = fs::read(&path).unwrap();
    let edges: Vec<usize> = batches(&path).iter().map(|at| *at as usize).filter(|at| *at >= start).collect();
    assert_eq!(edges.len(), 5, "sticky, two of events, positions, end");
    for end in edges.into_iter().flat_map(|at| [at - 1, at, at + 1, at + 40]) {
        let end = end.clamp(start, whole.len());
        fs::write(&path, &whole[..end]).unwrap();
        site.set_head(&head);
        let mut archive = site.open();
        let (events, at) = if end == whole.len() { (vec![1, 2, 3], "3") } else { (vec![1], "1") };
        assert_eq!(site.events(), events, "cut at {end}");
        assert_eq!(position(&mut archive, "s").as_deref(), Some(at), "cut at {end}");
        assert_eq!(site.read(Start::Now).sticky().is_empty(), end < whole.len());
    }
}
