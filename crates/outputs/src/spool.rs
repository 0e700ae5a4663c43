//! A queue of lines on disk, between the collector and a receiver that may be away.
//!
//! A [`Spool`] is a [`Destination`]: it keeps the contract of [`destination`](crate::destination), so that each line
//! is in it exactly once, and its [`Reader`] gives out what is durable *and* in a stored state, never more. What a
//! crash takes back was therefore not sent.
//!
//! # The folder
//!
//! | File | Content |
//! |---|---|
//! | `BYTES-LINES.lines` | a segment; the name says how many bytes and lines came before it |
//! | `cursor`, `cursor.latest` | up to where everything was sent |
//! | `rejected.jsonl` | lines the receiver refused (written by the [`sender`](crate::sender)) |
//! | `lock` | held by the process that uses the folder |
//!
//! Folders are created with mode 0700, files with 0600: lines are security events.
//!
//! # Rules
//!
//! * As with [`File`](crate::file::File), a segment is announced by a stored state before it exists. Segments behind the
//!   one of the stored state were made by nobody who knows it, and are removed when opening.
//! * A position is the number of bytes and of lines since the beginning of time; segments have their first position as
//!   name. So a cursor or segment that is missing or damaged costs what it held and no more, and it is known how many
//!   lines that was.
//! * The cursor is noted when a batch is done, and made durable at most once a second. After a kill what was not done
//!   is sent again, after a power failure also what was done since the cursor was durable.
//! * A segment of which all is sent is removed, unless it is the one that is being written.
//!
//! # Limit
//!
//! [`Settings::limit`] is how many bytes may wait. When that many do, further lines are refused with an error that the
//! caller repeats until there is room ([`Overflow::Block`]), or are not taken and counted ([`Overflow::Drop`]). The
//! last write before that may go past the limit. The disk holds at most the limit, that write, and the sent part of
//! one segment.

mod cursor;
mod reader;
mod segments;
mod shared;

pub use reader::{Batch, Lines, Reader};
pub use segments::Position;
pub(crate) use segments::sync_folder;
pub(crate) use shared::Shared;

use crate::destination::{Destination, Error};
use crate::metrics::Metrics;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{self, PathBuf};
use std::sync::Arc;

/// Bytes kept back before they are written.
const BUFFER: usize = 256 * 1024;

/// Where to keep lines, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder, for this spool alone; created when missing, relative to the working directory. Must be UTF-8.
    pub folder: PathBuf,
    /// Bytes that may wait.
    pub limit: u64,
    /// What happens to lines when that many wait.
    pub overflow: Overflow,
    /// Bytes after which a new segment is begun.
    pub segment: u64,
}

impl Settings {
    /// A spool in this folder: 1 GiB, blocking, segments of 64 MiB.
    pub fn new(folder: impl Into<PathBuf>) -> Settings {
        Settings { folder: folder.into(), limit: 1 << 30, overflow: Overflow::Block, segment: 64 << 20 }
    }
}

/// What happens to lines when the spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// They wait at the caller, and with them the other destinations: nothing is lost.
    #[default]
    Block,
    /// They are not taken, and counted.
    Drop,
}

/// The writing end.
#[derive(Debug)]
pub struct Spool {
    settings: Settings,
    shared: Arc<Shared>,
    /// As of the last sync.
    state: State,
    /// The segment of `state` is in a stored state, or follows from one.
    announced: bool,
    /// The end of what is in a stored state.
    stored: Position,
    /// The end of what was written, the buffer included.
    end: Position,
    /// Open segment; `None` until the first write.
    open: Option<fs::File>,
    /// The segment exists.
    exists: bool,
    /// Something was created in the folder since the last sync.
    folder_changed: bool,
    buffer: Vec<u8>,
    /// Lines not taken since the last stored state.
    dropped: u64,
    /// Lines not taken in this episode, while there is one.
    episode: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Where the segment begins.
    base: Position,
    /// Where it ends.
    end: Position,
}

impl Spool {
    /// Opens the spool. `state` is what [`Destination::state`] gave at the last checkpoint: what was written after it is
    /// removed. Without a state, as when the checkpoint was lost, all whole lines that are there are kept.
    ///
    /// # Errors
    /// [`Error::Open`] when the folder cannot be used, or another process uses it; [`Error::State`] for a state that is
    /// not one of a spool; [`Error::Name`].
    pub fn open(settings: Settings, state: Option<&str>) -> Result<(Spool, Reader), Error> {
        let mut settings = settings;
        let folder = path::absolute(&settings.folder);
        settings.folder =
            folder.map_err(|source| Error::Open { action: "find", path: settings.folder.clone(), source })?;
        if settings.folder.to_str().is_none() {
            return Err(Error::Name { path: settings.folder });
        }
        settings.segment = settings.segment.max(1);
        let state: Option<State> = match state.filter(|text| !text.is_empty()) {
            Some(text) => Some(parse(text)?),
            None => None,
        };
        segments::create_private(&settings.folder)?;
        let lock = segments::lock(&settings.folder)?;
        let found = segments::recover(&settings.folder, state.map(|s| (s.base, s.end)))?;
        let cursor = cursor::load(&settings.folder);
        let shared = Arc::new(Shared::new(settings.folder.clone(), lock, &found, cursor));
        let spool = Spool {
            state: State { base: found.base, end: found.end },
            announced: found.announced,
            stored: found.end,
            end: found.end,
            open: None,
            exists: found.exists,
            // Whoever created it may have been killed before its name was durable.
            folder_changed: found.exists,
            buffer: Vec::new(),
            dropped: 0,
            episode: None,
            shared: Arc::clone(&shared),
            settings,
        };
        Ok((spool, Reader::new(shared)))
    }

    /// The counts of this destination.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(self.shared.metrics())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Bytes that are not known to be sent.
    fn waiting(&self) -> u64 {
        self.end.bytes.saturating_sub(self.shared.cursor().bytes)
    }

    fn full(&self) -> bool {
        self.waiting() >= self.settings.limit
    }

    fn segment_full(&self) -> bool {
        self.length() >= self.settings.segment
    }

    fn path(&self) -> PathBuf {
        segments::path(&self.settings.folder, self.state.base)
    }

    /// The segment after this one begins here. It has to be announced before it is created.
    fn next(&mut self, at: Position) {
        self.announced &= at == self.state.base;
        self.state = State { base: at, end: at };
        self.end = at;
        self.exists = false;
        self.open = None;
        self.buffer.clear();
    }

    fn handle(&mut self) -> Result<&fs::File, Error> {
        let path = self.path();
        let failed = |action, source| Error::Open { action, path: path.clone(), source };
        if self.open.is_none() {
            let mut options = OpenOptions::new();
            options.write(true).create_new(!self.exists).mode(0o600);
            let file = options.open(&path).map_err(|e| failed(if self.exists { "open" } else { "create" }, e))?;
            self.folder_changed |= !self.exists;
            self.exists = true;
            self.open = Some(file);
        }
        self.open.as_ref().ok_or_else(|| failed("open", io::ErrorKind::NotFound.into()))
    }

    /// Writes `bytes` into the segment at this length; all or nothing.
    fn put(&mut self, bytes: &[u8], at: u64) -> Result<(), Error> {
        let target = self.path().display().to_string();
        let file = self.handle()?;
        file.write_all_at(bytes, at).map_err(|source| {
            // Should this fail too: it is overwritten later, or cut off when opening.
            let _ = file.set_len(at);
            Error::Write { target, source }
        })
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = self.put(&buffer, self.length().saturating_sub(buffer.len() as u64));
        if written.is_ok() {
            buffer.clear();
        }
        self.buffer = buffer;
        written
    }

    /// Bytes of the segment, the buffer included.
    fn length(&self) -> u64 {
        self.end.bytes.saturating_sub(self.state.base.bytes)
    }

    /// Back to the last state, after a sync that failed.
    fn rewind(&mut self) {
        if let Some(file) = &self.open {
            let _ = file.set_len(self.state.end.bytes.saturating_sub(self.state.base.bytes));
        }
        self.end = self.state.end;
        self.dropped = 0;
        self.open = None;
        self.buffer.clear();
    }

    /// Counts lines that are not taken; says so once.
    fn drop_lines(&mut self, lines: usize) {
        if self.episode.is_none() {
            tracing::error!(
                spool = %self.settings.folder.display(), limit = self.settings.limit,
                "the spool is full: events for this destination are dropped until some are sent"
            );
        }
        self.dropped += lines as u64;
        *self.episode.get_or_insert(0) += lines as u64;
    }
}

impl Destination for Spool {
    fn describe(&self) -> String {
        format!("spool {}", self.settings.folder.display())
    }

    fn room(&self) -> usize {
        // What is not yet stored cannot be sent: without a checkpoint a full spool would stay full.
        let stuck = self.end.bytes > self.stored.bytes && self.full();
        if !self.announced || self.segment_full() || stuck { 0 } else { usize::MAX }
    }

    fn write(&mut self, bytes: &[u8], lines: usize) -> Result<(), Error> {
        if lines > self.room() {
            return Err(Error::Full { lines, room: self.room() });
        }
        if lines > 0 && self.full() {
            if self.settings.overflow == Overflow::Drop {
                self.drop_lines(lines);
                return Ok(());
            }
            let target = self.describe();
            let why = self.shared.metrics().counts().last_error;
            let why = why.map(|e| format!("; the last error of the destination was: {e}")).unwrap_or_default();
            let text = format!(
                "{} bytes wait to be sent, and the limit is {}{why}. Make the destination take them, or raise the limit",
                self.waiting(),
                self.settings.limit
            );
            return Err(Error::Write { target, source: io::Error::other(text) });
        }
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            self.put(bytes, self.length())?;
        } else {
            // Created now and not when the buffer is full, so that what is in the way shows at once.
            self.handle()?;
            self.buffer.extend_from_slice(bytes);
        }
        self.end.bytes += bytes.len() as u64;
        self.end.lines += lines as u64;
        if let Some(dropped) = self.episode.take_if(|_| lines > 0) {
            tracing::warn!(
                spool = %self.settings.folder.display(), dropped,
                "the spool has room again: events are taken, but those in between are lost for this destination"
            );
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        if let Some(file) = &self.open
            && (self.end != self.state.end || self.folder_changed)
        {
            let synced = match file.sync_data() {
                Ok(()) if self.folder_changed => sync_folder(&self.settings.folder),
                other => other,
            };
            let path = self.path();
            if let Err(source) = synced {
                self.rewind();
                return Err(Error::Sync { path, source });
            }
            if file.metadata().is_ok_and(|data| data.nlink() == 0) {
                tracing::warn!(path = %path.display(), "a segment of the spool was deleted while it was written");
                self.rewind();
                self.next(self.state.end);
                return Err(Error::Deleted { path });
            }
            self.folder_changed = false;
        }
        self.state.end = self.end;
        if self.segment_full() {
            self.next(self.end);
        }
        Ok(())
    }

    fn state(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }

    fn stored(&mut self, state: &str) {
        if state == self.state() {
            self.announced = true;
            let lines = self.state.end.lines.saturating_sub(self.stored.lines);
            self.stored = self.state.end;
            self.shared.announce(self.state.base, self.state.end, lines, std::mem::take(&mut self.dropped));
        }
    }
}

fn parse(text: &str) -> Result<State, Error> {
    let damaged = |problem: String| Error::State { text: text.to_owned(), problem };
    let state: State = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
    if state.end.bytes < state.base.bytes || state.end.lines < state.base.lines {
        return Err(damaged("it ends before it begins".to_owned()));
    }
    Ok(state)
}
