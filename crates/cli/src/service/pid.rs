//! `HOST-PORT_proc.pid`: the process id of a running collector, as eNcore leaves it.
//!
//! The file is locked as long as the collector lives. So a file that was left behind is known for what it is, and no
//! other process that happens to have the number is taken for a collector.

use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a collector may not run.
#[derive(Debug, Error)]
pub(crate) enum PidError {
    /// There is one.
    #[error("another collector is running with the same state ({0}). Stop that one first")]
    Running(String),
    /// eNcore itself runs.
    #[error(
        "eNcore is still running with this configuration (pid {pid}, {path}). Stop it first, with its own encore.sh stop"
    )]
    Encore {
        /// Its process id.
        pid: u32,
        /// Its file.
        path: PathBuf,
    },
    /// The file.
    #[error("{path} cannot be written: {source}. Is the folder there and may this user write in it?")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// The file of this process; it goes when the process ends in order.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Takes the file for this process.
    pub(crate) fn take(path: &Path) -> Result<PidFile, PidError> {
        let failed = |source| PidError::File { path: path.to_owned(), source };
        loop {
            let mut open = OpenOptions::new();
            let file = open.create(true).read(true).write(true).truncate(false).mode(0o644).open(path);
            let file = file.map_err(failed)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                let pid = number(&file).map_or("starting".to_owned(), |pid| format!("pid {pid}"));
                return Err(PidError::Running(pid));
            }
            // The one before may have removed the file between opening and locking.
            let same = std::fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino()));
            if !same {
                continue;
            }
            if let Some(pid) = number(&file).filter(|pid| is_encore(*pid)) {
                return Err(PidError::Encore { pid, path: path.to_owned() });
            }
            file.set_len(0).map_err(failed)?;
            // As eNcore writes it: decimal, and no line end.
            file.write_all_at(std::process::id().to_string().as_bytes(), 0).map_err(failed)?;
            return Ok(PidFile { path: path.to_owned(), file });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // While the lock is held, so that no file of a successor goes.
        let _ = std::fs::remove_file(&self.path);
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// The process id of the collector that holds this file, if one does. The number may be missing for a moment.
pub(crate) fn running(path: &Path) -> Option<Option<u32>> {
    let file = File::open(path).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => Some(number(&file)),
    }
}

fn number(file: &File) -> Option<u32> {
    let mut text = String::new();
    std::io::Seek::rewind(&mut &*file).ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether a process is the service of eNcore, which does not lock its file.
fn is_encore(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|b| *b == 0).any(|word| word.ends_with(b"estreamer/service.py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encore_that_still_runs_is_not_joined() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fmc-8302_proc.pid");
        let script = ["-c", "read line", "sh", "./estreamer/service.py", "estreamer.conf"];
        let mut encore = std::process::Command::new("sh");
        let mut encore = encore.args(script).stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::fs::write(&path, encore.id().to_string()).unwrap();
        let error = PidFile::take(&path).unwrap_err().to_string();
        assert!(error.contains("eNcore is still running") && error.contains(&encore.id().to_string()), "{error}");
        drop(encore.stdin.take());
        encore.wait().unwrap();
        assert!(PidFile::take(&path).is_ok());
    }

    #[test]
    fn held_while_it_lives_and_stale_after_that() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fmc-8302_proc.pid");
        assert_eq!(running(&path), None);
        // Left behind by a process that was killed; the number is that of a living stranger.
        std::fs::write(&path, std::process::id().to_string()).unwrap();
        assert_eq!(running(&path), None, "not locked, so nobody's");
        let held = PidFile::take(&path).unwrap();
        assert_eq!(running(&path), Some(Some(std::process::id())));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        let error = PidFile::take(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(held);
        assert!(!path.exists());
    }
}
