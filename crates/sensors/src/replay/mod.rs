//! Captured streams as a sensor: their records go into an archive again, in their order.

mod capture;
mod place;
mod times;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use wire::decode::Decoder;
use wire::event::Event;
use wire::message::{Bundle, Message, MessageType};
use xxhash_rust::xxh3::xxh3_128;

use self::capture::{Capture, Piece};
use self::place::Place;
use crate::duty::{About, Registry};
use crate::feed::{Feed, FeedError, Limits, pause};
use crate::record::prepare;

/// Commits of a replay that keeps the time: soon.
const PACED: Limits = Limits { bytes: 4 << 20, events: u64::MAX, age: Duration::from_millis(20) };

/// Commits of one that does not: large.
const FAST: Limits = Limits { bytes: 4 << 20, events: u64::MAX, age: Duration::from_millis(250) };

/// The longest time in which nobody looks whether the replay is held.
const NAP: Duration = Duration::from_millis(50);

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Files of messages back to back, in their order.
    pub files: Vec<PathBuf>,
    /// So many times as fast as the records were archived first; `None` is as fast as possible.
    pub speed: Option<NonZeroU32>,
    /// Move the times of events so that the first is now.
    pub shifted: bool,
    /// Begin anew, although these files were replayed before.
    pub again: bool,
    /// Where the replay is known; without it all is captured, and nobody can hold it.
    pub registry: Option<Registry>,
}

/// What was replayed by this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events put into the archive.
    pub events: u64,
    /// Events left out, because their type is not captured.
    pub discarded: u64,
    /// Metadata records.
    pub metadata: u64,
    /// Events of unknown types, kept as bytes.
    pub unknown: u64,
    /// Records that contradict their layout, kept as they are.
    pub flawed: u64,
    /// Messages and records that could not be read and were skipped.
    pub damaged: u64,
}

/// Replays files into an archive. After a crash at any moment a replay that is opened again goes on so that each event
/// is in the archive exactly once.
#[derive(Debug)]
pub struct Replay {
    settings: Settings,
    feed: Feed,
    at: Place,
    /// The last place that was committed.
    committed: Option<Place>,
    totals: Totals,
    decoder: Decoder,
    /// When this run came to which archival second.
    begun: Option<(Instant, u32)>,
}

impl Replay {
    /// Opens a replay into the archive of `netmap` below `root`, where the last one of the same files has come to.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn open(settings: Settings, root: &Path, netmap: u32) -> Result<Replay, ReplayError> {
        let limits = if settings.speed.is_some() { PACED } else { FAST };
        let about = About { kind: "replay", device: 0, name: "replay" };
        let (name, registry) = (source(&settings)?, settings.registry.as_ref());
        let mut feed = Feed::registered(root, netmap, &name, limits, registry, about)?;
        let at = match feed.committed_position()?.filter(|_| !settings.again) {
            Some(bytes) => Place::decode(&bytes).ok_or(ReplayError::Position)?,
            None => Place::default(),
        };
        Ok(Replay {
            settings,
            feed,
            at,
            committed: None,
            totals: Totals::default(),
            decoder: Decoder::new(),
            begun: None,
        })
    }

    /// Events in the archive, those of earlier runs included.
    pub fn events(&self) -> u64 {
        self.at.events
    }

    /// What this run has done.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Replays until all is in the archive or `stop` is set; gives whether all is.
    ///
    /// # Errors
    /// [`ReplayError`]. What was replayed is in the archive up to a message; opened again it goes on there.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<bool, ReplayError> {
        if !self.feed.wait_while_held(stop) {
            return Ok(false);
        }
        let files = self.settings.files.clone();
        let first = usize::try_from(self.at.file).unwrap_or(usize::MAX);
        for path in files.iter().skip(first) {
            if !self.file(path, stop)? {
                self.commit(stop)?;
                return Ok(false);
            }
            self.at = Place { file: self.at.file + 1, offset: 0, items: 0, ..self.at };
        }
        self.commit(stop)?;
        Ok(true)
    }

    fn file(&mut self, path: &Path, stop: &AtomicBool) -> Result<bool, ReplayError> {
        let failed = |source| ReplayError::File { path: path.to_owned(), source };
        let length = path.metadata().map_err(failed)?.len();
        if length < self.at.offset {
            return Err(ReplayError::Changed { path: path.to_owned(), length, offset: self.at.offset });
        }
        let mut capture = Capture::open(path, self.at.offset).map_err(failed)?;
        loop {
            let offset = capture.offset();
            match capture.next().map_err(failed)? {
                None => return Ok(true),
                Some(Piece::Message(message)) => {
                    if !self.message(&message, path, offset, stop)? {
                        return Ok(false);
                    }
                }
                Some(Piece::Damage { bytes, why }) => {
                    self.damaged(path, offset, &format!("{bytes} bytes are no message and were skipped: {why}"));
                }
            }
            self.at = Place { offset: capture.offset(), items: 0, ..self.at };
            if self.feed.due() {
                self.commit(stop)?;
            }
        }
    }

    /// Replays a message; `false` when it was stopped within.
    fn message(
        &mut self,
        message: &Message<'_>,
        path: &Path,
        offset: u64,
        stop: &AtomicBool,
    ) -> Result<bool, ReplayError> {
        let one;
        let items: &mut dyn Iterator<Item = Result<&[u8], String>> = match message.kind {
            MessageType::EVENT_DATA => {
                one = message.body;
                &mut std::iter::once(Ok(one))
            }
            MessageType::BUNDLE => match Bundle::parse(message.body) {
                Ok(bundle) => &mut bundle.items.map(|item| match item {
                    Ok(Message { kind: MessageType::EVENT_DATA, body }) => Ok(body),
                    Ok(other) => Err(format!("a bundle holds a {} message", other.kind)),
                    Err(error) => Err(format!("an item reaches beyond its bundle: {error}")),
                }),
                Err(error) => &mut std::iter::once(Err(error.to_string())),
            },
            // The dialogue and host data are no events.
            known if known.name().is_some() => &mut std::iter::empty(),
            unknown => &mut std::iter::once(Err(format!("{unknown} is not known"))),
        };
        let done = usize::try_from(self.at.items).unwrap_or(usize::MAX);
        for item in items.skip(done) {
            if stop.load(Ordering::Relaxed) || !self.gate(stop)? {
                return Ok(false);
            }
            match item {
                Ok(record) => {
                    if !self.record(record, path, offset, stop)? {
                        return Ok(false);
                    }
                }
                Err(why) => self.damaged(path, offset, &why),
            }
            self.at.offset = offset;
            self.at.items += 1;
            if self.feed.due() {
                self.commit(stop)?;
            }
        }
        Ok(true)
    }

    fn record(&mut self, record: &[u8], path: &Path, offset: u64, stop: &AtomicBool) -> Result<bool, ReplayError> {
        let mut moved = Vec::new();
        let decoded = match self.decoder.decode(record) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.damaged(path, offset, &error.to_string());
                return Ok(true);
            }
        };
        let problem = decoded.problem().map(ToString::to_string);
        let unknown = decoded.layout.is_none();
        let timestamp = decoded.header.timestamp;
        if self.settings.shifted
            && problem.is_none()
            && decoded.layout.is_some_and(|layout| !layout.metadata)
            && let Ok(mut event) = Event::try_from(&decoded)
        {
            if self.at.shift.is_none() {
                self.at.shift = times::second(&event).or(timestamp).map(|first| now() - i64::from(first));
            }
            times::shift(&mut event, self.at.shift.unwrap_or(0));
            event.encode(timestamp, &mut moved);
        }
        if !self.wait(timestamp, stop)? {
            return Ok(false);
        }
        let prepared = prepare(if moved.is_empty() { record } else { &moved }, &mut self.decoder);
        let mut prepared = prepared.map_err(FeedError::from)?;
        self.feed.adopt(&mut prepared.item);
        if let Some(problem) = problem {
            self.totals.flawed += 1;
            tracing::warn!("{}, message at {offset}: {problem}. The record is kept as it is", path.display());
        }
        match &prepared.key {
            // The archive has no room for such a key, and it names nothing that can be read.
            Some(key) if key.len() > archive::MAX_FIELD => {
                self.damaged(path, offset, &format!("metadata {} without a key", prepared.record_type));
            }
            Some(key) => {
                self.feed.metadata_item(key, &prepared.item)?;
                self.totals.metadata += 1;
            }
            None => {
                if !self.feed.event_item(&prepared.item)? {
                    self.totals.discarded += 1;
                    return Ok(true);
                }
                self.totals.events += 1;
                self.at.events += 1;
                self.totals.unknown += u64::from(unknown);
            }
        }
        Ok(true)
    }

    /// Waits until a record of this archival second is due; `false` when it was stopped.
    fn wait(&mut self, second: Option<u32>, stop: &AtomicBool) -> Result<bool, ReplayError> {
        let (Some(speed), Some(second)) = (self.settings.speed, second) else { return Ok(true) };
        self.begun.get_or_insert_with(|| (Instant::now(), second));
        let left = |begun: Option<(Instant, u32)>| {
            let (start, first) = begun.unwrap_or_else(|| (Instant::now(), second));
            let due = start + Duration::from_secs(second.saturating_sub(first).into()) / speed.get();
            due.saturating_duration_since(Instant::now())
        };
        if left(self.begun).is_zero() {
            return Ok(true);
        }
        self.commit(stop)?;
        while !left(self.begun).is_zero() {
            if !pause(stop, left(self.begun).min(NAP)) || !self.gate(stop)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Commits and waits while the replay is held, and its time stands still; `false` when `stop` was set meanwhile.
    fn gate(&mut self, stop: &AtomicBool) -> Result<bool, ReplayError> {
        if !self.feed.held() {
            return Ok(true);
        }
        self.commit(stop)?;
        let since = Instant::now();
        let goes_on = self.feed.wait_while_held(stop);
        if let Some((start, _)) = &mut self.begun {
            *start += since.elapsed();
        }
        Ok(goes_on)
    }

    fn damaged(&mut self, path: &Path, offset: u64, why: &str) {
        self.totals.damaged += 1;
        tracing::warn!("{}, message at {offset}: {why}", path.display());
    }

    fn commit(&mut self, stop: &AtomicBool) -> Result<(), ReplayError> {
        if self.feed.due_at().is_some() || self.committed != Some(self.at) {
            self.feed.position(&self.at.encode())?;
            self.feed.commit(stop)?;
            self.committed = Some(self.at);
        }
        Ok(())
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// The name of a replay in the archive: that of these files, with these times.
fn source(settings: &Settings) -> Result<Vec<u8>, ReplayError> {
    let mut names = vec![u8::from(settings.shifted)];
    for path in &settings.files {
        let whole = path.canonicalize().map_err(|source| ReplayError::File { path: path.clone(), source })?;
        names.extend_from_slice(whole.as_os_str().as_encoded_bytes());
        names.push(0);
    }
    Ok(format!("replay:{:032x}", xxh3_128(&names)).into_bytes())
}

/// Why a replay ended early.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is shorter than what was replayed of it.
    #[error(
        "{} has {length} bytes, and {offset} of it were replayed: it is another file now. Give it another name, or \
         --again to replay it from its beginning", path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
        /// How far it was replayed.
        offset: u64,
    },
    /// What the archive knows of this replay makes no sense.
    #[error("the archive's note of how far these files were replayed is not of this version: replay them with --again")]
    Position,
    /// The archive said no.
    #[error(transparent)]
    Feed(#[from] FeedError),
}
