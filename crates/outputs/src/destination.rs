//! Where lines go, and the contract by which files get each event exactly once.
//!
//! # The contract
//!
//! The caller has events in an order and stores, in one atomic step, how far it is (its position) together with
//! [`Destination::state`]: its checkpoint. What is written after a checkpoint is delivered again after a crash; the
//! destination takes care that it is not there twice. The caller does this:
//!
//! ```text
//! open(settings, state of the last checkpoint, or None)
//! loop
//!     when room() is 0, or it is time for a checkpoint:
//!         sync()                    everything written so far is durable
//!         store position + state()  atomically
//!         stored(state)             now, and only now, a new file may come into being
//!     write(bytes, lines)           whole lines, at most room() of them
//! ```
//!
//! * `state()` speaks of the last `sync()`: which file, how long it is, how many lines it has.
//! * Opening with a state cuts the file off at the length in the state. What was written after the checkpoint is gone
//!   and is delivered again.
//! * When a file is full, `sync()` chooses the next name, and `state()` announces it with length 0. The file is created
//!   by the first `write` after `stored()`. So every file with events was announced by a stored state before it existed:
//!   after a crash there is none that the checkpoint does not know. The same holds for the first file, which is why
//!   `room()` is 0 right after opening without a state.
//!
//! # Errors
//!
//! A failed [`write`](Destination::write) has taken nothing of what it was given; everything accepted before is still
//! there. Write the same again when there is reason to think it will work (after a full disk has room again), but look
//! at `room()` first. A failed `sync` can be repeated too. When
//! [`Error::rewound`] says so, what was written since the last `sync()` is lost or doubtful and the destination is back
//! at its last `state()`: deliver again from the last checkpoint, beginning with the loop above.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Makes lines durable.
pub trait Destination: Send {
    /// What it is, for people.
    fn describe(&self) -> String;

    /// How many lines may be written before the caller has to sync, store the state and call
    /// [`stored`](Destination::stored); `usize::MAX` when there is no limit.
    fn room(&self) -> usize;

    /// Takes `bytes`, which are `lines` whole lines. They need not be durable before [`sync`](Destination::sync).
    fn write(&mut self, bytes: &[u8], lines: usize) -> Result<(), Error>;

    /// Makes durable what was written.
    fn sync(&mut self) -> Result<(), Error>;

    /// What to give back when opening again, as of the last [`sync`](Destination::sync). Empty when there is nothing to
    /// remember.
    fn state(&self) -> String;

    /// The caller has stored this [`state`](Destination::state).
    fn stored(&mut self, state: &str) {
        let _ = state;
    }
}

/// Why a destination cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be opened, created or looked at.
    #[error("cannot {action} {}: {source}; check that the folder may be written by this user", path.display())]
    Open {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Writing failed. Nothing of the last lines was taken; the same lines can be written again.
    #[error("cannot write to {target}: {source}; {}", remedy(source))]
    Write {
        /// File or stream.
        target: String,
        /// The cause.
        source: io::Error,
    },
    /// What was written may not have reached the disk. The file was cut off at its last durable length.
    #[error("cannot make {} durable: {source}; the events since the last checkpoint must be written again", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody deleted the file while it was being written.
    #[error("{} was deleted while it was being written; the events since the last checkpoint must be written again, to a new file", path.display())]
    Deleted {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else created the file that was about to be. Another name was chosen; it has to be stored first.
    #[error("{} exists, but another program made it; another name was chosen", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// More lines than [`Destination::room`] allows: a fault of the caller.
    #[error("{lines} lines were to be written, but there is room for {room}; sync and store the state first")]
    Full {
        /// Lines that were to be written.
        lines: usize,
        /// Lines there is room for.
        room: usize,
    },
    /// Nobody reads the other end of the pipe any more. Nothing is wrong: the reader has had enough.
    #[error("the reader of {target} has gone")]
    Closed {
        /// The stream.
        target: String,
    },
    /// A stored state that this program did not write.
    #[error(
        "the stored state of the output is damaged ({problem}): {text}; remove it from the checkpoint to begin a new file"
    )]
    State {
        /// The state.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A path that is not UTF-8 cannot be stored.
    #[error("the output folder {} has a name that is not UTF-8; choose another", path.display())]
    Name {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    /// What was written since the last `sync` is lost; the destination is back at its last state.
    pub fn rewound(&self) -> bool {
        matches!(self, Error::Sync { .. } | Error::Deleted { .. })
    }

    /// The reader of a pipe has gone: the program may end quietly.
    pub fn closed(&self) -> bool {
        matches!(self, Error::Closed { .. })
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on the disk; nothing is lost meanwhile",
        _ => "nothing is lost; it will be tried again",
    }
}
