//! The file behind it all.

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The version of the tables, kept in SQLite's `user_version`.
const VERSION: i64 = 1;

/// How long a change of another process is waited for: by an administrator, and by those who have other things to do.
const BUSY: Duration = Duration::from_secs(5);
const BUSY_SENSOR: Duration = Duration::from_secs(1);

const TABLES: &str = "
    CREATE TABLE unchecked (event_type TEXT PRIMARY KEY) STRICT;
    CREATE TABLE pause (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        reason TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE domains (
        netmap INTEGER PRIMARY KEY,
        name TEXT NOT NULL COLLATE NOCASE UNIQUE
    ) STRICT;
    CREATE TABLE sensors (
        id INTEGER PRIMARY KEY,
        netmap INTEGER NOT NULL,
        source TEXT NOT NULL,
        device INTEGER NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        pid INTEGER,
        started INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        paused INTEGER NOT NULL DEFAULT 0,
        holding INTEGER NOT NULL DEFAULT 0,
        events INTEGER NOT NULL DEFAULT 0,
        discarded INTEGER NOT NULL DEFAULT 0,
        rate REAL NOT NULL DEFAULT 0,
        last_event INTEGER,
        lag INTEGER,
        waiting TEXT,
        UNIQUE (netmap, source)
    ) STRICT;
    CREATE TABLE rates (
        bucket INTEGER NOT NULL,
        event_type TEXT NOT NULL,
        events INTEGER NOT NULL,
        PRIMARY KEY (bucket, event_type)
    ) STRICT, WITHOUT ROWID;
";

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something cannot be read or set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be made.
    #[error("{path} cannot be created: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error("the database {path} cannot be used: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A newer program made it.
    #[error("the database {path} has version {found}, and this program knows {VERSION}: use the newer program")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A domain that is there already.
    #[error("there is a domain with this netmap id or name already ({netmap}, \"{name}\")")]
    DomainThere {
        /// Its netmap id.
        netmap: u32,
        /// Its name.
        name: String,
    },
    /// A name nobody can use.
    #[error("\"{name}\" is no name: it must have 1 to 128 characters, none of them a control character")]
    BadName {
        /// The name.
        name: String,
    },
    /// A netmap id that fits no record.
    #[error("netmap id {0} is too high: a record has 15 bits for it, so 32767 is the highest")]
    BadNetmap(u32),
    /// A sensor nobody knows.
    #[error("there is no sensor with number {0}")]
    NoSensor(i64),
}

/// A connection and its path, for messages.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
}

/// What a change costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// It is on the disk when the call returns: for what an administrator sets.
    Yes,
    /// A power cut may take the last seconds: for what sensors report.
    Soon,
}

impl Database {
    /// Opens the file, and makes it, private to its owner, if it is not there.
    pub(crate) fn open(path: &Path, durable: Durable) -> Result<Database> {
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|source| Error::Create { path: path.to_owned(), source })?;
        let failed = |source| Error::Database { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        let version = prepare(&mut connection, durable).map_err(failed)?;
        if version > VERSION {
            return Err(Error::Version { path: path.to_owned(), found: version });
        }
        Ok(Database { path: path.to_owned(), connection })
    }

    /// Runs some statements.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.connection).map_err(|source| Error::Database { path: self.path.clone(), source })
    }

    /// Runs some statements that count together or not at all.
    pub(crate) fn change<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let whole = || {
            let change = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&change)?;
            change.commit()?;
            Ok(done)
        };
        whole().map_err(|source| Error::Database { path: self.path.clone(), source })
    }

    /// A number that changes with every change by another connection.
    pub(crate) fn version(&self) -> Result<i64> {
        self.run(|c| c.pragma_query_value(None, "data_version", |row| row.get(0)))
    }
}

fn prepare(connection: &mut Connection, durable: Durable) -> rusqlite::Result<i64> {
    connection.busy_timeout(if durable == Durable::Yes { BUSY } else { BUSY_SENSOR })?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", if durable == Durable::Yes { "FULL" } else { "NORMAL" })?;
    // One that is complete can be opened while others write.
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != 0 {
        return Ok(version);
    }
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        change.execute_batch(TABLES)?;
        change.pragma_update(None, "user_version", VERSION)?;
    }
    change.commit()?;
    Ok(version)
}

/// Unix seconds.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(i64::MAX))
}
