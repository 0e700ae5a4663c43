//! A log file that is rotated by size, and opened again when it was renamed from outside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file, and what is known of it.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    /// 0: it grows without end.
    max_bytes: u64,
    keep: usize,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Open {
    /// Opens for appending; a new file is not for everybody.
    fn at(path: &Path) -> io::Result<Open> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Open { file, bytes })
    }
}

impl LogFile {
    pub(crate) fn open(path: &Path, max_bytes: u64, keep: usize) -> io::Result<LogFile> {
        Ok(LogFile { path: path.to_owned(), max_bytes, keep, open: Mutex::new(Open::at(path)?) })
    }

    /// Goes on in a file of this name, after it was renamed from outside.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        *self.lock() = Open::at(&self.path)?;
        Ok(())
    }

    pub(crate) fn writer(&self) -> LogWriter<'_> {
        LogWriter { log: self, open: self.lock() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `estreamer.log` becomes `estreamer.log.1`, that becomes `.2`, and the last goes.
    fn rotate(&self) -> io::Result<Open> {
        let numbered = |n: usize| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        if self.keep == 0 {
            fs::remove_file(&self.path)?;
        }
        for n in (1..self.keep).rev() {
            match fs::rename(numbered(n), numbered(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.keep > 0 {
            fs::rename(&self.path, numbered(1))?;
        }
        Open::at(&self.path)
    }
}

/// Writes one event.
pub(crate) struct LogWriter<'a> {
    log: &'a LogFile,
    open: MutexGuard<'a, Open>,
}

impl Write for LogWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = self.log.max_bytes;
        if limit > 0 && self.open.bytes > 0 && self.open.bytes + bytes.len() as u64 > limit {
            // A file that cannot be renamed is written on: a log that is too long is better than none.
            match self.log.rotate() {
                Ok(open) => *self.open = open,
                Err(_) => self.open.bytes = 0,
            }
        }
        let written = Write::write(&mut self.open.file, bytes)?;
        self.open.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn rotated_by_size_and_so_many_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.log");
        let log = LogFile::open(&path, 10, 2).unwrap();
        for line in ["11111111\n", "22222222\n", "33333333\n", "44444444\n"] {
            log.writer().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(text(&path), "44444444\n");
        assert_eq!(text(&dir.path().join("e.log.1")), "33333333\n");
        assert_eq!(text(&dir.path().join("e.log.2")), "22222222\n");
        assert!(!dir.path().join("e.log.3").exists());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "not for others");
    }

    #[test]
    fn goes_on_after_a_rename() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("e.log"), dir.path().join("old.log"));
        let log = LogFile::open(&path, 0, 0).unwrap();
        log.writer().write_all(b"one\n").unwrap();
        fs::rename(&path, &old).unwrap();
        log.writer().write_all(b"two\n").unwrap();
        log.reopen().unwrap();
        log.writer().write_all(b"three\n").unwrap();
        assert_eq!((text(&old), text(&path)), ("one\ntwo\n".into(), "three\n".into()));
    }
}
