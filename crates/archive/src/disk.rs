//! The few file operations that can fail halfway, in one place so that tests can make them fail.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<()> {
    fault::check(fault::Op::Write)
        .or_else(|error| {
            // An injected failure tears the write, as a full disk does.
            file.write_all_at(bytes.get(..bytes.len() / 2).unwrap_or_default(), offset).and(Err(error))
        })
        .and_then(|()| file.write_all_at(bytes, offset))
        .map_err(Error::io("write", path))
}

/// Waits until the data (and the length) of `file` is durable.
pub(crate) fn sync(file: &File, path: &Path) -> Result<()> {
    fault::check(fault::Op::Sync).and_then(|()| file.sync_data()).map_err(Error::io("sync", path))
}

/// Waits until the entries of a directory are durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    fault::check(fault::Op::SyncDir)
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(Error::io("sync the directory", dir))
}

/// Cuts `file` to `length` bytes.
pub(crate) fn truncate(file: &File, path: &Path, length: u64) -> Result<()> {
    fault::check(fault::Op::Truncate).and_then(|()| file.set_len(length)).map_err(Error::io("truncate", path))
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fault::check(fault::Op::Remove).and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
pub(crate) fn read_at(file: &File, path: &Path, buf: &mut [u8], offset: u64) -> Result<usize> {
    let (n, outcome) = read_part(file, path, buf, offset);
    outcome.map(|()| n)
}

/// Reads as far as it can: how many bytes, and why not more, unless the buffer is full or the file at its end. What lies
/// before a bad place of a disk is as good as ever.
pub(crate) fn read_part(file: &File, path: &Path, buf: &mut [u8], offset: u64) -> (usize, Result<()>) {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let from = offset + done as u64;
        match fault::readable(path, from, rest.len())
            .and_then(|n| file.read_at(rest.get_mut(..n).unwrap_or_default(), from))
        {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(Error::io("read", path)(error))),
        }
    }
    (done, Ok(()))
}

/// Gives one file the name of another, which it takes the place of.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fault::check(fault::Op::Rename).and_then(|()| fs::rename(from, to)).map_err(Error::io("put a file in place of", to))
}

/// Bytes that are free for this user on the file system of `path`, and all its bytes.
pub(crate) fn room(path: &Path) -> Result<(u64, u64)> {
    let stat =
        rustix::fs::statvfs(path).map_err(|error| Error::io("examine the file system of", path)(error.into()))?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// The length of an open file.
pub(crate) fn length(file: &File, path: &Path) -> Result<u64> {
    Ok(file.metadata().map_err(Error::io("examine", path))?.len())
}

/// Failures on demand: a test says which operation of its thread fails next, and how.
#[cfg(test)]
pub(crate) mod fault {
    use std::cell::RefCell;
    use std::io;
    use std::ops::Range;
    use std::path::{Path, PathBuf};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Op {
        Write,
        Sync,
        SyncDir,
        Truncate,
        Remove,
        Rename,
    }

    thread_local! {
        static PLAN: RefCell<Vec<(Op, usize, i32)>> = const { RefCell::new(Vec::new()) };
        static BAD: RefCell<Option<(PathBuf, Range<u64>)>> = const { RefCell::new(None) };
    }

    /// After `skip` more, an `op` of this thread fails with `errno`.
    pub(crate) fn plan(op: Op, skip: usize, errno: i32) {
        PLAN.with_borrow_mut(|plan| plan.push((op, skip, errno)));
    }

    /// Whether all that was planned has happened.
    pub(crate) fn is_done() -> bool {
        PLAN.with_borrow(Vec::is_empty)
    }

    /// From now on this thread cannot read these bytes of a file, or all again.
    pub(crate) fn bad(place: Option<(PathBuf, Range<u64>)>) {
        BAD.set(place);
    }

    /// How much of `length` bytes at `offset` can be read before a bad place.
    pub(crate) fn readable(path: &Path, offset: u64, length: usize) -> io::Result<usize> {
        BAD.with_borrow(|bad| match bad {
            Some((file, bad)) if file == path && bad.contains(&offset) => Err(io::Error::from_raw_os_error(5)),
            Some((file, bad)) if file == path && bad.start > offset => Ok(length.min((bad.start - offset) as usize)),
            _ => Ok(length),
        })
    }

    pub(crate) fn check(op: Op) -> io::Result<()> {
        PLAN.with_borrow_mut(|plan| {
            let Some(at) = plan.iter().position(|(o, _, _)| *o == op) else { return Ok(()) };
            if plan[at].1 > 0 {
                plan[at].1 -= 1;
                return Ok(());
            }
            Err(io::Error::from_raw_os_error(plan.remove(at).2))
        })
    }
}

#[cfg(not(test))]
mod fault {
    pub(crate) enum Op {
        Write,
        Sync,
        SyncDir,
        Truncate,
        Remove,
        Rename,
    }

    pub(crate) fn check(_: Op) -> std::io::Result<()> {
        Ok(())
    }

    pub(crate) fn readable(_: &std::path::Path, _: u64, length: usize) -> std::io::Result<usize> {
        Ok(length)
    }
}
