//! What the writing and the reading end of a spool know of each other.

use super::segments::{self, Found};
use super::{Position, cursor};
use crate::metrics::Metrics;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Moments remembered, of which each tells the age of lines. When there are more, two become one.
const MOMENTS: usize = 512;

/// The middle of a spool.
#[derive(Debug)]
pub(crate) struct Shared {
    folder: PathBuf,
    metrics: Arc<Metrics>,
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Held while files are changed by the reading end; `None` when it has to leave them alone.
    lock: Mutex<Option<fs::File>>,
}

#[derive(Debug)]
struct Inner {
    /// First positions of the segments in stored states, oldest first.
    segments: VecDeque<Position>,
    /// The end of what is in a stored state.
    end: Position,
    /// Everything before it is sent or given up.
    cursor: Position,
    /// Lines up to this one were there at this time.
    moments: VecDeque<(u64, SystemTime)>,
    /// When the reading end has to be done.
    deadline: Option<Instant>,
}

/// Where a reader may read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Where the segment begins.
    pub(super) base: Position,
    /// Where it ends, or what may be read of it.
    pub(super) end: Position,
}

impl Shared {
    pub(super) fn new(folder: PathBuf, lock: fs::File, found: &Found, cursor: Option<Position>) -> Shared {
        let oldest = found.segments.first().copied().unwrap_or(found.end).min(found.end);
        // Before the oldest segment all is sent; behind the end nothing was, whatever a cursor says.
        let cursor = cursor.unwrap_or(oldest).clamp(oldest, found.end);
        let mut segments: VecDeque<Position> = found.segments.iter().copied().collect();
        if segments.back() != Some(&found.base) && found.announced {
            segments.push_back(found.base);
        }
        let metrics = Metrics::default();
        let mut moments = VecDeque::new();
        let pending = found.end.lines - cursor.lines.min(found.end.lines);
        if pending > 0 {
            let holding = segments.iter().rfind(|base| base.bytes <= cursor.bytes).copied().unwrap_or(oldest);
            let written = fs::metadata(segments::path(&folder, holding)).and_then(|data| data.modified());
            moments.push_back((found.end.lines, written.unwrap_or_else(|_| SystemTime::now())));
        }
        let inner = Inner { segments, end: found.end, cursor, moments, deadline: None };
        metrics.change(|counts| {
            counts.written = pending;
            inner.count(counts);
        });
        Shared {
            folder,
            metrics: Arc::new(metrics),
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            lock: Mutex::new(Some(lock)),
        }
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Up to where all is done.
    pub(crate) fn cursor(&self) -> Position {
        self.inner().cursor
    }

    /// What may be read ends here.
    pub(crate) fn end(&self) -> Position {
        self.inner().end
    }

    /// A state was stored: all of this may be read.
    pub(super) fn announce(&self, base: Position, end: Position, lines: u64, dropped: u64) {
        let mut inner = self.inner();
        if inner.segments.back() != Some(&base) {
            inner.segments.push_back(base);
        }
        inner.end = end;
        if lines > 0 {
            inner.moments.push_back((end.lines, SystemTime::now()));
        }
        if inner.moments.len() > MOMENTS {
            // Of two the end of the later and the time of the earlier: an age is at most too great.
            let pairs = inner.moments.make_contiguous().chunks(2);
            inner.moments = pairs.filter_map(|pair| Some((pair.last()?.0, pair.first()?.1))).collect();
        }
        self.metrics.change(|counts| {
            counts.written += lines + dropped;
            counts.dropped += dropped;
            inner.count(counts);
        });
        drop(inner);
        self.changed.notify_all();
    }

    /// All before `to` is done: `sent` lines delivered, `truncated` of them cut short, `failed` given up.
    pub(crate) fn advance(&self, to: Position, sent: u64, truncated: u64, failed: u64) {
        let mut inner = self.inner();
        let bytes = to.bytes.saturating_sub(inner.cursor.bytes);
        inner.cursor = to;
        while inner.moments.front().is_some_and(|(lines, _)| *lines <= to.lines) {
            inner.moments.pop_front();
        }
        self.metrics.change(|counts| {
            counts.sent += sent;
            counts.failed += failed;
            counts.truncated += truncated;
            if sent > 0 {
                counts.batches += 1;
                counts.bytes += bytes;
            }
            inner.count(counts);
        });
    }

    /// Notes the cursor, so that a process that is killed knows it again. Does nothing after [`leave`](Self::leave).
    pub(crate) fn note(&self) -> io::Result<()> {
        let cursor = self.cursor();
        self.with_files(|folder| cursor::note(folder, cursor)).unwrap_or(Ok(()))
    }

    /// Stores the cursor and removes segments of which everything is done. Does nothing after [`leave`](Self::leave).
    pub(crate) fn persist(&self) -> io::Result<()> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            return Ok(());
        }
        let (cursor, done) = {
            let mut inner = self.inner();
            let mut done = Vec::new();
            while let Some(next) = inner.segments.get(1).copied()
                && next.bytes <= inner.cursor.bytes
            {
                done.extend(inner.segments.pop_front());
            }
            (inner.cursor, done)
        };
        let stored = cursor::store(&self.folder, cursor);
        // Also without a stored cursor, as on a full disk: where segments are missing, sending begins behind them.
        for base in done {
            let path = segments::path(&self.folder, base);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a segment that was sent cannot be removed");
                }
                _ => {}
            }
        }
        stored
    }

    /// The segment that holds this position, `None` at the end.
    pub(super) fn piece(&self, at: Position) -> Option<Piece> {
        let inner = self.inner();
        if at.bytes >= inner.end.bytes {
            return None;
        }
        let index = inner.segments.iter().rposition(|base| base.bytes <= at.bytes)?;
        let base = *inner.segments.get(index)?;
        let end = inner.segments.get(index + 1).copied().unwrap_or(inner.end);
        Some(Piece { base, end })
    }

    /// Waits until something may be read that ends elsewhere than `end`, until there is a deadline (unless there is one),
    /// or for this long.
    pub(crate) fn wait(&self, end: Position, time: Duration) {
        let inner = self.inner();
        let deadline = inner.deadline;
        let same = |inner: &mut Inner| inner.end == end && inner.deadline == deadline;
        let _ = self.changed.wait_timeout_while(inner, time, same);
    }

    /// Tells the reading end to be done by then.
    pub(crate) fn finish(&self, deadline: Instant) {
        self.inner().deadline.get_or_insert(deadline);
        self.changed.notify_all();
    }

    /// When the reading end has to be done.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.inner().deadline
    }

    /// From here on the reading end changes no file; the folder is free for others.
    pub(crate) fn leave(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Does something with the files of the folder, unless it was [left](Self::leave).
    pub(crate) fn with_files<T>(&self, action: impl FnOnce(&Path) -> T) -> Option<T> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.is_some().then(|| action(&self.folder))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn count(&self, counts: &mut crate::metrics::Counts) {
        counts.pending = self.end.lines.saturating_sub(self.cursor.lines);
        counts.pending_bytes = self.end.bytes.saturating_sub(self.cursor.bytes);
        counts.oldest = self.moments.front().map(|(_, time)| *time);
    }
}
