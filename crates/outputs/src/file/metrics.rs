//! What has become of the files of an output.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What has become of the files of an output since it was opened.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Files completed.
    pub completed: AtomicU64,
    /// Files compressed.
    pub compressed: AtomicU64,
    /// Files that retention deleted.
    pub deleted: AtomicU64,
    /// Files copied to another host, and then deleted here.
    pub copied: AtomicU64,
    /// Attempts to copy that failed.
    pub copy_failures: AtomicU64,
    /// Files that wait for being copied: a level, not a count.
    pub pending_copies: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Metrics {
    /// What keeps complete files from being handed over, compressed, deleted or copied now; `None` when nothing does.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().ok().and_then(|text| text.clone())
    }

    pub(super) fn note(&self, error: Option<String>) {
        if let Ok(mut slot) = self.last_error.lock() {
            *slot = error;
        }
    }
}

pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
