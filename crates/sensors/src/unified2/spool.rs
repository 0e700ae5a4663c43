//! A sensor's spool: its unified2 files, read in order and as they grow.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::files::{Files, Numbered, file_name, split_name};
use super::follow::{Fill, Follower, Resume};
use super::{Position, Record, RecordError};

/// Reads a spool directory, or one file, record by record.
///
/// Snort names its files `<base>.<Unix second>`, for example
/// `unified2.log.1322000000`, and begins a new one at a size limit and at each
/// start. They are read in the order of the number, each to its end, and the
/// next is opened once it exists. A record that is not whole yet is waited for.
///
/// Nothing here sleeps, starts a thread or watches: call [`Spool::poll`] until
/// it answers `None`, wait a moment, call again. The files are only read.
#[derive(Debug)]
pub struct Spool {
    source: Source,
    current: Option<Follower>,
    /// Number of the last file that was left behind.
    done: Option<u64>,
    /// The position while no file is open.
    resting: Option<Position>,
    notices: VecDeque<Notice>,
    counts: Counts,
    /// The buffer while no file is open.
    spare: Vec<u8>,
}

impl Spool {
    /// Opens a spool directory or a single file.
    ///
    /// `base` is the part of the names before `.<second>`; without it the only
    /// one there is taken. For a single file it means nothing. `position` is
    /// where an earlier reader stopped; without it reading starts at the first
    /// record of the oldest file.
    ///
    /// An empty directory is no error: the files may come later.
    ///
    /// # Errors
    /// [`SpoolError`] when the path cannot be read, there are several bases and
    /// none was chosen, or the position belongs to another spool.
    pub fn open(path: impl AsRef<Path>, base: Option<&str>, position: Option<Position>) -> Result<Self, SpoolError> {
        let path = path.as_ref();
        let meta = fs::metadata(path).map_err(|e| SpoolError::io("open spool", path, e))?;
        let source = if meta.is_dir() {
            // A position knows the base even when other programs' files came.
            let known = position.as_ref().and_then(|p| split_name(&p.file));
            let base = base.or(known.map(|(base, _)| base)).map(str::to_owned);
            Source::Directory { base: base.clone(), files: Files::new(path.to_owned(), base) }
        } else {
            Source::File { name: file_name(path), path: path.to_owned() }
        };
        let mut spool = Self {
            source,
            current: None,
            done: None,
            resting: None,
            notices: VecDeque::new(),
            counts: Counts::default(),
            spare: Vec::new(),
        };
        match position {
            Some(position) => spool.resume(position)?,
            None => {
                spool.open_next()?;
            }
        }
        Ok(spool)
    }

    /// The next record or notice; `None` when there is nothing for now.
    ///
    /// # Errors
    /// [`SpoolError`] when the file system fails. Nothing is lost by it: the
    /// next call tries again at the same place.
    pub fn poll(&mut self) -> Result<Option<Item<'_>>, SpoolError> {
        match self.advance()? {
            Step::Idle => return Ok(None),
            Step::Notice(notice) => return Ok(Some(Item::Notice(notice))),
            Step::Record => {}
        }
        let Some((file, frame)) = self.current.as_ref().and_then(|f| Some((f, f.frame()?))) else {
            return Ok(None);
        };
        self.counts.bytes += frame.size() as u64;
        match frame.decode() {
            Ok(record) => {
                self.counts.records += 1;
                self.counts.unknown += u64::from(matches!(record, Record::Unknown { .. }));
                self.counts.trailing += u64::from(record.trailing() > 0);
                Ok(Some(Item::Record(Entry { record, file: &file.name, offset: frame.offset })))
            }
            Err(error) => {
                self.counts.malformed += 1;
                Ok(Some(Item::Notice(Notice::Malformed { file: file.name.clone(), error })))
            }
        }
    }

    /// The place just after the last record that [`Spool::poll`] gave. Stored
    /// together with what was made of the records, it lets a later reader go on
    /// without repeating or losing one. `None` before the first file is there.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match &self.current {
            Some(file) => Some(file.position()),
            None => self.resting.clone(),
        }
    }

    /// What was read since [`Spool::open`].
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn advance(&mut self) -> Result<Step, SpoolError> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Step::Notice(notice));
            }
            let Some(file) = self.current.as_mut() else {
                if self.open_next()? || !self.notices.is_empty() {
                    continue;
                }
                return Ok(Step::Idle);
            };
            if !file.stuck {
                match file.take() {
                    Ok(true) => return Ok(Step::Record),
                    Ok(false) => match file.fill().map_err(|e| io_error("read", file, e))? {
                        Fill::More => continue,
                        Fill::End => {}
                        Fill::Rewritten { offset } => {
                            self.notices.push_back(Notice::Replaced { file: file.name.clone(), offset });
                            continue;
                        }
                    },
                    Err(error) => {
                        self.damaged(error)?;
                        continue;
                    }
                }
            }
            if self.at_end()? {
                return Ok(Step::Idle);
            }
        }
    }

    /// The next record cannot be found. Either the file was rewritten in place,
    /// or the rest of it is lost.
    fn damaged(&mut self, error: RecordError) -> Result<(), SpoolError> {
        let Some(file) = self.current.as_mut() else {
            return Ok(());
        };
        let name = file.name.clone();
        if !file.matches().map_err(|e| io_error("read", file, e))? {
            let offset = file.offset();
            file.rewind(0);
            self.notices.push_back(Notice::Replaced { file: name, offset });
            return Ok(());
        }
        let next = self.source.after(Some(file.number))?;
        file.stuck = true;
        self.notices.push_back(Notice::Corrupt { file: name, error, waiting: next.is_none() });
        Ok(())
    }

    /// Decides what the end of the current file means; `true` to wait.
    fn at_end(&mut self) -> Result<bool, SpoolError> {
        let Some(file) = self.current.as_mut() else {
            return Ok(false);
        };
        let offset = file.offset();
        if let Some(length) = file.cut().map_err(|e| io_error("look at", file, e))? {
            self.notices.push_back(Notice::Truncated { file: file.name.clone(), offset, length });
            return Ok(false);
        }
        let renamed = file.renamed().map_err(|e| io_error("look at", file, e))?;
        let over = renamed || self.source.after(Some(file.number))?.is_some();
        if !over {
            file.idle = true;
            return Ok(true);
        }
        // Something may have been written between the read that found the end
        // and the start of the next file, so the end is looked for once more.
        if !std::mem::replace(&mut file.ended, true) {
            return Ok(false);
        }
        if renamed {
            return self.reopen();
        }
        let torn = torn(file);
        self.notices.extend(torn);
        self.leave();
        Ok(false)
    }

    /// Opens the file that has taken the current one's name; `true` to wait.
    fn reopen(&mut self) -> Result<bool, SpoolError> {
        let Some(file) = self.current.as_mut() else {
            return Ok(false);
        };
        let path = file.path().to_owned();
        let opened = Follower::open(file.name.clone(), file.number, path, Vec::new());
        let mut new = match opened {
            Ok(new) => new,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                file.ended = false;
                return Ok(true);
            }
            Err(error) => return Err(io_error("open", file, error)),
        };
        let old = file.position();
        let resumed = new.resume(&old).map_err(|e| io_error("read", file, e))?;
        // A copy of the same file goes on where the first one stopped.
        if resumed != Resume::Same {
            let torn = torn(file);
            self.notices.extend(torn);
            self.notices.push_back(Notice::Replaced { file: old.file, offset: old.offset });
        }
        self.current = Some(new);
        Ok(false)
    }

    /// Closes the current file for good.
    fn leave(&mut self) {
        if let Some(file) = self.current.take() {
            self.done = Some(file.number);
            self.resting = Some(file.position());
            self.spare = file.into_buf();
        }
    }

    /// Opens the file after the last one; `false` when there is none.
    fn open_next(&mut self) -> Result<bool, SpoolError> {
        let Some(Numbered { number, name }) = self.source.after(self.done)? else {
            return Ok(false);
        };
        let path = self.source.path(&name);
        match Follower::open(name, number, path.clone(), std::mem::take(&mut self.spare)) {
            Ok(file) => {
                self.counts.files += 1;
                self.current = Some(file);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Of a directory it was listed a moment ago; a single file may
                // still come.
                if self.source.is_directory() {
                    self.done = Some(number);
                    let file = file_name(&path);
                    self.notices.push_back(Notice::Missing { file });
                }
                Ok(false)
            }
            Err(error) => Err(SpoolError::io("open", &path, error)),
        }
    }

    fn resume(&mut self, position: Position) -> Result<(), SpoolError> {
        let number = self.source.number(&position)?;
        let path = self.source.path(&position.file);
        let name = position.file.clone();
        let mut file = match Follower::open(name, number, path.clone(), Vec::new()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.source.is_directory() => {
                self.notices.push_back(Notice::Missing { file: position.file.clone() });
                self.done = Some(number);
                self.resting = Some(position);
                return Ok(());
            }
            Err(error) => return Err(SpoolError::io("open", &path, error)),
        };
        let resumed = file.resume(&position).map_err(|e| io_error("read", &file, e))?;
        let (file_name, offset) = (position.file, position.offset);
        match resumed {
            Resume::Same => {}
            Resume::Shorter(length) => self.notices.push_back(Notice::Truncated { file: file_name, offset, length }),
            Resume::Other => self.notices.push_back(Notice::Replaced { file: file_name, offset }),
        }
        self.counts.files += 1;
        self.current = Some(file);
        Ok(())
    }
}

/// What [`Spool::poll`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record(Entry<'a>),
    /// Something an operator should know; reading goes on.
    Notice(Notice),
}

/// A record and where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The record; it borrows the spool's buffer.
    pub record: Record<'a>,
    /// Name of the file.
    pub file: &'a str,
    /// File offset of the record's header.
    pub offset: u64,
}

/// Something wrong with the spool's files that does not stop the reading.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Notice {
    /// A file has a successor but ends within a record, which is skipped.
    #[error(
        "{file} ends within a record: {bytes} bytes at offset {offset} are skipped; the sensor was probably stopped or out of disk"
    )]
    Torn {
        /// Name of the file.
        file: String,
        /// Where the record starts.
        offset: u64,
        /// Bytes of it that are there.
        bytes: usize,
    },
    /// A header is damaged; the rest of the file is skipped.
    #[error("{file} is damaged and the rest of it is skipped: {error}; {}", if *.waiting { "waiting for the sensor's next file, restart the sensor to begin one" } else { "going on with the next file" })]
    Corrupt {
        /// Name of the file.
        file: String,
        /// What is wrong, with the offset.
        error: RecordError,
        /// There is no next file yet. It is said only once.
        waiting: bool,
    },
    /// One record makes no sense and is skipped.
    #[error("a record of {file} is skipped: {error}")]
    Malformed {
        /// Name of the file.
        file: String,
        /// What is wrong, with the offset.
        error: RecordError,
    },
    /// A file is shorter than what was read of it.
    #[error("{file} was cut to {length} bytes after {offset} were read: records that are new in it are read")]
    Truncated {
        /// Name of the file.
        file: String,
        /// Where reading had come to.
        offset: u64,
        /// The file's length now.
        length: u64,
    },
    /// Another file has taken the name, or the file was written anew.
    #[error("{file} was replaced after {offset} bytes were read: it is read from its start")]
    Replaced {
        /// Name of the file.
        file: String,
        /// Where reading had come to.
        offset: u64,
    },
    /// A file that was to be read is gone.
    #[error(
        "{file} is gone, what was not yet read of it is lost: going on with the next file; keep files until they have been read"
    )]
    Missing {
        /// Name of the file.
        file: String,
    },
}

/// Totals since the spool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files opened.
    pub files: u64,
    /// Records given, of unknown types too.
    pub records: u64,
    /// Bytes of all records, malformed ones too.
    pub bytes: u64,
    /// Records of unknown types.
    pub unknown: u64,
    /// Records with bytes after their known fields.
    pub trailing: u64,
    /// Records skipped because their body made no sense.
    pub malformed: u64,
}

/// Why a spool cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The file system said no.
    #[error("cannot {action} {}: {source}; check that the path is right and readable", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The directory holds files of several sensors or programs.
    #[error("{} holds several kinds of spool files ({bases}): choose one base name", dir.display())]
    SeveralBases {
        /// The directory.
        dir: PathBuf,
        /// The base names found, at most eight.
        bases: String,
    },
    /// The stored position is of another spool.
    #[error(
        "the stored position is in {file}, which is not a file of {spool}: choose the spool it was made from, or remove it to read this one from its start"
    )]
    ForeignPosition {
        /// The file the position names.
        file: String,
        /// The spool that was opened.
        spool: String,
    },
}

impl SpoolError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

enum Step {
    Record,
    Notice(Notice),
    Idle,
}

#[derive(Debug)]
enum Source {
    Directory { base: Option<String>, files: Files },
    File { name: String, path: PathBuf },
}

impl Source {
    fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Directory { files, .. } => files.path(name),
            Self::File { path, .. } => path.clone(),
        }
    }

    /// The file to read after the one with this number.
    fn after(&mut self, number: Option<u64>) -> Result<Option<Numbered>, SpoolError> {
        match self {
            Self::Directory { files, .. } => files.after(number),
            Self::File { name, .. } => Ok(number.is_none().then(|| Numbered { number: 0, name: name.clone() })),
        }
    }

    /// The number of the file a position is in.
    fn number(&self, position: &Position) -> Result<u64, SpoolError> {
        let (number, spool) = match self {
            Self::Directory { base, files } => (
                split_name(&position.file)
                    .filter(|(found, _)| base.as_deref().is_none_or(|base| base == *found))
                    .map(|(_, number)| number),
                files.path(base.as_deref().unwrap_or_default()),
            ),
            Self::File { name, path } => ((*name == position.file).then_some(0), path.clone()),
        };
        number.ok_or_else(|| SpoolError::ForeignPosition {
            file: position.file.clone(),
            spool: spool.display().to_string(),
        })
    }
}

/// What is left of a record whose end will never come.
fn torn(file: &Follower) -> Option<Notice> {
    (!file.stuck && file.pending() > 0).then(|| Notice::Torn {
        file: file.name.clone(),
        offset: file.offset(),
        bytes: file.pending(),
    })
}

fn io_error(action: &'static str, file: &Follower, source: io::Error) -> SpoolError {
    SpoolError::io(action, file.path(), source)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unknown records will do: a type, no body.
    fn record(record_type: u8) -> [u8; 8] {
        [0, 0, 0, record_type, 0, 0, 0, 0]
    }

    fn offsets(spool: &mut Spool) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        while let Some(Item::Record(entry)) = spool.poll().unwrap() {
            out.push((entry.file.to_owned(), entry.offset));
        }
        out
    }

    #[test]
    fn what_is_written_between_the_last_read_and_the_look_for_a_successor_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = ("u2.1322000000", "u2.1322000001");
        fs::write(dir.path().join(first), record(200)).unwrap();
        let mut spool = Spool::open(dir.path(), None, None).unwrap();
        assert_eq!(offsets(&mut spool), [(first.to_owned(), 0)]);
        let end = spool.current.as_mut().unwrap().fill().unwrap();
        assert_eq!(end, Fill::End);
        fs::write(dir.path().join(first), [record(200), record(201)].concat()).unwrap();
        fs::write(dir.path().join(second), record(202)).unwrap();
        assert!(!spool.at_end().unwrap());
        let rest = [(first.to_owned(), 8), (second.to_owned(), 0)];
        assert_eq!(offsets(&mut spool), rest);
    }
}
