//! Counters of a running collector, for each source and each output. What they promise is written down in
//! `docs/metrics.md`: at every moment received = delivered + filtered + failed + pending.

use outputs::Metrics;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a source may have had nothing to read and still be in the middle of sending.
const PAUSE: Duration = Duration::from_secs(1);

/// All counters of a collector.
#[derive(Debug)]
pub struct Status {
    /// When it was started.
    pub started: Instant,
    /// One for each management center, in the order of the configuration.
    pub sources: Vec<Arc<Stats>>,
    /// One for each output, in the order of the configuration.
    pub outputs: Vec<Arc<OutputStats>>,
    /// Beats of delivery.
    pub beats: Counter,
    /// Attempts at an output or state file that fails.
    pub waits: Counter,
}

impl Status {
    /// Counters at 0.
    pub fn new(sources: Vec<Arc<Stats>>, outputs: Vec<Arc<OutputStats>>) -> Self {
        Status { started: Instant::now(), sources, outputs, beats: Counter::default(), waits: Counter::default() }
    }

    /// The sum of a counter over all sources.
    pub fn sum(&self, counter: impl Fn(&Stats) -> &Counter) -> u64 {
        self.sources.iter().map(|s| counter(s).value()).sum()
    }

    /// Records that are received and not yet accounted for in another way.
    pub fn pending(&self) -> u64 {
        self.sources.iter().map(|s| s.pending()).sum()
    }

    /// Archival second of the newest event delivered, of whatever source; 0 before the first.
    pub fn second(&self) -> u32 {
        self.sources.iter().map(|s| s.second.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    pub(crate) fn enter(&self, state: &State) {
        self.sources.iter().for_each(|s| s.enter(state.clone()));
    }
}

/// What was done with the records of one management center since the start.
#[derive(Debug, Default)]
pub struct Stats {
    /// The management center's name in the configuration, or its host.
    pub name: String,
    /// Records taken from the connection.
    pub received: Counter,
    /// Records every output has made durable, or had nothing to write for.
    pub delivered: Counter,
    /// Records the configuration does not want written.
    pub filtered: Counter,
    /// Records whose header could not be understood.
    pub failed: Counter,
    /// Records that a checkpoint says were delivered before, and metadata that says nothing new.
    pub known: Counter,
    /// Records that another management center of the same set has sent as well.
    pub duplicate: Counter,
    /// Of the delivered: records that contradict their layout and were written as far as they could be read.
    pub damaged: Counter,
    /// Of the delivered: records of a type or block nobody knows, written as bytes.
    pub opaque: Counter,
    /// Bytes taken from the connection, inside TLS.
    pub bytes: Counter,
    /// Connections made.
    pub connections: Counter,
    /// Archival second of the newest event delivered; 0 before the first.
    pub second: AtomicU32,
    /// The archival second that the first connection asked for, and 1 more, so that 0 means none.
    asked: AtomicU64,
    /// Unix milliseconds at which something was read last; 0 before that.
    heard: AtomicU64,
    /// Beats of the thread that reads the connection.
    pub beats: Counter,
    state: Mutex<State>,
}

/// What became of records of a management center: received = the sum of all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Taken from the connection.
    pub received: u64,
    /// Durable in every output that wants them.
    pub delivered: u64,
    /// Not wanted by the configuration.
    pub filtered: u64,
    /// Not understood.
    pub failed: u64,
    /// Delivered before, or metadata that says nothing new.
    pub known: u64,
    /// Sent by another member of the set as well.
    pub duplicate: u64,
    /// On their way.
    pub pending: u64,
}

/// What a collector is doing with a management center.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// Not connected yet.
    #[default]
    Starting,
    /// Events may come.
    Running,
    /// Waiting for the next attempt; why the last one failed.
    Waiting(String),
    /// Ended.
    Stopped,
}

impl Stats {
    /// Counters at 0.
    pub fn new(name: &str) -> Self {
        Stats { name: name.to_owned(), ..Stats::default() }
    }

    /// What it is doing now.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn enter(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// What became of the records received so far.
    pub fn counts(&self) -> SourceCounts {
        let mut counts = SourceCounts {
            received: 0,
            delivered: self.delivered.value(),
            filtered: self.filtered.value(),
            failed: self.failed.value(),
            known: self.known.value(),
            duplicate: self.duplicate.value(),
            pending: 0,
        };
        // Last: what is counted as done was counted as received before.
        counts.received = self.received.value();
        let done = counts.delivered + counts.filtered + counts.failed + counts.known + counts.duplicate;
        counts.pending = counts.received.saturating_sub(done);
        counts
    }

    /// Records received and not yet accounted for in another way.
    pub fn pending(&self) -> u64 {
        self.counts().pending
    }

    /// The archival second that was asked for after the start: 0 for everything, `u32::MAX` for what comes from now on.
    pub fn asked(&self) -> Option<u32> {
        let asked = self.asked.load(Ordering::Relaxed).checked_sub(1);
        asked.and_then(|second| u32::try_from(second).ok())
    }

    pub(crate) fn ask(&self, second: u32) {
        let asked = u64::from(second) + 1;
        let _ = self.asked.compare_exchange(0, asked, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn hear(&self) {
        self.heard.store(unix_milliseconds(), Ordering::Relaxed);
    }

    /// How long nothing has been read from the connection; `None` before anything was.
    pub fn silent(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Relaxed);
        (heard != 0).then(|| Duration::from_millis(unix_milliseconds().saturating_sub(heard)))
    }

    /// How far behind the management center the delivered events are: the age of the newest one while more are on their
    /// way, nothing when all that was sent is delivered. `None` before the first event.
    pub fn lag(&self) -> Option<Duration> {
        let second = self.second.load(Ordering::Relaxed);
        if second == 0 {
            return None;
        }
        let quiet = self.state() == State::Running && self.silent().is_some_and(|s| s > PAUSE);
        if quiet && self.pending() == 0 {
            return Some(Duration::ZERO);
        }
        Some(Duration::from_millis(unix_milliseconds().saturating_sub(u64::from(second) * 1000)))
    }
}

fn unix_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis().try_into().unwrap_or(u64::MAX))
}

/// What was done with the records for one output since the start.
#[derive(Debug, Default)]
pub struct OutputStats {
    /// Its name in the configuration, or its URI without passwords.
    pub name: String,
    /// Its format.
    pub format: String,
    tally: Mutex<Tally>,
    /// What the sender behind a spool has done.
    sender: Option<Arc<Metrics>>,
    /// Lines that waited in the spool at the start.
    before: u64,
    failure: Mutex<Option<String>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    received: u64,
    filtered: u64,
    /// Lines that are durable, for outputs that have nobody behind them.
    durable: u64,
}

/// What an output has done with what it was given: received + before = delivered + filtered + failed + dropped + pending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputCounts {
    /// Records given to it.
    pub received: u64,
    /// Lines that waited in its spool at the start.
    pub before: u64,
    /// Lines that are durable, or taken by the receiver.
    pub delivered: u64,
    /// Records without a line: its filter does not want them, or its format has none for them.
    pub filtered: u64,
    /// Lines the receiver refused.
    pub failed: u64,
    /// Lines not taken because the spool was full.
    pub dropped: u64,
    /// Lines on their way.
    pub pending: u64,
    /// Bytes of lines in the spool.
    pub pending_bytes: u64,
    /// How long the oldest line in the spool has been waiting.
    pub waiting: Duration,
    /// Attempts to send that failed.
    pub retries: u64,
    /// Lines cut to fit into a datagram.
    pub truncated: u64,
    /// Whether the receiver can be reached; `None` where there is none.
    pub connected: Option<bool>,
    /// Why it does not work at the moment.
    pub failing: Option<String>,
}

impl OutputStats {
    /// Counters at 0; `sender` has those of the sender behind a spool.
    pub fn new(name: &str, format: &str, sender: Option<Arc<Metrics>>) -> Self {
        let before = sender.as_ref().map_or(0, |s| s.counts().written);
        OutputStats { name: name.to_owned(), format: format.to_owned(), sender, before, ..OutputStats::default() }
    }

    /// Takes note of records and of how many lines they gave.
    pub(crate) fn write(&self, records: u64, lines: u64) {
        let mut tally = self.tally();
        tally.received += records;
        tally.filtered += records.saturating_sub(lines);
    }

    /// All lines written so far are durable.
    pub(crate) fn commit(&self) {
        let mut tally = self.tally();
        tally.durable = tally.received - tally.filtered;
    }

    pub(crate) fn fail(&self, error: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All counts at this moment.
    pub fn counts(&self) -> OutputCounts {
        let failing = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // First: what the sender knows of was given to the output before.
        let sent = self.sender.as_ref().map(|sender| sender.counts());
        let Tally { received, filtered, durable } = *self.tally();
        let lines = received - filtered;
        let own = OutputCounts { received, filtered, failing, ..OutputCounts::default() };
        let Some(sent) = sent else {
            return OutputCounts { delivered: durable, pending: lines - durable, ..own };
        };
        // Those that no checkpoint covers yet are unknown to the sender.
        let fresh = (lines + self.before).saturating_sub(sent.written);
        OutputCounts {
            before: self.before,
            delivered: sent.sent,
            failed: sent.failed,
            dropped: sent.dropped,
            pending: sent.pending + fresh,
            pending_bytes: sent.pending_bytes,
            waiting: sent.waiting(),
            retries: sent.retries,
            truncated: sent.truncated,
            connected: Some(sent.connected),
            failing: own.failing.clone().or(sent.last_error.filter(|_| !sent.connected)),
            ..own
        }
    }
}

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// What it has counted.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_the_newest_event_while_more_come() {
        let stats = Stats::new("fmc");
        assert_eq!((stats.lag(), stats.silent()), (None, None));
        let now = unix_milliseconds();
        stats.second.store((now / 1000 - 100) as u32, Ordering::Relaxed);
        stats.enter(State::Running);
        stats.hear();
        assert!(stats.lag().unwrap() >= Duration::from_secs(99));
        stats.heard.store(now - 5000, Ordering::Relaxed);
        assert_eq!(stats.lag(), Some(Duration::ZERO), "the source has nothing more");
        stats.received.add(1);
        assert!(stats.lag().unwrap() >= Duration::from_secs(99), "one is on its way");
        stats.duplicate.add(1);
        stats.enter(State::Waiting("refused".into()));
        assert!(stats.lag().unwrap() >= Duration::from_secs(99), "nobody knows what waits there");
    }

    #[test]
    fn an_output_accounts_for_all_it_was_given() {
        let stats = OutputStats::new("file", "json", None);
        stats.write(10, 8);
        let counts = stats.counts();
        assert_eq!((counts.received, counts.filtered, counts.delivered, counts.pending), (10, 2, 0, 8));
        stats.commit();
        assert_eq!((stats.counts().delivered, stats.counts().pending), (8, 0));
    }
}
