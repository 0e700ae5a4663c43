//! What can go wrong with a network map.

use std::path::{Path, PathBuf};

use thiserror::Error;
use wire::event::{NoField, UnknownRecord};
use wire::record::RecordError;

/// Why a network map cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite cannot use the file.
    #[error(
        "cannot use the network map {}: {source}; what it holds can be learned again from the archive: with the server \
         ended, move the file away",
        path.display()
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file is of a newer program.
    #[error("the network map {} has version {version}, this program knows {known}; use the program that wrote it",
            path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The file cannot be made or opened.
    #[error("cannot open the network map {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The archive cannot be read or written.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// Another process keeps this map.
    #[error("another process keeps the network map ({} is locked): one server of a home is enough", path.display())]
    Running {
        /// The lock file.
        path: PathBuf,
    },
    /// A network that is none.
    #[error("{text:?} is no network; write an address and a prefix length, such as 10.0.0.0/8 or fc00::/7")]
    Network {
        /// What was given.
        text: String,
    },
    /// The schema lacks something discovery events need.
    #[error("this program cannot make one of its records, which is a fault of its schema: {0}")]
    Schema(String),
}

impl Error {
    /// Names the file a failure of SQLite is about.
    pub(crate) fn database(path: &Path) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Database { path: path.clone(), source }
    }

    /// Whether there was no room on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Database { source, .. } => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Error::Archive(archive::Error::StorageFull { .. }) => true,
            _ => false,
        }
    }
}

impl From<NoField> for Error {
    fn from(error: NoField) -> Error {
        Error::Schema(error.to_string())
    }
}

impl From<UnknownRecord> for Error {
    fn from(error: UnknownRecord) -> Error {
        Error::Schema(error.to_string())
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Error {
        Error::Schema(error.to_string())
    }
}

/// What this crate's functions give.
pub type Result<T> = std::result::Result<T, Error>;
