//! Reading from a start point on, through all segments, and following what is appended.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::{BatchHeader, COMMIT, POSITIONS, SEGMENT_HEADER, SNAPSHOT, STICKY};
use crate::head::Head;
use crate::index::Span;
use crate::scan::{Found, Segment, Window};

/// Where to start reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest segment there is.
    Genesis,
    /// Behind everything that is committed when the reader is opened.
    Now,
    /// With the first commit of this archival second or a later one. A second before the oldest segment means
    /// [`Genesis`](Self::Genesis), one in the future means [`Now`](Self::Now).
    Second(u32),
}

/// What a reader gives next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Items, which are in the buffer.
    Batch(BatchInfo),
    /// Something that was committed cannot be read, and was skipped.
    Lost(Lost),
    /// Nothing more is committed now.
    End,
}

/// A batch of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchInfo {
    /// Archival second of all of them.
    pub second: u32,
    /// What they are.
    pub kind: Kind,
    /// Events: sequence number of the first. Sticky items: that of the next event.
    pub first_sequence: u64,
    /// How many items.
    pub items: u32,
}

/// What the items of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Events, each of which has a sequence number.
    Events,
    /// Sticky items. A reader may get one more than once.
    Sticky {
        /// Whether it is a copy at the head of a segment, rather than a change.
        snapshot: bool,
    },
}

/// A gap. The sums over all gaps are right; a single one may have only bytes or only events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The segment with the damage, or the one behind what was deleted.
    pub path: PathBuf,
    /// Where in it the gap begins.
    pub offset: u64,
    /// Bytes that were skipped; 0 when the segment was deleted.
    pub bytes: u64,
    /// Events that are known to be missing.
    pub events: u64,
    /// Why.
    pub cause: Cause,
}

/// Why something cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The bytes are not those that were written.
    Damaged,
    /// The numbers of the events have a gap: segments were deleted, or events were in damaged bytes.
    Missing,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Start second of the segment.
    pub segment: u32,
    /// Offset of the next batch.
    pub offset: u64,
    /// Archival second of the last batch that was read; 0 before the first.
    pub second: u32,
}

/// How far a reader is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Archival second of the last commit.
    pub committed: u32,
    /// Events the reader has not given yet; `None` until it has given something.
    pub events: Option<u64>,
}

/// Reads one network map's archive. Holds no lock, needs no writer, and may be in any process.
#[derive(Debug)]
pub struct Reader {
    catalog: Arc<Catalog>,
    start: Start,
    place: Option<Place>,
    window: Window,
    second: u32,
    /// Sequence number that the next batch should have.
    expected: Option<u64>,
}

/// Where a started reader is.
#[derive(Debug)]
struct Place {
    segment: Arc<Segment>,
    /// The next batch.
    offset: u64,
    /// The committed end of this segment, as last seen.
    end: u64,
    /// Whether the head said, when last seen, that the segment may still grow.
    live: bool,
    /// What to look through for sticky batches first.
    before: VecDeque<Span>,
}

/// Bytes read at a time. Bodies that are larger are read straight into the caller's buffer.
const WINDOW: usize = 16 << 10;

impl Reader {
    /// Opens a reader of its own catalog. Many readers should share one: see [`Reader::in_catalog`].
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub fn open(root: &Path, netmap: u32, start: Start) -> Result<Reader> {
        Reader::in_catalog(Catalog::new(root, netmap), start)
    }

    /// Opens a reader that shares files and indexes with others.
    ///
    /// In an archive where nothing was ever committed it waits for the first commit and starts there.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub fn in_catalog(catalog: Arc<Catalog>, start: Start) -> Result<Reader> {
        let mut reader = Reader { catalog, start, place: None, window: Window::new(WINDOW), second: 0, expected: None };
        if reader.catalog.head()?.is_none() && reader.catalog.is_empty()? {
            reader.start = Start::Genesis;
        }
        reader.begin()?;
        Ok(reader)
    }

    /// Gives the next batch, with its items back to back in `buf`, ready to be sent. A reader that starts within a
    /// segment first gives all sticky batches of that segment from before its start. `buf` is only defined
    /// after [`Read::Batch`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when a file cannot be read, [`Error::Version`](crate::Error::Version) and
    /// [`Error::Misplaced`](crate::Error::Misplaced) when a segment is not of this program or not of this place.
    /// The reader stays where it is, so the call can be repeated.
    #[allow(clippy::should_implement_trait, reason = "it lends to a buffer and can fail, so it is no iterator")]
    pub fn next(&mut self, buf: &mut Vec<u8>) -> Result<Read> {
        self.next_flagged(buf, false).map(|(read, _)| read)
    }

    /// The next batch with its flags; positions too if they are asked for, in the form of a batch of sticky items.
    pub(crate) fn next_flagged(&mut self, buf: &mut Vec<u8>, positions: bool) -> Result<(Read, u32)> {
        loop {
            if self.place.is_none() {
                self.begin()?;
            }
            let Some(place) = &mut self.place else { return Ok((Read::End, 0)) };
            if let Some(span) = place.before.front_mut() {
                let step = step(&mut self.window, &place.segment, span.from, span.to, Want::Sticky, None, buf)?;
                match step.done {
                    Done::Short | Done::Gap { .. } => span.from = span.to,
                    _ => span.from = step.next,
                }
                if span.from >= span.to {
                    place.before.pop_front();
                }
                match step.done {
                    Done::Give(info) => return Ok((Read::Batch(info), step.flags & !COMMIT)),
                    Done::Damaged { .. } => return Ok((Read::Lost(lost(&place.segment, &step, Cause::Damaged)), 0)),
                    Done::Skip | Done::Short | Done::Gap { .. } => continue,
                }
            }
            if place.offset >= place.end {
                if self.advance()? {
                    continue;
                }
                // Hundreds of readers may wait here.
                self.window.clear();
                return Ok((Read::End, 0));
            }
            let want = if positions { Want::Everything } else { Want::Items };
            let mut step = step(&mut self.window, &place.segment, place.offset, place.end, want, self.expected, buf)?;
            if step.done == Done::Short {
                if place.live {
                    // The head is ahead of the file. Only a repair can go on from here.
                    self.window.clear();
                    return if self.advance()? { continue } else { Ok((Read::End, 0)) };
                }
                step.next = place.end;
                step.done = Done::Damaged { events: 0 };
            }
            let read = match step.done {
                Done::Give(info) => Some(Read::Batch(info)),
                Done::Damaged { .. } => Some(Read::Lost(lost(&place.segment, &step, Cause::Damaged))),
                Done::Gap { .. } => Some(Read::Lost(lost(&place.segment, &step, Cause::Missing))),
                Done::Skip | Done::Short => None,
            };
            let flags = step.flags;
            place.offset = step.next;
            self.expected = step.expected;
            self.second = step.second.unwrap_or(self.second);
            if let Some(read) = read {
                return Ok((read, flags));
            }
        }
    }

    /// Where the reader is; `None` when nothing was ever committed.
    pub fn position(&self) -> Option<Position> {
        let place = self.place.as_ref()?;
        Some(Position { segment: place.segment.start, offset: place.offset, second: self.second })
    }

    /// How far the reader is behind; `None` when nothing was ever committed.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the head cannot be read.
    pub fn lag(&self) -> Result<Option<Lag>> {
        let head = self.catalog.head()?;
        Ok(head.map(|head| Lag {
            committed: head.second,
            events: self.expected.map(|expected| head.sequence.saturating_sub(expected)),
        }))
    }

    /// Finds the start, if anything is committed.
    fn begin(&mut self) -> Result<()> {
        // Retention may take a segment between listing and opening; then the next look differs.
        for _ in 0..8 {
            match self.place_at_start() {
                Err(error) if error.is_not_found() => {}
                other => {
                    self.place = other?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn place_at_start(&mut self) -> Result<Option<Place>> {
        let Some(head) = self.catalog.head()? else { return Ok(None) };
        let starts = self.catalog.starts(head)?;
        let (Some(oldest), Some(newest)) = (starts.first(), starts.last()) else { return Ok(None) };
        let second = match self.start {
            Start::Second(second) if second <= head.second => second,
            Start::Genesis => 0,
            Start::Now | Start::Second(_) => {
                self.expected = Some(head.sequence);
                let mut place = self.place_in(*newest, head, None)?;
                place.before = self.catalog.sticky_before(&place.segment, place.end)?.into();
                place.offset = place.end;
                return Ok(Some(place));
            }
        };
        // The last segment that starts at or before the second; each second is in one segment only.
        let at = starts.partition_point(|start| *start <= second);
        let Some(start) = at.checked_sub(1).and_then(|at| starts.get(at)) else {
            return self.place_in(*oldest, head, Some(SEGMENT_HEADER)).map(Some);
        };
        let mut place = self.place_in(*start, head, None)?;
        if let Some(offset) = self.catalog.find(&place.segment, place.end, second)? {
            place.offset = offset;
            place.before = self.catalog.sticky_before(&place.segment, offset)?.into();
        } else {
            // The second is in the gap before the next segment, whose snapshot has all that is sticky.
            place.offset = place.end;
        }
        Ok(Some(place))
    }

    fn place_in(&self, start: u32, head: Head, offset: Option<u64>) -> Result<Place> {
        let segment = self.catalog.segment(start)?;
        let live = head.segment == start;
        let length = segment.length()?;
        let end = if live { head.offset.min(length) } else { length };
        Ok(Place { segment, offset: offset.unwrap_or(end), end, live, before: VecDeque::new() })
    }

    /// Looks for more behind the known end of the segment, there or in the next one; false when there is nothing.
    fn advance(&mut self) -> Result<bool> {
        let (Some(place), Some(head)) = (&mut self.place, self.catalog.head()?) else { return Ok(false) };
        if head.segment < place.segment.start {
            return Ok(false);
        }
        let (end, length) = (place.end, place.segment.length()?);
        place.live = head.segment == place.segment.start;
        if place.live {
            if head.offset < place.offset {
                // A repair gave up bytes that we had read; what comes next is written there.
                place.offset = head.offset;
                self.window.clear();
            }
            place.end = head.offset.min(length);
            return Ok(place.end > end && place.offset < place.end);
        }
        // No longer written, so all of the file is committed.
        place.end = length;
        if place.offset < place.end {
            return Ok(true);
        }
        let current = place.segment.start;
        for _ in 0..8 {
            let starts = self.catalog.starts(head)?;
            let Some(next) = starts.into_iter().find(|start| *start > current) else { return Ok(false) };
            match self.place_in(next, head, Some(SEGMENT_HEADER)) {
                Err(error) if error.is_not_found() => {}
                other => {
                    self.place = Some(other?);
                    self.window.clear();
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// One look at one place of a segment.
struct Step {
    at: u64,
    /// Where to look next.
    next: u64,
    /// The sequence number to expect there.
    expected: Option<u64>,
    second: Option<u32>,
    /// Of the batch that is given.
    flags: u32,
    done: Done,
}

/// What a reader wants of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Sticky,
    Items,
    /// Items and positions.
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Give(BatchInfo),
    /// Nothing for the caller here.
    Skip,
    /// The batch here is good, but events before it are missing.
    Gap {
        events: u64,
    },
    /// The bytes up to `next` are bad.
    Damaged {
        events: u64,
    },
    /// There is no whole batch before the end.
    Short,
}

fn step(
    window: &mut Window,
    segment: &Segment,
    at: u64,
    end: u64,
    want: Want,
    expected: Option<u64>,
    buf: &mut Vec<u8>,
) -> Result<Step> {
    let sticky_only = want == Want::Sticky;
    let same = Step { at, next: at, expected, second: None, flags: 0, done: Done::Short };
    let header = match window.header(segment, at, end)? {
        Found::Batch(header) => header,
        Found::Short => return Ok(same),
        Found::Damaged => {
            let found = window.resync(segment, at + 1, end, false)?;
            let sequence = found.map(|(_, header)| header.sequence).or(expected);
            let events = sequence.zip(expected).map_or(0, |(to, from)| to.saturating_sub(from));
            let next = found.map_or(end, |(next, _)| next);
            let expected = if sticky_only { expected } else { sequence };
            return Ok(Step { next, expected, done: Done::Damaged { events }, ..same });
        }
    };
    if let Some(events) = expected.and_then(|expected| header.sequence.checked_sub(expected)).filter(|n| *n > 0) {
        return Ok(Step { expected: Some(header.sequence), done: Done::Gap { events }, ..same });
    }
    let next = at + header.size();
    let after = Some(header.sequence.saturating_add(header.events()));
    let step = Step { next, expected: after, second: Some(header.second), flags: header.flags, ..same };
    if (header.has(POSITIONS) && want != Want::Everything) || (sticky_only && !header.has(STICKY)) {
        return Ok(Step { done: Done::Skip, ..step });
    }
    if !window.body(segment, at, &header, buf)? {
        return Ok(Step { done: Done::Damaged { events: header.events() }, ..step });
    }
    buf.truncate(header.item_bytes());
    Ok(Step { done: Done::Give(info(&header)), ..step })
}

fn info(header: &BatchHeader) -> BatchInfo {
    let kind =
        if header.has(STICKY | POSITIONS) { Kind::Sticky { snapshot: header.has(SNAPSHOT) } } else { Kind::Events };
    BatchInfo { second: header.second, kind, first_sequence: header.sequence, items: header.items }
}

/// Describes a gap; the caller of the reader decides how to log it.
fn lost(segment: &Segment, step: &Step, cause: Cause) -> Lost {
    let events = match step.done {
        Done::Gap { events } | Done::Damaged { events } => events,
        _ => 0,
    };
    Lost { path: segment.path.clone(), offset: step.at, bytes: step.next - step.at, events, cause }
}
