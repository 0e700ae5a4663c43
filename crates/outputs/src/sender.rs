//! A thread that sends what is in a [`Spool`] by a [`Transport`], until it is delivered.
//!
//! [`Remote`] puts the three together to a [`Destination`].
//!
//! # What is promised
//!
//! * Order: lines are sent in the order in which they were written. Only a receiver that takes a part of a batch
//!   (Elasticsearch) may get the rest of it later.
//! * At least once: a line is done when the transport says that it is delivered, or that the receiver will never take
//!   it; then it is in `rejected.jsonl` in the spool's folder.
//! * Twice: after an error or a kill all that is under way is sent again. After a power failure, also what was delivered
//!   since the cursor was stored, which is at most [`CURSOR_TIME`] before, and after a proper stop nothing.
//! * Errors are repeated for ever, after a pause that doubles up to [`Settings::retry_longest`], with jitter. The log has
//!   one line when they begin and one when it works again; [`Metrics`] has the last one.

mod rejected;
mod worker;

use crate::destination::{Destination, Error};
use crate::metrics::Metrics;
use crate::spool::{self, Reader, Shared, Spool};
use crate::transport::Transport;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The longest time for which the cursor on disk is behind while lines are delivered.
pub const CURSOR_TIME: Duration = Duration::from_secs(1);

/// How long the thread is waited for after its time is over.
const GRACE: Duration = Duration::from_millis(250);

/// How to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Lines of a batch; at least 1.
    pub lines: usize,
    /// Bytes of a batch, line feeds included, without what the transport adds. A longer line makes a batch of its own.
    pub bytes: usize,
    /// How long lines wait for more before a smaller batch is sent. With the collector's checkpoints, four a second, the
    /// default gets a line on its way within a second.
    pub delay: Duration,
    /// The pause after the first error, halved at most by jitter.
    pub retry_first: Duration,
    /// The longest pause.
    pub retry_longest: Duration,
    /// How long dropping the sender may take, to send what waits, if the receiver is there.
    pub stop_within: Duration,
    /// Bytes of `rejected.jsonl` after which it becomes `rejected.1.jsonl`, in place of an older one.
    pub rejected_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            lines: 1000,
            bytes: 1 << 20,
            delay: Duration::from_millis(500),
            retry_first: Duration::from_millis(500),
            retry_longest: Duration::from_secs(60),
            stop_within: Duration::from_secs(5),
            rejected_bytes: 64 << 20,
        }
    }
}

/// The running thread. Dropping it stops it.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    stop_within: Duration,
}

impl Sender {
    /// Starts sending. `name` is the destination's in the log.
    ///
    /// # Errors
    /// [`Error::Open`] when the system has no thread to give.
    pub fn start(
        name: &str,
        settings: Settings,
        spool: &Spool,
        reader: Reader,
        transport: Box<dyn Transport>,
    ) -> Result<Sender, Error> {
        let shared = Arc::clone(spool.shared());
        let stop_within = settings.stop_within;
        let worker = worker::Worker::new(name, settings, Arc::clone(&shared), reader, transport);
        let thread = thread::Builder::new().name(format!("send {name}")).spawn(|| worker.run());
        let failed = |source: io::Error| Error::Open {
            action: "start a thread to send what is in",
            path: shared.folder().to_owned(),
            source,
        };
        let thread = thread.map_err(failed)?;
        Ok(Sender { shared, thread: Some(thread), stop_within })
    }

    /// Sends what it can within this time, stores the cursor, and ends. `false` if lines are left in the spool. When the
    /// transport takes longer, its thread is left to itself; it has no more say in anything.
    pub fn stop(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        self.shared.finish(deadline);
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < deadline + GRACE {
                thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("a sending thread has died; this is a fault of the program");
            }
        }
        self.shared.leave();
        self.shared.cursor() == self.shared.end()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop(self.stop_within);
    }
}

/// A receiver elsewhere as a destination: a spool, a sender and a transport. Dropping it stops the sender.
pub struct Remote {
    name: String,
    // Before the spool, so that it ends first.
    sender: Sender,
    spool: Spool,
}

impl Remote {
    /// Opens the spool and starts sending. `name` is for people; `state` as for [`Spool::open`].
    ///
    /// # Errors
    /// As [`Spool::open`] and [`Sender::start`].
    pub fn open(
        name: &str,
        spool: spool::Settings,
        settings: Settings,
        transport: Box<dyn Transport>,
        state: Option<&str>,
    ) -> Result<Remote, Error> {
        let name = format!("{name} ({})", transport.describe());
        let (spool, reader) = Spool::open(spool, state)?;
        let sender = Sender::start(&name, settings, &spool, reader, transport)?;
        Ok(Remote { name, sender, spool })
    }

    /// The counts of this destination.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.spool.metrics()
    }

    /// As [`Sender::stop`]. Nothing may be written after it.
    pub fn stop(&mut self, within: Duration) -> bool {
        self.sender.stop(within)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("name", &self.name).field("spool", &self.spool).finish_non_exhaustive()
    }
}

impl Destination for Remote {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn room(&self) -> usize {
        self.spool.room()
    }

    fn write(&mut self, bytes: &[u8], lines: usize) -> Result<(), Error> {
        self.spool.write(bytes, lines)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.spool.sync()
    }

    fn state(&self) -> String {
        self.spool.state()
    }

    fn stored(&mut self, state: &str) {
        self.spool.stored(state);
    }
}
