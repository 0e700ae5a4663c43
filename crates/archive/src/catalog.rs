//! What the readers of one network map share: open files and indexes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::Result;
use crate::head::{Head, HeadFile};
use crate::index::{Index, Span};
use crate::layout;
use crate::scan::Segment;

/// The archive of one network map as its readers see it. Five hundred readers of a catalog have one file
/// descriptor for each segment they are in, and each segment is indexed once.
///
/// There is no index file. An index would have to be synced with, or checked against, the segment it describes,
/// which makes one more thing that can be torn or stale, and it would save little: walking the headers of a full
/// segment takes a fraction of a second, and only a reader that starts in the middle of one needs it.
#[derive(Debug)]
pub struct Catalog {
    dir: PathBuf,
    netmap: u32,
    head: Mutex<HeadFile>,
    segments: Mutex<BTreeMap<u32, Weak<Segment>>>,
    indexes: Mutex<BTreeMap<u32, Arc<Mutex<Index>>>>,
}

/// Indexes kept for segments; with one entry a second and an hour a segment, a few megabytes.
const KEEP_INDEXES: usize = 64;

impl Catalog {
    /// The catalog of `netmap` below `root`. Nothing is opened yet, and nothing need exist.
    pub fn new(root: &Path, netmap: u32) -> Arc<Self> {
        let dir = layout::netmap_dir(root, netmap);
        Arc::new(Catalog {
            head: Mutex::new(HeadFile::new(&dir, netmap)),
            segments: Mutex::default(),
            indexes: Mutex::default(),
            dir,
            netmap,
        })
    }

    /// The committed end; `None` when nothing was ever committed, or the head is missing or corrupt and no writer
    /// has repaired it yet.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the head cannot be read.
    pub fn head(&self) -> Result<Option<Head>> {
        Ok(lock(&self.head).read()?.head())
    }

    /// Start seconds of all segments that may be read, ascending.
    pub(crate) fn starts(&self, head: Head) -> Result<Vec<u32>> {
        let mut starts = layout::segments(&self.dir)?;
        starts.retain(|start| *start <= head.segment);
        Ok(starts)
    }

    /// Whether there is any segment, readable or not.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        Ok(layout::segments(&self.dir)?.is_empty())
    }

    /// An open segment.
    pub(crate) fn segment(&self, start: u32) -> Result<Arc<Segment>> {
        let mut segments = lock(&self.segments);
        if let Some(segment) = segments.get(&start).and_then(Weak::upgrade)
            && segment.linked()?
        {
            return Ok(segment);
        }
        segments.retain(|_, segment| segment.strong_count() > 0);
        let segment = Arc::new(Segment::open(&self.dir, self.netmap, start, false)?);
        if !segment.intact {
            tracing::warn!(path = %segment.path.display(), "A segment header is damaged. The batches behind it are read nevertheless.");
        }
        segments.insert(start, Arc::downgrade(&segment));
        Ok(segment)
    }

    /// Bytes of segments that were deleted and that a reader of this catalog has still open: their space is freed when
    /// it is through.
    pub fn held(&self) -> u64 {
        let open: Vec<_> = lock(&self.segments).values().filter_map(Weak::upgrade).collect();
        let gone = open.iter().filter(|segment| segment.linked().is_ok_and(|linked| !linked));
        gone.filter_map(|segment| segment.length().ok()).sum()
    }

    /// Where the first batch of `second` or later is in `segment`, which is committed up to `end`.
    pub(crate) fn find(&self, segment: &Segment, end: u64, second: u32) -> Result<Option<u64>> {
        let index = self.index(segment.start);
        let mut index = lock(&index);
        index.extend(segment, end)?;
        Ok(index.find(second))
    }

    /// The parts of `segment` before `end` that have sticky batches.
    pub(crate) fn sticky_before(&self, segment: &Segment, end: u64) -> Result<Vec<Span>> {
        let index = self.index(segment.start);
        let mut index = lock(&index);
        index.extend(segment, end)?;
        Ok(index.sticky_before(end))
    }

    fn index(&self, start: u32) -> Arc<Mutex<Index>> {
        let mut indexes = lock(&self.indexes);
        if !indexes.contains_key(&start) && indexes.len() >= KEEP_INDEXES {
            // The oldest is the one that retention takes next.
            let idle = indexes.iter().find(|(_, index)| Arc::strong_count(index) == 1).map(|(start, _)| *start);
            idle.map(|start| indexes.remove(&start));
        }
        indexes.entry(start).or_insert_with(|| Arc::new(Mutex::new(Index::new()))).clone()
    }
}

/// Locks, also after a panic elsewhere: what is behind these locks is valid at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
