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

use crate::destination::{Destination, Error};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{self, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes kept back before they are written.
const BUFFER: usize = 256 * 1024;

const PLACE: &str = "{0}";

/// Which files to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the files are; created when missing, relative to the working directory. Must be UTF-8.
    pub folder: PathBuf,
    /// Name of the files, with `{0}` for the epoch second; empty means `log{0}`.
    pub name: String,
    /// Lines of a file before the next one is begun; `None` for one file for ever.
    pub lines_per_file: Option<usize>,
}

/// A file, or a row of files, that receives each line exactly once.
#[derive(Debug)]
pub struct File {
    settings: Settings,
    /// As of the last sync.
    state: State,
    /// `state` is stored, or follows from a stored one by writing to the file that it names.
    announced: bool,
    /// Open file; `None` until the first write.
    open: Option<fs::File>,
    /// The file is our own: it was found when opening with a state, or created.
    exists: bool,
    /// Something was created in the folder since the last sync.
    folder_changed: bool,
    buffer: Vec<u8>,
    /// Bytes in the file, the buffer not counted.
    flushed: u64,
    /// Lines of the file, those in the buffer counted.
    lines: usize,
    /// The last second used for a name, and the next number for it.
    last_name: (u64, u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    path: String,
    length: u64,
    lines: usize,
}

impl File {
    /// Opens the output. `state` is what [`Destination::state`] gave at the last checkpoint: the file is cut off at the
    /// length it had then.
    ///
    /// A file that vanished, or became shorter, is no error: what comes goes to a new file, and the log says so.
    pub fn open(settings: Settings, state: Option<&str>) -> Result<File, Error> {
        let mut settings = settings;
        settings.name.retain(|c| c != '/');
        if settings.name.is_empty() {
            settings.name = format!("log{PLACE}");
        }
        if !settings.name.contains(PLACE) {
            settings.lines_per_file = None;
        }
        settings.lines_per_file = settings.lines_per_file.map(|lines| lines.max(1));
        let folder = path::absolute(&settings.folder);
        settings.folder =
            folder.map_err(|source| Error::Open { action: "find", path: settings.folder.clone(), source })?;
        if settings.folder.to_str().is_none() {
            return Err(Error::Name { path: settings.folder });
        }
        let mut file = File {
            settings,
            state: State { path: String::new(), length: 0, lines: 0 },
            announced: false,
            open: None,
            exists: false,
            folder_changed: false,
            buffer: Vec::new(),
            flushed: 0,
            lines: 0,
            last_name: (0, 0),
        };
        let resumed = match state.filter(|text| !text.is_empty()) {
            Some(text) => {
                let state = serde_json::from_str(text)
                    .map_err(|e| Error::State { text: text.to_owned(), problem: e.to_string() })?;
                file.resume(state)?
            }
            None => false,
        };
        if !resumed || file.full() {
            file.next()?;
        }
        Ok(file)
    }

    /// Goes on with the file of the last checkpoint. `false`: a new one is needed.
    fn resume(&mut self, state: State) -> Result<bool, Error> {
        let path = PathBuf::from(&state.path);
        let ours = self.settings.owns(&path);
        match length(&path)? {
            None if state.length == 0 => {
                // Announced, but nothing was ever written to it.
                self.state = state;
                self.announced = true;
                return Ok(ours);
            }
            None => {
                tracing::warn!(path = %path.display(), "the last output file is gone; a new one is begun");
                return Ok(false);
            }
            Some(found) if found < state.length => {
                tracing::warn!(
                    path = %path.display(), length = found, expected = state.length,
                    "the last output file has become shorter; what comes is not mixed with what was cut"
                );
                return Ok(false);
            }
            Some(found) if found > state.length => {
                tracing::info!(
                    path = %path.display(), length = state.length, bytes = found - state.length,
                    "cutting off what was written after the last checkpoint"
                );
                let file = OpenOptions::new().write(true).open(&path);
                let cut = file.and_then(|f| f.set_len(state.length).and_then(|()| f.sync_data()));
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
        Ok(ours)
    }

    /// Makes `state` the current one; the file is opened by the first write.
    fn begin(&mut self, state: State) {
        self.flushed = state.length;
        self.lines = state.lines;
        self.state = state;
        self.buffer.clear();
        self.open = None;
    }

    /// Chooses the next file. It has to be announced before it is created.
    fn next(&mut self) -> Result<(), Error> {
        create_folder(&self.settings.folder)?;
        let name = self.next_name()?;
        let path = self.settings.folder.join(name);
        let length = length(&path)?;
        self.exists = length.is_some();
        self.announced = false;
        self.begin(State { path: path.to_string_lossy().into_owned(), length: length.unwrap_or(0), lines: 0 });
        self.end_torn_line()
    }

    /// Where another program was killed in the middle of a line, ours shall not become a part of it.
    fn end_torn_line(&mut self) -> Result<(), Error> {
        if self.flushed > 0 && !ends_with_line_feed(self.path())? {
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    fn next_name(&mut self) -> Result<String, Error> {
        if !self.settings.name.contains(PLACE) {
            return Ok(self.settings.name.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if self.last_name.0 != now {
            self.last_name = (now, 0);
        }
        loop {
            let number = self.last_name.1;
            self.last_name.1 += 1;
            let text = if number == 0 { now.to_string() } else { format!("{now}_{number:04}") };
            let name = self.settings.name.replace(PLACE, &text);
            let path = self.settings.folder.join(&name);
            // An announced file need not exist yet.
            if length(&path)?.is_none() && path != Path::new(&self.state.path) {
                return Ok(name);
            }
        }
    }

    fn full(&self) -> bool {
        self.settings.lines_per_file.is_some_and(|limit| self.lines >= limit)
    }

    fn path(&self) -> &Path {
        Path::new(&self.state.path)
    }

    /// The open file; opened or created now if need be.
    fn handle(&mut self) -> Result<&fs::File, Error> {
        if self.open.is_none() {
            if !self.exists {
                create_folder(&self.settings.folder)?;
            }
            let mut options = OpenOptions::new();
            options.write(true).mode(0o640);
            let opened = match self.exists {
                true => options.open(self.path()),
                false => options.create_new(true).open(self.path()),
            };
            match opened {
                Ok(file) => {
                    self.folder_changed |= !self.exists;
                    self.exists = true;
                    self.open = Some(file);
                }
                Err(e) if !self.exists && e.kind() == io::ErrorKind::AlreadyExists => {
                    let path = self.path().to_owned();
                    self.next()?;
                    return Err(Error::Taken { path });
                }
                Err(e) if self.exists && e.kind() == io::ErrorKind::NotFound => {
                    let path = self.path().to_owned();
                    self.next()?;
                    return Err(Error::Deleted { path });
                }
                Err(source) => {
                    let path = self.path().to_owned();
                    return Err(Error::Open { action: "open", path, source });
                }
            }
        }
        let path = Path::new(&self.state.path);
        let missing = || Error::Open { action: "open", path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
        self.open.as_ref().ok_or_else(missing)
    }

    /// Writes `bytes` behind what is in the file; all or nothing.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let at = self.flushed;
        let file = self.handle()?;
        if let Err(source) = file.write_all_at(bytes, at) {
            // Readers should not see the piece that fitted. Should this fail too: it is overwritten later.
            let _ = file.set_len(at);
            return Err(Error::Write { target: self.state.path.clone(), source });
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
            let _ = file.set_len(self.state.length);
        }
        self.begin(self.state.clone());
    }

    /// Whether the open file still has its name.
    fn in_place(&self) -> Result<Place, Error> {
        let Some(file) = &self.open else { return Ok(Place::Ours) };
        let failed = |source| Error::Open { action: "look at", path: self.path().to_owned(), source };
        let own = file.metadata().map_err(failed)?;
        match fs::metadata(self.path()) {
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
        match self.settings.lines_per_file {
            _ if !self.announced => 0,
            Some(limit) => limit.saturating_sub(self.lines),
            None => usize::MAX,
        }
    }

    fn write(&mut self, bytes: &[u8], lines: usize) -> Result<(), Error> {
        if lines > self.room() {
            return Err(Error::Full { lines, room: self.room() });
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
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        if let Some(file) = &self.open
            && (self.flushed != self.state.length || self.folder_changed)
        {
            let synced = match file.sync_data() {
                // A device has nothing to make durable.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
                Ok(()) if self.folder_changed => sync_folder(&self.settings.folder),
                other => other,
            };
            if let Err(source) = synced {
                let path = self.path().to_owned();
                self.rewind();
                return Err(Error::Sync { path, source });
            }
            self.folder_changed = false;
        }
        let path = self.path().to_owned();
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
        if self.full() { self.next() } else { Ok(()) }
    }

    fn state(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }

    fn stored(&mut self, state: &str) {
        self.announced |= state == self.state();
    }
}

impl Settings {
    /// Whether these settings could have given a file this name.
    fn owns(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let fits = match self.name.split_once(PLACE) {
            Some((before, after)) => {
                let after = after.rsplit_once(PLACE).map_or(after, |(_, last)| last);
                name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
            }
            None => name == self.name,
        };
        fits && path.parent() == Some(&self.folder)
    }
}

/// Length of a file, `None` when there is none.
fn length(path: &Path) -> Result<Option<u64>, Error> {
    match fs::metadata(path) {
        Ok(data) => Ok(Some(data.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Open { action: "look at", path: path.to_owned(), source }),
    }
}

fn ends_with_line_feed(path: &Path) -> Result<bool, Error> {
    let mut last = [0];
    let read = fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)
    });
    match read {
        Ok(()) => Ok(last == *b"\n"),
        // Neither may a file that can only be written be read, nor a device be searched.
        Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => Ok(true),
        Err(source) => Err(Error::Open { action: "read", path: path.to_owned(), source }),
    }
}

/// Creates a folder and those above it, durably.
fn create_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let failed = |source| Error::Open { action: "create", path: folder.to_owned(), source };
    let mut parent = folder.parent();
    fs::create_dir_all(folder).map_err(failed)?;
    while let Some(above) = parent {
        // Folders this user may not read were not created here either.
        let _ = sync_folder(above);
        parent = above.parent();
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}
