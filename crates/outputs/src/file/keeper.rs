//! What becomes of complete files: compressed, copied to another host, deleted when they are too many or too old. All of
//! it one file after another in a thread of its own, so that delivery never waits for it.
//!
//! The keeper knows the files that were complete when the output was opened, and is told of each one after the state that
//! says so is stored. It never looks for files later: what is being written it does not know.

use super::compress::compress;
use super::metrics::{Metrics, add};
use super::names::{Names, Own, Stamp};
use super::os;
use super::settings::{Compression, Retention, Settings};
use crate::destination::Error;
use crate::scp::Session;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// The longest time between two looks at the files.
const TURN: Duration = Duration::from_secs(60);

/// Between two attempts at what fails; doubled each time up to [`TURN`].
const RETRY: Duration = Duration::from_secs(1);

/// Files copied with one connection.
const COPIES: usize = 64;

/// Takes care of the complete files of an output.
pub(super) struct Keeper {
    names: Names,
    compression: Option<Compression>,
    retention: Retention,
    copy: Option<Session>,
    /// Complete files.
    files: BTreeMap<Stamp, Kept>,
    inbox: Receiver<PathBuf>,
    stop: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    compressing: Episode,
    copying: Episode,
    deleting: Episode,
}

struct Kept {
    path: PathBuf,
    packed: bool,
}

/// A keeper at work. Dropped, it ends soon: what it was doing is done again after the next start.
#[derive(Debug)]
pub(super) struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Wakes the thread when it goes.
    outbox: Option<Sender<PathBuf>>,
}

impl Keeper {
    /// A keeper of the files that are there, those `written` excepted. Removes what a compression left that was
    /// interrupted.
    pub(super) fn new(
        settings: &Settings,
        names: Names,
        written: &[PathBuf],
        inbox: Receiver<PathBuf>,
        metrics: Arc<Metrics>,
    ) -> Result<Keeper, Error> {
        let mut keeper = Keeper {
            names,
            compression: settings.compression,
            retention: settings.retention,
            copy: settings.copy.clone().map(Session::new),
            files: BTreeMap::new(),
            inbox,
            stop: Arc::default(),
            metrics,
            compressing: Episode::default(),
            copying: Episode::default(),
            deleting: Episode::default(),
        };
        keeper.find(written)?;
        keeper.count();
        Ok(keeper)
    }

    fn find(&mut self, written: &[PathBuf]) -> Result<(), Error> {
        let folder = self.names.folder.clone();
        let failed = |source| Error::Open { action: "list", path: folder.clone(), source };
        let mut orphans = 0;
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if written.contains(&path) || !entry.file_type().is_ok_and(|t| t.is_file()) {
                continue;
            }
            match entry.file_name().to_str().and_then(|name| self.names.kind(name)) {
                None => {}
                Some(Own::Plain(stamp)) => {
                    // A compressed one beside it may be only half done.
                    self.files.insert(stamp, Kept { path, packed: false });
                }
                Some(Own::Packed(stamp)) => {
                    self.files.entry(stamp).or_insert(Kept { path, packed: true });
                }
                Some(Own::Partial) => orphans += 1,
                Some(Own::Temporary) => {
                    let _ = os::remove(&path);
                }
            }
        }
        if orphans > 0 {
            tracing::warn!(
                folder = %folder.display(), files = orphans,
                "files that were never completed (.NAME.part) are left by a collector whose state is lost; they are not touched"
            );
        }
        Ok(())
    }

    /// The other end.
    pub(super) fn background(&self, outbox: Sender<PathBuf>) -> Background {
        Background { stop: self.stop.clone(), thread: None, outbox: Some(outbox) }
    }

    fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            match self.inbox.recv_timeout(wait) {
                Ok(path) => self.take(path),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            wait = self.turn();
        }
    }

    fn take(&mut self, path: PathBuf) {
        if let Some(stamp) = self.names.stamp(&path) {
            self.files.insert(stamp, Kept { path, packed: false });
        }
    }

    /// Does the next piece of work and says when to look again.
    pub(super) fn turn(&mut self) -> Duration {
        while let Ok(path) = self.inbox.try_recv() {
            self.take(path);
        }
        self.count();
        // First of all, for it may be what gives the others room.
        self.retain();
        let more = [self.compress_one(), self.copy_some()].contains(&true);
        self.count();
        let errors = [&self.deleting, &self.compressing, &self.copying];
        self.metrics.note(errors.iter().find_map(|e| e.error.clone()));
        if more {
            return Duration::ZERO;
        }
        let age = self.retention.age.map_or(TURN, |age| age.clamp(RETRY, TURN));
        errors.iter().filter_map(|e| e.wait()).min().unwrap_or(TURN).min(age)
    }

    fn count(&self) {
        let pending = if self.copy.is_some() { self.files.len() as u64 } else { 0 };
        self.metrics.pending_copies.store(pending, Ordering::Relaxed);
    }

    /// Compresses the oldest file that is not. `true`: there may be more to do.
    fn compress_one(&mut self) -> bool {
        let Some(how) = self.compression.filter(|_| self.compressing.ready()) else { return false };
        let Some((stamp, path)) = self.plain() else { return false };
        match compress(&path, how, &self.stop) {
            Ok(Some(packed)) => {
                tracing::debug!(path = %packed.display(), "compressed");
                self.files.insert(stamp, Kept { path: packed, packed: true });
                add(&self.metrics.compressed, 1);
                self.compressing.succeeded("compression of complete files");
            }
            Ok(None) => return false,
            Err(e) if e.kind() == io::ErrorKind::NotFound && !path.exists() => {
                self.files.remove(&stamp);
            }
            Err(e) => {
                let text = format!("cannot compress {}: {e}. The file stays as it is", path.display());
                self.compressing.failed(text);
                return false;
            }
        }
        true
    }

    fn plain(&self) -> Option<(Stamp, PathBuf)> {
        let mut plain = self.files.iter().filter(|(_, kept)| !kept.packed);
        plain.find(|(_, kept)| !os::in_use(&kept.path)).map(|(stamp, kept)| (*stamp, kept.path.clone()))
    }

    /// Copies the oldest files that are ready. `true`: there may be more to do.
    fn copy_some(&mut self) -> bool {
        let Some(session) = self.copy.as_mut().filter(|_| self.copying.ready()) else { return false };
        let packed = self.compression.is_some();
        self.files.retain(|_, kept| kept.path.exists());
        let ready = self.files.iter().filter(|(_, kept)| (kept.packed || !packed) && !os::in_use(&kept.path));
        let batch: Vec<(Stamp, PathBuf)> = ready.take(COPIES).map(|(s, kept)| (*s, kept.path.clone())).collect();
        if batch.is_empty() {
            return false;
        }
        let paths: Vec<&Path> = batch.iter().map(|(_, path)| path.as_path()).collect();
        let copied = session.copy(&self.names.folder, &paths, &self.stop);
        let target = session.describe();
        let outcome = copied.map_err(|e| e.to_string()).and_then(|done| {
            for (stamp, path) in &batch {
                let Err(e) = os::remove(path).map(|_| ()) else {
                    self.files.remove(stamp);
                    add(&self.metrics.copied, 1);
                    continue;
                };
                return Err(format!("{} was copied, but cannot be deleted here: {e}", path.display()));
            }
            Ok(done)
        });
        match outcome {
            Ok(()) => {
                tracing::debug!(files = batch.len(), target, "copied");
                self.copying.succeeded(&format!("copying to {target}"));
                true
            }
            Err(_) if self.stop.load(Ordering::Relaxed) => false,
            Err(text) => {
                add(&self.metrics.copy_failures, 1);
                self.copying.failed(format!(
                    "{text}. {} files wait in {}",
                    self.files.len(),
                    self.names.folder.display()
                ));
                false
            }
        }
    }

    /// Deletes the oldest files until what is left is within the limits.
    fn retain(&mut self) {
        if !self.retention.is_some() || self.copy.is_some() || !self.deleting.ready() {
            return;
        }
        let now = os::now();
        let mut found: Vec<(Stamp, u64, Duration)> = Vec::new();
        // Others may delete them too.
        self.files.retain(|stamp, kept| match fs::symlink_metadata(&kept.path) {
            Ok(data) => {
                let modified = data.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or(now);
                found.push((*stamp, data.len(), now.saturating_sub(modified)));
                true
            }
            Err(e) => e.kind() != io::ErrorKind::NotFound,
        });
        let mut count = found.len();
        let mut total: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
        for (stamp, bytes, age) in found {
            let many = self.retention.files.is_some_and(|limit| count > limit);
            let big = self.retention.bytes.is_some_and(|limit| total > limit);
            let old = self.retention.age.is_some_and(|limit| age > limit);
            if !many && !big && !old {
                continue;
            }
            let Some(kept) = self.files.get(&stamp).filter(|kept| !os::in_use(&kept.path)) else { continue };
            match os::remove(&kept.path) {
                Ok(_) => {
                    tracing::debug!(path = %kept.path.display(), bytes, "deleted, as retention says");
                    add(&self.metrics.deleted, 1);
                    self.files.remove(&stamp);
                    count -= 1;
                    total -= bytes;
                }
                Err(e) => {
                    let text = format!("cannot delete {}, which is to go: {e}", kept.path.display());
                    self.deleting.failed(text);
                    return;
                }
            }
        }
        self.deleting.succeeded("deletion of old files");
    }
}

impl Background {
    /// Begins to work.
    pub(super) fn start(&mut self, keeper: Keeper) -> Result<(), Error> {
        let folder = keeper.names.folder.clone();
        let thread = std::thread::Builder::new().name("files".into()).spawn(move || keeper.run());
        let failed = |source| Error::Open { action: "start a thread for", path: folder, source };
        self.thread = Some(thread.map_err(failed)?);
        Ok(())
    }

    /// Hands over a complete file.
    pub(super) fn take(&self, path: PathBuf) {
        if let Some(outbox) = &self.outbox {
            // A thread that is gone finds the file after the next start.
            let _ = outbox.send(path);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.outbox = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A time in which something fails again and again: said once, tried ever more rarely.
#[derive(Default)]
struct Episode {
    error: Option<String>,
    pause: Duration,
    next: Option<Instant>,
}

impl Episode {
    fn ready(&self) -> bool {
        self.next.is_none_or(|next| next <= Instant::now())
    }

    fn wait(&self) -> Option<Duration> {
        self.next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    fn failed(&mut self, error: String) {
        if self.error.is_none() {
            tracing::error!("{error}. It is tried again until it works");
        }
        self.error = Some(error);
        self.pause = (self.pause * 2).clamp(RETRY, TURN);
        self.next = Some(Instant::now() + self.pause);
    }

    fn succeeded(&mut self, what: &str) {
        if self.error.is_some() {
            tracing::info!("{what} works again");
            *self = Episode::default();
        }
    }
}
