//! Noticing commits.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::head::{Head, HeadFile};
use crate::layout;

/// Tells when something was committed, by this process or another. One tail can wake all sessions of a server.
#[derive(Debug)]
pub struct Tail {
    file: HeadFile,
    last: Option<Head>,
    /// When the last change was seen.
    changed: Instant,
}

/// How often [`Tail::wait`] looks, for [`BUSY_FOR`] after a change.
const BUSY: Duration = Duration::from_millis(5);
const BUSY_FOR: Duration = Duration::from_millis(100);
/// How often it looks otherwise; the longest a commit goes unnoticed.
const IDLE: Duration = Duration::from_millis(20);

impl Tail {
    /// Follows the archive of `netmap` below `root`, which need not exist yet. The first
    /// [`committed`](Self::committed) reports what is there already.
    pub fn new(root: &Path, netmap: u32) -> Self {
        Tail { file: HeadFile::new(&layout::netmap_dir(root, netmap), netmap), last: None, changed: Instant::now() }
    }

    /// The committed end if it has changed since the last call. Costs one or two system calls.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the head cannot be read.
    pub fn committed(&mut self) -> Result<Option<Head>> {
        let head = self.file.read()?.head();
        if head.is_none() || head == self.last {
            return Ok(None);
        }
        self.last = head;
        self.changed = Instant::now();
        Ok(head)
    }

    /// Waits until something is committed, at most `timeout`. Looks every 5 ms for 100 ms after a change and every
    /// 20 ms when idle, so nothing goes unnoticed for longer than that.
    ///
    /// # Errors
    /// As for [`committed`](Self::committed).
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Head>> {
        let begun = Instant::now();
        loop {
            let head = self.committed()?;
            let left = timeout.saturating_sub(begun.elapsed());
            if head.is_some() || left.is_zero() {
                return Ok(head);
            }
            let pause = if self.changed.elapsed() < BUSY_FOR { BUSY } else { IDLE };
            thread::sleep(pause.min(left));
        }
    }
}
