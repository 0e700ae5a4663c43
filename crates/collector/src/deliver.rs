//! The end of the pipeline: batches in their order to the destinations, durable, then the checkpoint.
//!
//! ```text
//! write to every destination ─> sync every destination ─> checkpoint (position, hashes, metadata, file lengths)
//! ```
//!
//! What is written but not in a checkpoint is cut off and delivered again after a crash. A checkpoint is made at least
//! every [`COMMIT_TIME`] while events come, and whenever a destination begins a new file.

use crate::checkpoint::{Checkpoint, Progress};
use crate::stats::Stats;
use crate::work::{Chunk, Formatted};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use outputs::{Destination, Error as DestinationError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The longest time between two checkpoints while events come.
pub const COMMIT_TIME: Duration = Duration::from_millis(250);

/// A checkpoint is made when this many bytes were written since the last one.
const COMMIT_BYTES: usize = 64 << 20;

/// How long events wait for a checkpoint when no more come.
const IDLE: Duration = Duration::from_millis(20);

/// Time between attempts while a destination fails.
const RETRY: Duration = Duration::from_secs(1);

/// Why delivery ended before it was told to.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// The program that read standard output is gone.
    #[error("{0}")]
    Closed(DestinationError),
    /// What was written since the last checkpoint must be delivered again: start again from the checkpoint.
    #[error("{0}")]
    Again(DestinationError),
    /// Stopped while a destination or the state file was failing: what was not durable comes again at the next start.
    #[error(
        "stopped while {what} could not be written ({error}); {records} records will be delivered after the next start"
    )]
    Unfinished {
        /// The destination or state file.
        what: String,
        /// Its last error.
        error: String,
        /// Records received and not delivered.
        records: u64,
    },
}

/// Hands batches to destinations.
pub struct Delivery {
    destinations: Vec<(String, Box<dyn Destination>)>,
    checkpoint: Checkpoint,
    stats: Arc<Stats>,
    waiting: BTreeMap<u64, Formatted>,
    next: u64,
    progress: Progress,
    delivered: u64,
    filtered: u64,
    bytes: usize,
    since: Option<Instant>,
    used: Sender<Vec<u8>>,
}

impl Delivery {
    /// Delivery to destinations, named so that their states are found again. Buffers that were delivered go to `used`.
    pub fn new(
        destinations: Vec<(String, Box<dyn Destination>)>,
        checkpoint: Checkpoint,
        stats: Arc<Stats>,
        used: Sender<Vec<u8>>,
    ) -> Self {
        Delivery {
            destinations,
            checkpoint,
            stats,
            waiting: BTreeMap::new(),
            next: 0,
            progress: Progress::default(),
            delivered: 0,
            filtered: 0,
            bytes: 0,
            since: None,
            used,
        }
    }

    /// Delivers until the workers are gone. While a destination fails it tries again for ever, unless `stop` is set.
    pub fn run(mut self, results: &Receiver<Formatted>, stop: &AtomicBool) -> Result<(), DeliveryError> {
        loop {
            self.stats.alive.delivery.add(1);
            let wait = if self.since.is_some() { IDLE } else { Duration::from_secs(1) };
            match results.recv_timeout(wait) {
                Ok(batch) => {
                    self.waiting.insert(batch.sequence, batch);
                    while let Some(batch) = self.waiting.remove(&self.next) {
                        self.deliver(batch, stop)?;
                        self.next += 1;
                    }
                    if self.bytes >= COMMIT_BYTES || self.since.is_some_and(|t| t.elapsed() >= COMMIT_TIME) {
                        self.commit(stop)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.commit(stop)?,
                Err(RecvTimeoutError::Disconnected) => return self.commit(stop),
            }
        }
    }

    fn deliver(&mut self, batch: Formatted, stop: &AtomicBool) -> Result<(), DeliveryError> {
        let mut from = 0;
        while from < batch.records.len() {
            let room = |(chunk, (_, d)): (&Chunk, &(String, Box<dyn Destination>))| fitting(chunk, from, d.room());
            let to = batch.chunks.iter().zip(&self.destinations).map(room).min().unwrap_or(batch.records.len());
            if to == from {
                // A file is full: what it holds is made durable before the next one begins.
                self.commit(stop)?;
                continue;
            }
            for i in 0..self.destinations.len() {
                let Some(chunk) = batch.chunks.get(i) else { continue };
                let (start, end) = (line_start(chunk, from), line_start(chunk, to));
                let bytes = chunk.bytes.get(start..end).unwrap_or_default();
                let lines = lines(chunk, from, to);
                self.bytes += bytes.len();
                self.persist(i, stop, |d| d.write(bytes, lines))?;
            }
            self.account(&batch, from, to);
            from = to;
        }
        for mut chunk in batch.chunks {
            chunk.bytes.clear();
            let _ = self.used.try_send(chunk.bytes);
        }
        Ok(())
    }

    fn account(&mut self, batch: &Formatted, from: usize, to: usize) {
        self.since.get_or_insert_with(Instant::now);
        let done = batch.records.get(from..to).unwrap_or_default();
        for record in done {
            match record.filtered {
                true => self.filtered += 1,
                false => self.delivered += 1,
            }
            let Some((second, hash)) = record.position else { continue };
            if self.progress.second.is_none_or(|s| second > s) {
                self.progress.second = Some(second);
                self.progress.hashes.clear();
            }
            if self.progress.second == Some(second) {
                self.progress.hashes.push(hash);
            }
        }
        let before = from.checked_sub(1).and_then(|i| batch.records.get(i)).map_or(0, |r| r.metadata);
        let after = done.last().map_or(before, |r| r.metadata);
        self.progress.metadata.extend_from_slice(batch.metadata.get(before..after).unwrap_or_default());
    }

    fn commit(&mut self, stop: &AtomicBool) -> Result<(), DeliveryError> {
        for i in 0..self.destinations.len() {
            self.persist(i, stop, |d| d.sync())?;
        }
        if self.since.is_some() || self.destinations.iter().any(|(_, d)| d.room() == 0) {
            let states: Vec<(String, String)> = self.destinations.iter().map(|(n, d)| (n.clone(), d.state())).collect();
            let mut tried = false;
            while let Err(error) = self.checkpoint.commit(&self.progress, &states) {
                self.failing("the state file", &error, tried, stop)?;
                tried = true;
            }
            for ((_, destination), (_, state)) in self.destinations.iter_mut().zip(&states) {
                destination.stored(state);
            }
        }
        if let Some(second) = self.progress.second {
            self.stats.second.store(second, Ordering::Relaxed);
        }
        self.stats.delivered.add(std::mem::take(&mut self.delivered));
        self.stats.filtered.add(std::mem::take(&mut self.filtered));
        self.progress.hashes.clear();
        self.progress.metadata.clear();
        self.bytes = 0;
        self.since = None;
        Ok(())
    }

    /// Does something with a destination until it succeeds.
    fn persist(
        &mut self,
        i: usize,
        stop: &AtomicBool,
        mut action: impl FnMut(&mut dyn Destination) -> Result<(), DestinationError>,
    ) -> Result<(), DeliveryError> {
        let mut tried = false;
        loop {
            self.stats.alive.delivery.add(1);
            let Some((_, destination)) = self.destinations.get_mut(i) else { return Ok(()) };
            match action(destination.as_mut()) {
                Ok(()) => {
                    if tried {
                        tracing::info!("{} works again", destination.describe());
                    }
                    return Ok(());
                }
                Err(error) if error.closed() => return Err(DeliveryError::Closed(error)),
                // Other destinations may have written what this one lost: the checkpoint is where all of them agree.
                Err(error) if error.rewound() || matches!(error, DestinationError::Taken { .. }) => {
                    return Err(DeliveryError::Again(error));
                }
                Err(error) => {
                    let what = destination.describe();
                    self.failing(&what, &error, tried, stop)?;
                    tried = true;
                }
            }
        }
    }

    fn failing(
        &self,
        what: &str,
        error: &dyn std::error::Error,
        tried: bool,
        stop: &AtomicBool,
    ) -> Result<(), DeliveryError> {
        if !tried {
            tracing::error!("{error}. Nothing is lost: delivery waits and tries again every {} s", RETRY.as_secs());
        }
        if stop.load(Ordering::Relaxed) {
            return Err(DeliveryError::Unfinished {
                what: what.to_owned(),
                error: error.to_string(),
                records: self.stats.pending(),
            });
        }
        self.stats.alive.waits.add(1);
        std::thread::sleep(RETRY);
        Ok(())
    }
}

/// Where the line of record `i` begins.
fn line_start(chunk: &Chunk, i: usize) -> usize {
    i.checked_sub(1).and_then(|i| chunk.ends.get(i)).copied().unwrap_or(0)
}

/// How many lines records `from..to` have.
fn lines(chunk: &Chunk, from: usize, to: usize) -> usize {
    (from..to).filter(|i| line_start(chunk, *i) != line_start(chunk, *i + 1)).count()
}

/// The end of the longest run of records from `from` on that has at most `room` lines.
fn fitting(chunk: &Chunk, from: usize, room: usize) -> usize {
    if chunk.ends.len().saturating_sub(from) <= room {
        return chunk.ends.len();
    }
    let mut left = room;
    let has_line = |i: usize| line_start(chunk, i) != line_start(chunk, i + 1);
    let stop = (from..chunk.ends.len()).find(|i| {
        let full = has_line(*i) && left == 0;
        left -= usize::from(has_line(*i) && left > 0);
        full
    });
    stop.unwrap_or(chunk.ends.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_a_line_take_no_room() {
        // Lines at records 0, 2 and 3; record 1 has none.
        let chunk = Chunk { bytes: vec![0; 30], ends: vec![10, 10, 20, 30] };
        assert_eq!(lines(&chunk, 0, 4), 3);
        assert_eq!([0, 1, 2, 3, 9].map(|room| fitting(&chunk, 0, room)), [0, 2, 3, 4, 4]);
        assert_eq!(fitting(&chunk, 1, 0), 2, "a record without a line always fits");
        assert_eq!(fitting(&chunk, 2, 1), 3);
    }
}
