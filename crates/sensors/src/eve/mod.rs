//! A Suricata sensor as a source of eStreamer events: its `eve.json` read into an archive.
//!
//! | line | record |
//! |---|---|
//! | `alert` | 400 intrusion event; 2 with its packet; 110 with what a proxy said of the client, URI and host |
//! | `flow` | 71 connection event, with what the application layer lines of the flow told |
//! | `http`, `tls`, `dns`, `smb`, … | wait for their `flow`; without one in time a connection event is made of them alone |
//! | `krb5`, `smb`, `ldap` that show a login | 94 new user, 95 login as well |
//! | `fileinfo` | 500 file event |
//! | `anomaly` | 400 of the generator for decoder, stream or application layer |
//! | others | none: counted by type and reason |
//!
//! Numbers are named by metadata before they are used, as a management center does. Which value of a line goes into which
//! field is data: `mapping.toml`.
//!
//! # Exactly once
//!
//! Three things must be durable together: the events, the place in the file, and what is known of flows that have not
//! ended. The first two are one commit of the archive. The third is a SQLite database beside it, written before that
//! commit, whose rows say from which commit to which they hold; the commit's number is in the position. After a crash the
//! archive says which commit was the last one, and the database gives what was known then.
//!
//! A socket cannot be read again. So what is read from it is written into files first (`spool.rs`), and their place is
//! committed as that of any file is. What is lost when the sensor is killed is what Suricata has handed to the system and
//! the sensor has not read yet, and what Suricata writes while nobody listens.

mod alert;
mod connection;
mod file;
mod flows;
mod follow;
mod gzip;
mod header;
mod lines;
mod mapper;
mod mapping;
mod names;
mod place;
mod sensor;
mod sighted;
mod socket;
mod spool;
mod store;
mod tail;
mod tally;
mod text;
mod user;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use wire::event::{Event, Value};

use crate::feed::FeedError;

pub use flows::Bounds;
pub use mapper::{Identity, Mapper};
pub use sensor::{EveSensor, Settings};
pub use tally::{BAD, Row, Tally};

/// File disposition: nobody has looked.
const UNKNOWN: u8 = 2;

/// A value on its way from a line to a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Field {
    #[serde(rename = "n")]
    Number(u64),
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "o")]
    Octets(Vec<u8>),
}

impl Field {
    /// Bytes beside the value itself.
    fn size(&self) -> usize {
        match self {
            Field::Number(_) => 0,
            Field::Text(text) => text.len(),
            Field::Octets(octets) => octets.len(),
        }
    }
}

impl From<&Field> for Value {
    fn from(field: &Field) -> Value {
        match field {
            Field::Number(number) => Value::Uint(*number),
            Field::Text(text) => text.as_str().into(),
            Field::Octets(octets) => octets.as_slice().into(),
        }
    }
}

/// What lines became: metadata and events.
#[derive(Debug, Default)]
pub struct Output {
    metadata: Vec<Event>,
    events: Vec<Event>,
    parts: Vec<&'static str>,
}

impl Output {
    /// Metadata, which comes before the events.
    pub fn metadata_records(&self) -> &[Event] {
        &self.metadata
    }

    /// Events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.metadata.clear();
        self.events.clear();
        self.parts.clear();
    }

    fn name(&mut self, metadata: Event) {
        self.metadata.push(metadata);
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Says that a part of the line is left out.
    fn part(&mut self, what: &'static str) {
        self.parts.push(what);
    }

    fn take_parts(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.parts)
    }
}

/// Why a Suricata sensor cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EveError {
    /// The tables of the program cannot be read.
    #[error("the tables of this program that say what EVE lines become are damaged, which is a fault of it: {0}")]
    Mapping(String),
    /// The input cannot be opened or read.
    #[error("cannot {what} {}: {source}", path.display())]
    Input {
        /// What was tried.
        what: &'static str,
        /// The file or socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A compressed file cannot be followed.
    #[error("{} is compressed, and a compressed file does not grow: read it with --once", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
    },
    /// There is a sensor of this device already.
    #[error(
        "a sensor with device id {device} is running already; give each sensor a number of its own (--device), or end \
         the other one"
    )]
    Running {
        /// The device.
        device: u32,
    },
    /// The lock file cannot be made.
    #[error("cannot make or lock {}: {source}; the folder must be writable", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database of flows and users cannot be used.
    #[error("cannot use {}: {source}; what it has are flows that have not ended: without it they lack what came before",
            path.display())]
    State {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database is of a newer program.
    #[error("{} has version {version}, this program knows version 1; use the program that wrote it", path.display())]
    StateVersion {
        /// The database.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
    /// The archive's position is none.
    #[error(
        "the archive's note of how far the input was read cannot be understood; use the program that wrote it, or \
         another device id to read the input from its start"
    )]
    Position,
    /// The archive cannot be written.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

impl EveError {
    /// Whether the state could not be written for lack of room.
    fn is_full(&self) -> bool {
        let EveError::State { source, .. } = self else { return false };
        // Without room SQLite cannot make the memory that its processes share either.
        let shared =
            source.sqlite_error().map(|error| error.extended_code) == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        shared || source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
    }
}
