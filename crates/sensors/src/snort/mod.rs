//! A Snort sensor as a source of eStreamer events: its unified2 spool read into an archive.
//!
//! Each unified2 record becomes one eStreamer record, in the same order: an event record 400, a packet record 2,
//! extra data record 110. The numbers in them are named by metadata, which is in the archive before they are used:
//!
//! | metadata | from |
//! |---|---|
//! | 123 device | [`Settings`] |
//! | 66 rule message | `sid-msg.map`, `gen-msg.map`; without a text `Snort Alert [gid:sid:rev]`, as Snort prints it |
//! | 67 classification | `classification.config` |
//! | 4 priority | 1 high, 2 medium, 3 low, 4 very low |
//! | 111 extra data type | built in |
//!
//! What the protocol has no record for is counted and logged once for each type: records of unknown types and the
//! reassembled buffers of Snort 3.

mod names;
mod records;

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::duty::{About, Registry};
use crate::feed::{Counters, Feed, FeedError, Limits, pause};
use crate::impact;
use crate::maps::{MapError, MapFiles, RuleMaps};
use crate::unified2::{Item, Notice, Position, PositionError, Record, Spool, SpoolError, kind};
use names::Names;

/// Time between looks at a spool that has nothing new.
const POLL: Duration = Duration::from_millis(50);

/// Time between tries at a spool that cannot be read.
const RETRY: Duration = Duration::from_secs(1);

/// The most kinds of losses that are logged.
const MAX_KINDS: usize = 1000;

/// Warnings of a map file that are logged, of all that are kept.
const MAP_WARNINGS: usize = 5;

/// Which sensor to read, and what to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The spool directory, or a single unified2 file.
    pub spool: PathBuf,
    /// The part of the file names before `.<second>`; `None` when there is only one.
    pub base: Option<String>,
    /// The directory with `sid-msg.map`, `gen-msg.map` and `classification.config`, as far as there are such files.
    /// `None` is done without.
    pub maps: Option<PathBuf>,
    /// Number of the device in all records. Each sensor of an archive has its own.
    pub device_id: u32,
    /// Name of the device.
    pub device_name: String,
    /// How often to look whether the maps have changed (5 s).
    pub maps_every: Duration,
    /// Where the sensor is known; without it all is captured, and nobody can hold it.
    pub registry: Option<Registry>,
    /// The network map, by which intrusion events get their impact. It need not be there.
    pub map: Option<PathBuf>,
}

impl Settings {
    /// Settings for a spool with one base name and without maps.
    pub fn new(spool: impl Into<PathBuf>, device_id: u32, device_name: impl Into<String>) -> Self {
        Settings {
            spool: spool.into(),
            base: None,
            maps: None,
            device_id,
            device_name: device_name.into(),
            maps_every: Duration::from_secs(5),
            registry: None,
            map: None,
        }
    }

    /// The name under which the archive keeps how far the spool was read: `unified2:<device id>:<absolute path>`.
    /// A spool under another path or for another device is another source, and is read from its start.
    ///
    /// # Errors
    /// [`SnortError::Path`] when the path is relative and there is no working directory.
    pub fn source(&self) -> Result<Vec<u8>, SnortError> {
        let path =
            path::absolute(&self.spool).map_err(|source| SnortError::Path { path: self.spool.clone(), source })?;
        // Without a slash at the end, which names the same directory.
        let path: PathBuf = path.components().collect();
        let mut name = format!("unified2:{}:", self.device_id).into_bytes();
        name.extend_from_slice(path.as_os_str().as_bytes());
        Ok(name)
    }
}

/// Records read from a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events, now records 400.
    pub events: u64,
    /// Packets, now records 2.
    pub packets: u64,
    /// Extra data, now records 110.
    pub extra_data: u64,
    /// Records that no eStreamer record exists for.
    pub unmapped: u64,
    /// Records that are damaged.
    pub malformed: u64,
}

impl Totals {
    fn since(self, earlier: Totals) -> Totals {
        Totals {
            events: self.events - earlier.events,
            packets: self.packets - earlier.packets,
            extra_data: self.extra_data - earlier.extra_data,
            unmapped: self.unmapped - earlier.unmapped,
            malformed: self.malformed - earlier.malformed,
        }
    }
}

/// Reads the spool of a Snort sensor into an archive.
#[derive(Debug)]
pub struct SnortSensor {
    spool: Spool,
    feed: Feed,
    names: Names,
    judge: Option<netmap::Judge>,
    device: u32,
    totals: Totals,
    /// The position the feed was given last.
    position: Option<Position>,
    maps_every: Duration,
    maps_seen: Instant,
    map_warnings: u64,
    lost: Lost,
}

impl SnortSensor {
    /// Opens a spool and the archive of `netmap` below `root`. Reading goes on where the archive says that it has come
    /// to; the first time it starts with the oldest file.
    ///
    /// # Errors
    /// [`SnortError`] when the spool, the maps or the archive cannot be opened, or the archive's position is of
    /// another spool.
    pub fn open(settings: &Settings, root: &Path, netmap: u32) -> Result<SnortSensor, SnortError> {
        let about = About { kind: "unified2", device: settings.device_id, name: &settings.device_name };
        let (source, registry) = (settings.source()?, settings.registry.as_ref());
        let mut feed = Feed::registered(root, netmap, &source, Limits::default(), registry, about)?;
        let position = feed.committed_position()?.map(|bytes| Position::decode(&bytes)).transpose()?;
        let spool = Spool::open(&settings.spool, settings.base.as_deref(), position.clone())?;
        let maps = match &settings.maps {
            Some(dir) => RuleMaps::load(dir)?,
            None => RuleMaps::load_files(MapFiles::default())?,
        };
        let names = Names::new(maps);
        names.device(settings.device_id, &settings.device_name, &mut feed)?;
        let (rules, generators, classes) = names.maps().sizes();
        tracing::info!(
            spool = %settings.spool.display(),
            device = settings.device_id,
            file = position.as_ref().map(|p| &*p.file),
            offset = position.as_ref().map(|p| p.offset),
            rules, generators, classes,
            "The Snort spool is open."
        );
        let mut sensor = SnortSensor {
            spool,
            feed,
            names,
            judge: settings.map.as_ref().map(|map| netmap::Judge::new(map, netmap)),
            device: settings.device_id,
            totals: Totals::default(),
            position,
            maps_every: settings.maps_every,
            maps_seen: Instant::now(),
            map_warnings: 0,
            lost: Lost::default(),
        };
        sensor.log_map_warnings();
        Ok(sensor)
    }

    /// What was committed; another thread may keep it and look at any time.
    pub fn counters(&self) -> &Arc<Counters> {
        self.feed.counters()
    }

    /// What was read since [`open`](Self::open).
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Reads and commits for ever, until `stop` is set. What is written to the spool is committed within a fraction of
    /// a second. A spool that cannot be read at the moment is tried again every second.
    ///
    /// # Errors
    /// [`SnortError::Feed`] when the archive cannot be written, other than for lack of room, which is waited for.
    /// Nothing is lost by it: call again, or open the sensor again.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), SnortError> {
        let mut trouble = None;
        while !stop.load(Ordering::Relaxed) {
            let wait = match self.read(stop) {
                Ok(()) => {
                    if trouble.take().is_some() {
                        tracing::info!("The spool can be read again.");
                        self.feed.waits_for(None);
                    }
                    POLL
                }
                Err(SnortError::Spool(error)) => {
                    self.commit(stop)?;
                    let text = error.to_string();
                    if trouble.as_ref() != Some(&text) {
                        tracing::error!(%error, "The spool cannot be read. It is tried again every second.");
                        self.feed.waits_for(Some(&text));
                        trouble = Some(text);
                    }
                    RETRY
                }
                Err(error) => return Err(error),
            };
            pause(stop, wait);
        }
        self.commit(stop)
    }

    /// Reads and commits all there is, and says what that was. A record that is not whole yet stays for the next time.
    ///
    /// # Errors
    /// [`SnortError::Spool`] when the spool cannot be read, [`SnortError::Feed`] when the archive cannot be written.
    /// Nothing is lost by it.
    pub fn drain(&mut self, stop: &AtomicBool) -> Result<Totals, SnortError> {
        let before = self.totals;
        self.read(stop)?;
        Ok(self.totals.since(before))
    }

    /// Reads until there is nothing more or `stop` is set, and commits it.
    fn read(&mut self, stop: &AtomicBool) -> Result<(), SnortError> {
        if !self.gate(stop)? {
            return Ok(());
        }
        self.refresh()?;
        while !stop.load(Ordering::Relaxed) && self.take()? {
            if self.feed.due() {
                self.feed.lag_behind(now());
                self.commit(stop)?;
                self.refresh()?;
            }
            if !self.gate(stop)? {
                return Ok(());
            }
        }
        self.feed.lag(0);
        self.commit(stop)
    }

    /// Commits and waits while the sensor is held; `false` when `stop` was set meanwhile.
    fn gate(&mut self, stop: &AtomicBool) -> Result<bool, SnortError> {
        if self.feed.held() {
            self.commit(stop)?;
        }
        Ok(self.feed.wait_while_held(stop))
    }

    /// Takes one record or notice from the spool; `false` when there is none.
    fn take(&mut self) -> Result<bool, SnortError> {
        let Some(item) = self.spool.poll()? else { return Ok(false) };
        let entry = match item {
            Item::Record(entry) => entry,
            Item::Notice(notice) => {
                if matches!(notice, Notice::Malformed { .. }) {
                    self.totals.malformed += 1;
                    self.feed.counters().skip();
                }
                self.lost.notice(&notice);
                return Ok(true);
            }
        };
        match &entry.record {
            Record::Event(event) => {
                self.names.event(event, &mut self.feed)?;
                self.feed.saw(event.event_second);
                let mut record = records::event(self.device, event)?;
                let alert = match &mut self.judge {
                    Some(judge) => {
                        let message = self.names.message(event);
                        impact::assess(judge, &records::attack(event), &message, &mut record)?
                    }
                    None => None,
                };
                self.feed.event(&record)?;
                if let Some(alert) = alert {
                    self.feed.event(&alert)?;
                }
                self.totals.events += 1;
                if event.snort3.is_some() {
                    self.lost.part(event.record_type, "policy numbers and action");
                }
                if event.app_name.is_some() {
                    self.lost.part(event.record_type, "application name");
                }
            }
            Record::Packet(packet) if packet.record_type == kind::PACKET => {
                self.feed.event(&records::packet(self.device, packet)?)?;
                self.totals.packets += 1;
            }
            Record::ExtraData(extra) => {
                self.names.extra_data(extra.kind, &mut self.feed)?;
                self.feed.event(&records::extra_data(self.device, extra)?)?;
                self.totals.extra_data += 1;
            }
            Record::Packet(other) => self.lost.record(other.record_type, &mut self.totals, &self.feed),
            Record::Unknown { record_type, .. } => self.lost.record(*record_type, &mut self.totals, &self.feed),
        }
        if entry.record.trailing() > 0 {
            self.lost.trailing(&entry.record);
        }
        Ok(true)
    }

    /// Commits what was read together with the place it was read to.
    fn commit(&mut self, stop: &AtomicBool) -> Result<(), SnortError> {
        let position = self.spool.position();
        if position != self.position {
            if let Some(position) = &position {
                self.feed.position(&position.encode())?;
            }
            self.position = position;
        }
        Ok(self.feed.commit(stop)?)
    }

    /// Looks for changed maps, when that is due.
    fn refresh(&mut self) -> Result<(), SnortError> {
        if self.maps_seen.elapsed() < self.maps_every {
            return Ok(());
        }
        self.maps_seen = Instant::now();
        if self.names.refresh(&mut self.feed)? {
            let (rules, generators, classes) = self.names.maps().sizes();
            tracing::info!(rules, generators, classes, "The rule maps have changed and were read again.");
        }
        self.log_map_warnings();
        Ok(())
    }

    fn log_map_warnings(&mut self) {
        let maps = self.names.maps();
        let kept = maps.warnings().count();
        let count = kept as u64 + maps.warnings_dropped();
        if count == self.map_warnings {
            return;
        }
        self.map_warnings = count;
        for warning in maps.warnings().take(MAP_WARNINGS) {
            tracing::warn!(%warning, "A line of a rule map was skipped.");
        }
        let more = count.saturating_sub(MAP_WARNINGS as u64);
        if more > 0 {
            tracing::warn!(more, "More lines of the rule maps were skipped.");
        }
    }
}

/// Seconds since 1970-01-01 UTC.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What could not be carried over, said once for each kind.
#[derive(Debug, Default)]
struct Lost {
    said: BTreeSet<(u32, &'static str)>,
    malformed_in: Option<String>,
}

impl Lost {
    /// A whole record.
    fn record(&mut self, record_type: u32, totals: &mut Totals, feed: &Feed) {
        totals.unmapped += 1;
        feed.counters().skip();
        if self.first(record_type, "record") {
            tracing::warn!(
                unified2_type = record_type,
                "Unified2 records of this type have no counterpart in eStreamer and are skipped and counted."
            );
        }
    }

    /// A part of a record.
    fn part(&mut self, record_type: u32, what: &'static str) {
        if self.first(record_type, what) {
            tracing::warn!(
                unified2_type = record_type,
                what,
                "Unified2 records of this type have parts that have no counterpart in eStreamer and are left out."
            );
        }
    }

    /// Bytes nobody knows.
    fn trailing(&mut self, record: &Record<'_>) {
        let record_type = match record {
            Record::Event(event) => event.record_type,
            Record::Packet(packet) => packet.record_type,
            _ => kind::EXTRA_DATA,
        };
        self.part(record_type, "bytes after the known fields");
    }

    /// What the spool says. Of each file only the first malformed record is logged.
    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Malformed { file, .. } if self.malformed_in.as_ref() == Some(file) => {}
            Notice::Malformed { file, .. } => {
                self.malformed_in = Some(file.clone());
                tracing::error!(%notice, "A damaged record; more in the same file are only counted.");
            }
            Notice::Truncated { .. } | Notice::Replaced { .. } => tracing::warn!(%notice, "A spool file changed."),
            _ => tracing::error!(%notice, "A part of the spool is lost."),
        }
    }

    fn first(&mut self, record_type: u32, what: &'static str) -> bool {
        self.said.len() < MAX_KINDS && self.said.insert((record_type, what))
    }
}

/// Why a Snort sensor cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnortError {
    /// The spool's path cannot be made absolute.
    #[error("cannot find out where {} is: {source}; give its absolute path", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The spool cannot be read.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The archive's position is none.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// The rule maps cannot be read.
    #[error(transparent)]
    Maps(#[from] MapError),
    /// The archive cannot be written.
    #[error(transparent)]
    Feed(#[from] FeedError),
}
