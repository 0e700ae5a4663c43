//! Complete files through every kind of death: each line once and in order, and nothing half under a final name.

use super::names::{Own, with_suffix};
use super::os::fault::{self, Op};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

const ENOSPC: i32 = 28;
const EACCES: i32 = 13;
const EIO: i32 = 5;

/// The process is dead.
#[derive(Debug)]
struct Dead;

/// What is to be expected of the current file.
#[derive(Debug, Clone, Default)]
struct Model {
    path: String,
    lines: usize,
    bytes: u64,
    since: u64,
}

/// A caller that keeps the contract, and a model of when files are complete.
struct Site {
    folder: TempDir,
    settings: Settings,
    output: Option<(File, Option<Keeper>)>,
    position: usize,
    model: Model,
    stored: Option<(usize, String, Model)>,
}

impl Site {
    fn new(change: impl FnOnce(&mut Settings)) -> Site {
        fault::die_after(None);
        fault::set_clock(Duration::from_secs(1_700_000_000));
        // Memory is enough: nobody takes the power away.
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let mut settings = Settings::new(folder.path(), "e{0}.json");
        change(&mut settings);
        let mut site = Site { folder, settings, output: None, position: 0, model: Model::default(), stored: None };
        site.start().unwrap();
        site
    }

    fn file(&mut self) -> &mut File {
        &mut self.output.as_mut().unwrap().0
    }

    /// An error is death, or a fault of the program.
    fn alive<T>(&self, outcome: Result<T, Error>) -> Result<T, Dead> {
        match outcome {
            Ok(value) if !fault::is_dead() => Ok(value),
            Err(e) if !fault::is_dead() => panic!("{e}"),
            _ => Err(Dead),
        }
    }

    fn start(&mut self) -> Result<(), Dead> {
        let state = self.stored.as_ref().map(|(_, state, _)| state.as_str());
        let opened = File::prepare(self.settings.clone(), state);
        self.output = Some(self.alive(opened)?);
        (self.position, self.model) = match &self.stored {
            Some((position, _, model)) => (*position, model.clone()),
            None => Default::default(),
        };
        self.expect();
        Ok(())
    }

    fn crash(&mut self) {
        self.output = None;
        self.check_final_names();
        self.start().unwrap();
    }

    /// After a death the process is started until it lives, each time with more operations before it dies.
    fn revive(&mut self, mut operations: u32) {
        self.output = None;
        self.check_final_names();
        loop {
            fault::die_after(Some(operations));
            let started = self.start();
            fault::die_after(None);
            if started.is_ok() {
                return;
            }
            self.output = None;
            self.check_final_names();
            operations += 1;
        }
    }

    /// What the model says about the file of the state: it goes on, or it is complete and there is another.
    fn expect(&mut self) {
        let state: State = serde_json::from_str(&self.file().state()).unwrap();
        let (settings, now) = (&self.settings, milliseconds(os::now()));
        let Model { lines, bytes, since, .. } = self.model;
        let old = settings.max_age.filter(|_| since > 0).is_some_and(|limit| {
            let limit = milliseconds(limit);
            if settings.aligned { now / limit != since / limit } else { now - since >= limit }
        });
        let full = settings.lines_per_file.is_some_and(|limit| lines >= limit)
            || settings.max_bytes.is_some_and(|limit| bytes >= limit)
            || old
            || self.model.path.is_empty();
        assert_eq!(state.path != self.model.path, full, "{:?} {state:?}", self.model);
        if full {
            self.model = Model { path: state.path, ..Model::default() };
        }
    }

    fn sync(&mut self) -> Result<(), Dead> {
        let outcome = self.file().sync();
        self.alive(outcome)?;
        self.expect();
        Ok(())
    }

    fn store(&mut self) -> Result<String, Dead> {
        fault::check(Op::Sync).map_err(|_| Dead)?;
        let state = self.file().state();
        self.stored = Some((self.position, state.clone(), self.model.clone()));
        Ok(state)
    }

    fn checkpoint(&mut self) -> Result<(), Dead> {
        self.sync()?;
        let state = self.store()?;
        self.file().stored(&state);
        self.alive(Ok(()))
    }

    fn write(&mut self, mut lines: usize) -> Result<(), Dead> {
        while lines > 0 {
            if self.file().room() == 0 {
                self.checkpoint()?;
            }
            let now = lines.min(self.file().room());
            assert!(now > 0);
            let bytes: Vec<u8> = (self.position..self.position + now).flat_map(line).collect();
            let outcome = self.file().write(&bytes, now);
            self.alive(outcome)?;
            self.position += now;
            self.model.lines += now;
            self.model.bytes += bytes.len() as u64;
            if self.model.since == 0 {
                self.model.since = milliseconds(os::now());
            }
            lines -= now;
        }
        Ok(())
    }

    /// Everything that there is to do with complete files.
    fn keep(&mut self) -> Result<(), Dead> {
        if let Some(keeper) = &mut self.output.as_mut().unwrap().1 {
            while keeper.turn().is_zero() && !fault::is_dead() {}
        }
        self.alive(Ok(()))
    }

    fn names(&self) -> Names {
        Names { folder: self.settings.folder.clone(), pattern: self.settings.name.clone() }
    }

    /// Contents of files with final names in their order. A plain one beside a compressed one says the same.
    fn files(&self) -> BTreeMap<Stamp, Vec<u8>> {
        let (names, mut files) = (self.names(), BTreeMap::new());
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let content = fs::read(&path).unwrap();
            let (stamp, content) = match names.kind(name) {
                Some(Own::Plain(stamp)) => (stamp, content),
                Some(Own::Packed(stamp)) => (stamp, unpack(name, &content)),
                _ => continue,
            };
            if let Some(before) = files.insert(stamp, content.clone()) {
                assert_eq!(before, content, "{name} and what it was compressed from");
            }
        }
        files
    }

    /// At any time: what has a final name is whole, if the file being written has another.
    fn check_final_names(&self) {
        if self.settings.partial {
            for (stamp, content) in self.files() {
                let lines = content.iter().filter(|b| **b == b'\n').count();
                assert!(content.ends_with(b"\n"), "{stamp:?} is torn");
                let only_lines = self.settings.max_bytes.is_none() && self.settings.max_age.is_none();
                if let Some(limit) = self.settings.lines_per_file.filter(|_| only_lines) {
                    assert_eq!(lines, limit, "{stamp:?} is not complete");
                }
            }
        }
    }

    /// At the end: each line once and in order.
    fn check(&mut self) {
        fault::die_after(None);
        self.checkpoint().unwrap();
        self.checkpoint().unwrap();
        self.keep().unwrap();
        let mut all: Vec<u8> = self.files().into_values().flatten().collect();
        let current = PathBuf::from(&self.model.path);
        if self.settings.partial {
            all.extend(fs::read(hidden(&current, "part")).unwrap_or_default());
        }
        let expected: Vec<u8> = (0..self.position).flat_map(line).collect();
        assert!(all == expected, "{}\n{}", String::from_utf8_lossy(&all), String::from_utf8_lossy(&expected));
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            match self.names().kind(path.file_name().unwrap().to_str().unwrap()) {
                Some(Own::Plain(_)) => assert!(self.settings.compression.is_none() || path == current, "{path:?}"),
                Some(Own::Packed(_)) => assert!(self.settings.compression.is_some(), "{path:?}"),
                _ => assert!(self.settings.partial && path == hidden(&current, "part"), "{path:?} is left"),
            }
        }
    }
}

fn line(number: usize) -> Vec<u8> {
    format!("{number} {}\n", "x".repeat(if number % 11 == 7 { 60 } else { number % 5 })).into_bytes()
}

fn unpack(name: &str, content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let read = match name.ends_with(".gz") {
        true => flate2::read::GzDecoder::new(content).read_to_end(&mut plain),
        false => zstd::stream::read::Decoder::new(content).and_then(|mut d| d.read_to_end(&mut plain)),
    };
    read.unwrap_or_else(|e| panic!("{name}: {e}"));
    plain
}

/// Three files and a piece: every operation on the disk is the last of a process once.
#[test]
fn killed_at_any_step_nothing_is_lost_doubled_or_half() {
    for (partial, compression) in [
        (false, None),
        (true, None),
        (false, Some(Compression::Gzip)),
        (true, Some(Compression::Gzip)),
        (true, Some(Compression::Zstd)),
    ] {
        let mut deaths = 0;
        for operations in 1.. {
            let mut site = Site::new(|s| {
                (s.lines_per_file, s.partial, s.compression) = (Some(4), partial, compression);
            });
            fault::die_after(Some(operations));
            let life = |site: &mut Site| {
                while site.position < 14 {
                    site.write(3)?;
                    site.checkpoint()?;
                    site.keep()?;
                }
                Ok::<_, Dead>(())
            };
            let outcome = life(&mut site);
            let died = outcome.is_err();
            if died {
                deaths += 1;
                // The second life dies as well, a little later each time.
                site.revive(operations % 7);
                life(&mut site).unwrap();
            }
            site.check();
            assert!(site.position >= 14);
            if !died {
                break;
            }
        }
        assert!(deaths > if partial { 30 } else { 20 }, "{deaths}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Checkpoint,
    Sync,
    Keep,
    Wait(u64),
    Crash,
    /// Stored, but the crash comes before the destination hears of it.
    CrashAfterStore,
    /// After so many operations, and after so many more of the next life.
    Die(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1usize..12).prop_map(Step::Write),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Sync),
        2 => Just(Step::Keep),
        3 => (1u64..900).prop_map(Step::Wait),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashAfterStore),
        2 => (1u32..25, 0u32..9).prop_map(|(a, b)| Step::Die(a, b)),
    ];
    proptest::collection::vec(step, 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rotation_is_as_the_model_says_and_each_line_is_there_once(
        steps in steps(),
        lines in proptest::option::of(1usize..15),
        bytes in proptest::option::of(1u64..200),
        age in proptest::option::of(1u64..2000),
        aligned: bool,
        partial: bool,
        compression in prop_oneof![Just(None), Just(Some(Compression::Gzip)), Just(Some(Compression::Zstd))],
    ) {
        let mut site = Site::new(|s| {
            (s.lines_per_file, s.max_bytes, s.max_age) = (lines, bytes, age.map(Duration::from_millis));
            (s.aligned, s.partial, s.compression) = (aligned, partial, compression);
        });
        let mut again = 0;
        for step in steps {
            let outcome = match step {
                Step::Write(lines) => site.write(lines),
                Step::Checkpoint => site.checkpoint(),
                Step::Sync => site.sync(),
                Step::Keep => site.keep(),
                Step::Wait(time) => {
                    fault::set_clock(os::now() + Duration::from_millis(time));
                    Ok(())
                }
                Step::Crash => {
                    fault::die_after(None);
                    site.crash();
                    Ok(())
                }
                Step::CrashAfterStore => {
                    let stored = site.sync().and_then(|()| site.store());
                    if stored.is_ok() {
                        fault::die_after(None);
                        site.crash();
                    }
                    stored.map(|_| ())
                }
                Step::Die(operations, next) => {
                    again = next;
                    fault::die_after(Some(operations));
                    Ok(())
                }
            };
            if outcome.is_err() {
                site.revive(again);
            }
        }
        if site.checkpoint().is_err() {
            site.revive(again);
        }
        site.check();
    }
}

/// What the kernel could not write may be gone although a later sync succeeds: it is written again.
#[test]
fn when_a_sync_fails_the_file_is_cut_and_the_lines_come_again() {
    for op in [Op::Sync, Op::SyncFolder] {
        let mut site = Site::new(|s| s.lines_per_file = Some(100));
        if op == Op::Sync {
            site.write(5).unwrap();
            site.checkpoint().unwrap();
        } else {
            site.checkpoint().unwrap();
        }
        let length = site.model.bytes;
        site.write(5).unwrap();
        fault::fail(op, EIO);
        let error = site.file().sync().unwrap_err();
        assert!(error.rewound() && fault::has_failed(), "{error}");
        assert!(error.to_string().contains("the events since the last checkpoint must be written again"), "{error}");
        assert_eq!(fs::metadata(&site.model.path).unwrap().len(), length, "cut off at the last durable length");
        // Deliver again from the checkpoint, without opening anew.
        let (position, state, model) = site.stored.clone().unwrap();
        assert_eq!(site.file().state(), state);
        (site.position, site.model) = (position, model);
        site.write(7).unwrap();
        site.check();
    }
}

#[test]
fn a_file_that_cannot_get_its_name_stays_until_it_can() {
    let mut site = Site::new(|s| (s.lines_per_file, s.partial) = (Some(2), true));
    site.write(2).unwrap();
    site.sync().unwrap();
    let state = site.store().unwrap();
    fault::fail(Op::Rename, EACCES);
    site.file().stored(&state);
    assert!(fault::has_failed() && site.files().is_empty());
    let error = site.file().metrics().last_error().unwrap();
    assert!(error.starts_with("cannot rename ") && error.contains(".json.part: Permission denied"), "{error}");
    fault::fail(Op::Rename, EACCES);
    assert!(!site.file().sync().unwrap_err().rewound());
    site.write(1).unwrap();
    site.check();
    assert_eq!((site.files().len(), site.file().metrics().completed.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn a_final_name_that_another_program_took_is_not_overwritten() {
    for (crash, suffix) in [(false, ""), (true, ""), (false, ".gz"), (true, ".zst")] {
        let mut site = Site::new(|s| (s.lines_per_file, s.partial) = (Some(2), true));
        site.write(2).unwrap();
        site.sync().unwrap();
        let first = site.names().path(Stamp { second: 1_700_000_000, number: 0 });
        let taken = with_suffix(&first, suffix);
        let state = site.store().unwrap();
        fs::write(&taken, "foreign").unwrap();
        match crash {
            true => {
                site.output = None;
                site.start().unwrap();
            }
            false => site.file().stored(&state),
        }
        assert_eq!(fs::read(&taken).unwrap(), b"foreign");
        assert_eq!(first.exists(), suffix.is_empty(), "what is made of it later would replace {taken:?}");
        fs::remove_file(&taken).unwrap();
        let files: Vec<Vec<u8>> = site.files().into_values().collect();
        assert_eq!(files, [[line(0), line(1)].concat()]);
        // The one that follows was to have the name that the first one took.
        site.write(3).unwrap();
        site.check();
        assert_eq!(site.files().len(), 2);
    }
}

#[test]
fn other_settings_complete_the_file_there_is() {
    for (before, after) in [(true, false), (false, true)] {
        let mut site = Site::new(|s| (s.lines_per_file, s.partial) = (Some(10), before));
        site.write(3).unwrap();
        site.checkpoint().unwrap();
        site.write(3).unwrap();
        site.settings.partial = after;
        site.output = None;
        let (position, state, _) = site.stored.clone().unwrap();
        site.output = Some(File::prepare(site.settings.clone(), Some(&state)).unwrap());
        site.position = position;
        site.model = Model::default();
        site.expect();
        site.checkpoint().unwrap();
        let files: Vec<Vec<u8>> = site.files().into_values().collect();
        assert_eq!(files, [(0..3).flat_map(line).collect::<Vec<u8>>()]);
        site.write(4).unwrap();
        site.check();
    }
}

#[test]
fn a_file_is_complete_when_it_is_old_even_if_nothing_more_comes() {
    let mut site = Site::new(|s| s.max_age = Some(Duration::from_secs(60)));
    site.checkpoint().unwrap();
    fault::set_clock(os::now() + Duration::from_secs(1000));
    site.checkpoint().unwrap();
    site.write(2).unwrap();
    let path = site.model.path.clone();
    fault::set_clock(os::now() + Duration::from_secs(59));
    site.checkpoint().unwrap();
    assert_eq!(site.model.path, path, "what was announced and not written to has no age");
    // The age counts across a restart.
    site.crash();
    fault::set_clock(os::now() + Duration::from_secs(1));
    site.checkpoint().unwrap();
    assert_ne!(site.model.path, path);
    // A clock that was put back does not make the file live for ever.
    site.write(1).unwrap();
    let path = site.model.path.clone();
    let back = os::now() - Duration::from_secs(100_000);
    fault::set_clock(back);
    site.model.since = milliseconds(back);
    site.checkpoint().unwrap();
    assert_eq!(site.model.path, path);
    fault::set_clock(back + Duration::from_secs(60));
    site.checkpoint().unwrap();
    assert_ne!(site.model.path, path);
}

#[test]
fn a_name_is_not_given_again_when_its_file_is_gone_in_the_same_second() {
    let mut site = Site::new(|s| s.lines_per_file = Some(1));
    site.write(2).unwrap();
    site.checkpoint().unwrap();
    for entry in fs::read_dir(site.folder.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    site.crash();
    site.write(2).unwrap();
    let numbers: Vec<u64> = site.files().into_keys().map(|stamp| stamp.number).collect();
    assert_eq!(numbers, [2, 3]);
}

#[test]
fn lines_of_one_length_exceed_the_bytes_by_less_than_one() {
    let folder = TempDir::new().unwrap();
    let settings = Settings { max_bytes: Some(100_000), ..Settings::new(folder.path(), "e{0}") };
    let (mut file, _) = File::prepare(settings, None).unwrap();
    let line = [b"x".repeat(699), b"\n".to_vec()].concat();
    let mut syncs = 0;
    for _ in 0..3 {
        file.stored(&file.state());
        while file.room() > 0 {
            let lines = file.room().min(40);
            file.write(&line.repeat(lines), lines).unwrap();
        }
        file.sync().unwrap();
        syncs += 1;
    }
    let lengths = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
    assert_eq!((lengths.collect::<Vec<_>>(), syncs), (vec![100_100; 3], 3));
}

#[test]
fn a_full_disk_leaves_the_file_as_it_was_and_compression_is_tried_again() {
    let mut site = Site::new(|s| (s.lines_per_file, s.compression) = (Some(2), Some(Compression::Gzip)));
    site.write(4).unwrap();
    site.checkpoint().unwrap();
    fault::fail(Op::Write, ENOSPC);
    site.keep().unwrap();
    assert!(fault::has_failed());
    let metrics = site.file().metrics();
    let error = metrics.last_error().unwrap();
    assert!(error.starts_with("cannot compress ") && error.contains("No space left"), "{error}");
    assert_eq!((site.files().len(), metrics.compressed.load(Ordering::Relaxed)), (2, 0));
    assert_eq!(fs::read_dir(site.folder.path()).unwrap().count(), 2, "nothing half is left");
    std::thread::sleep(Duration::from_millis(1050));
    site.check();
    assert_eq!((metrics.compressed.load(Ordering::Relaxed), metrics.last_error()), (2, None));
    let kept = fs::read_dir(site.folder.path()).unwrap().map(|e| e.unwrap().path());
    assert!(kept.into_iter().all(|path| path.extension().is_some_and(|e| e == "gz")));
}

#[test]
fn retention_deletes_the_oldest_and_never_what_is_written_or_foreign() {
    let day = Duration::from_secs(86_400);
    let cases = [
        (Retention { files: Some(2), ..Retention::default() }, 2),
        (Retention { files: Some(0), ..Retention::default() }, 0),
        (Retention { bytes: Some(250), ..Retention::default() }, 2),
        (Retention { age: Some(day), ..Retention::default() }, 3),
        (Retention { files: Some(4), age: Some(day), ..Retention::default() }, 3),
        (Retention::default(), 6),
    ];
    for (retention, left) in cases {
        let mut site = Site::new(|s| (s.lines_per_file, s.retention) = (Some(10), retention));
        let foreign = ["e.json", "e1700000000.json.bak", "f1700000000.json", "e17000000000.json"];
        for name in foreign {
            fs::write(site.folder.path().join(name), "foreign").unwrap();
        }
        site.write(35).unwrap();
        site.checkpoint().unwrap();
        site.keep().unwrap();
        // Those of an earlier life, compressed ones among them, count as well.
        for (i, name) in ["e1600000000.json", "e1600000000_0001.json.gz", "e1600000001.json.zst"].iter().enumerate() {
            fs::write(site.folder.path().join(name), vec![b'\n'; 100]).unwrap();
            let file = fs::OpenOptions::new().write(true).open(site.folder.path().join(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + i as u64)).unwrap();
        }
        site.crash();
        site.keep().unwrap();
        let (names, mut stamps) = (site.names(), Vec::new());
        for entry in fs::read_dir(site.folder.path()).unwrap() {
            let name = entry.unwrap().file_name();
            if let Some(Own::Plain(stamp) | Own::Packed(stamp)) = names.kind(name.to_str().unwrap()) {
                stamps.push(stamp);
            }
        }
        stamps.sort();
        let current = names.stamp(Path::new(&site.model.path)).unwrap();
        assert_eq!((stamps.pop(), stamps.len()), (Some(current), left), "{retention:?}");
        assert!(foreign.iter().all(|name| site.folder.path().join(name).exists()));
        let expected: Vec<Stamp> = (0..3).map(|i| Stamp { second: current.second, number: i }).collect();
        assert!(expected.ends_with(&stamps) || left == 6, "{stamps:?}");
        site.write(1).unwrap();
        site.checkpoint().unwrap();
    }
}

#[test]
fn what_another_process_writes_is_left_alone() {
    let mut site = Site::new(|s| s.retention.files = Some(0));
    let path = site.folder.path().join("e1600000000.json");
    let other = os::open(&path, true).unwrap();
    site.crash();
    site.keep().unwrap();
    assert!(path.exists());
    drop(other);
    site.keep().unwrap();
    assert!(!path.exists());
    let metrics = site.file().metrics();
    assert_eq!(metrics.deleted.load(Ordering::Relaxed), 1);
}

#[test]
fn the_state_of_an_earlier_version_is_read() {
    let mut site = Site::new(|s| s.lines_per_file = Some(10));
    let path = site.folder.path().join("e1600000000.json");
    fs::write(&path, "0 \ntorn").unwrap();
    let state = format!("{{\"path\":{:?},\"length\":3,\"lines\":1}}", path.to_str().unwrap());
    site.output = Some(File::prepare(site.settings.clone(), Some(&state)).unwrap());
    assert_eq!((site.file().room(), site.file().state()), (9, state));
    assert_eq!(fs::read(&path).unwrap(), b"0 \n");
}
