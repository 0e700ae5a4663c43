//! The way of lines into an archive: each id once, and nothing is answered before it is durable.

use crate::error::{Flaw, LineError};
use crate::known::Known;
use crate::line::{Defaults, Line};
use crate::report::Report;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sensors::feed::{Feed, FeedError, Limits};
use sensors::record::prepare;
use sensors::{About, Registry};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use wire::decode::Decoder;
use wire::event::Event;

/// How long one waits for another program that publishes under the same name.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest name of a source.
const MAX_NAME: usize = 64;

/// How a source publishes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the source: letters, digits, `.`, `_` and `-`. Ids are known by source.
    pub source: String,
    /// Device id of events that say none.
    pub device: Option<u32>,
    /// Name of that device, told as metadata.
    pub device_name: Option<String>,
    /// When a group of records is large or old enough to be committed.
    pub limits: Limits,
    /// Where the source is known; without it all is captured, and nobody can hold it.
    pub registry: Option<Registry>,
}

impl Settings {
    /// Settings of a source without defaults.
    pub fn new(source: &str) -> Self {
        let source = source.to_owned();
        Settings { source, device: None, device_name: None, limits: Limits::default(), registry: None }
    }

    /// What an event gets now that its line leaves out.
    pub fn defaults(&self) -> Defaults {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        Defaults { device: self.device, time: Some((second, now.subsec_micros())) }
    }
}

/// Writes the records of one source to an archive. There is one at a time for a source, over all processes.
#[derive(Debug)]
pub struct Publisher {
    settings: Settings,
    feed: Feed,
    known: Known,
    decoder: Decoder,
    /// What is known here may be more than the archive knows.
    stale: bool,
    /// Held as long as this lives.
    _lock: File,
}

impl Publisher {
    /// Opens the archive of `netmap` below `root` for a source. Waits for another one of the same source, for some
    /// seconds and not longer than until `stop` is set.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn open(root: &Path, netmap: u32, settings: &Settings, stop: &AtomicBool) -> Result<Publisher, PublishError> {
        let source = &settings.source;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if source.is_empty() || source.len() > MAX_NAME || !source.chars().all(plain) {
            return Err(PublishError::Name { name: source.clone() });
        }
        let name = match netmap {
            0 => format!("publish-{source}.lock"),
            _ => format!("publish-{netmap}-{source}.lock"),
        };
        let lock = lock(&root.join(name), source, stop)?;
        let name = settings.device_name.as_deref().unwrap_or(source);
        let about = About { kind: "record-json", device: settings.device.unwrap_or(0), name };
        let (source_name, registry) = (format!("publish:{source}"), settings.registry.as_ref());
        let mut feed = Feed::registered(root, netmap, source_name.as_bytes(), settings.limits, registry, about)?;
        let known = Known::load(source, &mut feed)?;
        let mut publisher =
            Publisher { settings: settings.clone(), feed, known, decoder: Decoder::new(), stale: false, _lock: lock };
        publisher.name_device()?;
        Ok(publisher)
    }

    /// How this source publishes.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes a line that was read, and counts it. It is in the archive with the next [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`PublishError::Feed`], when nothing at all can be published any more.
    pub fn take(
        &mut self,
        number: u64,
        line: Result<Line, LineError>,
        report: &mut Report,
    ) -> Result<(), PublishError> {
        if self.stale {
            self.discard()?;
        }
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                report.reject(number, &error);
                return Ok(());
            }
        };
        // What is made here has a header that can be read.
        let prepared = prepare(&line.record, &mut self.decoder).map_err(FeedError::from)?;
        if let Some(length) = prepared.key.as_ref().map(Vec::len).filter(|length| *length > archive::MAX_FIELD) {
            let flaw = Flaw::Size { length, most: archive::MAX_FIELD };
            report.reject(number, &LineError { record_type: Some(line.record_type), ..flaw.into() });
            return Ok(());
        }
        if line.id.as_ref().is_some_and(|id| !self.known.insert(id)) {
            report.known += 1;
            return Ok(());
        }
        let taken = match &prepared.key {
            Some(key) => self.feed.metadata_item(key, &prepared.item).map(|()| true)?,
            None => self.feed.event_item(&prepared.item)?,
        };
        *(if taken { &mut report.accepted } else { &mut report.discarded }) += 1;
        Ok(())
    }

    /// Whether the source is held. What was taken is to be committed then, before one
    /// [waits](Self::wait_while_held).
    pub fn held(&self) -> bool {
        self.feed.held()
    }

    /// Waits as long as the source is held; `false` when `stop` was set meanwhile.
    pub fn wait_while_held(&mut self, stop: &AtomicBool) -> bool {
        self.feed.wait_while_held(stop)
    }

    /// For one who publishes on demand: from here to [`leave`](Self::leave) something may be committed.
    ///
    /// # Errors
    /// [`FeedError::Held`] in [`PublishError::Feed`] when the source is held.
    pub fn enter(&mut self) -> Result<(), PublishError> {
        Ok(self.feed.enter()?)
    }

    /// Ends what [`enter`](Self::enter) began.
    pub fn leave(&mut self) {
        self.feed.leave();
    }

    /// Whether it is time to commit.
    pub fn due(&self) -> bool {
        self.feed.due()
    }

    /// Whether anything waits to be committed.
    pub fn pending(&self) -> bool {
        self.feed.due_at().is_some()
    }

    /// Makes everything taken durable. While there is no room it waits, unless `stop` is set: then it tries once.
    ///
    /// # Errors
    /// [`PublishError::Feed`]. Everything taken is kept and can be committed later, unless it is
    /// [discarded](Self::discard).
    pub fn commit(&mut self, stop: &AtomicBool) -> Result<(), PublishError> {
        self.known.save(&mut self.feed)?;
        Ok(self.feed.commit(stop)?)
    }

    /// Forgets what was taken and could not be committed, ids included.
    ///
    /// # Errors
    /// [`PublishError::Feed`] when the archive cannot be read.
    pub fn discard(&mut self) -> Result<(), PublishError> {
        self.stale = true;
        self.feed.discard();
        self.known = Known::load(&self.settings.source, &mut self.feed)?;
        self.stale = false;
        self.name_device()
    }

    fn name_device(&mut self) -> Result<(), PublishError> {
        if let (Some(device), Some(name)) = (self.settings.device, &self.settings.device_name) {
            let mut record = Event::new(123).map_err(FeedError::from)?;
            record.set("id", device).and_then(|record| record.set("name", name.as_str())).map_err(FeedError::from)?;
            self.feed.metadata(&record)?;
        }
        Ok(())
    }
}

fn lock(path: &Path, source: &str, stop: &AtomicBool) -> Result<File, PublishError> {
    let failed = |source| PublishError::Lock { path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE && !stop.load(Ordering::Relaxed) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(Errno::WOULDBLOCK) => return Err(PublishError::Busy { source_name: source.to_owned() }),
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// Why records cannot be published.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The name of the source is unusable.
    #[error("{name:?} cannot be the name of a source: give 1 to 64 letters, digits, dots, underscores and hyphens")]
    Name {
        /// The name.
        name: String,
    },
    /// Another program has the name.
    #[error(
        "another program is publishing as {source_name:?} to this archive: wait for it, or give this one another --source"
    )]
    Busy {
        /// The name.
        source_name: String,
    },
    /// The lock file cannot be used.
    #[error("{} cannot be locked: {source}", path.display())]
    Lock {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The archive said no.
    #[error(transparent)]
    Feed(#[from] FeedError),
}
