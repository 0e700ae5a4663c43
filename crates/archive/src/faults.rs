//! Commits that fail halfway. C and R are the rules of the crate's documentation.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::disk::fault::{self, Op};
use crate::{Archive, Batch, Clock, Error, Kind, Options, Read, Reader, Recovery, Repair, Start};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn options(clock: &Arc<AtomicU32>) -> Options {
    let clock = clock.clone();
    Options { segment_seconds: 10, clock: Clock::new(move || clock.load(Ordering::SeqCst)), ..Options::default() }
}

/// An archive with event 1 and position "1", a batch with event 2 and position "2", and the clock.
fn site(root: &Path) -> (Archive, Batch, Arc<AtomicU32>) {
    let clock = Arc::new(AtomicU32::new(1000));
    let (mut archive, _) = Archive::open(root, 0, options(&clock)).unwrap();
    let mut batch = Batch::new();
    for id in [1, 2] {
        push(&mut batch, id);
        if id == 1 {
            archive.commit(&mut batch).unwrap();
        }
    }
    (archive, batch, clock)
}

fn push(batch: &mut Batch, id: u8) {
    let mut item = vec![0, 0, 0, 4, 0, 0, 0, 17];
    item.extend_from_slice(&[0; 16]);
    item.push(id);
    batch.push_event(&item).unwrap();
    batch.push_sticky(b"k", &[0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, id]).unwrap();
    batch.set_position(b"s", &[id]).unwrap();
}

fn events(root: &Path) -> Vec<u8> {
    let (mut reader, mut buf, mut found) = (Reader::open(root, 0, Start::Genesis).unwrap(), Vec::new(), Vec::new());
    loop {
        match reader.next(&mut buf).unwrap() {
            Read::Batch(info) if info.kind == Kind::Events => found.push(*buf.last().unwrap()),
            Read::Batch(_) => {}
            Read::Lost(lost) => panic!("{lost:?}"),
            Read::End => return found,
        }
    }
}

fn lengths(root: &Path) -> Vec<(u32, u64)> {
    let dir = root.join("netmap_0");
    let starts = crate::layout::segments(&dir).unwrap();
    starts
        .into_iter()
        .map(|start| (start, fs::metadata(crate::layout::segment_path(&dir, start)).unwrap().len()))
        .collect()
}

fn head(root: &Path) -> Vec<u8> {
    fs::read(root.join("netmap_0/head")).unwrap()
}

/// C8, C2: every operation of a commit fails once, in the same segment and in a new one. Nothing is left, nothing is
/// visible, and the same batch can be committed again.
#[test]
fn a_failed_commit_is_taken_back_and_can_be_repeated() {
    // A commit that begins a segment writes the head twice, and before its batches.
    let same = [(Op::Write, 0), (Op::Sync, 0), (Op::Write, 1)];
    let new = [(Op::Write, 0), (Op::Write, 1), (Op::Sync, 0), (Op::SyncDir, 0), (Op::Write, 2)];
    for (second, faults) in [(1005, &same[..]), (1010, &new[..])] {
        for (op, skip) in faults {
            let dir = tempfile::tempdir().unwrap();
            let (mut archive, mut batch, clock) = site(dir.path());
            let (lengths_before, head_before) = (lengths(dir.path()), head(dir.path()));
            clock.store(second, Ordering::SeqCst);
            fault::plan(*op, *skip, ENOSPC);
            let error = archive.commit(&mut batch).unwrap_err();
            assert!(matches!(error, Error::StorageFull { .. }), "{op:?} {skip}: {error}");
            assert!(fault::is_done());
            assert_eq!(batch.events(), 1, "the batch keeps its contents");
            assert_eq!(lengths(dir.path()), lengths_before, "{op:?} {skip}");
            if (*op, *skip) != (Op::Write, 0) || second == 1005 {
                assert_eq!(head(dir.path()), head_before, "{op:?} {skip}");
                assert_eq!(events(dir.path()), [1]);
            }
            assert_eq!(archive.position(b"s").unwrap().as_deref(), Some(&[1][..]));

            let commit = archive.commit(&mut batch).unwrap();
            assert_eq!((commit.first_sequence, commit.sticky, commit.second), (1, 1, second));
            assert!(batch.is_empty());
            assert_eq!(events(dir.path()), [1, 2]);
            let (mut fresh, recovery) = Archive::open(dir.path(), 0, options(&clock)).unwrap();
            assert_eq!(recovery, Recovery { checked: true, repairs: vec![] });
            assert_eq!(fresh.position(b"s").unwrap().as_deref(), Some(&[2][..]));
        }
    }
}

/// C8: while a failed commit cannot be taken back, nobody else gets the lock; then all goes on.
#[test]
fn a_commit_that_cannot_be_taken_back_yet_keeps_the_lock() {
    for (second, undo) in [(1005, Op::Truncate), (1010, Op::Remove)] {
        let dir = tempfile::tempdir().unwrap();
        let (mut archive, mut batch, clock) = site(dir.path());
        clock.store(second, Ordering::SeqCst);
        fault::plan(Op::Sync, 0, EIO);
        fault::plan(undo, 0, EIO);
        let error = archive.commit(&mut batch).unwrap_err();
        assert!(matches!(error, Error::Io { action: "sync", .. }), "the first error is the one reported: {error}");
        let (_, recovery) = Archive::open(dir.path(), 0, options(&clock)).unwrap();
        assert!(!recovery.checked, "the lock is held");
        assert_eq!(events(dir.path()), [1]);

        fault::plan(undo, 0, EIO);
        assert!(archive.commit(&mut batch).is_err(), "still not");
        let (_, recovery) = Archive::open(dir.path(), 0, options(&clock)).unwrap();
        assert!(!recovery.checked, "the lock is held");

        archive.commit(&mut batch).unwrap();
        let (_, recovery) = Archive::open(dir.path(), 0, options(&clock)).unwrap();
        assert!(recovery.checked && recovery.repairs.is_empty(), "{recovery:?}");
        assert_eq!(events(dir.path()), [1, 2]);
    }
}

/// C8, R1: the process ends before it can take the failed commit back. It was whole, so it is kept, and the
/// position with it: the source does not deliver it twice.
#[test]
fn a_failed_commit_that_outlives_its_process_is_kept_with_its_position() {
    let dir = tempfile::tempdir().unwrap();
    let (mut archive, mut batch, clock) = site(dir.path());
    fault::plan(Op::Sync, 0, EIO);
    fault::plan(Op::Truncate, 0, EIO);
    archive.commit(&mut batch).unwrap_err();
    drop(archive);
    let (mut archive, recovery) = Archive::open(dir.path(), 0, options(&clock)).unwrap();
    assert_eq!(recovery.repairs, [Repair::Head]);
    assert_eq!(archive.position(b"s").unwrap().as_deref(), Some(&[2][..]));
    assert_eq!(events(dir.path()), [1, 2]);
}

/// R1: a kept commit is synced before it is published. If that fails, it stays invisible and is tried again.
#[test]
fn a_kept_commit_is_not_published_without_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (mut archive, mut batch, clock) = site(dir.path());
    let stale = head(dir.path());
    archive.commit(&mut batch).unwrap();
    fs::write(dir.path().join("netmap_0/head"), &stale).unwrap();
    fault::plan(Op::Sync, 0, EIO);
    Archive::open(dir.path(), 0, options(&clock)).unwrap_err();
    assert_eq!(events(dir.path()), [1]);
    fault::plan(Op::Sync, 0, EIO);
    archive.position(b"s").unwrap_err();
    assert_eq!(archive.position(b"s").unwrap().as_deref(), Some(&[2][..]));
    assert_eq!(events(dir.path()), [1, 2]);
}

/// C8: the very first commit fails; the archive is as empty as before.
#[test]
fn a_failed_first_commit_leaves_nothing() {
    for (op, skip) in [(Op::Write, 0), (Op::Sync, 0), (Op::SyncDir, 1), (Op::Write, 1)] {
        let dir = tempfile::tempdir().unwrap();
        fault::plan(op, skip, ENOSPC);
        let clock = Arc::new(AtomicU32::new(1000));
        let (mut archive, _) = Archive::open(dir.path(), 0, options(&clock)).unwrap();
        let mut batch = Batch::new();
        push(&mut batch, 1);
        archive.commit(&mut batch).unwrap_err();
        assert_eq!(lengths(dir.path()), []);
        assert_eq!(events(dir.path()), []);
        assert_eq!(archive.position(b"s").unwrap(), None);
        archive.commit(&mut batch).unwrap();
        assert_eq!(events(dir.path()), [1]);
    }
}

/// Segments at 1000 and 1010 with three events each, of which event 2 is damaged.
fn damaged_site(root: &Path) -> std::path::PathBuf {
    let clock = Arc::new(AtomicU32::new(1000));
    let (mut archive, _) = Archive::open(root, 0, options(&clock)).unwrap();
    for id in 1..=6 {
        clock.store(if id < 4 { 1000 } else { 1010 }, Ordering::SeqCst);
        let mut batch = Batch::new();
        push(&mut batch, id);
        archive.commit(&mut batch).unwrap();
    }
    let path = root.join("netmap_0/unified2.1000");
    let mut bytes = fs::read(&path).unwrap();
    let magic: Vec<_> = bytes.windows(4).enumerate().filter(|(_, four)| *four == b"eSbt").map(|(at, _)| at).collect();
    // Sticky item, event and position of each commit.
    bytes[magic[4] + 60] ^= 1;
    fs::write(&path, bytes).unwrap();
    path
}

fn good_events(root: &Path) -> Vec<u8> {
    let (mut reader, mut buf, mut found) = (Reader::open(root, 0, Start::Genesis).unwrap(), Vec::new(), Vec::new());
    loop {
        match reader.next(&mut buf).unwrap() {
            Read::Batch(info) if info.kind == Kind::Events => found.push(*buf.last().unwrap()),
            Read::Batch(_) | Read::Lost(_) => {}
            Read::End => return found,
        }
    }
}

fn worst(root: &Path) -> Option<crate::Severity> {
    let mut worst = None;
    let rest = crate::check(root, 0, &mut |_| None, |checked| worst = worst.max(checked.severity())).unwrap();
    assert_eq!(rest, []);
    worst
}

/// K5: every operation of a repair fails once. The segment is the old one or the new one, and the next repair cures it.
#[test]
fn a_repair_that_is_interrupted_loses_nothing() {
    let faults = [
        (Op::Write, 0),
        (Op::Sync, 0),
        (Op::Write, 1),
        (Op::Sync, 1),
        (Op::SyncDir, 0),
        (Op::Rename, 0),
        (Op::SyncDir, 1),
    ];
    for (op, skip) in faults {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let path = damaged_site(root);
        let before = fs::read(&path).unwrap();
        assert_eq!(good_events(root), [1, 3, 4, 5, 6]);
        fault::plan(op, skip, ENOSPC);
        crate::repair(root, 0, true, &mut |_| {}).unwrap_err();
        assert!(fault::is_done(), "{op:?} {skip}");
        let replaced = fs::read(&path).unwrap() != before;
        assert_eq!(replaced, (op, skip) == (Op::SyncDir, 1));
        assert!(!path.with_extension("1000.repair").exists());
        assert_eq!(good_events(root), [1, 3, 4, 5, 6]);
        crate::repair(root, 0, true, &mut |_| {}).unwrap();
        assert_eq!(worst(root), Some(crate::Severity::Note));
        assert_eq!(good_events(root), [1, 3, 4, 5, 6]);
        let names =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let beside: Vec<_> = names.filter(|name| name.starts_with("unified2.1000.")).collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
    }
}

/// Q5: what lies before a place that cannot be read is given, the error comes again until it can be read, and readers
/// elsewhere go on.
#[test]
fn what_cannot_be_read_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let path = damaged_site(root);
    let at = fs::metadata(&path).unwrap().len() - 60;
    let mut reader = Reader::open(root, 0, Start::Genesis).unwrap();
    fault::bad(Some((path.clone(), at..at + 10)));
    let (mut buf, mut seen) = (Vec::new(), Vec::new());
    let error = loop {
        match reader.next(&mut buf) {
            Ok(Read::Batch(info)) if info.kind == Kind::Events => seen.push(*buf.last().unwrap()),
            Ok(Read::End) => panic!("it was passed over"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error}");
    assert_eq!(seen, [1], "2 is damaged, 3 is behind what cannot be read");
    reader.next(&mut buf).unwrap_err();
    let mut other = Reader::open(root, 0, Start::Second(1010)).unwrap();
    while !matches!(other.next(&mut buf).unwrap(), Read::End) {}
    fault::bad(None);
    loop {
        match reader.next(&mut buf).unwrap() {
            Read::Batch(info) if info.kind == Kind::Events => seen.push(*buf.last().unwrap()),
            Read::End => break,
            _ => {}
        }
    }
    assert_eq!(seen, [1, 3, 4, 5, 6], "{seen:?}");
}

/// K1, K4: what cannot be read is found, and cut out with zeros in its place.
#[test]
fn what_cannot_be_read_is_cut_out() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let path = damaged_site(root);
    let at = fs::metadata(&path).unwrap().len() - 60;
    fault::bad(Some((path.clone(), at..at + 10)));
    let mut found = Vec::new();
    crate::check(root, 0, &mut |_| None, |checked| found.extend(checked.findings)).unwrap();
    assert!(matches!(&found[..], [.., last] if matches!(last.what, crate::What::Unreadable(_))), "{found:?}");
    crate::repair(root, 0, true, &mut |_| {}).unwrap();
    fault::bad(None);
    assert_eq!(worst(root), Some(crate::Severity::Note));
    let good = good_events(root);
    assert!(good.starts_with(&[1]) && good.ends_with(&[4, 5, 6]), "{good:?}");
}
