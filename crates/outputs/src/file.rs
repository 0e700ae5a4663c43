//! Files: each event exactly once, even after `kill -9` or a power failure, under the contract of
//! [`destination`](crate::destination).
//!
//! Names follow eNcore: `{0}` stands for the epoch second at which the name is chosen (`SECONDS_NNNN` when that file
//! exists: names sort as the files follow each other), no name is `log{0}`, slashes in the name are removed, missing
//! folders are created. Unlike eNcore, which overwrites it again and again, a file whose name has no `{0}` is appended to
//! and never rotated.
//!
//! A file that is renamed or deleted while it is open is noticed at the next sync, and a new one is begun. (Truncating it
//! from outside, as logrotate's `copytruncate` does, loses events with any program.)
//!
//! # Complete files
//!
//! A file is completed by the `sync` that finds it full or old; the state then names the next one. Only when that state is
//! stored is the file handed over: to its final name ([`Settings::partial`]), to compression, to being copied. For a crash
//! before that goes back to a state in which it is written. The state says across a crash that a file is to have its
//! final name; it does so until the renaming is durable. Everything behind the hand-over begins anew after a crash with
//! the files that are found, and happens in a thread of its own.
//!
//! Two collectors must not share folder and name: each would take the complete files of the other for its own.

mod compress;
mod expired;
mod folder;
mod keeper;
mod metrics;
mod names;
mod os;
mod settings;

pub use expired::expired;
pub use metrics::Metrics;
pub use settings::{Compression, Retention, Settings};

use crate::destination::{Destination, Error};
use folder::{create_folder, ends_with_line_feed, is_free, length, publish};
use keeper::{Background, Keeper};
use names::{Names, PLACE, Stamp, hidden};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Bytes kept back before they are written.
const BUFFER: usize = 256 * 1024;

/// Bytes that a line is expected to have before there was one.
const LINE: u64 = 1024;

/// A file, or a row of files, that receives each line exactly once.
#[derive(Debug)]
pub struct File {
    settings: Settings,
    names: Names,
    /// As of the last sync.
    state: State,
    /// `state` is stored, or follows from a stored one by writing to the file that it names.
    announced: bool,
    /// Where the file of `state` is now: its path, or a hidden one until it is complete.
    path: PathBuf,
    /// Open file; `None` until the first write.
    open: Option<fs::File>,
    /// The file is our own: it was found when opening with a state, or created.
    exists: bool,
    /// Something was created or renamed in the folder since the last sync.
    folder_changed: bool,
    buffer: Vec<u8>,
    /// Bytes in the file, the buffer not counted.
    flushed: u64,
    /// Lines of the file, those in the buffer counted.
    lines: usize,
    /// Milliseconds since 1970 of its first line; 0 before.
    since: u64,
    /// Bytes of a line, as the last ones were.
    line: u64,
    /// The next stamp to try.
    stamp: Stamp,
    /// The file before, complete but not handed over.
    complete: Option<PathBuf>,
    /// The state that says so is stored: it may be handed over.
    due: bool,
    background: Option<Background>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The file, by its final name.
    path: String,
    length: u64,
    lines: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    since: u64,
    /// It has a hidden name for now.
    #[serde(default, skip_serializing_if = "is_default")]
    partial: bool,
    /// The file before, by its final name: if it still has its hidden name, that is to change.
    #[serde(default, skip_serializing_if = "is_default")]
    done: Option<String>,
}

/// What has become of the file of a state.
enum Found {
    /// It goes on.
    Ours,
    /// It is put right, but the settings are for other files now.
    Others,
    /// It is gone or damaged.
    Lost,
}

impl File {
    /// Opens the output. `state` is what [`Destination::state`] gave at the last checkpoint: the file is cut off at the
    /// length it had then.
    ///
    /// A file that vanished, or became shorter, is no error: what comes goes to a new file, and the log says so.
    pub fn open(settings: Settings, state: Option<&str>) -> Result<File, Error> {
        let (mut file, keeper) = File::prepare(settings, state)?;
        if let (Some(background), Some(keeper)) = (&mut file.background, keeper) {
            background.start(keeper)?;
        }
        Ok(file)
    }

    /// What becomes of its files.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// The output, and who is to take care of its complete files.
    fn prepare(settings: Settings, state: Option<&str>) -> Result<(File, Option<Keeper>), Error> {
        let mut settings = settings;
        settings.name.retain(|c| c != '/');
        if settings.name.is_empty() {
            settings.name = format!("log{PLACE}");
        }
        let folder = path::absolute(&settings.folder);
        settings.folder =
            folder.map_err(|source| Error::Open { action: "find", path: settings.folder.clone(), source })?;
        if settings.folder.to_str().is_none() {
            return Err(Error::Name { path: settings.folder });
        }
        let names = Names { folder: settings.folder.clone(), pattern: settings.name.clone() };
        if !names.rotate() {
            settings.fix_name();
        }
        let mut file = File {
            settings,
            names,
            state: State::default(),
            announced: false,
            path: PathBuf::new(),
            open: None,
            exists: false,
            folder_changed: false,
            buffer: Vec::new(),
            flushed: 0,
            lines: 0,
            since: 0,
            line: LINE,
            stamp: Stamp { second: 0, number: 0 },
            complete: None,
            due: false,
            background: None,
            metrics: Arc::default(),
        };
        let mut written = Vec::new();
        let found = match state.filter(|text| !text.is_empty()) {
            Some(text) => {
                let mut state: State = serde_json::from_str(text)
                    .map_err(|e| Error::State { text: text.to_owned(), problem: e.to_string() })?;
                if let Some(done) = state.done.take() {
                    file.finish(Path::new(&done))?;
                }
                written.push(PathBuf::from(&state.path));
                file.resume(state)?
            }
            None => Found::Lost,
        };
        match found {
            Found::Ours if !file.full() => {}
            Found::Ours | Found::Others => file.complete()?,
            Found::Lost => file.next()?,
        }
        written.push(PathBuf::from(&file.state.path));
        let keeper = if file.settings.keeps() { Some(file.keeper(written)?) } else { None };
        Ok((file, keeper))
    }

    fn keeper(&mut self, mut written: Vec<PathBuf>) -> Result<Keeper, Error> {
        create_folder(&self.settings.folder)?;
        for path in written.clone() {
            written.push(hidden(&path, "part"));
        }
        let (outbox, inbox) = mpsc::channel();
        let keeper = Keeper::new(&self.settings, self.names.clone(), &written, inbox, self.metrics.clone())?;
        self.background = Some(keeper.background(outbox));
        Ok(keeper)
    }

    /// Gives a file its final name, if a crash came before that.
    fn finish(&self, path: &Path) -> Result<(), Error> {
        publish(path, &self.names)?;
        let folder = path.parent().unwrap_or(path);
        match os::sync_folder(folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::Open { action: "make durable", path: folder.to_owned(), source: e })
            }
            _ => Ok(()),
        }
    }

    /// Goes on with the file of the last checkpoint.
    fn resume(&mut self, state: State) -> Result<Found, Error> {
        let (path, last) = (state.written(), Path::new(&state.path));
        if let Some(stamp) = self.names.stamp(last) {
            self.stamp = stamp.next();
        }
        let found = match self.names.own(last) && state.partial == self.settings.partial {
            true => Found::Ours,
            false => Found::Others,
        };
        match length(&path)? {
            None if state.length == 0 => {
                // Announced, but nothing was ever written to it.
                self.begin(state);
                self.announced = true;
                return Ok(found);
            }
            None => {
                tracing::warn!(path = %path.display(), "the last output file is gone; a new one is begun");
                return Ok(Found::Lost);
            }
            Some(found) if found < state.length => {
                tracing::warn!(
                    path = %path.display(), length = found, expected = state.length,
                    "the last output file has become shorter; what comes is not mixed with what was cut"
                );
                return Ok(Found::Lost);
            }
            Some(found) if found > state.length => {
                tracing::info!(
                    path = %path.display(), length = state.length, bytes = found - state.length,
                    "cutting off what was written after the last checkpoint"
                );
                let file = os::open(&path, false);
                let cut = file.and_then(|f| os::cut(&f, state.length).and_then(|()| os::sync(&f)));
                cut.map_err(|source| Error::Open { action: "cut off", path, source })?;
            }
            Some(_) => {}
        }
        self.exists = true;
        self.announced = true;
        // Whoever created it may have been killed before its name was durable.
        self.folder_changed = true;
        self.begin(state);
        self.end_torn_line()?;
        Ok(found)
    }

    /// Makes `state` the current one; the file is opened by the first write.
    fn begin(&mut self, state: State) {
        self.path = state.written();
        self.flushed = state.length;
        self.lines = state.lines;
        self.since = state.since;
        self.state = state;
        self.buffer.clear();
        self.open = None;
    }

    /// Chooses the next file. It has to be announced before it is created.
    fn next(&mut self) -> Result<(), Error> {
        create_folder(&self.settings.folder)?;
        let path = self.next_path()?;
        let length = length(&path)?;
        self.exists = length.is_some();
        self.announced = false;
        let done = self.state.done.take();
        self.begin(State {
            path: path.to_string_lossy().into_owned(),
            length: length.unwrap_or(0),
            partial: self.settings.partial,
            done,
            ..State::default()
        });
        self.end_torn_line()
    }

    /// Chooses the next file. When that is stored, the one before can be handed over.
    fn complete(&mut self) -> Result<(), Error> {
        let (path, partial, exists) = (self.state.path.clone(), self.state.partial, self.exists);
        self.next()?;
        if exists {
            self.state.done = partial.then(|| path.clone());
            self.complete = Some(path.into());
        }
        Ok(())
    }

    /// Hands over the complete file: it gets its final name, and the keeper hears of it.
    fn hand_over(&mut self) -> Result<(), Error> {
        if let (Some(done), Some(_)) = (&self.state.done, &self.complete) {
            let path = publish(Path::new(done), &self.names)?;
            if path.parent() != Some(&self.settings.folder) {
                self.finish(&path)?;
            }
            self.folder_changed = true;
            self.complete = Some(path);
        }
        self.due = false;
        if let Some(path) = self.complete.take() {
            metrics::add(&self.metrics.completed, 1);
            if let Some(background) = &self.background {
                background.take(path);
            }
        }
        Ok(())
    }

    /// Where another program was killed in the middle of a line, ours shall not become a part of it.
    fn end_torn_line(&mut self) -> Result<(), Error> {
        if self.flushed > 0 && !ends_with_line_feed(&self.path)? {
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    fn next_path(&mut self) -> Result<PathBuf, Error> {
        if !self.names.rotate() {
            return Ok(self.settings.folder.join(&self.settings.name));
        }
        let second = os::now().as_secs();
        if self.stamp.second != second {
            self.stamp = Stamp { second, number: 0 };
        }
        loop {
            let path = self.names.path(self.stamp);
            self.stamp = self.stamp.next();
            // An announced file need not exist yet.
            if is_free(&path)? && path != Path::new(&self.state.path) {
                return Ok(path);
            }
        }
    }

    /// Bytes of the file, those in the buffer counted.
    fn length(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn full(&self) -> bool {
        let Settings { lines_per_file, max_bytes, .. } = self.settings;
        lines_per_file.is_some_and(|limit| self.lines >= limit.max(1))
            || max_bytes.is_some_and(|limit| self.length() >= limit.max(1))
            || self.old()
    }

    fn old(&self) -> bool {
        let Some(limit) = self.settings.max_age.filter(|_| self.since > 0) else { return false };
        let (limit, now) = (milliseconds(limit).max(1), milliseconds(os::now()));
        match self.settings.aligned {
            true => now / limit > self.since / limit,
            false => now.saturating_sub(self.since) >= limit,
        }
    }

    /// The open file; opened or created now if need be.
    fn handle(&mut self) -> Result<&fs::File, Error> {
        if self.open.is_none() {
            if !self.exists {
                create_folder(&self.settings.folder)?;
            }
            match os::open(&self.path, !self.exists) {
                Ok(file) => {
                    self.folder_changed |= !self.exists;
                    self.exists = true;
                    self.open = Some(file);
                }
                Err(e) if !self.exists && e.kind() == io::ErrorKind::AlreadyExists => {
                    let path = self.path.clone();
                    self.next()?;
                    return Err(Error::Taken { path });
                }
                Err(e) if self.exists && e.kind() == io::ErrorKind::NotFound => {
                    let path = self.path.clone();
                    self.next()?;
                    return Err(Error::Deleted { path });
                }
                Err(source) => {
                    let path = self.path.clone();
                    return Err(Error::Open { action: "open", path, source });
                }
            }
        }
        let path = &self.path;
        let missing = || Error::Open { action: "open", path: path.clone(), source: io::ErrorKind::NotFound.into() };
        self.open.as_ref().ok_or_else(missing)
    }

    /// Writes `bytes` behind what is in the file; all or nothing.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let at = self.flushed;
        let file = self.handle()?;
        if let Err(source) = os::write_at(file, bytes, at) {
            // Readers should not see the piece that fitted. Should this fail too: it is overwritten later.
            let _ = os::cut(file, at);
            return Err(Error::Write { target: self.path.display().to_string(), source });
        }
        self.flushed += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let done = self.append(&buffer);
        // Kept for the next try, unless the file is another one now.
        if self.open.is_some() {
            self.buffer = buffer;
        }
        if done.is_ok() {
            self.buffer.clear();
        }
        done
    }

    /// Back to the last state, after a sync that failed.
    fn rewind(&mut self) {
        if let Some(file) = &self.open {
            let _ = os::cut(file, self.state.length);
        }
        self.begin(self.state.clone());
    }

    /// Whether the open file still has its name.
    fn in_place(&self) -> Result<Place, Error> {
        let Some(file) = &self.open else { return Ok(Place::Ours) };
        let failed = |source| Error::Open { action: "look at", path: self.path.clone(), source };
        let own = file.metadata().map_err(failed)?;
        match fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => Ok(Place::Ours),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
            _ if own.nlink() == 0 => Ok(Place::Deleted),
            _ => Ok(Place::Renamed),
        }
    }
}

enum Place {
    Ours,
    Renamed,
    Deleted,
}

impl Destination for File {
    fn describe(&self) -> String {
        format!("file {}", self.settings.folder.join(&self.settings.name).display())
    }

    fn room(&self) -> usize {
        if !self.announced {
            return 0;
        }
        let Settings { lines_per_file, max_bytes, .. } = self.settings;
        let lines = lines_per_file.map_or(usize::MAX, |limit| limit.max(1).saturating_sub(self.lines));
        let bytes = max_bytes.map(|limit| limit.max(1).saturating_sub(self.length()).div_ceil(self.line));
        lines.min(bytes.map_or(usize::MAX, |lines| usize::try_from(lines).unwrap_or(usize::MAX)))
    }

    fn write(&mut self, bytes: &[u8], lines: usize) -> Result<(), Error> {
        if lines > self.room() {
            return Err(Error::Full { lines, room: self.room() });
        }
        if self.flushed == 0 && self.buffer.is_empty() && !bytes.is_empty() {
            self.handle()?;
            self.buffer.extend_from_slice(&self.settings.header);
        }
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            self.append(bytes)?;
        } else {
            // Created now and not when the buffer is full, so that what is in the way shows at once.
            self.handle()?;
            self.buffer.extend_from_slice(bytes);
        }
        self.lines += lines;
        if let Some(line) = bytes.len().checked_div(lines) {
            self.line = line.max(1) as u64;
        }
        if self.since == 0 {
            self.since = milliseconds(os::now()).max(1);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.due {
            self.hand_over()?;
        }
        self.flush()?;
        let mut synced = Ok(());
        if let Some(file) = &self.open
            && (self.flushed != self.state.length || self.folder_changed)
        {
            synced = os::sync(file);
        }
        if synced.is_ok() && self.folder_changed {
            synced = os::sync_folder(&self.settings.folder);
        }
        if let Err(source) = synced {
            let path = self.path.clone();
            self.rewind();
            return Err(Error::Sync { path, source });
        }
        self.folder_changed = false;
        if self.complete.is_none() {
            self.state.done = None;
        }
        let path = self.path.clone();
        match self.in_place()? {
            Place::Ours => {}
            Place::Renamed => {
                tracing::info!(path = %path.display(), "the output file was renamed; a new one is begun");
                return self.next();
            }
            Place::Deleted => {
                let unsaved = self.flushed > self.state.length;
                self.next()?;
                tracing::warn!(path = %path.display(), "the output file was deleted; a new one is begun");
                return if unsaved { Err(Error::Deleted { path }) } else { Ok(()) };
            }
        }
        self.state.length = self.flushed;
        self.state.lines = self.lines;
        // A clock that was put back must not make the file live for ever.
        self.since = self.since.min(milliseconds(os::now()).max(1));
        self.state.since = self.since;
        if self.full() { self.complete() } else { Ok(()) }
    }

    fn state(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }

    fn stored(&mut self, state: &str) {
        if state != self.state() {
            return;
        }
        self.announced = true;
        self.due = self.complete.is_some();
        if self.due
            && let Err(error) = self.hand_over()
        {
            // The next sync tries again, and says so.
            self.metrics.note(Some(error.to_string()));
        }
    }
}

impl State {
    fn written(&self) -> PathBuf {
        match self.partial {
            true => hidden(Path::new(&self.path), "part"),
            false => self.path.clone().into(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod faults;
