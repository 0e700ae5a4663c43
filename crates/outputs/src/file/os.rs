//! What the files of an output ask of the system, in one place: tests make it fail, and set the clock.

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file for writing. A new one must not exist yet.
///
/// It is locked as long as it is open, so that another process with the same settings leaves it alone.
pub(super) fn open(path: &Path, new: bool) -> io::Result<fs::File> {
    fault::check(fault::Op::Open)?;
    let file = OpenOptions::new().write(true).create_new(new).mode(0o640).open(path)?;
    // Not every file system and no device has locks; whoever has one already writes on his own responsibility.
    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(file)
}

/// Whether a process has a file open for writing that it opened with [`open`].
pub(super) fn in_use(path: &Path) -> bool {
    let lock = fs::File::open(path).map(|file| flock(&file, FlockOperation::NonBlockingLockExclusive));
    matches!(lock, Ok(Err(rustix::io::Errno::WOULDBLOCK)))
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_at(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<()> {
    // An injected failure tears the write, as a full disk does.
    fault::check(fault::Op::Write)
        .or_else(|error| file.write_all_at(bytes.get(..bytes.len() / 2).unwrap_or_default(), offset).and(Err(error)))?;
    file.write_all_at(bytes, offset)
}

/// Cuts off what is behind `length`.
pub(super) fn cut(file: &fs::File, length: u64) -> io::Result<()> {
    fault::check(fault::Op::Cut)?;
    file.set_len(length)
}

/// Makes the contents of a file durable.
pub(super) fn sync(file: &fs::File) -> io::Result<()> {
    match fault::check(fault::Op::Sync).and_then(|()| file.sync_data()) {
        // A device has nothing to make durable.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fault::check(fault::Op::SyncFolder)?;
    fs::File::open(folder)?.sync_all()
}

/// Renames a file to a name that must not exist.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fault::check(fault::Op::Rename)?;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some network file systems cannot do this.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            match fs::symlink_metadata(to) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
                Err(e) => Err(e),
            }
        }
        other => Ok(other?),
    }
}

/// Renames a file; what has the name is replaced.
pub(super) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fault::check(fault::Op::Rename)?;
    fs::rename(from, to)
}

/// Removes a file; `false` when there is none.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    fault::check(fault::Op::Remove)?;
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Time since 1970.
#[cfg(not(test))]
pub(super) fn now() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
pub(super) use fault::now;

/// Failures on demand, and a clock that stands still, for the thread of a test.
#[cfg(test)]
pub(super) mod fault {
    use std::cell::Cell;
    use std::io;
    use std::time::Duration;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Op {
        Open,
        Write,
        Cut,
        Sync,
        SyncFolder,
        Rename,
        Remove,
    }

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static NEXT: Cell<Option<(Op, i32)>> = const { Cell::new(None) };
        static NOW: Cell<Duration> = const { Cell::new(Duration::from_secs(1_700_000_000)) };
    }

    /// After so many more operations every one fails, as if the process were dead. `None`: alive again.
    pub(crate) fn die_after(operations: Option<u32>) {
        LEFT.set(operations);
    }

    /// Whether an operation has failed since [`die_after`].
    pub(crate) fn is_dead() -> bool {
        LEFT.get() == Some(0)
    }

    /// The next `op` fails with `errno`.
    pub(crate) fn fail(op: Op, errno: i32) {
        NEXT.set(Some((op, errno)));
    }

    /// Whether what [`fail`] asked for has happened.
    pub(crate) fn has_failed() -> bool {
        NEXT.get().is_none()
    }

    pub(crate) fn now() -> Duration {
        NOW.get()
    }

    pub(crate) fn set_clock(now: Duration) {
        NOW.set(now);
    }

    pub(crate) fn check(op: Op) -> io::Result<()> {
        if let Some((planned, errno)) = NEXT.get()
            && planned == op
        {
            NEXT.set(None);
            return Err(io::Error::from_raw_os_error(errno));
        }
        match LEFT.get() {
            // One is kept for `is_dead`.
            Some(0) => return Err(io::Error::from_raw_os_error(5)),
            Some(1) => {
                LEFT.set(Some(0));
                return Err(io::Error::from_raw_os_error(5));
            }
            Some(n) => LEFT.set(Some(n - 1)),
            None => {}
        }
        Ok(())
    }
}

#[cfg(not(test))]
mod fault {
    pub(super) enum Op {
        Open,
        Write,
        Cut,
        Sync,
        SyncFolder,
        Rename,
        Remove,
    }

    pub(super) fn check(_: Op) -> std::io::Result<()> {
        Ok(())
    }
}
