//! What a destination behind a [`Spool`](crate::spool::Spool) has done with the lines it was given.
//!
//! At every moment `written = sent + failed + dropped + pending`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The counts of one destination, shared by whoever writes, sends and looks.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

/// What a destination has done since it was opened. Lines that waited when it was opened count as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines given to the destination and covered by a stored state.
    pub written: u64,
    /// Lines delivered. A line that was sent twice, after an error, counts once.
    pub sent: u64,
    /// Lines the receiver refused, which are in the file of rejected lines, and lines lost because somebody damaged the
    /// spool.
    pub failed: u64,
    /// Lines not taken because the spool was full.
    pub dropped: u64,
    /// Lines that wait, or are under way and not yet known to be delivered.
    pub pending: u64,
    /// Bytes of the pending lines, line feeds included.
    pub pending_bytes: u64,
    /// Batches delivered.
    pub batches: u64,
    /// Bytes of the lines delivered, line feeds included, without what the transport adds.
    pub bytes: u64,
    /// Attempts that failed and were, or will be, repeated.
    pub retries: u64,
    /// Lines delivered cut short, because they did not fit into a datagram.
    pub truncated: u64,
    /// The last attempt to connect or send succeeded, and the receiver has not closed the connection since.
    pub connected: bool,
    /// The last error, also when all is well again.
    pub last_error: Option<String>,
    /// When the oldest pending line was written, or a little earlier.
    pub oldest: Option<SystemTime>,
}

impl Metrics {
    /// All counts at this moment.
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// Changes counts; whoever looks sees all of the change or nothing of it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// How long the oldest pending line has been waiting; zero when none waits.
    pub fn waiting(&self) -> Duration {
        self.oldest.and_then(|t| t.elapsed().ok()).unwrap_or_default()
    }
}
