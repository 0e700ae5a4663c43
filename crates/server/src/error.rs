//! What can go wrong outside of sessions, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the service or of its home folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `init` on a home that is complete.
    #[error(
        "{dir} is an eStreamer home already; nothing was changed. Use it as it is, or name another folder. (Its authority \
         signed the certificates of all clients: only remove it if they are to get new ones.)"
    )]
    HomeThere {
        /// The folder.
        dir: PathBuf,
    },
    /// `init` on a folder that holds something else.
    #[error("{dir} is not empty and is no eStreamer home; nothing was changed. Name an empty folder or a new one")]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder is no home.
    #[error(
        "{dir} is no eStreamer home. Create one with \"estreamer init {dir}\", or name the folder of an existing one"
    )]
    NoHome {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be entered.
    #[error(
        "this user may not enter {dir}. An eStreamer home is open to its owner alone: run the command as that user"
    )]
    NoAccess {
        /// The folder.
        dir: PathBuf,
    },
    /// Parts of a home are missing that can be made again.
    #[error(
        "the eStreamer home {dir} lacks {missing}. \"estreamer init {dir}\" adds what is missing and keeps the rest"
    )]
    Incomplete {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        missing: String,
    },
    /// The authority is missing or halved while there are certificates of it.
    #[error(
        "the authority of the eStreamer home {dir} is damaged: {missing} is missing. All clients' certificates depend on it: \
         restore ca/ from a backup. If there is none, create a new home and give every client a new certificate"
    )]
    AuthorityLost {
        /// The folder.
        dir: PathBuf,
        /// The file that is missing.
        missing: &'static str,
    },
    /// `settings.toml` cannot be used.
    #[error("{place}: {problem}")]
    Settings {
        /// File and line.
        place: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// A client of this name is active.
    #[error(
        "there is a client {name} already. Remove it first if it is to get a new certificate; its present one ends then"
    )]
    ClientThere {
        /// Its name.
        name: String,
    },
    /// No client of this name is active.
    #[error("there is no client {name}. List the clients to see their names")]
    NoClient {
        /// The name.
        name: String,
    },
    /// A name without an address.
    #[error(
        "the name {name} does not resolve ({reason}; asked the resolver of this system), and a client is let in only from an \
         address its name resolves to. Correct the name, give an address, or accept it as it is because it will resolve later"
    )]
    Unresolved {
        /// The name.
        name: String,
        /// The resolver's words.
        reason: String,
    },
    /// The PKCS#12 file of a client is not there.
    #[error("the PKCS#12 file of {name} was not kept. Renew the client to get a new one")]
    NotKept {
        /// The client's name.
        name: String,
    },
    /// The database failed.
    #[error("the database {path} cannot be used: {source}. Check that it is intact and that this user may write to it")]
    Database {
        /// Its file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// There is no room for the database, not even to open it.
    #[error(
        "the database {path} cannot be used, since its file system is full. Make room there: old segments of the archive can \
         be deleted with \"estreamer store prune\""
    )]
    DatabaseFull {
        /// Its file.
        path: PathBuf,
    },
    /// The database is of a newer version of this program.
    #[error(
        "the database {path} has version {found}, and this program knows {known}. Use the version that wrote it, or a newer one"
    )]
    DatabaseVersion {
        /// Its file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// A certificate, key or TLS setting cannot be used.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// The archive cannot be used.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}. {remedy}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl Error {
    /// Wraps a failed file operation; use as `.map_err(Error::io("read", path))`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.to_path_buf(), source }
    }

    /// Wraps a failed database operation.
    pub(crate) fn database(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
        move |source| {
            let path = path.to_path_buf();
            // Without room SQLite cannot make the memory that its processes share either.
            let code = source.sqlite_error().map(|error| error.extended_code);
            let shared = code == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
            match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => Error::DatabaseFull { path },
                _ if shared => Error::DatabaseFull { path },
                _ => Error::Database { path, source },
            }
        }
    }
}
