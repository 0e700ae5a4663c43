//! What can go wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an archive operation.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the archive. After any of them the value that returned it stays usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The storage has no room for a commit (`ENOSPC`, `EDQUOT`, or a file size limit). The commit
    /// was taken back whole; the same [`Batch`](crate::Batch) can be committed again later.
    #[error(
        "there is no room to write {path}: {source}. Nothing of this commit was kept; free space or shorten \
         the retention, then commit again"
    )]
    StorageFull {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file operation failed.
    #[error(
        "could not {action} {path}: {source}. Check that the file system is healthy and that this user may use the path"
    )]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An item is too short to be what it was given as.
    #[error(
        "an item of {length} bytes was refused: it needs at least {least}. Give the 8-byte item header, the record header and the data"
    )]
    ItemShort {
        /// Bytes given.
        length: usize,
        /// Bytes needed.
        least: usize,
    },
    /// An item does not begin with u32 4 and the number of bytes that follow the item header.
    #[error(
        "an item of {length} bytes was refused: its item header says type {kind} and length {says}. \
         Write type 4 and the number of bytes after the 8-byte item header"
    )]
    ItemHeader {
        /// Bytes given.
        length: usize,
        /// The type in the item header.
        kind: u32,
        /// The length in the item header.
        says: u32,
    },
    /// An item, a key, a source name or a position is longer than the archive takes.
    #[error("{what} of {length} bytes was refused: the archive takes at most {most}. Split it or leave it out")]
    TooLong {
        /// What was too long.
        what: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// A repair waited for a commit that does not come to an end.
    #[error(
        "{path} has been locked by another process for {seconds} s: it is in the middle of a commit that it can neither make \
         nor take back. Its log says why; end it, or see to its disk, and repair again"
    )]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// Another repair is at work on a segment, or has replaced it.
    #[error("{path} is being repaired by another process. Wait for its end, and look again")]
    Repairing {
        /// The segment.
        path: PathBuf,
    },
    /// Bytes that were good are not any more.
    #[error(
        "{path} does not read the same twice at offset {offset}: its disk fails. Nothing was changed; copy the archive to another disk"
    )]
    Unstable {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// A segment was written by a newer version of this software.
    #[error(
        "{path} has format version {found}, and this program knows version {known}. Use the version that wrote it, or a newer one"
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The version this program writes.
        known: u32,
    },
    /// A segment is not where it was written: the header names another network map or second.
    #[error(
        "{path} belongs elsewhere: its header says netmap_{netmap}/unified2.{start}. \
         Move it back to that name; nothing was changed"
    )]
    Misplaced {
        /// The segment.
        path: PathBuf,
        /// The network map its header names.
        netmap: u32,
        /// The start second its header names.
        start: u32,
    },
}

impl Error {
    /// Wraps a failed file operation; use as `.map_err(Error::io("read", path))`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| {
            let path = path.to_path_buf();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Error::StorageFull { path, source }
                }
                _ => Error::Io { action, path, source },
            }
        }
    }

    /// Whether the error says that a file is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_quota_and_file_limit_are_storage_full() {
        for errno in [28, 122, 27] {
            let error = Error::io("write", Path::new("x"))(io::Error::from_raw_os_error(errno));
            assert!(matches!(error, Error::StorageFull { .. }), "errno {errno} became {error:?}");
        }
        let error = Error::io("write", Path::new("x"))(io::Error::from_raw_os_error(5));
        assert!(matches!(error, Error::Io { .. }));
        assert!(error.to_string().starts_with("could not write x: "), "{error}");
    }
}
