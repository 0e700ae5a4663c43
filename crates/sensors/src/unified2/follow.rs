//! Follows one file as it grows.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::position::{Check, Position};
use super::{Frame, MAX_RECORD, RecordError};

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// More bytes.
    More,
    /// Nothing: this is the end, for now.
    End,
    /// Bytes of another content than what was read before; reading starts anew.
    Rewritten {
        /// Where reading had come to.
        offset: u64,
    },
}

/// How a file compares with a position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// It is the file, reading goes on at the position.
    Same,
    /// It ends before the position.
    Shorter(u64),
    /// It is another file.
    Other,
}

/// One open file, a buffer of its bytes, and the place reached.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) name: String,
    /// The number in the name; 0 for a file that was named directly.
    pub(crate) number: u64,
    /// Nothing more can be read: the header at `offset` is damaged.
    pub(crate) stuck: bool,
    /// The file has ended for good, what follows is the last look.
    pub(crate) ended: bool,
    /// The end was reached, and what comes next was written later.
    pub(crate) idle: bool,
    path: PathBuf,
    file: File,
    id: (u64, u64),
    buf: Vec<u8>,
    /// Start of the record taken last.
    last: usize,
    /// Bytes not yet taken are `buf[start..end]`.
    start: usize,
    end: usize,
    /// File offset of `start`.
    offset: u64,
    /// Records that end here or before were taken before the file was cut.
    skip_to: u64,
    head: Window,
    tail: Window,
}

impl Follower {
    /// Bytes asked of the file at once, at least.
    const READ: usize = 128 * 1024;

    /// Opens a file at its start. `buf` is one to reuse, or empty.
    pub(crate) fn open(name: String, number: u64, path: PathBuf, mut buf: Vec<u8>) -> io::Result<Self> {
        // Opening a pipe would wait for a writer.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let file = File::open(&path)?;
        let meta = file.metadata()?;
        if buf.len() < Self::READ {
            buf.resize(Self::READ, 0);
        }
        Ok(Self {
            name,
            number,
            stuck: false,
            ended: false,
            idle: false,
            path,
            file,
            id: (meta.dev(), meta.ino()),
            buf,
            last: 0,
            start: 0,
            end: 0,
            offset: 0,
            skip_to: 0,
            head: Window::default(),
            tail: Window::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// File offset of the first byte not yet taken.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that were read but make no whole record.
    pub(crate) fn pending(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn position(&self) -> Position {
        let (device, inode) = self.id;
        Position {
            file: self.name.clone(),
            offset: self.offset,
            inode,
            device,
            head: Check::of(self.head.bytes()),
            tail: Check::of(self.tail.bytes()),
        }
    }

    /// Goes to `position` when this is the file it was made from. Otherwise
    /// reading starts at the beginning; of a file that was merely cut short,
    /// as a crash does, the records already taken are passed over.
    pub(crate) fn resume(&mut self, position: &Position) -> io::Result<Resume> {
        let len = self.file.metadata()?.len();
        let head = self.window(0, position.head.len)?;
        let same = Check::of(head.bytes()) == position.head;
        if len < position.offset {
            self.rewind(if same { len } else { 0 });
            return Ok(Resume::Shorter(len));
        }
        let tail_at = position.offset.saturating_sub(position.tail.len.into());
        let tail = self.window(tail_at, position.tail.len)?;
        if !same || Check::of(tail.bytes()) != position.tail {
            self.rewind(0);
            return Ok(Resume::Other);
        }
        self.rewind(0);
        self.offset = position.offset;
        self.head = head;
        self.tail = tail;
        Ok(Resume::Same)
    }

    /// Takes the next whole record from the buffer; [`Follower::frame`] is it.
    /// `false` when there is none.
    pub(crate) fn take(&mut self) -> Result<bool, RecordError> {
        loop {
            let bytes = self.buf.get(self.start..self.end).unwrap_or_default();
            let Some(frame) = Frame::split(bytes, self.offset)? else {
                return Ok(false);
            };
            let size = frame.size();
            let record = bytes.get(..size).unwrap_or(bytes);
            self.head.extend(record);
            self.tail = Window::last(record);
            self.last = self.start;
            self.start += size;
            self.offset += size as u64;
            if self.offset > self.skip_to {
                return Ok(true);
            }
        }
    }

    /// The record taken last. Gone after the next read.
    pub(crate) fn frame(&self) -> Option<Frame<'_>> {
        let record = self.buf.get(self.last..self.start)?;
        let offset = self.offset.checked_sub(record.len() as u64)?;
        Frame::split(record, offset).ok().flatten()
    }

    /// Reads on.
    pub(crate) fn fill(&mut self) -> io::Result<Fill> {
        // What is left is a part of one record: cheap to move.
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.last = 0;
        if self.end == self.buf.len() {
            // Grows with the bytes that came, not with what a header claims.
            let most = MAX_RECORD as usize + Frame::HEADER;
            let len = (self.buf.len() * 2).min(most + Self::READ);
            self.buf.resize(len, 0);
        }
        let at = self.offset + self.end as u64;
        let space = self.buf.get_mut(self.end..).unwrap_or_default();
        let read = read_at(&self.file, space, at)?;
        if read == 0 {
            return Ok(Fill::End);
        }
        self.end += read;
        if std::mem::take(&mut self.idle) && !self.matches()? {
            let offset = self.offset;
            self.rewind(0);
            return Ok(Fill::Rewritten { offset });
        }
        Ok(Fill::More)
    }

    /// Whether the file still holds what was read from it.
    pub(crate) fn matches(&self) -> io::Result<bool> {
        let tail_at = self.offset.saturating_sub(self.tail.len.into());
        Ok(self.window(0, self.head.len)?.bytes() == self.head.bytes()
            && self.window(tail_at, self.tail.len)?.bytes() == self.tail.bytes())
    }

    /// Looks whether the file has become shorter than what was read; if so,
    /// says its length now and starts anew.
    pub(crate) fn cut(&mut self) -> io::Result<Option<u64>> {
        let len = self.file.metadata()?.len();
        if len >= self.offset + self.pending() as u64 {
            return Ok(None);
        }
        let same = self.window(0, self.head.len)?.bytes() == self.head.bytes();
        self.rewind(if same { len.min(self.offset) } else { 0 });
        Ok(Some(len))
    }

    /// Whether the name now stands for another file.
    pub(crate) fn renamed(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(meta) => Ok((meta.dev(), meta.ino()) != self.id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Goes to the start of the file, to pass over records up to `skip_to`.
    pub(crate) fn rewind(&mut self, skip_to: u64) {
        self.stuck = false;
        self.ended = false;
        self.idle = false;
        self.last = 0;
        self.start = 0;
        self.end = 0;
        self.offset = 0;
        self.skip_to = skip_to;
        self.head = Window::default();
        self.tail = Window::default();
    }

    /// The buffer, for the next file.
    pub(crate) fn into_buf(self) -> Vec<u8> {
        self.buf
    }

    /// At most `len` bytes of the file at `offset`.
    fn window(&self, offset: u64, len: u8) -> io::Result<Window> {
        let mut window = Window::default();
        let mut done = 0;
        while let Some(space) = window.bytes.get_mut(done..len.into()) {
            match read_at(&self.file, space, offset + done as u64)? {
                0 => break,
                read => done += read,
            }
        }
        window.len = u8::try_from(done).unwrap_or(0);
        Ok(window)
    }
}

/// A few bytes of a file, kept to recognise it.
#[derive(Clone, Copy, Debug)]
struct Window {
    bytes: [u8; Check::MAX],
    len: u8,
}

impl Default for Window {
    fn default() -> Self {
        Self { bytes: [0; Check::MAX], len: 0 }
    }
}

impl Window {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }

    /// Adds what there is room for.
    fn extend(&mut self, more: &[u8]) {
        let room = self.bytes.get_mut(self.len.into()..).unwrap_or_default();
        let count = room.len().min(more.len());
        for (to, from) in room.iter_mut().zip(more) {
            *to = *from;
        }
        self.len += u8::try_from(count).unwrap_or(0);
    }

    /// The last bytes of `record`.
    fn last(record: &[u8]) -> Self {
        let mut window = Self::default();
        window.extend(record.get(record.len().saturating_sub(Check::MAX)..).unwrap_or_default());
        window
    }
}

fn read_at(file: &File, space: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(space, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
