//! How lines get to a receiver.
//!
//! A [`Transport`] is given batches by the [`sender`](crate::sender) and says which of them are delivered. It is told
//! nothing of queues, retries and time: it tries once, within its time limits, and says what came of it.
//!
//! * [`stream`]: TCP and TLS; [`datagram`]: UDP; [`tls`]: whom to trust;
//! * [`syslog`]: lines as syslog messages, for both;
//! * [`http`]: what is common to HTTP; [`hec`]: Splunk; [`elastic`]: Elasticsearch and OpenSearch; [`post`]: others.

pub mod datagram;
mod doubt;
pub mod elastic;
mod endpoint;
pub mod hec;
pub mod http;
mod outstanding;
pub mod post;
mod secret;
pub mod stream;
pub mod syslog;
pub mod tls;

pub use endpoint::Endpoint;
pub use secret::Secret;

use crate::spool::Lines;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Delivers batches of lines, in their order.
pub trait Transport: Send {
    /// What it is, for people: without secrets.
    fn describe(&self) -> String;

    /// How many batches may be under way, that is sent and not [settled](Transport::settled).
    fn window(&self) -> usize {
        1
    }

    /// How often to ask for what is [settled](Transport::settled) while something is under way.
    fn poll(&self) -> Duration {
        Duration::from_millis(50)
    }

    /// Sends a batch. After an error nothing of it counts as sent, though the receiver may have some of it.
    fn send(&mut self, lines: &Lines) -> Result<(), Failure>;

    /// The batches that are now known to be delivered, oldest first, each once. An error means that all that is under
    /// way has to be sent again. Also called now and then when nothing is under way, to look at the connection.
    fn settled(&mut self) -> Result<Vec<Settled>, Failure>;

    /// Forgets what is under way: it will be sent again, with lines of the same numbers.
    fn reset(&mut self);

    /// No more will be sent: says within this time what more is settled.
    fn finish(&mut self, within: Duration) -> Vec<Settled> {
        let _ = within;
        self.settled().unwrap_or_default()
    }

    /// As far as is known the receiver is there.
    fn connected(&self) -> bool;
}

/// A batch that is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Lines that the receiver will never take.
    pub rejected: Vec<Rejected>,
    /// How many lines were cut short.
    pub truncated: u64,
}

/// A line that the receiver will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The line, without its line feed.
    pub line: Vec<u8>,
    /// The receiver's words.
    pub reason: String,
}

/// Why a batch was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The receiver cannot be reached, or cannot take lines now. All that is under way has to be sent again.
    #[error("{reason}")]
    Again {
        /// What, where, why, and what to do.
        reason: String,
        /// The receiver asked for this much time.
        after: Option<Duration>,
    },
    /// The receiver cannot take this batch now, and says so. What was sent before is not concerned.
    #[error("{reason}")]
    Busy {
        /// What, where, why, and what to do.
        reason: String,
        /// The receiver asked for this much time.
        after: Option<Duration>,
    },
    /// The receiver will not take this batch because of a line in it. What was sent before is not concerned.
    #[error("{reason}")]
    Refused {
        /// Which line of the batch, from 0, if that is known.
        line: Option<usize>,
        /// The receiver's words.
        reason: String,
    },
}

impl Failure {
    fn again(reason: impl Into<String>) -> Failure {
        Failure::Again { reason: reason.into(), after: None }
    }
}

/// Why a transport cannot be set up. Nothing of this goes away by waiting.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A file of the settings cannot be read.
    #[error("cannot read {what} {}: {source}; check the path, and that this user may read it", path.display())]
    File {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of the settings has not what it should have.
    #[error("{what} {} cannot be used: {problem}", path.display())]
    Content {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A setting that is wrong in itself.
    #[error("{setting} cannot be {value:?}: {problem}")]
    Setting {
        /// Its name in words.
        setting: &'static str,
        /// Its value; never a secret.
        value: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The settings of TLS do not go together.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl SetupError {
    fn setting(setting: &'static str, value: impl Into<String>, problem: impl Into<String>) -> SetupError {
        SetupError::Setting { setting, value: value.into(), problem: problem.into() }
    }
}
