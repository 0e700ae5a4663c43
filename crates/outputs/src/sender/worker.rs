//! What the sending thread does.

use super::{CURSOR_TIME, Settings, rejected};
use crate::spool::{Batch, Position, Reader, Shared};
use crate::transport::{Failure, Rejected, Transport};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the connection is looked at when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);

/// Rejected lines are spoken of no more often than this.
const SAID: Duration = Duration::from_secs(60);

/// The longest time a receiver can make us wait by asking for it.
const LONGEST_WISH: Duration = Duration::from_secs(600);

pub(super) struct Worker {
    name: String,
    settings: Settings,
    shared: Arc<Shared>,
    reader: Reader,
    transport: Box<dyn Transport>,
    /// Batches sent and not settled, oldest first.
    under_way: VecDeque<Flight>,
    /// Lines of the next batch at most; less than usual while a line that is refused is looked for.
    lines: usize,
    /// Nothing is sent until all under way is settled.
    alone: bool,
    /// Since when there is something to read.
    since: Option<Instant>,
    /// Errors since something was delivered.
    failures: u32,
    next_try: Instant,
    /// Since when it does not work.
    down: Option<Instant>,
    /// The cursor on disk, and when it was stored.
    stored: (Position, Instant),
    /// The cursor that was noted last.
    noted: Position,
    /// The cursor could not be stored; it was said.
    unstored: bool,
    /// Lines put aside that were not spoken of, and when others were.
    unsaid: (usize, Option<Instant>),
}

struct Flight {
    end: Position,
    lines: u64,
    lost: u64,
}

impl Worker {
    pub(super) fn new(
        name: &str,
        settings: Settings,
        shared: Arc<Shared>,
        reader: Reader,
        transport: Box<dyn Transport>,
    ) -> Worker {
        let lines = settings.lines.max(1);
        Worker {
            name: name.to_owned(),
            stored: (shared.cursor(), Instant::now()),
            noted: shared.cursor(),
            settings: Settings { lines, ..settings },
            shared,
            reader,
            transport,
            under_way: VecDeque::new(),
            lines,
            alone: false,
            since: None,
            failures: 0,
            next_try: Instant::now(),
            down: None,
            unstored: false,
            unsaid: (0, None),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let end = self.shared.end();
            self.settle();
            // Before more is under way.
            self.note();
            let sent = self.ready() && self.send();
            self.connected();
            self.persist(false);
            if let Some(deadline) = self.shared.deadline() {
                let all = self.under_way.is_empty() && self.reader.available().bytes == 0;
                // What is left when it does not work is sent after the next start. What is under way, finish() asks for.
                let read = self.reader.available().bytes == 0 && self.down.is_none();
                if all || read || self.down.is_some() || Instant::now() >= deadline {
                    self.finish(deadline);
                    break;
                }
            }
            if !sent {
                self.shared.wait(end, self.pause());
            }
        }
        self.persist(true);
        self.shared.leave();
    }

    /// Whether it is time for a batch.
    fn ready(&mut self) -> bool {
        let available = self.reader.available();
        if available.bytes == 0 {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let free = match self.alone {
            true => self.under_way.is_empty(),
            false => self.under_way.len() < self.transport.window().max(1),
        };
        let enough = available.lines >= self.lines as u64
            || available.bytes >= self.settings.bytes as u64
            || since.elapsed() >= self.settings.delay
            || self.shared.deadline().is_some();
        free && enough && Instant::now() >= self.next_try
    }

    /// Sends a batch. `false` when nothing was sent.
    fn send(&mut self) -> bool {
        let batch = match self.reader.read(self.lines, self.settings.bytes) {
            Ok(Some(batch)) => batch,
            Ok(None) => return false,
            Err(error) => {
                self.again(error.to_string(), None);
                return false;
            }
        };
        if batch.lines.is_empty() {
            match self.only_one(&batch) {
                true => self.shared.advance(batch.end, 0, 0, batch.lost),
                false => return false,
            }
            return true;
        }
        match self.transport.send(&batch.lines) {
            Ok(()) => {
                let lines = batch.lines.len() as u64;
                self.under_way.push_back(Flight { end: batch.end, lines, lost: batch.lost });
                self.lines = self.lines.saturating_mul(2).min(self.settings.lines);
                self.alone = false;
                true
            }
            Err(Failure::Again { reason, after }) => {
                self.again(reason, after);
                false
            }
            Err(Failure::Busy { reason, after }) => {
                self.reader.seek(batch.start);
                self.failed(reason, after);
                false
            }
            Err(Failure::Refused { line, reason }) => {
                self.refused(&batch, line, reason);
                true
            }
        }
    }

    /// Whether there is nothing under way but this batch. If not it is read again when that is so.
    fn only_one(&mut self, batch: &Batch) -> bool {
        let only = self.under_way.is_empty();
        self.alone = !only;
        if !only {
            self.reader.seek(batch.start);
        }
        only
    }

    /// A line of the batch is refused: the batch is made smaller until it is known which, and that one is put aside.
    fn refused(&mut self, batch: &Batch, line: Option<usize>, reason: String) {
        self.shared.metrics().change(|counts| {
            counts.retries += 1;
            counts.last_error = Some(reason.clone());
        });
        let found = line == Some(0) || batch.lines.len() == 1;
        if !found {
            self.reader.seek(batch.start);
            self.lines = line.unwrap_or(batch.lines.len() / 2).clamp(1, batch.lines.len() - 1);
            return;
        }
        if !self.only_one(batch) {
            self.lines = batch.lines.len();
            return;
        }
        let Some((_, first)) = batch.lines.iter().next() else { return };
        let after = Position { bytes: batch.start.bytes + first.len() as u64 + 1, lines: batch.start.lines + 1 };
        let (after, lost) = if batch.lines.len() == 1 { (batch.end, batch.lost) } else { (after, 0) };
        if self.put_aside(&[Rejected { line: first.to_vec(), reason }]) {
            self.reader.seek(after);
            self.shared.advance(after, 0, 0, 1 + lost);
            if line.is_some() {
                self.lines = self.settings.lines;
            }
        }
    }

    /// Takes note of what is delivered.
    fn settle(&mut self) {
        match self.transport.settled() {
            Ok(settled) => settled.into_iter().for_each(|batch| self.take(batch)),
            Err(failure) => self.again(failure.to_string(), None),
        }
    }

    fn take(&mut self, settled: crate::transport::Settled) {
        if !settled.rejected.is_empty() && !self.under_way.is_empty() && !self.put_aside(&settled.rejected) {
            return;
        }
        let Some(flight) = self.under_way.pop_front() else { return };
        let rejected = settled.rejected.len() as u64;
        let sent = flight.lines.saturating_sub(rejected);
        self.shared.advance(flight.end, sent, settled.truncated, rejected + flight.lost);
        self.failures = 0;
        if let Some(since) = self.down.take() {
            tracing::info!(destination = self.name, seconds = since.elapsed().as_secs(), "sending works again");
        }
    }

    /// Writes lines to the file of rejected ones.
    fn put_aside(&mut self, lines: &[Rejected]) -> bool {
        let (limit, name) = (self.settings.rejected_bytes, &self.name);
        let written = self.shared.with_files(|folder| rejected::append(folder, limit, name, lines));
        match written {
            Some(Ok(())) => {
                let reason = lines.first().map(|line| line.reason.clone()).unwrap_or_default();
                self.unsaid.0 += lines.len();
                if self.unsaid.1.is_none_or(|said| said.elapsed() >= SAID) {
                    let lines = std::mem::take(&mut self.unsaid.0);
                    self.unsaid.1 = Some(Instant::now());
                    tracing::warn!(
                        destination = self.name,
                        lines,
                        reason,
                        "the receiver rejects events; they are in rejected.jsonl in the folder of the spool"
                    );
                }
                self.shared.metrics().change(|counts| counts.last_error = Some(reason));
                true
            }
            Some(Err(error)) => {
                self.again(
                    format!("cannot write rejected events to rejected.jsonl: {error}; make room on the disk"),
                    None,
                );
                false
            }
            None => false,
        }
    }

    /// Something failed: all under way is sent again, later.
    fn again(&mut self, reason: String, after: Option<Duration>) {
        self.under_way.clear();
        self.transport.reset();
        self.reader.seek(self.shared.cursor());
        self.alone = false;
        self.failed(reason, after);
    }

    /// Something failed: there is a pause before anything is sent.
    fn failed(&mut self, reason: String, after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let random = RandomState::new().hash_one(self.failures);
        let pause = pause(self.settings.retry_first, self.settings.retry_longest, self.failures, random);
        self.next_try = Instant::now() + pause.max(after.unwrap_or_default().min(LONGEST_WISH));
        if self.down.is_none() {
            self.down = Some(Instant::now());
            tracing::warn!(
                destination = self.name,
                "{reason}. Nothing is lost: events wait in the spool, and it is tried again until it works"
            );
        }
        self.shared.metrics().change(|counts| {
            counts.retries += 1;
            counts.last_error = Some(reason);
        });
    }

    fn connected(&self) {
        let connected = self.transport.connected();
        self.shared.metrics().change(|counts| counts.connected = connected);
    }

    /// How long there is nothing to do, unless lines come.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let mut pause = IDLE;
        if !self.under_way.is_empty() {
            pause = pause.min(self.transport.poll());
        } else if let Some(since) = self.since {
            let batch = since + self.settings.delay;
            pause = pause.min(batch.max(self.next_try).saturating_duration_since(now));
        }
        if let Some(deadline) = self.shared.deadline() {
            pause = pause.min(deadline.saturating_duration_since(now));
        }
        pause.max(Duration::from_millis(1))
    }

    /// Notes the cursor when it has moved.
    fn note(&mut self) {
        let cursor = self.shared.cursor();
        if cursor != self.noted {
            self.noted = cursor;
            // What is wrong with the disk is told when the cursor is stored.
            if let Err(error) = self.shared.note() {
                tracing::debug!(destination = self.name, %error, "the cursor of the spool cannot be noted");
            }
        }
    }

    /// Stores the cursor when it is time for that.
    fn persist(&mut self, now: bool) {
        let cursor = self.shared.cursor();
        if cursor == self.stored.0 || !now && self.stored.1.elapsed() < CURSOR_TIME {
            return;
        }
        let stored = self.shared.persist();
        self.stored = (cursor, Instant::now());
        if let Err(error) = &stored
            && !self.unstored
        {
            tracing::warn!(
                destination = self.name, %error,
                "the cursor of the spool cannot be stored; sending goes on, but events may be sent twice after a crash"
            );
        }
        self.unstored = stored.is_err();
    }

    /// Asks the transport for what is under way.
    fn finish(&mut self, deadline: Instant) {
        if self.down.is_none() {
            let within = deadline.saturating_duration_since(Instant::now());
            self.transport.finish(within).into_iter().for_each(|batch| self.take(batch));
        }
        self.shared.metrics().change(|counts| counts.connected = false);
    }
}

/// The pause after a number of errors: doubling from the first to the longest, of which `random` leaves at least half.
fn pause(first: Duration, longest: Duration, failures: u32, random: u64) -> Duration {
    let doubled = first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let whole = doubled.min(longest);
    whole.mul_f64(0.5 + 0.5 * (random >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(60));
        let pauses = |random| (1..=40).map(move |n| pause(first, longest, n, random)).collect::<Vec<_>>();
        let (least, most) = (pauses(0), pauses(u64::MAX));
        assert_eq!(least.iter().take(3).map(Duration::as_millis).collect::<Vec<_>>(), [250, 500, 1000]);
        assert_eq!(most.iter().take(3).map(|p| p.as_millis().div_ceil(500)).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(least.last(), Some(&Duration::from_secs(30)));
        assert!(most.iter().all(|p| *p <= longest));
    }
}
