//! Locks beside the map, which end with the process that holds them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Takes the lock of a netmap's mapper: there is one at a time.
pub(crate) fn lock(map: &Path, netmap: u32) -> Result<File> {
    let path = map.with_extension(format!("{netmap}.lock"));
    take(&path)?.ok_or(Error::Running { path })
}

/// While this is there its mapper may write into map and archive.
#[derive(Debug)]
pub(crate) struct AtWork {
    _lock: File,
}

impl AtWork {
    pub(crate) fn begin(map: &Path, netmap: u32) -> Result<AtWork> {
        let path = path(map, netmap);
        // Whoever looks holds it for a moment.
        for _ in 0..100 {
            if let Some(lock) = take(&path)? {
                return Ok(AtWork { _lock: lock });
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Err(Error::Running { path })
    }
}

/// Whether a mapper of a netmap may be writing into the map in this file, and into the archive. One that was told to hold
/// ends what it is doing first; none runs when the service does not.
pub fn writes(map: &Path, netmap: u32) -> bool {
    let Ok(file) = File::open(path(map, netmap)) else { return false };
    matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK))
}

fn path(map: &Path, netmap: u32) -> PathBuf {
    map.with_extension(format!("{netmap}.writes"))
}

fn take(path: &Path) -> Result<Option<File>> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed(error.into())),
    }
}
