//! The way from a sensor to an archive: metadata before what needs it, group commits, and patience with a full disk.
//!
//! A [`Feed`] collects events, the metadata that names what is in them, and the sensor's own position, and makes them
//! durable together. What is committed is in the archive with its position; what is not committed is read or made
//! again after a restart. So each event of a sensor gets into the archive exactly once.
//!
//! A feed that is [registered](Feed::registered) captures only the event types that an administrator has checked; its
//! sensor [waits](Feed::wait_while_held) where it has nothing to commit while it is held.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use archive::{Archive, Batch, Options};
use control::{Captured, Table};
use thiserror::Error;
use wire::decode::Decoder;
use wire::event::{Event, NoField, UnknownRecord};
use wire::record::{self, RecordError};

use crate::duty::{About, Duty, Registry};

/// How long a commit that found no room waits before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The longest time in which nobody looks whether to stop.
const ATTENTION: Duration = Duration::from_millis(50);

/// Bytes before the record in a bundle item.
const ITEM_HEADER: usize = 8;

/// Where a bundle item has its netmap id: the upper half of the record type word.
const NETMAP: usize = ITEM_HEADER;

/// How often a sensor that is held looks whether it is to go on.
const HELD: Duration = Duration::from_millis(50);

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
    /// The domain; it is put into records that say none.
    netmap: u16,
    duty: Option<Duty>,
    /// Key and item of the metadata that names the domain: the administrator's name counts, whatever a sensor calls it.
    domain: Option<(Vec<u8>, Vec<u8>)>,
    /// Writing is allowed until the sensor waits because it is held.
    entered: bool,
    captured: Table,
    /// Events left out since the last commit.
    discarded: u64,
    /// Time of the newest event in the batch, if the sensor tells.
    newest: Option<u32>,
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
        Feed::registered(root, netmap, source, limits, None, About { kind: "", device: 0, name: "" })
    }

    /// The same for a sensor that is known in a registry: there is one of its source at a time, it captures what is
    /// checked there, can be held, and reports how it is doing. The domain is named.
    ///
    /// # Errors
    /// [`FeedError::Running`] when there is a sensor of this source already, [`FeedError::Lock`],
    /// [`FeedError::Archive`].
    pub fn registered(
        root: &Path,
        netmap: u32,
        source: &[u8],
        limits: Limits,
        registry: Option<&Registry>,
        about: About<'_>,
    ) -> Result<Feed, FeedError> {
        let counters = Arc::new(Counters::default());
        // Before anything is read: what a sensor that is about to end writes must be known.
        let duty = registry.map(|registry| Duty::begin(registry, netmap, source, about, &counters)).transpose()?;
        let (archive, _) = Archive::open(root, netmap, Options::default())?;
        let netmap = u16::try_from(netmap).unwrap_or(0);
        let mut feed = Feed { netmap, duty, counters, ..Feed::new(archive, source, limits) };
        if let Some(domain) = registry.and_then(|registry| registry.domain.as_deref()) {
            let mut record = Event::new(350)?;
            record.set("id", u32::from(netmap))?.set("name", domain)?;
            feed.metadata(&record)?;
            feed.domain = feed.known.iter().next().map(|(key, item)| (key.clone(), item.clone()));
        }
        Ok(feed)
    }

    /// A feed into an archive that is open already.
    pub fn new(archive: Archive, source: &[u8], limits: Limits) -> Feed {
        Feed {
            archive,
            netmap: 0,
            duty: None,
            domain: None,
            entered: false,
            captured: Captured::ALL.table(),
            discarded: 0,
            newest: None,
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
        let named = self.domain.as_ref().is_some_and(|(domain, _)| domain == key);
        if named || self.known.get(key).is_some_and(|known| known == item) {
            return Ok(());
        }
        match stamped(item, self.netmap) {
            Some(stamped) => self.batch.push_sticky(key, &stamped)?,
            None => self.batch.push_sticky(key, item)?,
        }
        self.known.insert(key.to_vec(), item.to_vec());
        self.added(item.len());
        Ok(())
    }

    /// Adds an event, unless its type is not captured: `false` then.
    ///
    /// # Errors
    /// [`FeedError::NotEvent`] for a metadata record, [`FeedError::Archive`] when it is too long.
    pub fn event(&mut self, event: &Event) -> Result<bool, FeedError> {
        let record_type = event.record().record_type;
        if event.record().metadata {
            return Err(FeedError::NotEvent(record_type));
        }
        if !self.captures(record_type) {
            self.leave_out();
            return Ok(false);
        }
        let mut item = std::mem::take(&mut self.scratch);
        item.clear();
        event.encode_item(Some(0), &mut item);
        let pushed = self.event_item(&item);
        self.scratch = item;
        pushed
    }

    /// Adds an event that is encoded already, unless its type is not captured: `false` then. It is a bundle item with a
    /// 16-byte record header. Its archival second is written by the archive.
    ///
    /// # Errors
    /// [`FeedError::Archive`] when the item is none or too long.
    pub fn event_item(&mut self, item: &[u8]) -> Result<bool, FeedError> {
        let record_type = record::record_type(item.get(ITEM_HEADER..).unwrap_or_default());
        if !self.captures(record_type) {
            self.leave_out();
            return Ok(false);
        }
        match stamped(item, self.netmap) {
            Some(stamped) => self.batch.push_event(&stamped)?,
            None => self.batch.push_event(item)?,
        }
        if let Some(count) = self.pending.get_mut(usize::from(record_type).min(TYPES - 1)) {
            *count += 1;
        }
        self.added(item.len());
        Ok(true)
    }

    /// Makes an item one of this feed's domain, whatever domain it came from. Domain 0 takes all as they are.
    pub fn adopt(&self, item: &mut [u8]) {
        if let Some(place) = item.get_mut(NETMAP..NETMAP + 2).filter(|_| self.netmap != 0) {
            place.copy_from_slice(&self.netmap.to_be_bytes());
        }
    }

    /// Whether events of a record type are captured now.
    pub fn captures(&mut self, record_type: u16) -> bool {
        if let Some(duty) = &self.duty {
            let captured = duty.captured();
            if captured != self.captured.captured() {
                self.captured = captured.table();
            }
        }
        self.captured.allows(record_type)
    }

    /// Tells the time of the newest event, where the sensor knows it; else it is taken for that of the commit.
    pub fn saw(&mut self, second: u32) {
        self.newest = Some(self.newest.map_or(second, |newest| newest.max(second)));
    }

    /// Tells how many seconds the sensor is behind what it reads.
    pub fn lag(&self, seconds: u32) {
        self.counters.lag.store(seconds, Ordering::Relaxed);
    }

    /// Tells how far the newest event is behind the clock: for a sensor that has more to read.
    pub fn lag_behind(&self, now: u64) {
        if let Some(newest) = self.newest.or_else(|| self.counters.last_event()) {
            self.lag(u32::try_from(now.saturating_sub(newest.into())).unwrap_or(u32::MAX - 1));
        }
    }

    /// Tells what the sensor waits for, in words, or that it goes on.
    pub fn waits_for(&self, what: Option<&str>) {
        *self.counters.waiting.lock().unwrap_or_else(PoisonError::into_inner) = what.map(str::to_owned);
    }

    /// Whether the sensor is to write nothing for now. It commits what it has then, and
    /// [waits](Self::wait_while_held).
    pub fn held(&self) -> bool {
        self.duty.as_ref().is_some_and(Duty::is_held)
    }

    /// Whether the sensor was held when it last had to wait, and has not gone on: then it has nothing to commit.
    pub(crate) fn held_back(&self) -> bool {
        self.duty.is_some() && !self.entered
    }

    /// Waits as long as the sensor is held; `false` when `stop` was set meanwhile. While it waits it is reported as
    /// held, so everything must be committed.
    pub fn wait_while_held(&mut self, stop: &AtomicBool) -> bool {
        let Some(duty) = &self.duty else { return true };
        let mut since: Option<Instant> = None;
        self.entered = false;
        while let Err(why) = duty.enter() {
            if since.is_none() {
                since = Some(Instant::now());
                tracing::info!("The sensor is held and keeps its place: {why}.");
            }
            if !pause(stop, HELD) {
                return false;
            }
        }
        self.entered = true;
        if let Some(since) = since {
            tracing::info!(seconds = since.elapsed().as_secs(), "The sensor goes on.");
        }
        true
    }

    /// For a sensor that works on demand: from here to [`leave`](Self::leave) it may commit.
    ///
    /// # Errors
    /// [`FeedError::Held`] when it is held.
    pub fn enter(&mut self) -> Result<(), FeedError> {
        if let Some(duty) = &self.duty {
            duty.enter().map_err(FeedError::Held)?;
        }
        self.entered = true;
        Ok(())
    }

    /// Ends what [`enter`](Self::enter) began. Nothing uncommitted may be left.
    pub fn leave(&mut self) {
        self.entered = false;
        if let Some(duty) = &self.duty {
            duty.leave();
        }
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
        self.discarded = 0;
        self.newest = None;
        self.known.clear();
        self.pending.fill(0);
        self.bytes = 0;
        self.since = None;
        if let Some((key, item)) = self.domain.take() {
            // It fitted before.
            let _ = self.metadata_item(&key, &item);
            self.domain = Some((key, item));
        }
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
    /// everything; one warning says so. With `stop` set it tries once. A sensor that is held, and did not get here in
    /// the course of what it had begun, waits.
    ///
    /// # Errors
    /// [`FeedError::Stopped`] when there is no room and `stop` was set, [`FeedError::Held`] when it was set while the
    /// sensor was held, [`FeedError::Archive`] for any other failure. Everything added is kept in all cases, and the
    /// commit can be repeated.
    pub fn commit(&mut self, stop: &AtomicBool) -> Result<(), FeedError> {
        self.counters.discarded.fetch_add(std::mem::take(&mut self.discarded), Ordering::Relaxed);
        if self.batch.is_empty() {
            self.since = None;
            return Ok(());
        }
        if !self.entered && !self.wait_while_held(stop) {
            return Err(self.is_held_back());
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
                    if self.held() && !self.wait_while_held(stop) {
                        return Err(self.is_held_back());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        if let Some(since) = waited {
            self.counters.storage_full.store(false, Ordering::Relaxed);
            tracing::info!(seconds = since.elapsed().as_secs(), "The archive has room again; the sensor goes on.");
        }
        let newest = self.newest.take().unwrap_or(commit.second);
        self.counters.add(&commit, newest, &mut self.pending);
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

    fn is_held_back(&self) -> FeedError {
        FeedError::Held(self.duty.as_ref().and_then(Duty::held).unwrap_or_default())
    }

    /// Counts an event that is not captured. It is due as others are: the position goes on.
    fn leave_out(&mut self) {
        self.discarded += 1;
        self.added(0);
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
    discarded: AtomicU64,
    storage_full: AtomicBool,
    /// Unix second; 0 for none.
    newest: AtomicU32,
    /// Seconds; the highest number for none.
    lag: AtomicU32,
    waiting: Mutex<Option<String>>,
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

    /// Events left out because their type is not captured.
    pub fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }

    /// Time of the newest event committed, Unix seconds.
    pub fn last_event(&self) -> Option<u32> {
        Some(self.newest.load(Ordering::Relaxed)).filter(|second| *second > 0)
    }

    /// How many seconds the sensor is behind what it reads, if it can tell.
    pub fn lag(&self) -> Option<u32> {
        Some(self.lag.load(Ordering::Relaxed)).filter(|lag| *lag < u32::MAX)
    }

    /// What the sensor waits for, in words, if it cannot go on.
    pub fn waiting(&self) -> Option<String> {
        match self.storage_full() {
            true => Some("the archive has no room".to_owned()),
            false => self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Whether the sensor waits for room at this moment, in the archive or for what it keeps beside it.
    pub fn storage_full(&self) -> bool {
        self.storage_full.load(Ordering::Relaxed)
    }

    /// Says that the sensor waits for room beside the archive, or no longer.
    pub(crate) fn set_storage_full(&self, full: bool) {
        self.storage_full.store(full, Ordering::Relaxed);
    }

    /// Counts a record of the sensor that could not become an event.
    pub(crate) fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    fn add(&self, commit: &archive::Commit, newest: u32, pending: &mut [u64]) {
        for (total, count) in self.types.iter().zip(pending).filter(|(_, count)| **count > 0) {
            total.fetch_add(std::mem::take(count), Ordering::Relaxed);
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(commit.bytes, Ordering::Relaxed);
        if commit.events > 0 {
            self.newest.store(newest, Ordering::Relaxed);
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            types: (0..TYPES).map(|_| AtomicU64::new(0)).collect(),
            commits: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            storage_full: AtomicBool::new(false),
            newest: AtomicU32::new(0),
            lag: AtomicU32::new(u32::MAX),
            waiting: Mutex::new(None),
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
    /// The sensor is held by an administrator.
    #[error("{0}. Nothing was written, and nothing is lost by it")]
    Held(String),
    /// There is a sensor of this source already.
    #[error(
        "a sensor that reads the same ({name}, netmap {netmap}) runs already{}: each event would be there twice. \
         Stop that one first", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Running {
        /// What both read: its name in the archive.
        name: String,
        /// The domain.
        netmap: u32,
        /// The process of the other one, if it can be told.
        pid: Option<u32>,
    },
    /// The lock of a source cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
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

/// An item with this netmap id, if it has none of its own.
fn stamped(item: &[u8], netmap: u16) -> Option<Vec<u8>> {
    if netmap == 0 || item.get(NETMAP..NETMAP + 2)? != [0, 0] {
        return None;
    }
    let mut stamped = item.to_vec();
    stamped.get_mut(NETMAP..NETMAP + 2)?.copy_from_slice(&netmap.to_be_bytes());
    Some(stamped)
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
