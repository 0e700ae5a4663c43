//! One open file that grows.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::lines::{Cut, Lines};
use super::place::{Mark, Place, WINDOW};

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// More bytes.
    More,
    /// Nothing: this is the end, for now.
    End,
    /// The file is shorter than what was read, or holds something else there.
    Rewritten,
}

/// An open file, and the lines of it that were not taken.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: File,
    id: (u64, u64),
    pub(super) lines: Lines,
    /// File offset behind the last byte read.
    read: u64,
    /// The end was reached: what comes next was written later.
    idle: bool,
    head: Vec<u8>,
    /// The last bytes read.
    last: Vec<u8>,
}

impl Tail {
    /// Opens a file at its start.
    pub(super) fn open(path: &Path) -> io::Result<Tail> {
        // Opening a pipe would wait for a writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let file = File::open(path)?;
        let id = id(&file.metadata()?);
        Ok(Tail {
            path: path.to_owned(),
            file,
            id,
            lines: Lines::default(),
            read: 0,
            idle: false,
            head: Vec::new(),
            last: Vec::new(),
        })
    }

    /// Opens a file at a place, when it is the file the place was in.
    pub(super) fn resume(path: &Path, place: &Place) -> io::Result<Option<Tail>> {
        let mut tail = Tail::open(path)?;
        let meta = tail.file.metadata()?;
        if meta.len() < place.offset {
            return Ok(None);
        }
        let head = tail.window(0, place.head.length.into())?;
        let at = place.offset.saturating_sub(place.tail.length.into());
        let last = tail.window(at, place.tail.length.into())?;
        // Before anything was read, only the inode tells.
        let same = if place.offset == 0 {
            (place.device, place.inode) == tail.id
        } else {
            Mark::of(&head) == place.head && Mark::of(&last) == place.tail
        };
        if !same {
            return Ok(None);
        }
        (tail.head, tail.last, tail.read) = (head, last, place.offset);
        tail.lines.skipping = place.skipping;
        Ok(Some(tail))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn id(&self) -> (u64, u64) {
        self.id
    }

    /// When it was written last, in nanoseconds.
    pub(super) fn modified(&self) -> io::Result<i128> {
        Ok(modified(&self.file.metadata()?))
    }

    /// The place behind the last line taken.
    pub(super) fn place(&self) -> Place {
        let pending = self.lines.pending().len();
        let offset = self.read.saturating_sub(pending as u64);
        // Of the bytes before the place only those are known that are still in the window.
        let known = self.last.get(..self.last.len().saturating_sub(pending)).unwrap_or_default();
        let known = known.get(known.len().saturating_sub(WINDOW)..).unwrap_or_default();
        let head = self.head.get(..self.head.len().min(usize::try_from(offset).unwrap_or(WINDOW))).unwrap_or_default();
        Place {
            device: self.id.0,
            inode: self.id.1,
            offset,
            head: Mark::of(head),
            tail: Mark::of(known),
            skipping: self.lines.skipping,
        }
    }

    /// Takes the next line that is whole.
    pub(super) fn take(&mut self) -> Option<Cut> {
        self.lines.take()
    }

    /// Reads on.
    pub(super) fn fill(&mut self) -> io::Result<Fill> {
        if self.file.metadata()?.len() < self.read || self.idle && !self.same()? {
            return Ok(Fill::Rewritten);
        }
        let space = self.lines.space();
        let count = loop {
            match self.file.read_at(space, self.read) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count == 0 {
            self.idle = true;
            return Ok(Fill::End);
        }
        self.idle = false;
        let fresh = space.get(..count).unwrap_or_default();
        let room = WINDOW.saturating_sub(self.head.len());
        self.head.extend_from_slice(fresh.get(..room.min(count)).unwrap_or_default());
        // The window reaches back over what is pending: a line and the bytes before it.
        self.last.extend_from_slice(fresh);
        self.read += count as u64;
        self.lines.filled(count);
        let keep = self.lines.pending().len() + WINDOW;
        let surplus = self.last.len().saturating_sub(keep);
        self.last.drain(..surplus);
        Ok(Fill::More)
    }

    /// Begins anew.
    pub(super) fn rewind(&mut self) {
        self.lines.clear();
        (self.read, self.idle) = (0, false);
        self.head.clear();
        self.last.clear();
    }

    /// Whether the file still holds what was read from it, as far as that is known.
    fn same(&self) -> io::Result<bool> {
        let last = self.last.get(self.last.len().saturating_sub(WINDOW)..).unwrap_or_default();
        let at = self.read.saturating_sub(last.len() as u64);
        Ok(self.window(0, self.head.len())? == self.head && self.window(at, last.len())? == last)
    }

    /// At most `length` bytes of the file at `offset`.
    fn window(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length.min(WINDOW)];
        let mut done = 0;
        while let Some(space) = bytes.get_mut(done..).filter(|space| !space.is_empty()) {
            match self.file.read_at(space, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }
}

/// Device and inode.
pub(super) fn id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// When a file was written last, in nanoseconds.
pub(super) fn modified(meta: &Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}
