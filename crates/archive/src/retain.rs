//! Deleting what is too old or too much, a whole segment at a time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::Result;
use crate::head::HeadFile;
use crate::layout::{self, Size};

/// What may be kept. A limit that is `None` does not apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Segments that end before this archival second go.
    pub since: Option<u32>,
    /// The oldest segments of a network map go while all of it together has more bytes than this.
    pub bytes: Option<u64>,
    /// The oldest segments of all network maps go while the file system has less free bytes than this.
    pub free: Option<u64>,
    /// Bytes of segments that were deleted and are still open somewhere, see
    /// [`Catalog::held`](crate::Catalog::held): they count as free, for they will be.
    pub held: u64,
}

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It ends before [`Keep::since`].
    Age,
    /// The network map has more than [`Keep::bytes`].
    Size,
    /// The file system has less free than [`Keep::free`].
    Room,
}

/// A segment that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The network map.
    pub netmap: u32,
    /// The file.
    pub path: PathBuf,
    /// Archival second of its first commit.
    pub from: u32,
    /// Archival second of the next segment's first commit: this one ends before.
    pub before: u32,
    /// Its length.
    pub bytes: u64,
    /// Why it goes.
    pub why: Why,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free for this user.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// The room on the file system of `path`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when the system does not say.
pub fn room(path: &Path) -> Result<Room> {
    disk::room(path).map(|(free, total)| Room { free, total })
}

/// What is to be deleted so that an archive is as a [`Keep`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The segments, in the order in which they go.
    pub segments: Vec<Removal>,
    /// Bytes that will be lacking to [`Keep::free`] all the same: only the newest segments are left, which stay.
    pub lacking: u64,
}

/// A network map while it is decided what goes.
struct Map {
    netmap: u32,
    /// What may go, oldest first, and the start of the segment behind.
    old: VecDeque<(u32, u32, u64)>,
    bytes: u64,
}

impl Retention {
    /// Decides what goes of all network maps below `root`. The newest segment of each always stays, and so does all
    /// of a network map whose head cannot be read: then nobody knows which segment is being written.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when a directory, a head or the file system cannot be examined.
    pub fn plan(root: &Path, keep: Keep) -> Result<Retention> {
        let mut plan = Retention::default();
        let mut maps = Vec::new();
        for netmap in layout::netmaps(root)? {
            maps.extend(Map::load(root, netmap)?);
        }
        for map in &mut maps {
            while let Some((_, next, _)) = map.old.front().copied() {
                let old = keep.since.is_some_and(|since| next <= since);
                let much = keep.bytes.is_some_and(|bytes| map.bytes > bytes);
                if !(old || much) {
                    break;
                }
                plan.take(root, map, if old { Why::Age } else { Why::Size });
            }
        }
        if let Some(wanted) = keep.free.filter(|_| !maps.is_empty()) {
            let gone: u64 = plan.segments.iter().map(|segment| segment.bytes).sum();
            let mut free = room(root)?.free.saturating_add(keep.held).saturating_add(gone);
            while free < wanted {
                let oldest =
                    maps.iter_mut().filter(|map| !map.old.is_empty()).min_by_key(|map| map.old.front().copied());
                let Some(map) = oldest else { break };
                free = free.saturating_add(plan.take(root, map, Why::Room));
            }
            plan.lacking = wanted.saturating_sub(free);
        }
        Ok(plan)
    }

    /// Deletes what was decided, and tells each segment that went. No lock is taken: old segments are never
    /// written, and a reader that has one open reads it to its end (so its space is freed only then).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when a file cannot be removed; those told before are gone.
    pub fn carry_out(&self, mut told: impl FnMut(&Removal)) -> Result<Size> {
        let mut gone = Size::default();
        for segment in &self.segments {
            disk::remove(&segment.path)?;
            if let Some(dir) = segment.path.parent() {
                layout::beside(dir, segment.from)?.iter().try_for_each(|path| disk::remove(path))?;
            }
            gone.segments += 1;
            gone.bytes += segment.bytes;
            told(segment);
        }
        Ok(gone)
    }

    fn take(&mut self, root: &Path, map: &mut Map, why: Why) -> u64 {
        let Some((from, before, bytes)) = map.old.pop_front() else { return 0 };
        map.bytes = map.bytes.saturating_sub(bytes);
        let path = layout::segment_path(&layout::netmap_dir(root, map.netmap), from);
        self.segments.push(Removal { netmap: map.netmap, path, from, before, bytes, why });
        bytes
    }
}

impl Map {
    fn load(root: &Path, netmap: u32) -> Result<Option<Map>> {
        let dir = layout::netmap_dir(root, netmap);
        let Some(head) = HeadFile::new(&dir, netmap).read()?.head() else { return Ok(None) };
        let starts = layout::segments(&dir)?;
        let mut map = Map { netmap, old: VecDeque::new(), bytes: layout::size(root, netmap)?.bytes };
        for (start, next) in starts.iter().zip(starts.iter().skip(1)).filter(|(start, _)| **start < head.segment) {
            let bytes = layout::file_size(&layout::segment_path(&dir, *start))?.unwrap_or(0);
            map.old.push_back((*start, *next, bytes));
        }
        Ok(Some(map))
    }
}
