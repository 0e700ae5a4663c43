//! Examining an archive as a whole, without changing anything.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::findings::{Checked, Finding, What};
use crate::head::{Found, Head, HeadFile};
use crate::layout;
use crate::scan::Segment;
use crate::walk::{End, Examine, Walked, Walker, first_sequence};

/// Examines all of a network map's archive: segment headers, every batch with its checksum, sequence numbers and
/// seconds, the copies of metadata and positions at the beginning of segments, the framing of items, and the head.
/// `examine` is given every item and says what is wrong with it as a record. `each` is given every segment, oldest
/// first; what concerns none is returned.
///
/// Nothing is changed, and writers, readers and retention may be at work: what was committed when the examination began
/// is examined. A segment that is deleted meanwhile is left out.
///
/// # Errors
/// [`Error::Io`] when a directory cannot be listed or the head cannot be opened. What cannot be read of a segment is a
/// finding.
pub fn check(
    root: &Path,
    netmap: u32,
    examine: &mut Examine<'_>,
    mut each: impl FnMut(Checked),
) -> Result<Vec<Finding>> {
    let dir = layout::netmap_dir(root, netmap);
    let map = Map::open(&dir, netmap)?;
    let mut walker = Walker::default();
    for start in &map.starts {
        match map.walk(*start, &mut walker, examine) {
            Looked::Walked(_, mut walked) => {
                if walked.checked.newest {
                    unfinished(&dir, netmap, &map, &mut walked);
                }
                each(walked.checked);
            }
            // Retention takes the oldest first, so all before are gone as well.
            Looked::Gone => walker = Walker::default(),
            Looked::Closed(checked) => each(*checked),
        }
    }
    Ok(map.findings(&walker))
}

/// The segments of a network map as they are when an examination begins.
pub(crate) struct Map {
    dir: PathBuf,
    netmap: u32,
    pub(crate) starts: Vec<u32>,
    found: Found,
}

/// What came of looking at a segment.
pub(crate) enum Looked {
    Walked(Segment, Box<Walked>),
    /// Retention took it.
    Gone,
    /// It cannot be opened.
    Closed(Box<Checked>),
}

impl Map {
    pub(crate) fn open(dir: &Path, netmap: u32) -> Result<Map> {
        let mut map = Map::look(dir, netmap)?;
        for _ in 0..8 {
            // Between two looks a segment may have been begun, and the one before deleted.
            if !map.beheaded() || HeadFile::new(dir, netmap).read()? == map.found {
                break;
            }
            map = Map::look(dir, netmap)?;
        }
        Ok(map)
    }

    fn look(dir: &Path, netmap: u32) -> Result<Map> {
        let mut found = HeadFile::new(dir, netmap).read()?;
        let mut starts = layout::segments(dir)?;
        if found.record().is_none() && !starts.is_empty() {
            // Perhaps a writer is about to make it.
            let lock = quiet(dir);
            found = HeadFile::new(dir, netmap).read()?;
            starts = layout::segments(dir)?;
            drop(lock);
        }
        if let Some(head) = found.head() {
            // What is behind the head is not committed.
            starts.retain(|start| *start <= head.segment);
        }
        Ok(Map { dir: dir.to_owned(), netmap, starts, found })
    }

    pub(crate) fn head(&self) -> Option<Head> {
        self.found.head()
    }

    /// Whether the segment that the head names is not there.
    pub(crate) fn beheaded(&self) -> bool {
        self.head().is_some_and(|head| !self.starts.contains(&head.segment))
    }

    /// Examines a segment.
    pub(crate) fn walk(&self, start: u32, walker: &mut Walker, examine: &mut Examine<'_>) -> Looked {
        let opened = Segment::open(&self.dir, self.netmap, start, false);
        let looked = opened.and_then(|segment| {
            let end = self.end(&segment)?;
            let newest = self.starts.last() == Some(&start) && !self.beheaded();
            let walked = walker.walk(&segment, &end, newest, examine);
            Ok(Looked::Walked(segment, Box::new(walked)))
        });
        match looked {
            Ok(looked) => looked,
            Err(error) if error.is_not_found() => Looked::Gone,
            Err(error) => {
                let path = layout::segment_path(&self.dir, start);
                let what = match error {
                    Error::Io { source, .. } => What::Unreadable(source.to_string()),
                    other => What::Foreign(other.to_string()),
                };
                let bytes = layout::file_size(&path).ok().flatten().unwrap_or(0);
                let mut checked = Checked {
                    netmap: self.netmap,
                    start,
                    path,
                    bytes,
                    last: None,
                    first_sequence: walker.expected.unwrap_or(0),
                    events: 0,
                    metadata: 0,
                    newest: false,
                    findings: Vec::new(),
                    more: 0,
                };
                checked.find(0, bytes, 0, what);
                Looked::Closed(Box::new(checked))
            }
        }
    }

    fn end(&self, segment: &Segment) -> Result<End> {
        let length = segment.length()?;
        let next = self.starts.iter().copied().find(|start| *start > segment.start);
        match (next, self.head()) {
            (Some(next), _) => {
                let next = Segment::open(&self.dir, self.netmap, next, false);
                // What cannot be opened is told in its turn.
                let sequence = next.and_then(|next| first_sequence(&next)).ok().flatten();
                Ok(End { offset: length, sequence, lacking: 0, torn: false })
            }
            (None, Some(head)) if head.segment == segment.start => Ok(End {
                offset: head.offset.min(length),
                sequence: Some(head.sequence),
                lacking: head.offset.saturating_sub(length),
                torn: false,
            }),
            (None, Some(head)) => Ok(End { offset: length, sequence: Some(head.sequence), lacking: 0, torn: false }),
            (None, None) => Ok(End { offset: length, sequence: None, lacking: 0, torn: true }),
        }
    }

    /// What concerns the archive as a whole.
    fn findings(&self, walker: &Walker) -> Vec<Finding> {
        let path = self.dir.join("head");
        let finding = |events, what| Finding { path: path.clone(), offset: 0, bytes: 0, events, what };
        match self.found {
            Found::Missing if self.starts.is_empty() => Vec::new(),
            Found::Missing => vec![finding(0, What::Head("is missing"))],
            Found::Corrupt => vec![finding(0, What::Head("is damaged"))],
            Found::Record(record) if self.beheaded() => {
                let events = record.head.sequence.saturating_sub(walker.expected.unwrap_or(record.head.sequence));
                let newest = layout::segment_path(&self.dir, record.head.segment);
                let gone = Finding { path: newest, offset: 0, bytes: record.head.offset, events, what: What::Missing };
                vec![gone, finding(0, What::Head("names a segment that is not there"))]
            }
            Found::Record(_) => Vec::new(),
        }
    }
}

/// Waits until no writer is in the middle of a commit, but not for long. The lock is shared: it needs no right to write.
fn quiet(dir: &Path) -> Option<File> {
    let lock = File::open(dir.join("lock")).ok()?;
    for _ in 0..200 {
        if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
            return Some(lock);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Tells of bytes behind the committed end, if no writer is at work that may be about to commit them.
fn unfinished(dir: &Path, netmap: u32, map: &Map, walked: &mut Walked) {
    let Some(head) = map.head() else { return };
    let look = || {
        let _lock = quiet(dir)?;
        // Nobody writes now. If there is more than there was, somebody did.
        let same = HeadFile::new(dir, netmap).read().ok()?.head() == Some(head);
        let length = layout::file_size(&walked.checked.path).ok()??;
        same.then(|| length.saturating_sub(head.offset))
    };
    if let Some(bytes) = look().filter(|bytes| *bytes > 0) {
        walked.checked.find(head.offset, bytes, 0, What::Unfinished);
    }
}
