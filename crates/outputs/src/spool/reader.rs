//! The reading end of a spool.

use super::{Position, Shared, segments};
use crate::destination::Error;
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Reads what is in a stored state, in order, and goes back to the cursor when told to.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    at: Position,
    open: Option<(Position, fs::File)>,
}

/// Lines in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Where it begins.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
    /// The lines.
    pub lines: Lines,
    /// Further lines that should have been there: somebody damaged the spool.
    pub lost: u64,
}

/// Lines without their line feeds, with the number that each has in the spool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    first: u64,
    bytes: Vec<u8>,
    /// Where each ends, its line feed included.
    ends: Vec<usize>,
}

impl Lines {
    /// Lines of a text in which each ends with a line feed (the last need not); `first` is the number of the first.
    pub fn new(first: u64, bytes: Vec<u8>) -> Lines {
        let mut ends: Vec<usize> = memchr::memchr_iter(b'\n', &bytes).map(|i| i + 1).collect();
        if ends.last().copied().unwrap_or(0) < bytes.len() {
            ends.push(bytes.len());
        }
        Lines { first, bytes, ends }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes, line feeds included.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The lines in order, each with its number in the spool, which stays the same when it is sent again.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        (self.first..).zip(starts.zip(&self.ends)).map(|(number, (start, end))| {
            let line = self.bytes.get(start..*end).unwrap_or_default();
            (number, line.strip_suffix(b"\n").unwrap_or(line))
        })
    }
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Reader {
        Reader { at: shared.cursor(), shared, open: None }
    }

    /// Where the next batch begins.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Lines and bytes that can be read now.
    pub fn available(&self) -> Position {
        let end = self.shared.end();
        Position { bytes: end.bytes.saturating_sub(self.at.bytes), lines: end.lines.saturating_sub(self.at.lines) }
    }

    /// Goes back, or forward, to a position where a batch began or ended.
    pub fn seek(&mut self, to: Position) {
        self.at = to;
    }

    /// The next lines: at most `lines` (at least one), and about at most `bytes`, except that a longer line is given
    /// whole. `None` when there are none.
    ///
    /// # Errors
    /// [`Error::Open`] when a segment cannot be read.
    pub fn read(&mut self, lines: usize, bytes: usize) -> Result<Option<Batch>, Error> {
        let Some(piece) = self.shared.piece(self.at) else { return Ok(None) };
        let lines = (lines.max(1) as u64).min(piece.end.lines.saturating_sub(self.at.lines));
        let left = usize::try_from(piece.end.bytes - self.at.bytes).unwrap_or(usize::MAX);
        let mut size = bytes.clamp(1, left);
        let start = self.at;
        loop {
            let read = self.bytes(piece.base, size)?;
            // A line that is longer than wanted comes alone.
            let most = if size > bytes { lines.min(1) } else { lines };
            let found = Lines::new(start.lines, whole(&read, most));
            if found.is_empty() && lines > 0 && read.len() == size && size < left {
                size = size.saturating_mul(2).min(left);
                continue;
            }
            if found.is_empty() {
                self.at = piece.end;
                let lost = piece.end.lines.saturating_sub(start.lines);
                let path = segments::path(self.shared.folder(), piece.base);
                tracing::error!(path = %path.display(), lost, "a segment of the spool is damaged or gone: events are lost");
                return Ok(Some(Batch { start, end: self.at, lines: found, lost }));
            }
            self.at.bytes += found.size() as u64;
            self.at.lines += found.len() as u64;
            let mut lost = 0;
            if self.at.bytes == piece.end.bytes {
                // Where somebody removed line feeds, what is left is longer lines.
                lost = piece.end.lines.saturating_sub(self.at.lines);
                self.at = piece.end;
            }
            return Ok(Some(Batch { start, end: self.at, lines: found, lost }));
        }
    }

    /// Up to `size` bytes from the current position on; fewer at the end of the file.
    fn bytes(&mut self, base: Position, size: usize) -> Result<Vec<u8>, Error> {
        let path = segments::path(self.shared.folder(), base);
        let failed = |action, source| Error::Open { action, path: path.clone(), source };
        if self.open.as_ref().is_none_or(|(open, _)| *open != base) {
            self.open = None;
            match fs::File::open(&path) {
                Ok(file) => self.open = Some((base, file)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(source) => return Err(failed("open", source)),
            }
        }
        let Some((_, file)) = &self.open else { return Ok(Vec::new()) };
        let mut bytes = vec![0; size];
        let (mut done, from) = (0, self.at.bytes - base.bytes);
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, from + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(failed("read", source)),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }
}

/// The first whole lines of `bytes`, at most `limit`.
fn whole(bytes: &[u8], limit: u64) -> Vec<u8> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let end = memchr::memchr_iter(b'\n', bytes).take(limit).last().map_or(0, |i| i + 1);
    bytes.get(..end).unwrap_or_default().to_vec()
}
