//! The way from a sensor to an archive: metadata before what needs it, group commits, and patience with a full disk.
//!
//! A [`Feed`] collects events, the metadata that names what is in them, and the sensor's own position, and makes them
//! durable together. What is committed is in the archive with its position; what is not committed is read or made
//! again after a restart. So each event of a sensor gets into the archive exactly once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use archive::{Archive, Batch, Options};
use thiserror::Error;
use wire::decode::Decoder;
use wire::event::{Event, NoField, UnknownRecord};
use wire::record::{self, RecordError};

/// How long a commit that found no room waits before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The longest time in which nobody looks whether to stop.
const ATTENTION: Duration = Duration::from_millis(50);

/// Bytes before the record in a bundle item.
const ITEM_HEADER: usize = 8;

/// Record types from here on are counted together; the highest known one is below.
const TYPES: usize = 1024;

/// When a group of events is large or old enough to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of events and metadata.
    pub bytes: usize,
    /// Number of events.
    pub events: u64,
    /// Time since the first of them.
    pub age: Duration,
}

impl Default for Limits {
    /// 1 MiB, 1000 events, 20 ms.
    fn default() -> Self {
        Limits { bytes: 1 << 20, events: 1000, age: Duration::from_millis(20) }
    }
}

/// Writes what one sensor has to say to the archive of a network map.
#[derive(Debug)]
pub struct Feed {
    archive: Archive,
    batch: Batch,
    source: Vec<u8>,
    limits: Limits,
    /// Metadata that was pushed, by key.
    known: HashMap<Vec<u8>, Vec<u8>>,
    /// Bytes in the batch.
    bytes: usize,
    /// When the first thing in the batch came.
    since: Option<Instant>,
    /// Events in the batch by record type.
    pending: Vec<u64>,
    counters: Arc<Counters>,
    /// The batch has a position, by which everybody can tell whose it is.
    signed: bool,
    decoder: Decoder,
    scratch: Vec<u8>,
}

impl Feed {
    /// Opens the archive of `netmap` below `root` for a sensor. `source` names the sensor in the archive: its position
    /// is kept under this name, so it must stay the same, and no other sensor of this archive may have it.
    ///
    /// # Errors
    /// [`FeedError::Archive`] when the archive cannot be opened.
    pub fn open(root: &Path, netmap: u32, source: &[u8], limits: Limits) -> Result<Feed, FeedError> {
        let (archive, _) = Archive::open(root, netmap, Options::default())?;
        Ok(Feed::new(archive, source, limits))
    }

    /// A feed into an archive that is open already.
    pub fn new(archive: Archive, source: &[u8], limits: Limits) -> Feed {
        Feed {
            archive,
            batch: Batch::new(),
            source: source.to_vec(),
            limits,
            known: HashMap::new(),
            bytes: 0,
            since: None,
            pending: vec![0; TYPES],
            counters: Arc::new(Counters::default()),
            signed: false,
            decoder: Decoder::new(),
            scratch: Vec::new(),
        }
    }

    /// What was committed; another thread may keep it and look at any time.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Where this sensor is, as the archive knows: what [`position`](Self::position) was given before the last commit
    /// by this feed or an earlier one of the same source.
    ///
    /// # Errors
    /// [`FeedError::Archive`] when the archive cannot be read.
    pub fn committed_position(&mut self) -> Result<Option<Vec<u8>>, FeedError> {
        Ok(self.archive.position(&self.source)?)
    }

    /// What [`position_of`](Self::position_of) was given for another name before the last commit.
    ///
    /// # Errors
    /// [`FeedError::Archive`] when the archive cannot be read.
    pub fn committed_position_of(&mut self, name: &[u8]) -> Result<Option<Vec<u8>>, FeedError> {
        Ok(self.archive.position(name)?)
    }

    /// Adds a metadata record, unless the last one of its key that this feed was given was the same. It is written
    /// before the events of its commit. The archive leaves out what it has already, so repeating it after a restart
    /// does no harm.
    ///
    /// # Errors
    /// [`FeedError::NotMetadata`] for another record, [`FeedError::Archive`] when it is too long.
    pub fn metadata(&mut self, event: &Event) -> Result<(), FeedError> {
        let mut item = std::mem::take(&mut self.scratch);
        item.clear();
        event.encode_item(Some(0), &mut item);
        let record = self.decoder.decode(item.get(ITEM_HEADER..).unwrap_or_default())?;
        let key = record.metadata_key().ok_or(FeedError::NotMetadata(event.record().record_type));
        let pushed = key.and_then(|key| self.metadata_item(&key, &item));
        self.scratch = item;
        pushed
    }

    /// Adds a metadata record that is encoded already: its [`wire::decode::Record::metadata_key`] and its bundle item.
    ///
    /// # Errors
    /// [`FeedError::Archive`] when the item is none or too long.
    pub fn metadata_item(&mut self, key: &[u8], item: &[u8]) -> Result<(), FeedError> {
        if self.known.get(key).is_some_and(|known| known == item) {
            return Ok(());
        }
        self.batch.push_sticky(key, item)?;
        self.known.insert(key.to_vec(), item.to_vec());
        self.added(item.len());
        Ok(())
    }

    /// Adds an event.
    ///
    /// # Errors
    /// [`FeedError::NotEvent`] for a metadata record, [`FeedError::Archive`] when it is too long.
    pub fn event(&mut self, event: &Event) -> Result<(), FeedError> {
        if event.record().metadata {
            return Err(FeedError::NotEvent(event.record().record_type));
        }
        let mut item = std::mem::take(&mut self.scratch);
        item.clear();
        event.encode_item(Some(0), &mut item);
        let pushed = self.event_item(&item);
        self.scratch = item;
        pushed
    }

    /// Adds an event that is encoded already: a bundle item with a 16-byte record header. Its archival second is
    /// written by the archive.
    ///
    /// # Errors
    /// [`FeedError::Archive`] when the item is none or too long.
    pub fn event_item(&mut self, item: &[u8]) -> Result<(), FeedError> {
        self.batch.push_event(item)?;
        let record_type = record::record_type(item.get(ITEM_HEADER..).unwrap_or_default());
        if let Some(count) = self.pending.get_mut(usize::from(record_type).min(TYPES - 1)) {
            *count += 1;
        }
        self.added(item.len());
        Ok(())
    }

    /// Says how far the sensor is once everything added so far is durable; only the last position before a commit
    /// counts. It is at most [`archive::MAX_FIELD`] bytes.
    ///
    /// # Errors
    /// [`FeedError::Archive`] when it is longer.
    pub fn position(&mut self, position: &[u8]) -> Result<(), FeedError> {
        self.batch.set_position(&self.source, position)?;
        self.signed = true;
        self.added(0);
        Ok(())
    }

    /// Sets what a sensor has to remember besides its position, under a name of its own; durable in the same commit.
    ///
    /// # Errors
    /// As for [`position`](Self::position).
    pub fn position_of(&mut self, name: &[u8], position: &[u8]) -> Result<(), FeedError> {
        self.batch.set_position(name, position)?;
        self.signed = true;
        self.added(0);
        Ok(())
    }

    /// Forgets everything that is not committed, for a sensor that has told its source so.
    pub fn discard(&mut self) {
        self.batch.clear();
        self.signed = false;
        self.known.clear();
        self.pending.fill(0);
        self.bytes = 0;
        self.since = None;
    }

    /// Events that are not committed yet.
    pub fn pending(&self) -> u64 {
        self.batch.events()
    }

    /// Whether it is time to commit.
    pub fn due(&self) -> bool {
        let Limits { bytes, events, age } = self.limits;
        self.since.is_some_and(|since| self.bytes >= bytes || self.batch.events() >= events || since.elapsed() >= age)
    }

    /// When it will be time to commit what was added so far; `None` when there is nothing.
    pub fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| since + self.limits.age)
    }

    /// Makes everything added durable. While there is no room this waits, tries again every second, and keeps
    /// everything; one warning says so. With `stop` set it tries once.
    ///
    /// # Errors
    /// [`FeedError::Stopped`] when there is no room and `stop` was set, [`FeedError::Archive`] for any other failure.
    /// In both cases everything added is kept, and the commit can be repeated.
    pub fn commit(&mut self, stop: &AtomicBool) -> Result<(), FeedError> {
        if self.batch.is_empty() {
            self.since = None;
            return Ok(());
        }
        self.sign()?;
        let mut waited = None;
        let commit = loop {
            match self.archive.commit(&mut self.batch) {
                Ok(commit) => break commit,
                Err(source @ archive::Error::StorageFull { .. }) => {
                    let events = self.batch.events();
                    if waited.is_none() {
                        waited = Some(Instant::now());
                        self.counters.storage_full.store(true, Ordering::Relaxed);
                        tracing::warn!(
                            error = %source, events,
                            "The archive has no room, so this sensor waits and keeps what it has; nothing is lost. \
                             Free space on the archive's file system or shorten the retention: it goes on by itself."
                        );
                    }
                    if !pause(stop, RETRY) {
                        return Err(FeedError::Stopped { events, source });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        if let Some(since) = waited {
            self.counters.storage_full.store(false, Ordering::Relaxed);
            tracing::info!(seconds = since.elapsed().as_secs(), "The archive has room again; the sensor goes on.");
        }
        self.counters.add(commit.bytes, &mut self.pending);
        self.signed = false;
        self.bytes = 0;
        self.since = None;
        Ok(())
    }

    /// Gives the batch a position of its own if it has none: readers tell by it whose events these are. It must differ from
    /// the last one, or it is not written.
    fn sign(&mut self) -> Result<(), FeedError> {
        if !std::mem::replace(&mut self.signed, true) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let name = [&self.source[..], b"/commit"].concat();
            self.batch.set_position(&name, &now.as_nanos().to_be_bytes())?;
        }
        Ok(())
    }

    fn added(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.since.get_or_insert_with(Instant::now);
    }
}

/// What a feed has committed. The numbers only grow; each is exact, but they are not read all at one moment.
#[derive(Debug)]
pub struct Counters {
    types: Vec<AtomicU64>,
    commits: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    storage_full: AtomicBool,
}

impl Counters {
    /// Events committed.
    pub fn events(&self) -> u64 {
        self.types.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Events of a record type committed. Types from 1023 on are counted together.
    pub fn events_of(&self, record_type: u16) -> u64 {
        self.types.get(usize::from(record_type).min(TYPES - 1)).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The record types of which events were committed, in rising order, and how many.
    pub fn by_type(&self) -> Vec<(u16, u64)> {
        let counts = self.types.iter().map(|count| count.load(Ordering::Relaxed));
        (0..).zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Commits made.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Bytes the archive grew by.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records of the sensor that could not become events; the log says which.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Whether the sensor waits for room in the archive at this moment.
    pub fn storage_full(&self) -> bool {
        self.storage_full.load(Ordering::Relaxed)
    }

    /// Counts a record of the sensor that could not become an event.
    pub(crate) fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64, pending: &mut [u64]) {
        for (total, count) in self.types.iter().zip(pending).filter(|(_, count)| **count > 0) {
            total.fetch_add(std::mem::take(count), Ordering::Relaxed);
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            types: (0..TYPES).map(|_| AtomicU64::new(0)).collect(),
            commits: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            storage_full: AtomicBool::new(false),
        }
    }
}

/// Why something cannot be fed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The archive said no.
    #[error("the archive did not take it: {0}")]
    Archive(#[from] archive::Error),
    /// The feed was to stop while it waited for room.
    #[error(
        "stopped while the archive had no room: {events} events are not in it yet and will be after the next start \
         with room; {source}"
    )]
    Stopped {
        /// Events that were not committed.
        events: u64,
        /// What the archive said.
        source: archive::Error,
    },
    /// A metadata record was given as an event.
    #[error("record {0} is metadata, not an event: give it to Feed::metadata")]
    NotEvent(u16),
    /// An event was given as metadata.
    #[error("record {0} is an event, not metadata: give it to Feed::event")]
    NotMetadata(u16),
    /// The schema lacks a record type that sensors make.
    #[error("this program cannot make one of its records, which is a fault of its schema: {0}")]
    Record(#[from] UnknownRecord),
    /// The schema lacks a field that sensors fill in.
    #[error("this program cannot fill in one of its records, which is a fault of its schema: {0}")]
    Field(#[from] NoField),
    /// The schema lacks a data block that sensors make.
    #[error("this program cannot make data block {0}, which is a fault of its schema")]
    Block(u32),
    /// A record that was just encoded cannot be read.
    #[error("this program cannot read a record it made, which is a fault of it: {0}")]
    Decode(#[from] RecordError),
}

/// Sleeps for `time`; `false` as soon as `stop` is set.
pub(crate) fn pause(stop: &AtomicBool, time: Duration) -> bool {
    let start = Instant::now();
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(ATTENTION));
    }
}
