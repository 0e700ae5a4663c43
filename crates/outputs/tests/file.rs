//! The contract of files: each line exactly once, in order, whatever happens in between.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

use outputs::{Destination, Error, File, Settings};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn settings(folder: &Path, name: &str, lines_per_file: Option<usize>) -> Settings {
    Settings { lines_per_file, ..Settings::new(folder, name) }
}

/// A caller that keeps the contract, with a store that survives crashes.
struct Caller {
    settings: Settings,
    file: File,
    /// Lines written.
    position: usize,
    /// The checkpoint.
    stored: Option<(usize, String)>,
    /// Announced files in order.
    paths: Vec<PathBuf>,
    /// Padding of lines, to fill the buffer now and then.
    padding: usize,
}

impl Caller {
    fn new(settings: Settings, padding: usize) -> Self {
        let file = File::open(settings.clone(), None).unwrap();
        Caller { settings, file, position: 0, stored: None, paths: Vec::new(), padding }
    }

    fn store(&mut self) -> String {
        let state = self.file.state();
        let path = PathBuf::from(serde_json::from_str::<serde_json::Value>(&state).unwrap()["path"].as_str().unwrap());
        if self.paths.last() != Some(&path) {
            self.paths.push(path);
        }
        self.stored = Some((self.position, state.clone()));
        state
    }

    fn checkpoint(&mut self) {
        self.file.sync().unwrap();
        let state = self.store();
        self.file.stored(&state);
    }

    fn line(&self, number: usize) -> Vec<u8> {
        let padding = if number % 7 == 3 { self.padding } else { number % 5 };
        format!("{number} {}\n", "x".repeat(padding)).into_bytes()
    }

    fn write(&mut self, mut lines: usize) {
        while lines > 0 {
            if self.file.room() == 0 {
                self.checkpoint();
            }
            let now = lines.min(self.file.room());
            let bytes: Vec<u8> = (self.position..self.position + now).flat_map(|n| self.line(n)).collect();
            self.file.write(&bytes, now).unwrap();
            self.position += now;
            lines -= now;
        }
    }

    /// Whatever was in memory is gone; the bytes on disk stay.
    fn crash(&mut self) {
        let state = self.stored.as_ref().map(|(_, state)| state.as_str());
        self.file = File::open(self.settings.clone(), state).unwrap();
        self.position = self.stored.as_ref().map_or(0, |(position, _)| *position);
    }

    fn check(&mut self) {
        self.checkpoint();
        let mut all = Vec::new();
        for (i, path) in self.paths.iter().enumerate() {
            let content = fs::read(path).unwrap_or_default();
            if let Some(limit) = self.settings.lines_per_file
                && i + 1 < self.paths.len()
            {
                assert_eq!(content.iter().filter(|b| **b == b'\n').count(), limit, "{}", path.display());
            }
            all.extend(content);
        }
        let expected: Vec<u8> = (0..self.position).flat_map(|n| self.line(n)).collect();
        assert!(all == expected, "{} bytes in place of {}", all.len(), expected.len());
        for entry in fs::read_dir(&self.settings.folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(self.paths.contains(&path), "{} is an orphan", path.display());
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Checkpoint,
    Crash,
    /// Durable, but the crash comes before the checkpoint is stored.
    CrashAfterSync,
    /// Stored, but the crash comes before the destination hears of it.
    CrashAfterStore,
    /// The crash leaves a torn piece behind the end of the file.
    CrashTorn(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1usize..12).prop_map(Step::Write),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashAfterSync),
        1 => Just(Step::CrashAfterStore),
        1 => (1usize..100).prop_map(Step::CrashTorn),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_line_is_there_once_and_in_order(
        steps in steps(),
        limit in prop_oneof![Just(None), (1usize..20).prop_map(Some)],
        padding in prop_oneof![6 => Just(10usize), 1 => Just(100_000), 1 => Just(300_000)],
        fixed: bool,
    ) {
        let folder = TempDir::new().unwrap();
        let name = if fixed { "events.json" } else { "events{0}.json" };
        let mut caller = Caller::new(settings(folder.path(), name, limit), padding);
        if fixed {
            caller.settings.lines_per_file = None;
        }
        for step in steps {
            match step {
                Step::Write(lines) => caller.write(lines),
                Step::Checkpoint => caller.checkpoint(),
                Step::Crash => caller.crash(),
                Step::CrashAfterSync => {
                    caller.file.sync().unwrap();
                    caller.crash();
                }
                Step::CrashAfterStore => {
                    caller.file.sync().unwrap();
                    caller.store();
                    caller.crash();
                }
                Step::CrashTorn(bytes) => {
                    // Only a file that may have been written to can have a torn end.
                    if caller.file.room() > 0 && let Some(path) = caller.paths.last() {
                        let file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
                        file.write_all_at(&vec![b'?'; bytes], 0).unwrap();
                    }
                    caller.crash();
                }
            }
        }
        caller.check();
    }
}

#[test]
fn no_file_exists_before_its_name_is_stored() {
    let folder = TempDir::new().unwrap();
    let mut file = File::open(settings(folder.path(), "", Some(2)), None).unwrap();
    let count = || fs::read_dir(folder.path()).unwrap().count();
    assert_eq!((file.room(), count()), (0, 0));
    assert!(matches!(file.write(b"a\n", 1), Err(Error::Full { lines: 1, room: 0 })));
    file.stored("another state");
    assert_eq!(file.room(), 0);
    file.stored(&file.state());
    assert_eq!((file.room(), count()), (2, 0));
    file.write(b"a\nb\n", 2).unwrap();
    assert_eq!((file.room(), count()), (0, 1));
    file.sync().unwrap();
    assert_eq!((file.room(), count()), (0, 1));
    file.stored(&file.state());
    file.write(b"c\n", 1).unwrap();
    assert_eq!((file.room(), count()), (1, 2));
    // eNcore's name for nothing, and the number for a second file in the same second.
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert!(names.iter().all(|n| n.to_str().unwrap().starts_with("log1")), "{names:?}");
}

#[test]
fn files_belong_to_user_and_group_and_folders_are_made() {
    let folder = TempDir::new().unwrap();
    let deep = folder.path().join("data/json");
    let mut caller = Caller::new(settings(&deep, "/a/b{0}.json", Some(10)), 0);
    caller.write(1);
    caller.check();
    let mode = fs::metadata(&caller.paths[0]).unwrap().permissions().mode();
    // 0640 less what the umask of whoever runs the test takes away.
    assert_eq!(mode & 0o777 & !0o640, 0);
    assert!(caller.paths[0].file_name().unwrap().to_str().unwrap().starts_with("ab1"));
}

#[test]
fn a_fixed_name_is_appended_to() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.json");
    fs::write(&path, "whole\ntorn").unwrap();
    let mut caller = Caller::new(settings(folder.path(), "events.json", Some(1)), 0);
    caller.store();
    caller.crash();
    caller.write(2);
    caller.checkpoint();
    let content = || fs::read_to_string(&path).unwrap();
    assert_eq!(content(), "whole\ntorn\n0 \n1 x\n");
    caller.write(1);
    caller.file.sync().unwrap();
    caller.crash();
    assert_eq!(content(), "whole\ntorn\n0 \n1 x\n");
    caller.write(1);
    caller.checkpoint();
    assert_eq!(content(), "whole\ntorn\n0 \n1 x\n2 xx\n");
}

#[test]
fn a_file_that_vanished_or_shrank_is_left_alone_and_a_new_one_begun() {
    for vanish in [true, false] {
        let folder = TempDir::new().unwrap();
        let mut caller = Caller::new(settings(folder.path(), "e{0}", Some(10)), 0);
        caller.write(3);
        caller.checkpoint();
        let first = caller.paths[0].clone();
        if vanish {
            fs::remove_file(&first).unwrap()
        } else {
            fs::write(&first, "0").unwrap()
        }
        caller.crash();
        assert_eq!((caller.position, caller.file.room()), (3, 0));
        caller.write(1);
        caller.checkpoint();
        assert_eq!(fs::read(caller.paths.last().unwrap()).unwrap(), caller.line(3));
        assert!(vanish || fs::read(&first).unwrap() == b"0");
    }
}

#[test]
fn other_settings_begin_a_new_file_but_the_old_one_is_put_right() {
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(settings(folder.path(), "e{0}", Some(10)), 0);
    caller.write(3);
    caller.checkpoint();
    caller.write(2);
    caller.file.sync().unwrap();
    caller.settings.name = "other{0}".to_owned();
    caller.crash();
    caller.write(4);
    caller.settings.lines_per_file = None;
    caller.check();
    assert_eq!((caller.position, caller.paths.len()), (7, 2));
}

#[test]
fn a_smaller_limit_ends_the_file_at_once() {
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(settings(folder.path(), "e{0}", Some(10)), 0);
    caller.write(5);
    caller.checkpoint();
    caller.settings.lines_per_file = Some(4);
    caller.crash();
    assert_eq!(caller.file.room(), 0);
    caller.write(1);
    assert_eq!(caller.paths.len(), 2);
    caller.settings.lines_per_file = None;
    caller.check();
}

#[test]
fn a_file_renamed_while_open_is_finished_and_a_new_one_begun() {
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(settings(folder.path(), "events.json", None), 0);
    caller.write(2);
    caller.checkpoint();
    let (path, moved) = (caller.paths[0].clone(), folder.path().join("events.json.1"));
    caller.write(1);
    fs::rename(&path, &moved).unwrap();
    caller.checkpoint();
    caller.write(1);
    caller.checkpoint();
    assert_eq!(fs::read_to_string(&moved).unwrap(), "0 \n1 x\n2 xx\n");
    assert_eq!(fs::read(&path).unwrap(), caller.line(3));
}

#[test]
fn a_file_deleted_while_open_is_an_error_only_if_events_went_with_it() {
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(settings(folder.path(), "events{0}", None), 0);
    caller.write(2);
    caller.checkpoint();
    fs::remove_file(&caller.paths[0]).unwrap();
    caller.checkpoint();
    assert_eq!(caller.paths.len(), 2);
    caller.write(1);
    fs::remove_file(&caller.paths[1]).unwrap();
    let error = caller.file.sync().unwrap_err();
    assert!(error.rewound() && error.to_string().contains("was deleted"), "{error}");
    // Deliver again from the checkpoint, without opening anew.
    caller.position = caller.stored.as_ref().unwrap().0;
    caller.write(2);
    caller.checkpoint();
    assert_eq!(fs::read_to_string(&caller.paths[2]).unwrap(), "2 xx\n3 \n");
}

#[test]
fn a_name_that_another_program_took_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(settings(folder.path(), "e{0}", Some(5)), 10);
    caller.checkpoint();
    let taken = caller.paths[0].clone();
    fs::write(&taken, "foreign\n").unwrap();
    let error = caller.file.write(b"0 \n", 1).unwrap_err();
    assert!(matches!(&error, Error::Taken { path } if *path == taken) && !error.rewound());
    assert_eq!(caller.file.room(), 0);
    caller.write(2);
    caller.checkpoint();
    assert_eq!(fs::read_to_string(&taken).unwrap(), "foreign\n");
    assert_eq!(fs::read_to_string(&caller.paths[1]).unwrap(), "0 \n1 x\n");
}

#[test]
fn a_folder_that_vanished_is_made_again() {
    let folder = TempDir::new().unwrap();
    let mut caller = Caller::new(settings(&folder.path().join("json"), "e{0}", Some(5)), 10);
    caller.checkpoint();
    fs::remove_dir(folder.path().join("json")).unwrap();
    caller.crash();
    caller.write(6);
    caller.check();
}

#[test]
fn a_damaged_state_is_an_error_with_a_remedy() {
    let folder = TempDir::new().unwrap();
    let error = File::open(settings(folder.path(), "", None), Some("{\"path\": 1}")).unwrap_err();
    assert!(error.to_string().starts_with("the stored state of the output is damaged"), "{error}");
    assert!(error.to_string().contains("remove it from the checkpoint"));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = File::open(settings(&folder.path().join("file/json"), "", None), None).unwrap_err();
    assert!(error.to_string().starts_with("cannot create ") && error.to_string().contains("file/json"), "{error}");
}

#[test]
fn a_device_that_is_full_is_named() {
    let mut file = File::open(settings(Path::new("/dev"), "full", None), None).unwrap();
    file.stored(&file.state());
    file.write(b"a\n", 1).unwrap();
    for _ in 0..2 {
        let error = file.sync().unwrap_err();
        assert!(!error.rewound());
        assert!(error.to_string().starts_with("cannot write to /dev/full: "), "{error}");
        assert!(error.to_string().ends_with("make room on the disk; nothing is lost meanwhile"), "{error}");
    }
}

/// A disk that is full and then has room again: a limit on file sizes makes writes fail half-way just so. The limit
/// counts for the whole process, hence a process of its own.
#[test]
fn after_a_full_disk_has_room_nothing_is_missing_or_there_twice() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const CHILD: &str = "OUTPUTS_TEST_FULL_DISK";
    const NAME: &str = "after_a_full_disk_has_room_nothing_is_missing_or_there_twice";
    if std::env::var_os(CHILD).is_none() {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\""]).arg(std::env::current_exe().unwrap());
        let output = command.arg(NAME).env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let limit = |bytes| setrlimit(Resource::Fsize, Rlimit { current: bytes, ..getrlimit(Resource::Fsize) }).unwrap();
    for padding in [1000, 400_000] {
        limit(None);
        let folder = TempDir::new().unwrap();
        let mut caller = Caller::new(settings(folder.path(), "e{0}", Some(10_000)), padding);
        caller.write(10);
        caller.checkpoint();
        let length = fs::metadata(&caller.paths[0]).unwrap().len();
        limit(Some(length + 700));
        let mut failed = 0;
        for _ in 0..3000 {
            let line = caller.line(caller.position);
            while let Err(error) = caller.file.write(&line, 1) {
                assert!(!error.rewound(), "{error}");
                assert_eq!(fs::metadata(&caller.paths[0]).unwrap().len(), length, "cut off at the last good length");
                failed += 1;
                if failed == 3 {
                    limit(None);
                }
            }
            caller.position += 1;
            if failed == 0 && caller.position == 13 {
                assert!(caller.file.sync().is_err());
                assert_eq!(fs::metadata(&caller.paths[0]).unwrap().len(), length);
            }
        }
        assert_eq!(failed, 3);
        caller.check();
    }
}

#[test]
fn every_file_begins_with_the_header_once() {
    let dir = TempDir::new().unwrap();
    let header = b"number,text\n".to_vec();
    let settings = Settings { header: header.clone(), ..settings(dir.path(), "t.{0}.csv", Some(3)) };
    let mut caller = Caller::new(settings.clone(), 1);
    caller.write(4);
    caller.checkpoint();
    caller.write(1);
    // It dies: what was written after the checkpoint is cut off, the header is not written again.
    let (position, state) = caller.stored.clone().unwrap();
    let paths = caller.paths.clone();
    drop(caller.file);
    let mut caller = Caller { file: File::open(settings, Some(&state)).unwrap(), position, paths, ..caller };
    caller.write(5);
    caller.checkpoint();
    let files: Vec<String> = caller.paths.iter().filter_map(|p| fs::read_to_string(p).ok()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for text in &files {
        assert_eq!(text.matches("number,text").count(), 1, "{text}");
        assert!(text.starts_with("number,text\n"), "{text}");
    }
    let lines: Vec<usize> = files.iter().map(|t| t.lines().count() - 1).collect();
    assert_eq!(lines, [3, 3, 3]);
}
