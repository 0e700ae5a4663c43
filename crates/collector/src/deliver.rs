//! The end of the pipeline: batches in their order to the destinations, durable, then the checkpoint.
//!
//! ```text
//! write to every destination ─> sync every destination ─> checkpoint (position, hashes, metadata, file lengths)
//! ```
//!
//! What is written but not in a checkpoint is cut off and delivered again after a crash. While events come, checkpoints
//! are made as often as they are cheap ([`COMMIT_SHARE`]), at least every [`COMMIT_TIME`], and whenever a destination
//! begins a new file.
//!
//! Batches of a source are delivered in their order; those of different sources as they come. Of what several members of
//! a set send, the first is written ([`twins`](crate::twins)).

use crate::checkpoint::{Changes, Checkpoint, Progress};
use crate::stats::Status;
use crate::twins::{SeenChanges, Twins};
use crate::work::{Chunk, Done, Formatted};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use outputs::{Destination, Error as DestinationError};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The longest time between two checkpoints while events come.
pub const COMMIT_TIME: Duration = Duration::from_millis(250);

/// The next checkpoint is made after this many times what the last one took: where a sync costs little, events are not
/// held back for long.
pub const COMMIT_SHARE: u32 = 5;

/// But not before this.
const COMMIT_LEAST: Duration = Duration::from_millis(10);

/// A checkpoint is made when this many bytes were written since the last one.
const COMMIT_BYTES: usize = 64 << 20;

/// How long events wait for a checkpoint when no more come.
const IDLE: Duration = Duration::from_millis(10);

/// A destination that fails again is spoken of no more often than this.
const QUIET: Duration = Duration::from_secs(60);

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

/// Where batches come from.
#[derive(Debug)]
pub struct Source {
    /// What the checkpoint calls it.
    pub key: String,
    /// Number of its set among [`Delivery`]'s, and its number there.
    pub member: Option<(usize, usize)>,
}

/// What is known of a source since the last checkpoint.
struct Lane {
    source: Source,
    /// Batches that came before their turn.
    waiting: BTreeMap<u64, Formatted>,
    next: u64,
    progress: Progress,
    delivered: u64,
    filtered: u64,
    duplicate: u64,
}

/// Hands batches to destinations.
pub struct Delivery {
    destinations: Vec<(String, Box<dyn Destination>)>,
    lanes: Vec<Lane>,
    sets: Vec<(String, Twins)>,
    checkpoint: Checkpoint,
    status: Arc<Status>,
    bytes: usize,
    /// When it was last said that a destination fails: one that is slow for long fails again and again.
    said: Vec<Option<Instant>>,
    since: Option<Instant>,
    /// How long after the first event a checkpoint is made.
    patience: Duration,
    used: Sender<Vec<u8>>,
    scratch: Vec<u8>,
}

impl Delivery {
    /// Delivery to destinations, named so that their states are found again. Buffers that were delivered go to `used`.
    pub fn new(
        sources: Vec<Source>,
        sets: Vec<(String, Twins)>,
        destinations: Vec<(String, Box<dyn Destination>)>,
        checkpoint: Checkpoint,
        status: Arc<Status>,
        used: Sender<Vec<u8>>,
    ) -> Self {
        let lane = |source| Lane {
            source,
            waiting: BTreeMap::new(),
            next: 0,
            progress: Progress::default(),
            delivered: 0,
            filtered: 0,
            duplicate: 0,
        };
        Delivery {
            said: vec![None; destinations.len()],
            destinations,
            lanes: sources.into_iter().map(lane).collect(),
            sets,
            checkpoint,
            status,
            bytes: 0,
            since: None,
            patience: COMMIT_LEAST,
            used,
            scratch: Vec::new(),
        }
    }

    /// Delivers until the workers are gone. While a destination fails it tries again for ever, unless `stop` is set.
    pub fn run(mut self, results: &Receiver<Formatted>, stop: &AtomicBool) -> Result<(), DeliveryError> {
        loop {
            self.status.beats.add(1);
            let wait = if self.since.is_some() { IDLE } else { Duration::from_secs(1) };
            match results.recv_timeout(wait) {
                Ok(batch) => {
                    self.take(batch, stop)?;
                    if self.bytes >= COMMIT_BYTES || self.since.is_some_and(|t| t.elapsed() >= self.patience) {
                        self.commit(stop)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.commit(stop)?,
                Err(RecvTimeoutError::Disconnected) => return self.commit(stop),
            }
        }
    }

    /// Delivers a batch when it is its turn, and those that waited for it.
    fn take(&mut self, batch: Formatted, stop: &AtomicBool) -> Result<(), DeliveryError> {
        let source = batch.source;
        let Some(lane) = self.lanes.get_mut(source) else { return Ok(()) };
        lane.waiting.insert(batch.sequence, batch);
        while let Some(lane) = self.lanes.get_mut(source)
            && let Some(batch) = lane.waiting.remove(&lane.next)
        {
            lane.next += 1;
            self.deliver(source, batch, stop)?;
        }
        Ok(())
    }

    fn deliver(&mut self, source: usize, batch: Formatted, stop: &AtomicBool) -> Result<(), DeliveryError> {
        let mut from = 0;
        while from < batch.records.len() {
            let room = |(chunk, (_, d)): (&Chunk, &(String, Box<dyn Destination>))| fitting(chunk, from, d.room());
            let to = batch.chunks.iter().zip(&self.destinations).map(room).min().unwrap_or(batch.records.len());
            if to == from {
                // A file is full: what it holds is made durable before the next one begins.
                self.commit(stop)?;
                continue;
            }
            let runs = self.new_runs(source, &batch, from, to);
            self.write(&batch, &runs, stop)?;
            self.account(source, &batch, from, to, &runs);
            from = to;
        }
        for mut chunk in batch.chunks {
            chunk.bytes.clear();
            let _ = self.used.try_send(chunk.bytes);
        }
        Ok(())
    }

    /// The records that no other member of the set has sent, in runs.
    fn new_runs(&mut self, source: usize, batch: &Formatted, from: usize, to: usize) -> Vec<Range<usize>> {
        let member = self.lanes.get(source).and_then(|lane| lane.source.member);
        let Some((twins, member)) = member.and_then(|(set, member)| Some((&mut self.sets.get_mut(set)?.1, member)))
        else {
            return std::iter::once(from..to).collect();
        };
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (i, record) in batch.records.iter().enumerate().take(to).skip(from) {
            let new = match (record.position, metadata_before(batch, i)..record.metadata) {
                // What is not written need not be told apart.
                _ if record.filtered => true,
                (Some((second, _)), _) => twins.is_new(member, record.content, second),
                (None, metadata) => {
                    let name = batch.metadata.get(metadata).and_then(<[_]>::first);
                    name.is_none_or(|(key, _)| twins.is_news(key, record.content))
                }
            };
            match runs.last_mut().filter(|run| run.end == i) {
                Some(run) if new => run.end = i + 1,
                _ if new => runs.push(i..i + 1),
                _ => {}
            }
        }
        runs
    }

    /// Writes runs of records to every destination.
    fn write(&mut self, batch: &Formatted, runs: &[Range<usize>], stop: &AtomicBool) -> Result<(), DeliveryError> {
        let passed: usize = runs.iter().map(|run| passed(batch, run)).sum();
        for (i, chunk) in batch.chunks.iter().enumerate() {
            let piece = |run: &Range<usize>| {
                chunk.bytes.get(line_start(chunk, run.start)..line_start(chunk, run.end)).unwrap_or_default()
            };
            let mut joined = std::mem::take(&mut self.scratch);
            joined.clear();
            let bytes = match runs {
                [run] => piece(run),
                _ => {
                    runs.iter().for_each(|run| joined.extend_from_slice(piece(run)));
                    &joined
                }
            };
            let lines = runs.iter().map(|run| lines(chunk, run.start, run.end)).sum();
            self.bytes += bytes.len();
            self.persist(i, stop, |d| d.write(bytes, lines))?;
            if let Some(output) = self.status.outputs.get(i) {
                output.write(passed as u64, lines as u64);
            }
            self.scratch = joined;
        }
        Ok(())
    }

    fn account(&mut self, source: usize, batch: &Formatted, from: usize, to: usize, runs: &[Range<usize>]) {
        self.since.get_or_insert_with(Instant::now);
        let Some(lane) = self.lanes.get_mut(source) else { return };
        let done = batch.records.get(from..to).unwrap_or_default();
        let new: usize = runs.iter().map(|run| run.len()).sum();
        let passed: usize = runs.iter().map(|run| passed(batch, run)).sum();
        lane.duplicate += (done.len() - new) as u64;
        lane.filtered += (new - passed) as u64;
        lane.delivered += passed as u64;
        for (second, hash) in done.iter().filter_map(|record| record.position) {
            if lane.progress.second.is_none_or(|s| second > s) {
                lane.progress.second = Some(second);
                lane.progress.hashes.clear();
            }
            if lane.progress.second == Some(second) {
                lane.progress.hashes.push(hash);
            }
        }
        let before = metadata_before(batch, from);
        let after = done.last().map_or(before, |r| r.metadata);
        lane.progress.metadata.extend_from_slice(batch.metadata.get(before..after).unwrap_or_default());
    }

    fn commit(&mut self, stop: &AtomicBool) -> Result<(), DeliveryError> {
        let begun = Instant::now();
        for i in 0..self.destinations.len() {
            self.persist(i, stop, |d| d.sync())?;
        }
        if self.since.is_some() || self.destinations.iter().any(|(_, d)| d.room() == 0) {
            self.store(stop)?;
            self.patience = (begun.elapsed() * COMMIT_SHARE).clamp(COMMIT_LEAST, COMMIT_TIME);
        }
        self.status.outputs.iter().for_each(|output| output.commit());
        for (lane, stats) in self.lanes.iter_mut().zip(&self.status.sources) {
            if let Some(second) = lane.progress.second {
                stats.second.store(second, Ordering::Relaxed);
            }
            stats.delivered.add(std::mem::take(&mut lane.delivered));
            stats.filtered.add(std::mem::take(&mut lane.filtered));
            stats.duplicate.add(std::mem::take(&mut lane.duplicate));
            lane.progress.hashes.clear();
            lane.progress.metadata.clear();
        }
        self.bytes = 0;
        self.since = None;
        Ok(())
    }

    /// Stores the checkpoint, and tells the destinations so.
    fn store(&mut self, stop: &AtomicBool) -> Result<(), DeliveryError> {
        let states: Vec<(String, String)> = self.destinations.iter().map(|(n, d)| (n.clone(), d.state())).collect();
        let seen: Vec<(String, SeenChanges)> =
            self.sets.iter_mut().map(|(name, twins)| (name.clone(), twins.changes())).collect();
        let sources = self.lanes.iter().map(|lane| (lane.source.key.as_str(), &lane.progress)).collect();
        let changes = Changes { sources, destinations: &states, seen: &seen };
        let mut tried = false;
        while let Err(error) = self.checkpoint.commit(&changes) {
            failing(&self.status, "the state file", &error, tried, stop)?;
            tried = true;
        }
        for ((_, destination), (_, state)) in self.destinations.iter_mut().zip(&states) {
            destination.stored(state);
        }
        Ok(())
    }

    /// Does something with a destination until it succeeds.
    fn persist(
        &mut self,
        i: usize,
        stop: &AtomicBool,
        mut action: impl FnMut(&mut dyn Destination) -> Result<(), DestinationError>,
    ) -> Result<(), DeliveryError> {
        let (mut tried, mut told) = (false, false);
        loop {
            self.status.beats.add(1);
            let Some((_, destination)) = self.destinations.get_mut(i) else { return Ok(()) };
            match action(destination.as_mut()) {
                Ok(()) => {
                    if told {
                        tracing::info!("{} works again", destination.describe());
                    }
                    if tried {
                        self.status.outputs.get(i).inspect(|o| o.fail(None));
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
                    self.status.outputs.get(i).inspect(|o| o.fail(Some(error.to_string())));
                    if let Some(said) = self.said.get_mut(i)
                        && !tried
                        && said.is_none_or(|said| said.elapsed() >= QUIET)
                    {
                        *said = Some(Instant::now());
                        told = true;
                    }
                    failing(&self.status, &what, &error, tried || !told, stop)?;
                    tried = true;
                }
            }
        }
    }
}

/// Says that something does not work, and waits a moment; or ends, when it is time for that.
fn failing(
    status: &Status,
    what: &str,
    error: &dyn std::error::Error,
    tried: bool,
    stop: &AtomicBool,
) -> Result<(), DeliveryError> {
    if !tried {
        tracing::error!("{error}. Delivery waits, and tries again every {} s", RETRY.as_secs());
    }
    if stop.load(Ordering::Relaxed) {
        return Err(DeliveryError::Unfinished {
            what: what.to_owned(),
            error: error.to_string(),
            records: status.pending(),
        });
    }
    status.waits.add(1);
    std::thread::sleep(RETRY);
    Ok(())
}

/// How many of these records the configuration wants.
fn passed(batch: &Formatted, run: &Range<usize>) -> usize {
    let records: &[Done] = batch.records.get(run.clone()).unwrap_or_default();
    records.iter().filter(|record| !record.filtered).count()
}

/// How many metadata records of the batch come before record `i`.
fn metadata_before(batch: &Formatted, i: usize) -> usize {
    i.checked_sub(1).and_then(|i| batch.records.get(i)).map_or(0, |r| r.metadata)
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
