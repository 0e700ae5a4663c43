//! Counters of a running collector. received = delivered + filtered + failed + known + pending, always.

use crate::alive::Alive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a collector has done since its start.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records taken from the connection.
    pub received: Counter,
    /// Records every destination has made durable, or had nothing to write for.
    pub delivered: Counter,
    /// Records the configuration does not want written.
    pub filtered: Counter,
    /// Records whose header could not be understood.
    pub failed: Counter,
    /// Records that a checkpoint says were delivered before, and metadata that says nothing new.
    pub known: Counter,
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
    /// Signs of life.
    pub alive: Alive,
    state: Mutex<State>,
}

/// What a collector is doing.
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
    /// What it is doing now.
    pub fn state(&self) -> State {
        self.state.lock().map(|s| s.clone()).unwrap_or_default()
    }

    pub(crate) fn enter(&self, state: State) {
        if let Ok(mut slot) = self.state.lock() {
            *slot = state;
        }
    }

    /// Records received and not yet accounted for in another way.
    pub fn pending(&self) -> u64 {
        let done = [&self.delivered, &self.filtered, &self.failed, &self.known];
        let done: u64 = done.iter().map(|c| c.value()).sum();
        self.received.value().saturating_sub(done)
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
