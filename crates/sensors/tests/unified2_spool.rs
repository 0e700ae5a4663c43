//! Following a spool: growth, rotation, restarts, and every way a file can be
//! torn, cut, replaced or damaged.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::{Got, decoded, drain, event, notices, packet, poll, record, records, some, stored};
use proptest::prelude::*;
use sensors::unified2::{MAX_RECORD, Notice, Position, PositionError, RecordError, Spool, SpoolError};
use tempfile::TempDir;

const FIRST: &str = "unified2.log.1322000000";
const SECOND: &str = "unified2.log.1322000100";
const THIRD: &str = "unified2.log.1322000200";

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn open(path: &Path) -> Spool {
    Spool::open(path, None, None).unwrap()
}

fn reopen(path: &Path, position: Position) -> Spool {
    Spool::open(path, None, Some(position)).unwrap()
}

#[test]
fn files_are_read_in_the_order_of_their_number() {
    let dir = dir();
    let (a, b, c) = (some(0, 5).concat(), some(5, 5).concat(), some(10, 5).concat());
    // 999999999 has fewer digits but comes first.
    put(&dir, SECOND, &c);
    put(&dir, "unified2.log.999999999", &a);
    put(&dir, FIRST, &b);
    put(&dir, "unified2.log", b"not one of them");
    put(&dir, "unified2.log.1", b"nor this");
    put(&dir, "alert", b"nor this");
    fs::create_dir(dir.path().join("unified2.log.1322000050")).unwrap();
    let mut spool = open(dir.path());
    assert_eq!(drain(&mut spool), decoded(&[a, b, c].concat()));
    let counts = spool.counts();
    assert_eq!((counts.files, counts.records), (3, 15));
    assert_eq!(counts.unknown, 3);
    assert_eq!(spool.position().unwrap().file, SECOND);
}

#[test]
fn a_file_chopped_at_every_byte_and_completed_gives_the_same() {
    let bytes = some(0, 5).concat();
    let whole = decoded(&bytes);
    let dir = dir();
    for cut in 0..=bytes.len() {
        let path = put(&dir, FIRST, &bytes[..cut]);
        let mut spool = open(dir.path());
        let mut got = drain(&mut spool);
        assert_eq!(drain(&mut spool), [], "idle twice at {cut}");
        append(&path, &bytes[cut..]);
        got.extend(drain(&mut spool));
        assert_eq!(got, whole, "cut at {cut}");
    }
}

#[test]
fn a_restart_at_every_record_goes_on_there() {
    let dir = dir();
    let (a, b) = (some(0, 9).concat(), some(9, 9).concat());
    put(&dir, FIRST, &a);
    put(&dir, SECOND, &b);
    let whole = decoded(&[a, b].concat());
    let mut spool = open(dir.path());
    let mut taken = 0;
    loop {
        let mut again = reopen(dir.path(), stored(&spool));
        assert_eq!(drain(&mut again), whole[taken..], "restart after {taken}");
        if poll(&mut spool).is_none() {
            break;
        }
        taken += 1;
    }
    assert_eq!(taken, whole.len());
}

#[test]
fn a_restart_within_a_growing_record_waits_for_it() {
    let dir = dir();
    let (a, b) = (event(1), packet(2, 300));
    let path = put(&dir, FIRST, &[a.as_slice(), &b[..100]].concat());
    let mut spool = open(dir.path());
    assert_eq!(drain(&mut spool), decoded(&a));
    let mut again = reopen(dir.path(), stored(&spool));
    assert_eq!(drain(&mut again), []);
    append(&path, &b[100..]);
    assert_eq!(drain(&mut again), decoded(&b));
}

#[test]
fn an_empty_directory_is_waited_in() {
    let dir = dir();
    let mut spool = open(dir.path());
    assert_eq!(drain(&mut spool), []);
    assert_eq!(spool.position(), None);
    let path = put(&dir, FIRST, b"");
    assert_eq!(drain(&mut spool), []);
    assert_eq!(spool.position().unwrap().offset, 0);
    append(&path, &event(1));
    assert_eq!(drain(&mut spool), decoded(&event(1)));
}

#[test]
fn one_of_several_bases_must_be_chosen() {
    let dir = dir();
    put(&dir, FIRST, &event(1));
    put(&dir, "snort.log.1322000000", b"a pcap file");
    let error = Spool::open(dir.path(), None, None).unwrap_err();
    assert!(matches!(&error, SpoolError::SeveralBases { bases, .. } if bases == "snort.log, unified2.log"));
    assert!(error.to_string().ends_with("choose one base name"));
    let mut spool = Spool::open(dir.path(), Some("unified2.log"), None).unwrap();
    assert_eq!(drain(&mut spool), decoded(&event(1)));
    // The position knows the base.
    assert_eq!(drain(&mut reopen(dir.path(), stored(&spool))), []);
}

#[test]
fn a_torn_end_of_a_file_with_a_successor_is_reported_and_skipped() {
    let dir = dir();
    let path = put(&dir, FIRST, &[event(1), packet(2, 90)].concat());
    let whole = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(whole - 1).unwrap();
    put(&dir, SECOND, &event(3));
    let mut spool = open(dir.path());
    let got = drain(&mut spool);
    assert_eq!(records(&got), decoded(&[event(1), event(3)].concat()));
    let torn = Notice::Torn { file: FIRST.into(), offset: 68, bytes: 125 };
    assert_eq!(notices(&got), std::slice::from_ref(&torn));
    assert_eq!(got[1], Got::Notice(torn));
}

#[test]
fn what_is_written_just_before_rotation_is_not_lost() {
    let dir = dir();
    let path = put(&dir, FIRST, &event(1));
    let mut spool = open(dir.path());
    assert_eq!(drain(&mut spool), decoded(&event(1)));
    append(&path, &event(2));
    put(&dir, SECOND, &event(3));
    append(&path, &event(4));
    assert_eq!(drain(&mut spool), decoded(&[event(2), event(4), event(3)].concat()));
}

#[test]
fn a_damaged_length_skips_to_the_next_file() {
    let dir = dir();
    let bad = [event(1), common::words(&[7, MAX_RECORD + 1]), event(2)].concat();
    put(&dir, FIRST, &bad);
    put(&dir, SECOND, &event(3));
    let mut spool = open(dir.path());
    let got = drain(&mut spool);
    assert_eq!(records(&got), decoded(&[event(1), event(3)].concat()));
    let error = RecordError::TooLong { record_type: 7, offset: 68, length: MAX_RECORD + 1 };
    assert_eq!(notices(&got), [Notice::Corrupt { file: FIRST.into(), error, waiting: false }]);
}

#[test]
fn damage_in_the_last_file_is_said_once_and_the_next_file_waited_for() {
    let dir = dir();
    // What a crash of the machine may leave: zeros for data not yet on disk.
    let path = put(&dir, FIRST, &[event(1), vec![0; 4096]].concat());
    let mut spool = open(dir.path());
    let got = drain(&mut spool);
    assert_eq!(
        notices(&got),
        [Notice::Corrupt { file: FIRST.into(), error: RecordError::Zeros { offset: 68 }, waiting: true }]
    );
    assert_eq!(
        notices(&got)[0].to_string(),
        format!(
            "{FIRST} is damaged and the rest of it is skipped: zeros instead of a unified2 record header at offset 68; waiting for the sensor's next file, restart the sensor to begin one"
        )
    );
    append(&path, &event(2));
    assert_eq!(drain(&mut spool), []);
    let before = stored(&spool);
    assert_eq!(before.offset, 68);
    put(&dir, SECOND, &event(3));
    assert_eq!(drain(&mut spool), decoded(&event(3)));
    // A restart before the damage finds it again, and again goes on.
    let got = drain(&mut reopen(dir.path(), before));
    assert_eq!(records(&got), decoded(&event(3)));
    assert_eq!(notices(&got).len(), 1);
}

#[test]
fn a_record_that_makes_no_sense_is_skipped_alone() {
    let dir = dir();
    put(&dir, FIRST, &[event(1), record(104, b"short"), event(2)].concat());
    let mut spool = open(dir.path());
    let got = drain(&mut spool);
    assert_eq!(records(&got), decoded(&[event(1), event(2)].concat()));
    assert_eq!(
        notices(&got)[0].to_string(),
        format!(
            "a record of {FIRST} is skipped: unified2 record type 104: field event_id at offset 80 needs 4 bytes, the record has 1 left"
        )
    );
    assert_eq!(spool.counts().malformed, 1);
    assert_eq!(spool.counts().records, 2);
}

#[test]
fn a_file_emptied_and_written_again_is_read_again() {
    let dir = dir();
    let path = put(&dir, FIRST, &[event(1), event(2)].concat());
    let mut spool = open(dir.path());
    drain(&mut spool);
    fs::write(&path, event(3)).unwrap();
    let got = drain(&mut spool);
    assert_eq!(notices(&got), [Notice::Truncated { file: FIRST.into(), offset: 136, length: 68 }]);
    assert_eq!(records(&got), decoded(&event(3)));
}

#[test]
fn a_file_rewritten_past_the_place_reached_is_noticed() {
    let dir = dir();
    // Once with records that end where the old ones did, once without.
    for new in [[event(3), event(4), event(5)].concat(), some(21, 8).concat()] {
        let path = put(&dir, FIRST, &[event(1), event(2)].concat());
        let mut spool = open(dir.path());
        drain(&mut spool);
        fs::write(&path, &new).unwrap();
        let got = drain(&mut spool);
        assert_eq!(notices(&got), [Notice::Replaced { file: FIRST.into(), offset: 136 }]);
        assert_eq!(records(&got), decoded(&new));
    }
}

#[test]
fn a_file_rewritten_while_much_of_it_is_unread_is_noticed() {
    let dir = dir();
    let old: Vec<u8> = (0..50).flat_map(|id| packet(id, 6000)).collect();
    let path = put(&dir, FIRST, &old);
    let mut spool = open(dir.path());
    assert!(poll(&mut spool).is_some());
    let new = record(77, &vec![0xff; 400_000]);
    fs::write(&path, &new).unwrap();
    let got = drain(&mut spool);
    let Some(Got::Notice(Notice::Replaced { file, .. })) = got.iter().rev().nth(1) else {
        panic!("{:?}", notices(&got));
    };
    assert_eq!(file, FIRST);
    assert_eq!(notices(&got).len(), 1);
    assert!(got.last() == decoded(&new).last());
}

#[test]
fn a_file_that_loses_its_end_while_read_repeats_nothing() {
    let dir = dir();
    let path = put(&dir, FIRST, &[event(1), event(2), event(3)].concat());
    let mut spool = open(dir.path());
    drain(&mut spool);
    File::options().write(true).open(&path).unwrap().set_len(136).unwrap();
    assert_eq!(drain(&mut spool), [Got::Notice(Notice::Truncated { file: FIRST.into(), offset: 204, length: 136 })]);
    append(&path, &event(4));
    assert_eq!(drain(&mut spool), decoded(&event(4)));
}

#[test]
fn a_file_replaced_under_its_name_is_read_anew_after_the_old_one() {
    let dir = dir();
    let path = put(&dir, "unified2.log", &event(1));
    let mut spool = open(&path);
    assert_eq!(drain(&mut spool), decoded(&event(1)));
    append(&path, &event(2));
    append(&path, &event(3)[..30]);
    fs::rename(&path, dir.path().join("unified2.log.old")).unwrap();
    // Until the new file is there the old one is still read.
    assert_eq!(drain(&mut spool), decoded(&event(2)));
    put(&dir, "unified2.log", &event(4));
    let got = drain(&mut spool);
    assert_eq!(records(&got), decoded(&event(4)));
    assert_eq!(
        notices(&got),
        [
            Notice::Torn { file: "unified2.log".into(), offset: 136, bytes: 30 },
            Notice::Replaced { file: "unified2.log".into(), offset: 136 }
        ]
    );
}

#[test]
fn a_copy_in_place_of_the_file_repeats_nothing() {
    let dir = dir();
    let path = put(&dir, FIRST, &[event(1), event(2)].concat());
    let mut spool = open(dir.path());
    drain(&mut spool);
    let position = stored(&spool);
    let copy = put(&dir, "copy", &[event(1), event(2), event(3)].concat());
    fs::rename(copy, &path).unwrap();
    assert_eq!(drain(&mut spool), decoded(&event(3)));
    assert_eq!(drain(&mut reopen(dir.path(), position)), decoded(&event(3)));
}

#[test]
fn a_restart_in_a_recreated_file_starts_it_anew() {
    let dir = dir();
    put(&dir, FIRST, &[event(1), event(2)].concat());
    let mut spool = open(dir.path());
    drain(&mut spool);
    let position = stored(&spool);
    // The same first record, another second one.
    put(&dir, FIRST, &[event(1), event(7), event(8)].concat());
    let got = drain(&mut reopen(dir.path(), position));
    assert_eq!(notices(&got), [Notice::Replaced { file: FIRST.into(), offset: 136 }]);
    assert_eq!(records(&got), decoded(&[event(1), event(7), event(8)].concat()));
}

#[test]
fn a_crash_that_lost_the_end_of_a_file_repeats_nothing() {
    let dir = dir();
    let path = put(&dir, FIRST, &[event(1), event(2), event(3)].concat());
    let mut spool = open(dir.path());
    drain(&mut spool);
    let position = stored(&spool);
    File::options().write(true).open(&path).unwrap().set_len(150).unwrap();
    put(&dir, SECOND, &event(9));
    let got = drain(&mut reopen(dir.path(), position));
    assert_eq!(records(&got), decoded(&event(9)));
    assert_eq!(
        notices(&got),
        [
            Notice::Truncated { file: FIRST.into(), offset: 204, length: 150 },
            Notice::Torn { file: FIRST.into(), offset: 136, bytes: 14 }
        ]
    );
}

#[test]
fn a_restart_without_its_file_goes_on_with_the_next() {
    let dir = dir();
    let path = put(&dir, SECOND, &event(1));
    let mut spool = open(dir.path());
    drain(&mut spool);
    let position = stored(&spool);
    fs::remove_file(&path).unwrap();
    put(&dir, FIRST, &event(5));
    let mut spool = reopen(dir.path(), position.clone());
    assert_eq!(drain(&mut spool), [Got::Notice(Notice::Missing { file: SECOND.into() })]);
    assert_eq!(spool.position(), Some(position));
    put(&dir, THIRD, &event(2));
    assert_eq!(drain(&mut spool), decoded(&event(2)));
    assert_eq!(spool.position().unwrap().file, THIRD);
}

#[test]
fn files_removed_once_read_are_no_matter() {
    let dir = dir();
    let first = put(&dir, FIRST, &event(1));
    let mut spool = open(dir.path());
    drain(&mut spool);
    fs::remove_file(first).unwrap();
    assert_eq!(drain(&mut spool), []);
    put(&dir, SECOND, &event(2));
    assert_eq!(drain(&mut spool), decoded(&event(2)));
}

#[test]
fn a_position_of_another_spool_is_refused() {
    let dir = dir();
    let path = put(&dir, FIRST, &event(1));
    let mut spool = open(dir.path());
    drain(&mut spool);
    let other = put(&dir, "other.log.1322000000", &event(1));
    for result in
        [Spool::open(dir.path(), Some("other.log"), spool.position()), Spool::open(&other, None, spool.position())]
    {
        assert!(matches!(result, Err(SpoolError::ForeignPosition { .. })));
    }
    // A single file knows its own.
    assert_eq!(drain(&mut reopen(&path, stored(&spool))), []);
    assert!(matches!(Spool::open(dir.path().join("nowhere"), None, None), Err(SpoolError::Io { .. })));
}

#[test]
fn records_larger_than_the_buffer() {
    let dir = dir();
    let bytes = [event(1), packet(2, 1_000_000), record(77, &vec![7; MAX_RECORD as usize]), event(3)].concat();
    let path = put(&dir, FIRST, &bytes[..900_000]);
    let mut spool = open(dir.path());
    let mut got = drain(&mut spool);
    append(&path, &bytes[900_000..]);
    got.extend(drain(&mut spool));
    assert!(got == decoded(&bytes));
}

#[test]
fn positions_survive_as_bytes() {
    let dir = dir();
    put(&dir, FIRST, &some(0, 3).concat());
    let mut spool = open(dir.path());
    poll(&mut spool);
    let position = spool.position().unwrap();
    let bytes = position.encode();
    assert!(bytes.len() < 80);
    assert_eq!(Position::decode(&bytes), Ok(position));
    for cut in 0..43 {
        assert_eq!(Position::decode(&bytes[..cut]), Err(PositionError::Short));
    }
    assert_eq!(Position::decode(&bytes[..43]), Err(PositionError::File));
    let other = [&[9], &bytes[1..]].concat();
    assert_eq!(Position::decode(&other), Err(PositionError::Version(9)));
    let path = [&bytes[..43], b"../../etc/x"].concat();
    assert_eq!(Position::decode(&path), Err(PositionError::File));
}

#[test]
fn a_directory_is_listed_again_only_when_it_has_changed() {
    let dir = dir();
    let age = |seconds| {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        File::open(dir.path()).unwrap().set_modified(then).unwrap();
        then
    };
    put(&dir, FIRST, &event(1));
    let then = age(60);
    let mut spool = open(dir.path());
    assert_eq!(drain(&mut spool), decoded(&event(1)));
    put(&dir, SECOND, &event(2));
    // As if nothing had been added.
    File::open(dir.path()).unwrap().set_modified(then).unwrap();
    assert_eq!(drain(&mut spool), []);
    age(30);
    assert_eq!(drain(&mut spool), decoded(&event(2)));
    put(&dir, THIRD, &event(3));
    assert_eq!(drain(&mut spool), decoded(&event(3)));
}

#[test]
fn a_sensor_that_writes_meanwhile() {
    let dir = dir();
    let all = some(0, 2000);
    let whole = decoded(&all.concat());
    let at = dir.path().to_owned();
    let sensor = thread::spawn(move || {
        // Short files: the reader is often at the end of one when it is
        // completed and the next one begun.
        for (second, part) in (1_322_000_000..).zip(all.chunks(5)) {
            let mut file = File::create(at.join(format!("u2.{second}"))).unwrap();
            for piece in part.concat().chunks(400) {
                file.write_all(piece).unwrap();
            }
        }
    });
    let mut spool = open(dir.path());
    let mut got = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while got.len() < whole.len() && Instant::now() < deadline {
        got.extend(drain(&mut spool));
        // Now and then the reader is stopped.
        if got.len() % 7 == 0
            && let Some(position) = spool.position()
        {
            spool = reopen(dir.path(), position);
        }
    }
    sensor.join().unwrap();
    assert!(got == whole, "{:?}", notices(&got));
    assert_eq!(drain(&mut spool), []);
}

/// What a sensor does, in any order.
#[derive(Clone, Debug)]
enum Step {
    /// Writes this many bytes of what is to be written.
    Write(usize),
    /// Ends the record that was begun, and begins a new file.
    Rotate,
    /// Polls at most so often.
    Poll(usize),
    /// Stops the reader and starts one at the stored position.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..700).prop_map(Step::Write),
        1 => Just(Step::Rotate),
        4 => (0_usize..8).prop_map(Step::Poll),
        2 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens, every record comes once and in order.
    #[test]
    fn growth_rotation_and_restarts(steps in steps()) {
        let dir = dir();
        let records = some(0, 60);
        let ends: Vec<usize> = records
            .iter()
            .scan(0, |end, record| {
                *end += record.len();
                Some(*end)
            })
            .collect();
        let bytes = records.concat();
        let mut written = 0;
        let mut second = 1_322_000_000;
        let mut path = put(&dir, &format!("u2.{second}"), b"");
        let mut spool = open(dir.path());
        let mut got = Vec::new();
        for step in steps {
            match step {
                Step::Write(count) => {
                    let to = (written + count).min(bytes.len());
                    append(&path, &bytes[written..to]);
                    written = to;
                }
                Step::Rotate => {
                    let to = ends.iter().copied().find(|end| *end >= written);
                    let to = if written == 0 { 0 } else { to.unwrap_or(written) };
                    append(&path, &bytes[written..to]);
                    written = to;
                    second += 1;
                    path = put(&dir, &format!("u2.{second}"), b"");
                }
                Step::Poll(count) => got.extend((0..count).map_while(|_| poll(&mut spool))),
                Step::Restart => spool = reopen(dir.path(), stored(&spool)),
            }
        }
        append(&path, &bytes[written..]);
        got.extend(drain(&mut spool));
        prop_assert_eq!(got, decoded(&bytes));
    }

    /// Files of noise end, one way or the other, and the next file is read.
    #[test]
    fn noise_never_panics_or_hangs(
        noise in proptest::collection::vec(any::<u8>(), 0..2000),
        small in any::<bool>(),
    ) {
        // Small numbers make lengths that can be.
        let noise: Vec<u8> = noise
            .into_iter()
            .enumerate()
            .map(|(at, byte)| if small && at % 4 != 3 { 0 } else { byte })
            .collect();
        let dir = dir();
        put(&dir, FIRST, &noise);
        put(&dir, SECOND, &event(1));
        let got = drain(&mut open(dir.path()));
        prop_assert_eq!(got.last(), Some(&decoded(&event(1))[0]));
    }

    #[test]
    fn positions_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = Position::decode(&bytes);
        let bytes = [vec![1], bytes].concat();
        if let Ok(position) = Position::decode(&bytes) {
            prop_assert_eq!(position.encode(), bytes);
        }
    }
}
