//! The spool: each line in it exactly once, nothing given out that is not in a stored state, and its limit.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

mod support;

use outputs::spool::{Overflow, Position, Reader, Settings, Spool};
use outputs::{Destination, Error};
use proptest::prelude::*;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use support::{Caller, law, line, lines, spool_settings};
use tempfile::TempDir;

fn open(folder: &Path, state: Option<&str>) -> (Caller<Spool>, Reader) {
    let (spool, reader) = Spool::open(spool_settings(folder), state).unwrap();
    (Caller::new(spool), reader)
}

/// Everything that may be read, and how many lines are lost.
fn read_all(reader: &mut Reader, count: usize, bytes: usize) -> (Vec<String>, u64) {
    let (mut all, mut lost) = (Vec::new(), 0);
    while let Some(batch) = reader.read(count, bytes).unwrap() {
        assert!(batch.lines.len() <= count);
        assert!(batch.lines.len() == 1 || batch.lines.size() <= bytes);
        let numbered = batch.lines.iter().map(|(number, line)| (number, String::from_utf8(line.to_vec()).unwrap()));
        for (i, (number, line)) in numbered.enumerate() {
            assert_eq!(number, batch.start.lines + i as u64);
            all.push(line);
        }
        lost += batch.lost;
    }
    (all, lost)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "lines")).collect();
    segments.sort();
    segments
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Checkpoint,
    Crash,
    CrashAfterSync,
    CrashAfterStore,
    CrashTorn(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1usize..60).prop_map(Step::Write),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashAfterSync),
        1 => Just(Step::CrashAfterStore),
        1 => (1usize..100).prop_map(Step::CrashTorn),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_line_is_there_once_and_in_order(
        steps in steps(),
        segment in prop_oneof![1 => Just(100u64), 3 => Just(1500), 3 => Just(10_000), 1 => Just(1 << 20)],
        count in 1usize..50,
        bytes in 1usize..3000,
    ) {
        let folder = TempDir::new().unwrap();
        let settings = Settings { segment, ..spool_settings(folder.path()) };
        let (spool, mut reader) = Spool::open(settings.clone(), None).unwrap();
        let mut caller = Caller::new(spool);
        // Lines covered by the checkpoint.
        let mut stored = 0;
        for step in steps {
            match step {
                Step::Write(n) => {
                    for _ in 0..n {
                        if caller.to.room() == 0 {
                            caller.checkpoint();
                            stored = caller.written;
                        }
                        let text = format!("{}\n", line(caller.written));
                        caller.put(&text);
                    }
                    continue;
                }
                Step::Checkpoint => {
                    caller.checkpoint();
                    stored = caller.written;
                    continue;
                }
                Step::Crash => {}
                Step::CrashAfterSync => caller.to.sync().unwrap(),
                Step::CrashAfterStore => {
                    caller.to.sync().unwrap();
                    caller.state = Some(caller.to.state());
                    stored = caller.written;
                }
                Step::CrashTorn(n) => {
                    if let Some(last) = segments(folder.path()).last() {
                        let mut file = OpenOptions::new().append(true).open(last).unwrap();
                        file.write_all(&vec![b'!'; n]).unwrap();
                    }
                }
            }
            let state = caller.state.take();
            let metrics = caller.to.metrics();
            drop((caller, reader));
            law(&metrics);
            // A crash before the first checkpoint leaves nothing.
            let (spool, again) = Spool::open(settings.clone(), state.as_deref()).unwrap();
            caller = Caller { to: spool, written: stored, state };
            reader = again;
            prop_assert_eq!(law(&caller.to.metrics()).pending as usize, stored);
        }
        caller.checkpoint();
        let (got, lost) = read_all(&mut reader, count, bytes);
        prop_assert_eq!(got, lines(0..caller.written));
        prop_assert_eq!(lost, 0);
        let total = lines(0..caller.written).iter().map(|line| line.len() as u64 + 1).sum();
        prop_assert_eq!(reader.position(), Position { bytes: total, lines: caller.written as u64 });
    }
}

#[test]
fn nothing_is_read_before_its_state_is_stored() {
    let folder = TempDir::new().unwrap();
    let (mut caller, mut reader) = open(folder.path(), None);
    assert_eq!(caller.to.room(), 0, "the first segment is to be announced");
    assert!(segments(folder.path()).is_empty());
    caller.checkpoint();
    caller.put("one\n");
    assert_eq!(reader.read(9, 999).unwrap(), None);
    caller.to.sync().unwrap();
    assert_eq!(reader.read(9, 999).unwrap(), None);
    assert_eq!(law(&caller.to.metrics()).written, 0);
    let state = caller.to.state();
    caller.to.stored(&state);
    assert_eq!(read_all(&mut reader, 9, 999).0, ["one"]);
    assert_eq!(law(&caller.to.metrics()).pending, 1);
}

#[test]
fn only_the_owner_may_look() {
    let folder = TempDir::new().unwrap();
    let inside = folder.path().join("a/spool");
    let (mut caller, _reader) = open(&inside, None);
    caller.write(1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inside), 0o700);
    for entry in fs::read_dir(&inside).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn two_cannot_have_the_same_folder() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path(), None);
    let error = Spool::open(spool_settings(folder.path()), None).unwrap_err().to_string();
    assert!(error.contains("another process, or another destination, uses this spool"), "{error}");
    drop(first);
    open(folder.path(), None);
}

#[test]
fn a_full_spool_blocks() {
    let folder = TempDir::new().unwrap();
    let settings = Settings { limit: 100, ..spool_settings(folder.path()) };
    let (spool, _reader) = Spool::open(settings, None).unwrap();
    let mut caller = Caller::new(spool);
    caller.checkpoint();
    caller.put(&format!("{}\n", "x".repeat(149)));
    // What is not stored cannot be sent: first a checkpoint, then the error.
    assert_eq!(caller.to.room(), 0);
    assert!(matches!(caller.to.write(b"y\n", 1), Err(Error::Full { .. })));
    caller.checkpoint();
    assert_eq!(caller.to.room(), usize::MAX);
    let error = caller.to.write(b"y\n", 1).unwrap_err();
    assert!(!error.rewound());
    let text = error.to_string();
    assert!(text.contains("150 bytes wait to be sent, and the limit is 100"), "{text}");
    assert!(text.contains("raise the limit") && text.contains("nothing is lost"), "{text}");
    caller.checkpoint();
    assert_eq!(caller.to.room(), usize::MAX, "a checkpoint changes nothing: no busy loop");
    let counts = law(&caller.to.metrics());
    assert_eq!((counts.written, counts.pending, counts.pending_bytes), (1, 1, 150));
}

#[test]
fn a_full_spool_drops_and_counts() {
    let folder = TempDir::new().unwrap();
    let settings = Settings { limit: 100, overflow: Overflow::Drop, ..spool_settings(folder.path()) };
    let (spool, mut reader) = Spool::open(settings.clone(), None).unwrap();
    let mut caller = Caller::new(spool);
    caller.checkpoint();
    for _ in 0..30 {
        caller.put("0123456789\n");
    }
    caller.checkpoint();
    let counts = law(&caller.to.metrics());
    assert_eq!((counts.written, counts.pending, counts.dropped), (30, 10, 20));
    assert_eq!(read_all(&mut reader, 99, 999).0.len(), 10);
    // What was dropped after the checkpoint is dropped, or not, again.
    caller.put("0123456789\n");
    let state = caller.state.clone();
    drop((caller, reader));
    let (spool, _reader) = Spool::open(settings, state.as_deref()).unwrap();
    let counts = law(&spool.metrics());
    assert_eq!((counts.written, counts.pending, counts.dropped), (10, 10, 0));
}

#[test]
fn segments_that_no_stored_state_announced_are_removed() {
    let folder = TempDir::new().unwrap();
    let (mut caller, reader) = open(folder.path(), None);
    caller.write(300);
    let state = caller.state.clone();
    let before = segments(folder.path());
    caller.write(300);
    assert!(segments(folder.path()).len() > before.len() + 1);
    drop((caller, reader));
    // An old checkpoint, as from a backup.
    let (caller, mut reader) = open(folder.path(), state.as_deref());
    assert_eq!(segments(folder.path()), before);
    assert_eq!(read_all(&mut reader, 100, 10_000).0, lines(0..300));
    drop(caller);
}

#[test]
fn without_a_state_whole_lines_are_kept() {
    let folder = TempDir::new().unwrap();
    let (mut caller, reader) = open(folder.path(), None);
    caller.write(300);
    drop((caller, reader));
    let last = segments(folder.path()).pop().unwrap();
    OpenOptions::new().append(true).open(&last).unwrap().write_all(b"torn").unwrap();
    let (mut caller, mut reader) = open(folder.path(), None);
    caller.written = 300;
    assert_eq!(law(&caller.to.metrics()).pending, 300);
    caller.write(50);
    assert_eq!(read_all(&mut reader, 100, 10_000), (lines(0..350), 0));
}

#[test]
fn what_somebody_damages_is_counted() {
    let folder = TempDir::new().unwrap();
    let (mut caller, mut reader) = open(folder.path(), None);
    caller.write(1000);
    let all = segments(folder.path());
    assert!(all.len() >= 6, "{}", all.len());
    let held = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    let gone = held(&all[1]);
    fs::remove_file(&all[1]).unwrap();
    let cut = held(&all[2]);
    OpenOptions::new().write(true).open(&all[2]).unwrap().set_len(100).unwrap();
    let left = held(&all[2]) - 1;
    // Line feeds that became blanks make one line of two.
    let joined = fs::read_to_string(&all[3]).unwrap().replacen('\n', " ", 3);
    fs::write(&all[3], joined).unwrap();
    // And more of them make no more lines than there were.
    let torn = fs::read_to_string(&all[4]).unwrap().replacen(' ', "\n", 3);
    fs::write(&all[4], torn).unwrap();
    let (got, lost) = read_all(&mut reader, 7, 900);
    assert_eq!(lost as usize, gone + (cut - left) + 3);
    assert_eq!(got.len() + lost as usize, 1000);
    assert_eq!(got.last(), Some(&line(999)));
    assert_eq!(reader.position().lines, 1000);
}

#[test]
fn a_segment_that_is_lost_while_stopped_is_lost_alone() {
    let folder = TempDir::new().unwrap();
    let (mut caller, reader) = open(folder.path(), None);
    caller.write(300);
    let state = caller.state.clone();
    drop((caller, reader));
    let last = segments(folder.path()).pop().unwrap();
    let held = fs::read_to_string(&last).unwrap().lines().count();
    fs::remove_file(&last).unwrap();
    let (mut caller, mut reader) = open(folder.path(), state.as_deref());
    assert_eq!(caller.to.room(), 0, "a new segment is to be announced");
    caller.written = 300;
    caller.write(10);
    let (got, lost) = read_all(&mut reader, 100, 10_000);
    assert_eq!(lost as usize, held);
    assert_eq!(got, lines((0..300 - held).chain(300..310)));
}

#[test]
fn a_segment_deleted_while_it_is_written_is_noticed() {
    let folder = TempDir::new().unwrap();
    let (mut caller, reader) = open(folder.path(), None);
    caller.write(10);
    caller.put("more\n");
    fs::remove_file(segments(folder.path()).pop().unwrap()).unwrap();
    let error = caller.to.sync().unwrap_err();
    assert!(matches!(error, Error::Deleted { .. }) && error.rewound(), "{error}");
    law(&caller.to.metrics());
    let state = caller.state.clone();
    drop((caller, reader));
    let (mut caller, mut reader) = open(folder.path(), state.as_deref());
    caller.written = 10;
    caller.write(10);
    assert_eq!(read_all(&mut reader, 100, 10_000).0, lines(10..20));
}

#[test]
fn states_of_others_are_refused() {
    let folder = TempDir::new().unwrap();
    for state in ["x", "{}", r#"{"path":"/a","length":1,"lines":1}"#] {
        let error = Spool::open(spool_settings(folder.path()), Some(state)).unwrap_err();
        assert!(matches!(error, Error::State { .. }), "{error}");
    }
    let state = r#"{"base":{"bytes":9,"lines":1},"end":{"bytes":8,"lines":1}}"#;
    assert!(Spool::open(spool_settings(folder.path()), Some(state)).is_err());
}

#[test]
fn long_lines_are_given_whole() {
    let folder = TempDir::new().unwrap();
    let (mut caller, mut reader) = open(folder.path(), None);
    let long = "y".repeat(1_000_000);
    caller.put("a\n");
    caller.put(&format!("{long}\n"));
    caller.put("b\n");
    caller.checkpoint();
    assert_eq!(read_all(&mut reader, 10, 100).0, ["a", &long, "b"]);
}

#[test]
fn what_is_in_the_way_is_said_at_once() {
    let folder = TempDir::new().unwrap();
    let (mut caller, mut reader) = open(folder.path(), None);
    caller.checkpoint();
    let first = folder.path().join(format!("{:020}-{:020}.lines", 0, 0));
    fs::create_dir(&first).unwrap();
    let error = caller.to.write(b"x\n", 1).unwrap_err();
    assert!(matches!(error, Error::Open { action: "create", .. }), "{error}");
    fs::remove_dir(&first).unwrap();
    caller.write(3);
    assert_eq!(read_all(&mut reader, 10, 100).0, lines(0..3));
}

#[test]
fn a_full_disk_takes_nothing_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let (mut caller, reader) = open(folder.path(), None);
    caller.checkpoint();
    let state = caller.state.clone();
    drop((caller, reader));
    let first = folder.path().join(format!("{:020}-{:020}.lines", 0, 0));
    std::os::unix::fs::symlink("/dev/full", &first).unwrap();
    let (mut caller, _reader) = open(folder.path(), state.as_deref());
    caller.put("small\n");
    for _ in 0..2 {
        let error = caller.to.sync().unwrap_err();
        assert!(matches!(error, Error::Write { .. }) && !error.rewound(), "{error}");
        assert!(error.to_string().contains("make room on the disk"), "{error}");
        let large = vec![b'x'; 300_000];
        assert!(matches!(caller.to.write(&large, 1), Err(Error::Write { .. })));
    }
    assert_eq!(law(&caller.to.metrics()).written, 0);
    assert_eq!(Some(caller.to.state()), state, "what is not durable is in no state");
}
