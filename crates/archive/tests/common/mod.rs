//! What the tests of the archive share: a place on disk, a clock to turn, items with numbers, and a full read.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code may fail loudly"
)]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use archive::{
    Archive, Batch, Clock, Commit, Head, Keep, Kind, Lost, Options, Read, Reader, Recovery, Retention, Size, Start,
    Tail,
};
use tempfile::TempDir;

pub const NETMAP: u32 = 7;
pub const SEGMENT_HEADER: u64 = 24;
pub const BATCH_HEADER: u64 = 40;

/// An archive in a directory of its own, with a clock that stands at 1000 until turned.
pub struct Site {
    dir: TempDir,
    clock: Arc<AtomicU32>,
    pub segment_bytes: u64,
    pub segment_seconds: u32,
}

impl Site {
    pub fn new() -> Self {
        // Memory where there is some, so that hundreds of syncs cost nothing.
        let memory = Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        Site { dir, clock: Arc::new(AtomicU32::new(1000)), segment_bytes: 1 << 30, segment_seconds: 3600 }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn dir(&self) -> PathBuf {
        self.root().join(format!("netmap_{NETMAP}"))
    }

    pub fn segment(&self, start: u32) -> PathBuf {
        self.dir().join(format!("unified2.{start}"))
    }

    pub fn at(&self, second: u32) {
        self.clock.store(second, Ordering::SeqCst);
    }

    pub fn options(&self) -> Options {
        let clock = self.clock.clone();
        Options {
            segment_bytes: self.segment_bytes,
            segment_seconds: self.segment_seconds,
            clock: Clock::new(move || clock.load(Ordering::SeqCst)),
        }
    }

    pub fn recover(&self) -> (Archive, Recovery) {
        Archive::open(self.root(), NETMAP, self.options()).unwrap()
    }

    pub fn open(&self) -> Archive {
        self.recover().0
    }

    pub fn retain(&self, keep: Keep) -> Size {
        Retention::plan(self.root(), keep).unwrap().carry_out(|_| {}).unwrap()
    }

    pub fn head(&self) -> Option<Head> {
        Tail::new(self.root(), NETMAP).committed().unwrap()
    }

    pub fn head_bytes(&self) -> Vec<u8> {
        fs::read(self.dir().join("head")).unwrap()
    }

    pub fn set_head(&self, bytes: &[u8]) {
        fs::write(self.dir().join("head"), bytes).unwrap();
    }

    pub fn reader(&self, start: Start) -> Reader {
        Reader::open(self.root(), NETMAP, start).unwrap()
    }

    pub fn read(&self, start: Start) -> Seen {
        drain(&mut self.reader(start))
    }

    /// The numbers of all events there are.
    pub fn events(&self) -> Vec<u32> {
        self.read(Start::Genesis).ids()
    }
}

/// What a reader gave up to the end.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Seen {
    pub events: Vec<Event>,
    pub sticky: Vec<Sticky>,
    pub lost: Vec<Lost>,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Event {
    pub id: u32,
    pub second: u32,
    pub sequence: u64,
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Sticky {
    pub text: String,
    pub snapshot: bool,
    /// How many events came before it.
    pub after: usize,
}

impl Seen {
    pub fn ids(&self) -> Vec<u32> {
        self.events.iter().map(|event| event.id).collect()
    }

    pub fn sticky(&self) -> Vec<(&str, bool)> {
        self.sticky.iter().map(|sticky| (&sticky.text[..], sticky.snapshot)).collect()
    }
}

pub fn drain(reader: &mut Reader) -> Seen {
    let mut seen = Seen::default();
    let mut buf = Vec::new();
    for _ in 0..100_000 {
        match reader.next(&mut buf).unwrap() {
            Read::End => return seen,
            Read::Lost(lost) => seen.lost.push(lost),
            Read::Batch(info) => {
                let mut rest = &buf[..];
                let mut count = 0;
                while !rest.is_empty() {
                    let length = u32_at(rest, 4) as usize;
                    let item;
                    (item, rest) = rest.split_at(8 + length);
                    assert_eq!(u32_at(item, 0), 4);
                    match info.kind {
                        Kind::Events => {
                            assert_eq!(u32_at(item, 16), info.second, "the stamp in the item");
                            seen.events.push(Event {
                                id: u32_at(item, 24),
                                second: info.second,
                                sequence: info.first_sequence + count,
                            });
                        }
                        Kind::Sticky { snapshot } => seen.sticky.push(Sticky {
                            text: String::from_utf8(item[16..].to_vec()).unwrap(),
                            snapshot,
                            after: seen.events.len(),
                        }),
                    }
                    count += 1;
                }
                assert_eq!(count, u64::from(info.items));
            }
        }
    }
    panic!("the reader does not come to an end");
}

/// An event with a number and `size` bytes of data (at least 4).
pub fn event(id: u32, size: usize) -> Vec<u8> {
    let record = 16 + size.max(4);
    let mut item = vec![0, 0, 0, 4];
    item.extend_from_slice(&(record as u32).to_be_bytes());
    item.extend_from_slice(&[0, 0, 0, 104]);
    item.extend_from_slice(&((record - 8) as u32).to_be_bytes());
    item.extend_from_slice(&[0xff; 8]);
    item.extend_from_slice(&id.to_be_bytes());
    item.resize(8 + record, id as u8);
    item
}

/// A sticky item with a text.
pub fn note(text: &str) -> Vec<u8> {
    let mut item = vec![0, 0, 0, 4];
    item.extend_from_slice(&(8 + text.len() as u32).to_be_bytes());
    item.extend_from_slice(&[0, 0, 0, 66]);
    item.extend_from_slice(&(text.len() as u32).to_be_bytes());
    item.extend_from_slice(text.as_bytes());
    item
}

/// Commits events with these numbers.
pub fn put(archive: &mut Archive, ids: impl IntoIterator<Item = u32>) -> Commit {
    let mut batch = Batch::new();
    ids.into_iter().for_each(|id| batch.push_event(&event(id, 20)).unwrap());
    archive.commit(&mut batch).unwrap()
}

/// Commits a sticky item.
pub fn put_note(archive: &mut Archive, key: &str, text: &str) -> Commit {
    let mut batch = Batch::new();
    batch.push_sticky(key.as_bytes(), &note(text)).unwrap();
    archive.commit(&mut batch).unwrap()
}

/// Commits one event and a position.
pub fn put_at(archive: &mut Archive, id: u32, source: &str, position: &str) -> Commit {
    let mut batch = Batch::new();
    batch.push_event(&event(id, 20)).unwrap();
    batch.set_position(source.as_bytes(), position.as_bytes()).unwrap();
    archive.commit(&mut batch).unwrap()
}

pub fn position(archive: &mut Archive, source: &str) -> Option<String> {
    archive.position(source.as_bytes()).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

pub fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

pub fn cut(path: &Path, length: u64) {
    writable(path).set_len(length).unwrap();
}

pub fn flip(path: &Path, offset: u64) {
    let file = writable(path);
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

pub fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    writable(path).write_all_at(bytes, offset).unwrap();
}

/// Offsets of the batches in a segment, by their lengths alone, and the end.
pub fn batches(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path).unwrap();
    let mut at = SEGMENT_HEADER as usize;
    let mut found = Vec::new();
    while at < bytes.len() {
        found.push(at as u64);
        at += 40 + u32_at(&bytes, at + 4) as usize;
    }
    found.push(at as u64);
    found
}

fn writable(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}
