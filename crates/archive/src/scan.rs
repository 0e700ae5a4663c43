//! Reading segments: a window over the file, the next batch header, bodies, and finding the way after damage.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crc32c::crc32c;

use crate::disk;
use crate::error::{Error, Result};
use crate::format::{BATCH_HEADER, BATCH_MAGIC, BatchHeader, FIRST, Place, SEGMENT_HEADER, SegmentHeader, VERSION};
use crate::layout;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) netmap: u32,
    pub(crate) start: u32,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Whether the segment header was as it should be. Batches can be read without it.
    pub(crate) intact: bool,
    /// Which file it is, whatever its name is now.
    pub(crate) inode: u64,
}

impl Segment {
    /// Opens a segment for reading, or for appending as well.
    pub(crate) fn open(dir: &Path, netmap: u32, start: u32, write: bool) -> Result<Self> {
        let path = layout::segment_path(dir, start);
        let file = OpenOptions::new().read(true).write(write).open(&path).map_err(Error::io("open", &path))?;
        let mut bytes = [0; SEGMENT_HEADER as usize];
        let n = disk::read_at(&file, &path, &mut bytes, 0)?;
        let header = SegmentHeader::decode(bytes.get(..n).unwrap_or_default());
        if let Some(SegmentHeader { version, netmap: n, start: s }) = header {
            if version != VERSION {
                return Err(Error::Version { path, found: version, known: VERSION });
            }
            if (n, s) != (netmap, start) {
                return Err(Error::Misplaced { path, netmap: n, start: s });
            }
        }
        let inode = file.metadata().map_err(Error::io("examine", &path))?.ino();
        Ok(Segment { netmap, start, path, file, intact: header.is_some(), inode })
    }

    /// Creates a segment that must not exist yet.
    pub(crate) fn create(dir: &Path, netmap: u32, start: u32) -> Result<Self> {
        let path = layout::segment_path(dir, start);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        let inode = file.metadata().map_err(Error::io("examine", &path))?.ino();
        Ok(Segment { netmap, start, path, file, intact: true, inode })
    }

    pub(crate) fn length(&self) -> Result<u64> {
        disk::length(&self.file, &self.path)
    }

    /// Whether the file still has its name; false once it was deleted.
    pub(crate) fn linked(&self) -> Result<bool> {
        Ok(self.file.metadata().map_err(Error::io("examine", &self.path))?.nlink() > 0)
    }

    pub(crate) fn place(&self, offset: u64) -> Place {
        Place { netmap: self.netmap, segment: self.start, offset }
    }
}

/// What lies at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A valid batch header; the body lies before the end, and is not checked.
    Batch(BatchHeader),
    /// Bytes that are no batch header.
    Damaged,
    /// Too few bytes before the end for the header, or for the body it announces.
    Short,
}

/// A piece of a file kept in memory, so that small batches do not cost a system call each.
#[derive(Debug)]
pub(crate) struct Window {
    base: u64,
    bytes: Vec<u8>,
    size: usize,
}

impl Window {
    /// A window that reads `size` bytes at a time.
    pub(crate) fn new(size: usize) -> Self {
        Window { base: 0, bytes: Vec::new(), size: size.max(BATCH_HEADER) }
    }

    /// Forgets what was read, and gives the memory up.
    pub(crate) fn clear(&mut self) {
        self.bytes = Vec::new();
    }

    /// The header at `offset`; nothing at or behind `end` is looked at.
    pub(crate) fn header(&mut self, segment: &Segment, offset: u64, end: u64) -> Result<Found> {
        let bytes = self.at(segment, offset, BATCH_HEADER, end)?;
        if bytes.len() < BATCH_HEADER {
            return Ok(Found::Short);
        }
        Ok(match BatchHeader::decode(bytes, segment.place(offset)) {
            None => Found::Damaged,
            Some(header) if header.size() > end - offset => Found::Short,
            Some(header) => Found::Batch(header),
        })
    }

    /// Reads the body of the batch at `offset` into `buf`; false when its checksum is wrong or the file ends in it.
    pub(crate) fn body(
        &mut self,
        segment: &Segment,
        offset: u64,
        header: &BatchHeader,
        buf: &mut Vec<u8>,
    ) -> Result<bool> {
        let from = offset + BATCH_HEADER as u64;
        // Only what is longer than last time is filled with zeros.
        buf.resize(header.body as usize, 0);
        let held = self.held(from);
        let held = held.get(..held.len().min(buf.len())).unwrap_or_default();
        let (first, rest) = buf.split_at_mut(held.len());
        first.copy_from_slice(held);
        let n = disk::read_at(&segment.file, &segment.path, rest, from + first.len() as u64)?;
        Ok(n == rest.len() && crc32c(buf) == header.crc)
    }

    /// The next batch at or after `from` that is valid with its body; with `first`, one that begins a commit.
    pub(crate) fn resync(
        &mut self,
        segment: &Segment,
        from: u64,
        end: u64,
        first: bool,
    ) -> Result<Option<(u64, BatchHeader)>> {
        let (mut at, mut body) = (from, Vec::new());
        loop {
            let chunk = self.at(segment, at, BATCH_HEADER, end)?;
            if chunk.len() < BATCH_HEADER {
                return Ok(None);
            }
            let Some(found) = chunk.windows(BATCH_MAGIC.len()).position(|four| four == BATCH_MAGIC) else {
                // The last three bytes may begin a magic.
                at += (chunk.len() - (BATCH_MAGIC.len() - 1)) as u64;
                continue;
            };
            at += found as u64;
            if let Found::Batch(header) = self.header(segment, at, end)?
                && (!first || header.has(FIRST))
                && self.body(segment, at, &header, &mut body)?
            {
                return Ok(Some((at, header)));
            }
            at += 1;
        }
    }

    /// At least `want` bytes from `offset` on, fewer only at `end` or the end of the file.
    fn at(&mut self, segment: &Segment, offset: u64, want: usize, end: u64) -> Result<&[u8]> {
        let most = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        if self.held(offset).len() < want.min(most) {
            self.base = offset;
            self.bytes.resize(self.size.min(most), 0);
            let (n, outcome) = disk::read_part(&segment.file, &segment.path, &mut self.bytes, offset);
            self.bytes.truncate(n);
            if n < want.min(most) {
                outcome?;
            }
        }
        let held = self.held(offset);
        Ok(held.get(..held.len().min(most)).unwrap_or_default())
    }

    /// What the window has from `offset` on.
    fn held(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.base).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{COMMIT, STICKY};
    use std::fs;

    const PLACE: Place = Place { netmap: 1, segment: 5, offset: 0 };

    fn batch(at: usize, body: &[u8], flags: u32) -> Vec<u8> {
        let header =
            BatchHeader { body: body.len() as u32, crc: crc32c(body), items: 1, flags, ..BatchHeader::default() };
        [&header.encode(Place { offset: at as u64, ..PLACE })[..], body].concat()
    }

    fn segment(dir: &Path, bytes: &[u8]) -> Segment {
        fs::write(dir.join("unified2.5"), bytes).unwrap();
        Segment::open(dir, 1, 5, false).unwrap()
    }

    #[test]
    fn resync_finds_the_next_whole_batch_whatever_the_window() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = b"eSbteSbteSb garbage".to_vec();
        // A batch copied from elsewhere, as an event's data could contain one.
        bytes.extend_from_slice(&batch(7, b"fake", FIRST));
        // One with a torn body.
        let mut torn = batch(bytes.len(), b"torn body", 0);
        let last = torn.len() - 1;
        torn[last] ^= 1;
        bytes.extend_from_slice(&torn);
        let plain = bytes.len();
        bytes.extend_from_slice(&batch(plain, &[7; 100], COMMIT));
        bytes.extend_from_slice(b"eSb");
        let first = bytes.len();
        bytes.extend_from_slice(&batch(first, b"", STICKY | FIRST));
        let end = bytes.len() as u64;
        let segment = segment(dir.path(), &bytes);
        for size in [40, 41, 43, 64, 100, 1000] {
            let mut window = Window::new(size);
            let found = window.resync(&segment, 0, end, false).unwrap();
            assert_eq!(found.map(|f| f.0), Some(plain as u64), "window {size}");
            let found = window.resync(&segment, 0, end, true).unwrap();
            assert_eq!(found.map(|f| f.0), Some(first as u64), "window {size}");
            assert_eq!(window.resync(&segment, first as u64 + 1, end, false).unwrap(), None);
            assert_eq!(window.resync(&segment, 0, end - 1, true).unwrap(), None, "not behind the end");
        }
    }

    #[test]
    fn headers_and_bodies_end_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = batch(0, b"0123456789", FIRST);
        let segment = segment(dir.path(), &bytes);
        let mut window = Window::new(64);
        let Found::Batch(header) = window.header(&segment, 0, 50).unwrap() else { panic!("no batch") };
        assert_eq!(window.header(&segment, 0, 49).unwrap(), Found::Short, "body behind the end");
        assert_eq!(window.header(&segment, 0, 39).unwrap(), Found::Short, "header behind the end");
        assert_eq!(window.header(&segment, 1, 50).unwrap(), Found::Damaged);
        assert_eq!(window.header(&segment, 60, 50).unwrap(), Found::Short, "start behind the end");
        let mut buf = vec![1; 100];
        assert!(window.body(&segment, 0, &header, &mut buf).unwrap());
        assert_eq!(buf, b"0123456789");
        window.clear();
        fs::OpenOptions::new().write(true).open(&segment.path).unwrap().set_len(45).unwrap();
        assert!(!window.body(&segment, 0, &header, &mut buf).unwrap(), "the file shrank");
    }
}
