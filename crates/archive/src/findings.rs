//! What an examination of an archive can find.

use std::fmt;
use std::path::PathBuf;

/// A place where an archive is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// How many bytes are concerned.
    pub bytes: u64,
    /// Events that cannot be read for it.
    pub events: u64,
    /// What is wrong.
    pub what: What,
}

/// What can be wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The bytes are not those that were written: a checksum is wrong.
    Damaged,
    /// The system cannot read the bytes.
    Unreadable(String),
    /// The bytes are as written, but not what a batch of their kind holds.
    Malformed(&'static str),
    /// The numbers of the events have a gap: a segment was deleted from the middle, or bytes are gone.
    Missing,
    /// Sequence number or archival second are less than before.
    Backwards,
    /// The segment was written by another version, or for another place.
    Foreign(String),
    /// The 24 bytes at the beginning are not those of this segment. Nothing is lost by it.
    SegmentHeader,
    /// So many items and positions of older segments are not in the copy at the beginning of this one.
    Snapshot(usize),
    /// The head is missing, corrupt, or names a segment that is not there or is shorter.
    Head(&'static str),
    /// Bytes of a commit that was never finished nor acknowledged.
    Unfinished,
    /// A gap that [`repair`](crate::repair) left where it cut damage out.
    Cut,
    /// A record that is as it was written, but not as its type should be.
    Record(String),
}

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is to be done.
    Note,
    /// Something can be made good, and nothing is lost.
    Curable,
    /// Something is lost.
    Loss,
}

impl What {
    /// What follows from it.
    pub fn severity(&self) -> Severity {
        match self {
            What::Cut | What::Record(_) => Severity::Note,
            What::SegmentHeader | What::Snapshot(_) | What::Head(_) | What::Unfinished => Severity::Curable,
            What::Damaged
            | What::Unreadable(_)
            | What::Malformed(_)
            | What::Missing
            | What::Backwards
            | What::Foreign(_) => Severity::Loss,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Damaged => f.write_str("the bytes are damaged"),
            What::Unreadable(why) => write!(f, "the bytes cannot be read ({why})"),
            What::Malformed(why) => write!(f, "the bytes are as written, but {why}"),
            What::Missing => f.write_str("events are missing before this place"),
            What::Backwards => f.write_str("sequence number or archival second go back"),
            What::Foreign(why) => f.write_str(why),
            What::SegmentHeader => f.write_str("the segment header is damaged"),
            What::Snapshot(n) => write!(f, "the copy of metadata and positions at the beginning lacks {n} of them"),
            What::Head(why) => write!(f, "the head {why}"),
            What::Unfinished => f.write_str("a commit that was never finished nor acknowledged"),
            What::Cut => f.write_str("damage was cut out here by a repair"),
            What::Record(why) => write!(f, "a record is not as its type should be: {why}"),
        }
    }
}

/// What an examination saw of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The network map.
    pub netmap: u32,
    /// Start second in its name.
    pub start: u32,
    /// The file.
    pub path: PathBuf,
    /// Bytes examined: its length, or for the newest segment as much as is committed.
    pub bytes: u64,
    /// Archival second of its last batch; `None` when none can be read.
    pub last: Option<u32>,
    /// Sequence number of its first event.
    pub first_sequence: u64,
    /// Events that can be read.
    pub events: u64,
    /// Metadata items, copies included.
    pub metadata: u64,
    /// Whether commits are appended to it.
    pub newest: bool,
    /// What is wrong, by place; at most [`MOST_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Findings beyond that.
    pub more: u64,
}

/// Findings told of a segment.
pub const MOST_FINDINGS: usize = 1000;

impl Checked {
    /// The worst of what was found; `None` when all is well.
    pub fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.what.severity()).max()
    }

    /// Events that are known to be lost in this segment or before it.
    pub fn lost(&self) -> u64 {
        self.findings.iter().filter(|finding| finding.what.severity() == Severity::Loss).map(|f| f.events).sum()
    }

    pub(crate) fn find(&mut self, offset: u64, bytes: u64, events: u64, what: What) {
        // What matters is never crowded out by notes.
        if self.findings.len() >= MOST_FINDINGS {
            self.more += 1;
            if what.severity() == Severity::Note {
                return;
            }
            let Some(note) = self.findings.iter().position(|f| f.what.severity() == Severity::Note) else { return };
            self.findings.remove(note);
        }
        self.findings.push(Finding { path: self.path.clone(), offset, bytes, events, what });
    }
}
