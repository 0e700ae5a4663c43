//! Where each archival second of a segment begins.

use crate::error::Result;
use crate::format::{BatchHeader, SEGMENT_HEADER, STICKY};
use crate::scan::{Found, Segment, Window};

/// The part of a segment that has been walked, by second. At most one entry a second.
#[derive(Debug)]
pub(crate) struct Index {
    entries: Vec<Entry>,
    walked: u64,
    /// The file that was walked; a repair may put another in its place.
    inode: u64,
    /// The last batch that was walked, and where it is.
    last: Option<(u64, BatchHeader)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    second: u32,
    /// Whether there is a sticky batch in this second.
    sticky: bool,
    /// Where the first batch of this second is.
    offset: u64,
}

/// A range of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Index {
    pub(crate) fn new() -> Self {
        Index { entries: Vec::new(), walked: SEGMENT_HEADER, inode: 0, last: None }
    }

    /// Walks the batch headers up to `end`, the committed end of the segment.
    pub(crate) fn extend(&mut self, segment: &Segment, end: u64) -> Result<()> {
        // Small batches share a read; the bodies of large ones are not read.
        let mut window = Window::new(16 << 10);
        if self.inode != segment.inode {
            *self = Index { inode: segment.inode, ..Index::new() };
        }
        if let Some((offset, last)) = self.last
            && window.header(segment, offset, end)? != Found::Batch(last)
        {
            // The segment was cut by a repair and may have been written anew.
            *self = Index { inode: segment.inode, ..Index::new() };
        }
        while self.walked < end {
            if let Found::Batch(header) = window.header(segment, self.walked, end)? {
                self.add(self.walked, &header);
                self.last = Some((self.walked, header));
                self.walked += header.size();
            } else {
                let next = window.resync(segment, self.walked + 1, end, false)?;
                self.walked = next.map_or(end, |(next, _)| next);
            }
        }
        Ok(())
    }

    /// Where the first batch of `second` or later is.
    pub(crate) fn find(&self, second: u32) -> Option<u64> {
        let at = self.entries.partition_point(|entry| entry.second < second);
        self.entries.get(at).map(|entry| entry.offset)
    }

    /// The seconds with sticky batches that lie before `end`.
    pub(crate) fn sticky_before(&self, end: u64) -> Vec<Span> {
        let ends = self.entries.iter().skip(1).map(|entry| entry.offset).chain([u64::MAX]);
        let sticky = self.entries.iter().zip(ends).filter(|(entry, _)| entry.sticky && entry.offset < end);
        sticky.map(|(entry, to)| Span { from: entry.offset, to: to.min(end) }).collect()
    }

    fn add(&mut self, offset: u64, header: &BatchHeader) {
        let sticky = header.has(STICKY);
        match self.entries.last_mut() {
            Some(last) if last.second >= header.second => last.sticky |= sticky,
            _ => self.entries.push(Entry { second: header.second, sticky, offset }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(second: u32, flags: u32) -> BatchHeader {
        BatchHeader { second, flags, ..BatchHeader::default() }
    }

    #[test]
    fn one_entry_a_second() {
        let mut index = Index::new();
        for (offset, second, flags) in
            [(24, 5, STICKY), (100, 5, 0), (200, 7, 0), (300, 7, STICKY), (400, 8, 0), (500, 9, STICKY)]
        {
            index.add(offset, &header(second, flags));
        }
        assert_eq!(index.entries.len(), 4);
        let found: Vec<_> = (4..=10).map(|second| index.find(second)).collect();
        assert_eq!(found, [Some(24), Some(24), Some(200), Some(200), Some(400), Some(500), None]);
        let spans = |end| index.sticky_before(end).iter().map(|s| (s.from, s.to)).collect::<Vec<_>>();
        assert_eq!(spans(24), []);
        assert_eq!(spans(200), [(24, 200)]);
        assert_eq!(spans(400), [(24, 200), (200, 400)]);
        assert_eq!(spans(600), [(24, 200), (200, 400), (500, 600)]);
    }
}
