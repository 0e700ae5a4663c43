//! Reading all of a segment with suspicion: every checksum, every number, every item.

use crate::disk;
use crate::error::{Error, Result};
use crate::findings::{Checked, What};
use crate::format::{
    BatchHeader, ITEM_HEADER, MIN_EVENT, MIN_STICKY, POSITIONS, SECOND_AT, SEGMENT_HEADER, SNAPSHOT, STICKY,
    split_field, split_item, u32_at, u64_at,
};
use crate::recover::Table;
use crate::scan::{Found, Segment, Window};

/// The source under whose name a repair leaves what it did: the position is the sequence number of the first event that
/// is missing and that of the first behind, both u64.
pub(crate) const REPAIR: &[u8] = b"estreamer store repair";

/// What looks into items: it says what is wrong with one.
pub type Examine<'e> = dyn FnMut(&[u8]) -> Option<String> + 'e;

/// What is known from the segments before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walker {
    /// Sequence number that the next batch should have.
    pub(crate) expected: Option<u64>,
    second: u32,
    sticky: Table,
    positions: Table,
}

/// What is to become of a part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Good batches.
    Keep { from: u64, to: u64 },
    /// Bytes to be cut out (there may be none), and the sequence numbers that are missing: from the first, before the
    /// second. The second is the archival one of what comes before.
    Cut { from: u64, to: u64, missing: (u64, u64), second: u32 },
}

/// A segment that was walked.
pub(crate) struct Walked {
    pub(crate) checked: Checked,
    pub(crate) pieces: Vec<Piece>,
    /// Sticky items and positions that its snapshot lacks.
    pub(crate) lacking: (Table, Table),
}

impl Walked {
    /// Whether something is to be cut out, or a gap to be marked.
    pub(crate) fn cuts(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Cut { .. }))
    }

    /// Whether the snapshot lacks something.
    pub(crate) fn lacks(&self) -> bool {
        !self.lacking.0.is_empty() || !self.lacking.1.is_empty()
    }

    fn keep(&mut self, from: u64, end: u64) {
        match self.pieces.last_mut() {
            Some(Piece::Keep { to, .. }) if *to == from => *to = end,
            _ => self.pieces.push(Piece::Keep { from, to: end }),
        }
    }
}

/// A part that cannot be used.
struct Hole {
    from: u64,
    to: u64,
    unreadable: Option<String>,
}

/// How a segment ends.
pub(crate) struct End {
    /// Nothing behind is examined.
    pub(crate) offset: u64,
    /// Sequence number of what comes behind the segment, if it is known.
    pub(crate) sequence: Option<u64>,
    /// Bytes that should be there and are not.
    pub(crate) lacking: u64,
    /// A writer may have died at the end, and nobody knows how much was committed.
    pub(crate) torn: bool,
}

impl Walker {
    /// Examines a segment.
    pub(crate) fn walk(&mut self, segment: &Segment, end: &End, newest: bool, examine: &mut Examine<'_>) -> Walked {
        let checked = Checked {
            netmap: segment.netmap,
            start: segment.start,
            path: segment.path.clone(),
            bytes: end.offset,
            last: None,
            first_sequence: self.expected.unwrap_or(0),
            events: 0,
            metadata: 0,
            newest,
            findings: Vec::new(),
            more: 0,
        };
        // What an archive begins with has nothing to copy.
        let mut lacking = (self.sticky.clone(), self.positions.clone());
        lacking.1.remove(REPAIR);
        let mut walked = Walked { checked, pieces: Vec::new(), lacking };
        if !segment.intact {
            walked.checked.find(0, SEGMENT_HEADER, 0, What::SegmentHeader);
        }
        let (mut window, mut body) = (Window::new(256 << 10), Vec::new());
        let (mut at, mut hole, mut in_snapshot) = (SEGMENT_HEADER, None::<Hole>, true);
        while at < end.offset {
            let (header, unreadable) = match window.header(segment, at, end.offset) {
                Ok(Found::Batch(header)) => match window.body(segment, at, &header, &mut body) {
                    Ok(true) => {
                        self.fill(&mut walked, hole.take(), at, &header, &body, segment.start);
                        in_snapshot &=
                            header.has(SNAPSHOT) || header.has(POSITIONS) && marker(&header, &body).is_some();
                        self.batch(&mut walked, at, &header, &body, in_snapshot, examine);
                        at += header.size();
                        continue;
                    }
                    Ok(false) => (Some(header), None),
                    Err(error) => (Some(header), Some(words(&error))),
                },
                Ok(Found::Damaged | Found::Short) => (None, None),
                Err(error) => (None, Some(words(&error))),
            };
            let (next, unreadable) = match header {
                // The header can be trusted, and with it where the next one is.
                Some(header) => {
                    self.expected.get_or_insert(header.sequence);
                    (at + header.size(), unreadable)
                }
                None => {
                    let (next, why) = seek(&mut window, segment, at + 1, end.offset);
                    (next, unreadable.or(why))
                }
            };
            match &mut hole {
                Some(hole) => {
                    hole.to = next;
                    hole.unreadable = hole.unreadable.take().or(unreadable);
                }
                None => hole = Some(Hole { from: at, to: next, unreadable }),
            }
            at = next;
        }
        self.end(&mut walked, hole, end, segment.start);
        let (sticky, positions) = &walked.lacking;
        let lacking = sticky.len() + positions.len();
        if lacking > 0 {
            walked.checked.find(SEGMENT_HEADER, 0, 0, What::Snapshot(lacking));
            walked.checked.findings.sort_by_key(|finding| finding.offset);
        }
        walked
    }

    /// Tells of a hole, or a gap in the numbers, before a good batch.
    fn fill(
        &mut self,
        walked: &mut Walked,
        hole: Option<Hole>,
        at: u64,
        header: &BatchHeader,
        body: &[u8],
        start: u32,
    ) {
        let expected = self.expected.unwrap_or(header.sequence);
        if walked.checked.last.is_none() {
            walked.checked.first_sequence = header.sequence;
        }
        // A repair before this one has marked a part of it.
        let marked = marker(header, body).filter(|(from, to)| *from >= expected && *to == header.sequence);
        let to = marked.map_or(header.sequence, |(from, _)| from).max(expected);
        let second = walked.checked.last.unwrap_or(start);
        let missing = (expected, to);
        if let Some(hole) = hole {
            let what = hole.unreadable.map_or(What::Damaged, What::Unreadable);
            walked.checked.find(hole.from, hole.to - hole.from, to - expected, what);
            walked.pieces.push(Piece::Cut { from: hole.from, to: hole.to, missing, second });
        } else if to > expected {
            walked.checked.find(at, 0, to - expected, What::Missing);
            walked.pieces.push(Piece::Cut { from: at, to: at, missing, second });
        }
        if header.sequence > to {
            walked.checked.find(at, 0, header.sequence - to, What::Cut);
        }
        if header.sequence < expected || header.second < self.second {
            walked.checked.find(at, header.size(), 0, What::Backwards);
        }
        self.expected = Some(header.sequence.max(expected).saturating_add(header.events()));
        self.second = self.second.max(header.second);
        walked.checked.last = Some(header.second);
        walked.keep(at, at + header.size());
    }

    /// Looks into a good batch.
    fn batch(
        &mut self,
        walked: &mut Walked,
        at: u64,
        header: &BatchHeader,
        body: &[u8],
        in_snapshot: bool,
        examine: &mut Examine<'_>,
    ) {
        let flawed = if header.has(POSITIONS) {
            self.positions(header, body, in_snapshot.then_some(&mut walked.lacking.1))
        } else if header.has(STICKY) {
            let (items, keys) = body.split_at_checked(header.item_bytes()).unwrap_or_default();
            items_of(walked, at, header, items, MIN_STICKY, examine)
                .or_else(|| self.sticky(header, items, keys, in_snapshot.then_some(&mut walked.lacking.0)))
        } else {
            items_of(walked, at, header, body, MIN_EVENT, examine)
        };
        if let Some(why) = flawed {
            walked.checked.find(at, header.size(), header.events(), What::Malformed(why));
        }
    }

    /// Takes the positions of a batch, all or, if it is not as it should be, none.
    fn positions(&mut self, header: &BatchHeader, mut body: &[u8], copied: Option<&mut Table>) -> Option<&'static str> {
        let mut found = Vec::new();
        for _ in 0..header.items {
            let Some((source, rest)) = split_field(body) else { return Some("a position's source is cut off") };
            let Some((position, rest)) = split_field(rest) else { return Some("a position is cut off") };
            found.push((source, position));
            body = rest;
        }
        if !body.is_empty() {
            return Some("there is more than its positions");
        }
        take(&found, &mut self.positions, copied);
        None
    }

    /// Takes the sticky items of a batch, all or, if it is not as it should be, none.
    fn sticky(
        &mut self,
        header: &BatchHeader,
        mut items: &[u8],
        mut keys: &[u8],
        copied: Option<&mut Table>,
    ) -> Option<&'static str> {
        let mut found = Vec::new();
        for _ in 0..header.items {
            let (Some((item, more)), Some((key, more_keys))) = (split_item(items), split_field(keys)) else {
                return Some("its keys are not those of its items");
            };
            found.push((key, item));
            (items, keys) = (more, more_keys);
        }
        if !keys.is_empty() {
            return Some("there are more keys than items");
        }
        take(&found, &mut self.sticky, copied);
        None
    }

    /// Tells of a hole at the end, and of numbers that should have been before it.
    fn end(&mut self, walked: &mut Walked, hole: Option<Hole>, end: &End, start: u32) {
        let expected = self.expected.or(end.sequence).unwrap_or(0);
        let to = end.sequence.unwrap_or(expected).max(expected);
        let second = walked.checked.last.unwrap_or(start);
        let missing = (expected, to);
        match hole {
            Some(hole) if end.torn => walked.checked.find(hole.from, hole.to - hole.from, 0, What::Unfinished),
            Some(hole) => {
                let what = hole.unreadable.map_or(What::Damaged, What::Unreadable);
                walked.checked.find(hole.from, hole.to - hole.from + end.lacking, to - expected, what);
                walked.pieces.push(Piece::Cut { from: hole.from, to: hole.to, missing, second });
            }
            // What is missing between segments is told at the beginning of the next.
            None if walked.checked.newest && (to > expected || end.lacking > 0) => {
                walked.checked.find(end.offset, end.lacking, to - expected, What::Missing);
                walked.pieces.push(Piece::Cut { from: end.offset, to: end.offset, missing, second });
            }
            None => return,
        }
        self.expected = Some(to);
    }
}

/// Adds entries to what is known; what is in a copy is lacking no more.
fn take(found: &[(&[u8], &[u8])], known: &mut Table, mut copied: Option<&mut Table>) {
    for (key, value) in found {
        copied.as_mut().map(|copied| copied.remove(*key));
        known.insert(key.to_vec(), value.to_vec());
    }
}

/// Checks the framing of items, and hands them to whoever knows more.
fn items_of(
    walked: &mut Walked,
    at: u64,
    header: &BatchHeader,
    mut items: &[u8],
    least: usize,
    examine: &mut Examine<'_>,
) -> Option<&'static str> {
    let mut offset = at + (header.size() - u64::from(header.body));
    for _ in 0..header.items {
        let Some((item, rest)) = split_item(items) else { return Some("an item is cut off") };
        if u32_at(item, 0) != Some(4) || item.len() < least.max(ITEM_HEADER) {
            return Some("an item's header is none");
        }
        if header.is_events() && u32_at(item, SECOND_AT) != Some(header.second) {
            return Some("an event has another archival second than its batch");
        }
        if let Some(why) = examine(item) {
            walked.checked.find(offset, item.len() as u64, 0, What::Record(why));
        }
        match header.is_events() {
            true => walked.checked.events += 1,
            false => walked.checked.metadata += 1,
        }
        offset += item.len() as u64;
        items = rest;
    }
    (!items.is_empty()).then_some("there is more than its items")
}

/// The sequence numbers that a repair has marked as missing with this batch.
fn marker(header: &BatchHeader, body: &[u8]) -> Option<(u64, u64)> {
    if !header.has(POSITIONS) || header.items != 1 {
        return None;
    }
    let (source, rest) = split_field(body)?;
    let (position, _) = split_field(rest)?;
    (source == REPAIR).then_some((u64_at(position, 0)?, u64_at(position, 8)?))
}

/// The next good batch at or behind `from`, else `end`; and why something between cannot be read, if so.
pub(crate) fn seek(window: &mut Window, segment: &Segment, from: u64, end: u64) -> (u64, Option<String>) {
    let (mut at, mut why) = (from, None);
    while at < end {
        match window.resync(segment, at, end, false) {
            Ok(found) => return (found.map_or(end, |(next, _)| next), why),
            Err(error) => why = Some(words(&error)),
        }
        let bad = bounds(segment, at, end, false);
        if let Ok(Some((next, _))) = window.resync(segment, at, bad, false) {
            return (next, None);
        }
        at = bounds(segment, bad, end, true);
    }
    (end, why)
}

/// Bytes after which a disk may read again what it could not before.
const BLOCK: u64 = 4096;

/// The first block at or behind `from` that can be read, or that cannot.
fn bounds(segment: &Segment, from: u64, end: u64, readable: bool) -> u64 {
    let (mut at, mut stride) = (from, BLOCK);
    while at < end {
        let can = disk::read_at(&segment.file, &segment.path, &mut [0], at).is_ok();
        if can == readable {
            break;
        }
        at = (at / BLOCK * BLOCK).saturating_add(stride);
        // Each try may take the disk seconds.
        stride = if readable { (stride * 2).min(1 << 20) } else { BLOCK };
    }
    at.min(end)
}

fn words(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// The sequence number of the first good batch of a segment.
pub(crate) fn first_sequence(segment: &Segment) -> Result<Option<u64>> {
    let (mut window, end) = (Window::new(64 << 10), segment.length()?);
    let first = window.header(segment, SEGMENT_HEADER, end);
    let header = match first {
        Ok(Found::Batch(header)) => header,
        _ => {
            let (next, _) = seek(&mut window, segment, SEGMENT_HEADER + 1, end);
            let Found::Batch(header) = window.header(segment, next, end)? else { return Ok(None) };
            header
        }
    };
    // What a repair marked at the beginning was missing before.
    let mut body = Vec::new();
    if window.body(segment, SEGMENT_HEADER, &header, &mut body).unwrap_or(false)
        && let Some((from, _)) = marker(&header, &body)
    {
        return Ok(Some(from));
    }
    Ok(Some(header.sequence))
}
