//! What was written to the network and may still be lost.
//!
//! Neither TCP nor UDP tells whether the receiver's program has what it was sent. So the last batches stay in doubt: if
//! the connection breaks meanwhile, they are sent again.

use super::Settled;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes that two kernels may hold between two programs. What lies further back, the receiver has read.
const IN_FLIGHT: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Doubt {
    time: Duration,
    batches: VecDeque<Doubtful>,
    bytes: usize,
}

#[derive(Debug)]
struct Doubtful {
    since: Instant,
    bytes: usize,
    truncated: u64,
}

impl Doubt {
    /// Batches are in doubt for this long.
    pub(super) fn new(time: Duration) -> Doubt {
        Doubt { time, batches: VecDeque::new(), bytes: 0 }
    }

    /// A batch was written.
    pub(super) fn push(&mut self, bytes: usize, truncated: u64) {
        self.batches.push_back(Doubtful { since: Instant::now(), bytes, truncated });
        self.bytes += bytes;
    }

    /// The receiver is slow to take what was written: whatever is in doubt may still be on the way.
    pub(super) fn slow(&mut self) {
        let now = Instant::now();
        self.batches.iter_mut().for_each(|batch| batch.since = now);
    }

    /// The batches out of doubt. Only to be asked when the connection looks well. Whether the receiver's host has all is
    /// asked at most once in the time of doubt; as long as it has not, all stays in doubt.
    pub(super) fn settled(&mut self, acknowledged: impl FnOnce() -> bool) -> Vec<Settled> {
        let due = self.batches.front().is_some_and(|first| first.since.elapsed() >= self.time);
        if due && !acknowledged() {
            self.slow();
        }
        let mut settled = Vec::new();
        while let Some(first) = self.batches.front()
            && (first.since.elapsed() >= self.time || self.bytes - first.bytes >= IN_FLIGHT)
        {
            self.bytes -= first.bytes;
            settled.push(Settled { rejected: Vec::new(), truncated: first.truncated });
            self.batches.pop_front();
        }
        settled
    }

    /// All batches: the receiver has confirmed them.
    pub(super) fn all(&mut self) -> Vec<Settled> {
        self.bytes = 0;
        self.batches.drain(..).map(|batch| Settled { rejected: Vec::new(), truncated: batch.truncated }).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.bytes = 0;
    }
}
