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
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    Ok(done)
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

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Op {
        Write,
        Sync,
        SyncDir,
        Truncate,
        Remove,
    }

    thread_local! {
        static PLAN: RefCell<Vec<(Op, usize, i32)>> = const { RefCell::new(Vec::new()) };
    }

    /// After `skip` more, an `op` of this thread fails with `errno`.
    pub(crate) fn plan(op: Op, skip: usize, errno: i32) {
        PLAN.with_borrow_mut(|plan| plan.push((op, skip, errno)));
    }

    /// Whether all that was planned has happened.
    pub(crate) fn is_done() -> bool {
        PLAN.with_borrow(Vec::is_empty)
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
    }

    pub(crate) fn check(_: Op) -> std::io::Result<()> {
        Ok(())
    }
}
