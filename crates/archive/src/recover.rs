//! What a writer must know before it appends, rebuilt from the files; and the repairs that needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::Result;
use crate::format::{BatchHeader, COMMIT, FIRST, POSITIONS, SEGMENT_HEADER, SNAPSHOT, STICKY, split_field, split_item};
use crate::head::{Head, HeadFile, Record};
use crate::layout;
use crate::scan::{Found, Segment, Window};

/// What [`Archive::open`](crate::Archive::open) found and repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// False when another process was writing at that moment: then nothing needed repair, and nothing was looked at.
    pub checked: bool,
    /// The repairs, in the order they were made. Each is logged as well.
    pub repairs: Vec<Repair>,
}

/// Something that was wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A commit that a writer did not finish was cut off. It was never visible nor acknowledged.
    Truncated {
        /// The segment.
        path: PathBuf,
        /// Its new length.
        offset: u64,
        /// Bytes cut off.
        bytes: u64,
        /// Events that were whole in these bytes.
        events: u64,
    },
    /// A new segment whose first commit was not finished was removed.
    Removed {
        /// The segment.
        path: PathBuf,
        /// Bytes it had.
        bytes: u64,
    },
    /// Committed bytes are damaged. They stay where they are; readers skip them and say so.
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// Bytes that cannot be used.
        bytes: u64,
    },
    /// The head says that more was committed than the files have.
    Missing {
        /// The segment.
        path: PathBuf,
        /// Where it ends.
        offset: u64,
        /// Bytes that are gone.
        bytes: u64,
    },
    /// The head was missing, corrupt or behind, and was written anew.
    Head,
}

impl Repair {
    /// Logs the repair: WARN when nothing acknowledged was lost, ERROR when it was.
    pub(crate) fn log(&self) {
        match self {
            Repair::Truncated { path, offset, bytes, events } => tracing::warn!(
                path = %path.display(), offset, bytes, events,
                "A commit that was never finished was cut off. Its source will deliver it again."
            ),
            Repair::Removed { path, bytes } => tracing::warn!(
                path = %path.display(), bytes,
                "A segment whose first commit was never finished was removed. Its source will deliver it again."
            ),
            Repair::Damaged { path, offset, bytes } => tracing::error!(
                path = %path.display(), offset, bytes,
                "Committed data is damaged and will be skipped. Check the disk; restore the file from a copy if there is one."
            ),
            Repair::Missing { path, offset, bytes } => tracing::error!(
                path = %path.display(), offset, bytes,
                "Committed data is gone. Check the disk; restore the file from a copy if there is one."
            ),
            Repair::Head => tracing::info!("The committed end of the archive was worked out anew from its segments."),
        }
    }
}

/// Newest value by key.
pub(crate) type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// The segment being appended to.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) segment: Segment,
    /// Where the next commit goes: everything before is durable.
    pub(crate) end: u64,
}

/// What a writer knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) live: Option<Live>,
    /// Archival second of the last commit; 0 before the first.
    pub(crate) second: u32,
    /// Sequence number of the next event.
    pub(crate) sequence: u64,
    pub(crate) sticky: Table,
    pub(crate) positions: Table,
}

impl State {
    /// The head that belongs to this state, if anything was ever committed.
    pub(crate) fn head(&self) -> Option<Head> {
        let live = self.live.as_ref()?;
        Some(Head { segment: live.segment.start, offset: live.end, sequence: self.sequence, second: self.second })
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Sticky(key, item) => drop(self.sticky.insert(key, item)),
            Change::Position(source, position) => drop(self.positions.insert(source, position)),
            Change::Clock { second, sequence } => {
                self.second = self.second.max(second);
                self.sequence = self.sequence.max(sequence);
            }
        }
    }
}

/// Brings `state` up to date with the files and repairs them. The lock must be held. The head is published anew
/// when it is not what the segments say.
pub(crate) fn catch_up(
    dir: &Path,
    netmap: u32,
    head_file: &mut HeadFile,
    state: &mut State,
    repairs: &mut Vec<Repair>,
) -> Result<()> {
    let found = head_file.read()?;
    let head = found.head();
    // A writer that died while it began a segment leaves its mark in the head; then there may be a newer one.
    let rolling = found.record().is_some_and(|record| record.rolling != 0);
    match (state.live.take(), head) {
        (Some(live), Some(head)) if !rolling && continues(&live, head)? => {
            let Live { segment, end } = live;
            let scan = scan(&segment, end, Some(head.offset), state, repairs)?;
            cut(&segment, &scan, repairs)?;
            state.live = Some(Live { segment, end: scan.end });
        }
        _ => {
            let known = std::mem::replace(state, load(dir, netmap, head, repairs)?);
            state.second = state.second.max(known.second);
            state.sequence = state.sequence.max(known.sequence);
            if state.live.is_none() {
                // The next segment's snapshot can still have what we remember.
                for (key, item) in known.sticky {
                    state.sticky.entry(key).or_insert(item);
                }
            }
        }
    }
    if let Some(head) = head {
        // Numbers are never used twice, even when the files that had them are gone.
        state.second = state.second.max(head.second);
        state.sequence = state.sequence.max(head.sequence);
    }
    let right = state.head().map(|head| Record { head, rolling: 0 });
    if let (Some(right), Some(live)) = (right, &state.live)
        && found.record() != Some(right)
    {
        // A dead writer may not have got to its syncs.
        disk::sync(&live.segment.file, &live.segment.path)?;
        disk::sync_dir(dir)?;
        head_file.write(right)?;
        repairs.push(Repair::Head);
    }
    Ok(())
}

/// Whether reading on from where we were leads to the head.
fn continues(live: &Live, head: Head) -> Result<bool> {
    let segment = &live.segment;
    Ok(head.segment == segment.start && head.offset >= live.end && segment.length()? >= live.end && segment.linked()?)
}

/// Reads the newest segment that has a commit, and older ones where its snapshot is damaged.
fn load(dir: &Path, netmap: u32, head: Option<Head>, repairs: &mut Vec<Repair>) -> Result<State> {
    let mut starts = layout::segments(dir)?;
    let mut state = State::default();
    if let Some(head) = head.filter(|head| !starts.contains(&head.segment)) {
        let path = layout::segment_path(dir, head.segment);
        repairs.push(Repair::Missing { path, offset: 0, bytes: head.offset });
    }
    while let Some(start) = starts.pop() {
        let segment = Segment::open(dir, netmap, start, true)?;
        let length = segment.length()?;
        let trusted = match head {
            Some(head) if head.segment == start => Some(head.offset),
            Some(head) if head.segment > start => Some(length),
            _ => None,
        };
        let scan = scan(&segment, SEGMENT_HEADER, trusted, &mut state, repairs)?;
        if scan.end <= SEGMENT_HEADER {
            disk::remove(&segment.path)?;
            disk::sync_dir(dir)?;
            repairs.push(Repair::Removed { path: segment.path, bytes: length });
            continue;
        }
        if !segment.intact {
            repairs.push(Repair::Damaged { path: segment.path.clone(), offset: 0, bytes: SEGMENT_HEADER });
        }
        cut(&segment, &scan, repairs)?;
        if !scan.snapshot {
            fill_in(dir, netmap, &starts, &mut state)?;
        }
        if head.is_none_or(|head| head.segment <= start) {
            state.live = Some(Live { segment, end: scan.end });
        }
        // Else the newest segment is gone. Readers have been there, so a newer one must follow.
        break;
    }
    Ok(state)
}

/// Adds what older segments know to a state whose own snapshot was damaged.
fn fill_in(dir: &Path, netmap: u32, starts: &[u32], state: &mut State) -> Result<()> {
    for start in starts.iter().rev() {
        let segment = Segment::open(dir, netmap, *start, false)?;
        let mut older = State::default();
        // Damage there is told to whoever reads it.
        let scan = scan(&segment, SEGMENT_HEADER, Some(segment.length()?), &mut older, &mut Vec::new())?;
        for (mine, theirs) in [(&mut state.sticky, older.sticky), (&mut state.positions, older.positions)] {
            for (key, value) in theirs {
                mine.entry(key).or_insert(value);
            }
        }
        if scan.snapshot {
            break;
        }
    }
    Ok(())
}

/// Cuts an unfinished commit off.
fn cut(segment: &Segment, scan: &Scan, repairs: &mut Vec<Repair>) -> Result<()> {
    let length = segment.length()?;
    if length > scan.end {
        disk::truncate(&segment.file, &segment.path, scan.end)?;
        if scan.missing {
            return Ok(());
        }
        repairs.push(Repair::Truncated {
            path: segment.path.clone(),
            offset: scan.end,
            bytes: length - scan.end,
            events: scan.unfinished,
        });
    }
    Ok(())
}

/// What reading a segment showed.
struct Scan {
    /// The end of the last finished commit.
    end: u64,
    /// Whether nothing before the first batch that is not a snapshot was damaged.
    snapshot: bool,
    /// Events that are whole behind the end.
    unfinished: u64,
    /// Whether the file is shorter than what was committed; that has been reported.
    missing: bool,
}

enum Change {
    Sticky(Vec<u8>, Vec<u8>),
    Position(Vec<u8>, Vec<u8>),
    Clock { second: u32, sequence: u64 },
}

/// Applies the batches from `from` on to `state`.
///
/// Before `trusted` (the committed end of the head, if it is known) everything counts, and damage is skipped.
/// Behind it a commit counts when it is whole; damage is skipped when the beginning of a later commit follows,
/// which was only written after the damaged one had been synced. Otherwise it is the work of a dead writer.
fn scan(
    segment: &Segment,
    from: u64,
    trusted: Option<u64>,
    state: &mut State,
    repairs: &mut Vec<Repair>,
) -> Result<Scan> {
    let length = segment.length()?;
    let trusted = trusted.unwrap_or(0);
    let committed = trusted.min(length);
    let mut window = Window::new(64 << 10);
    let mut body = Vec::new();
    let mut pending: Vec<Change> = Vec::new();
    let mut scan = Scan { end: from.min(length), snapshot: true, unfinished: 0, missing: false };
    let mut in_snapshot = from <= SEGMENT_HEADER;
    let mut at = from;
    while at < length {
        let limit = if at < committed { committed } else { length };
        let found = window.header(segment, at, limit)?;
        // Where to look on after damage: behind the batch if its header is good.
        let mut search = at + 1;
        let mut usable = false;
        if let Found::Batch(header) = found {
            search = at + header.size();
            // The head vouches for bodies before it, as long as a writer does not need them.
            let needed = at >= committed || !header.is_events();
            usable = !needed || window.body(segment, at, &header, &mut body)?;
            if usable && at >= committed && header.has(FIRST) {
                // Only a damaged end of the commit before can leave something here; it was synced.
                pending.drain(..).for_each(|change| state.apply(change));
                scan.unfinished = 0;
                scan.end = at;
            }
            usable = usable && changes(&header, &body, &mut pending);
            if usable {
                in_snapshot &= header.has(SNAPSHOT);
                scan.unfinished += header.events();
                at = search;
                if at <= committed || header.has(COMMIT) {
                    pending.drain(..).for_each(|change| state.apply(change));
                    scan.unfinished = 0;
                    scan.end = at;
                }
            }
        }
        if !usable {
            let next = if at < committed {
                let next = window.resync(segment, search, committed, false)?.map(|(next, _)| next);
                // A batch that ends in what is missing goes: its header would announce more than is there.
                next.or((trusted <= length).then_some(committed))
            } else {
                let next = window.resync(segment, search, length, true)?;
                if let Some((_, header)) = &next {
                    // Numbers before this commit were used, even if it is not whole itself and goes.
                    state.apply(Change::Clock { second: header.second, sequence: header.sequence });
                }
                // What is good of the damaged commit counts: it was synced, and the positions in it are the last ones.
                match next {
                    Some((first, _)) => {
                        window.resync(segment, search, first, false)?.map(|(any, _)| any).or(Some(first))
                    }
                    None => None,
                }
            };
            let Some(next) = next else { break };
            repairs.push(Repair::Damaged { path: segment.path.clone(), offset: at, bytes: next - at });
            scan.snapshot &= !in_snapshot;
            scan.end = next;
            at = next;
        }
    }
    if trusted > length {
        scan.missing = true;
        let bytes = trusted.saturating_sub(scan.end);
        repairs.push(Repair::Missing { path: segment.path.clone(), offset: scan.end, bytes });
    }
    Ok(scan)
}

/// Collects what a batch changes; false when its body does not have the form its header says.
fn changes(header: &BatchHeader, body: &[u8], pending: &mut Vec<Change>) -> bool {
    let before = pending.len();
    let good = if header.has(STICKY) {
        sticky(header, body, pending).is_some()
    } else if header.has(POSITIONS) {
        positions(header, body, pending).is_some()
    } else {
        true
    };
    if good {
        pending
            .push(Change::Clock { second: header.second, sequence: header.sequence.saturating_add(header.events()) });
    } else {
        pending.truncate(before);
    }
    good
}

fn sticky(header: &BatchHeader, body: &[u8], pending: &mut Vec<Change>) -> Option<()> {
    let (mut items, mut keys) = body.split_at_checked(header.item_bytes())?;
    for _ in 0..header.items {
        let (item, more_items) = split_item(items)?;
        let (key, more_keys) = split_field(keys)?;
        pending.push(Change::Sticky(key.to_vec(), item.to_vec()));
        (items, keys) = (more_items, more_keys);
    }
    (items.is_empty() && keys.is_empty()).then_some(())
}

fn positions(header: &BatchHeader, mut body: &[u8], pending: &mut Vec<Change>) -> Option<()> {
    for _ in 0..header.items {
        let (source, rest) = split_field(body)?;
        let (position, rest) = split_field(rest)?;
        pending.push(Change::Position(source.to_vec(), position.to_vec()));
        body = rest;
    }
    body.is_empty().then_some(())
}
