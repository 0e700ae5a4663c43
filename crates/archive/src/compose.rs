//! Turns a commit into the bytes of its batches.

use crc32c::crc32c;

use crate::format::{
    BATCH_HEADER, BatchHeader, COMMIT, FIRST, MAX_BATCH, POSITIONS, Place, SECOND_AT, SNAPSHOT, STICKY, SegmentHeader,
    VERSION, put_field, split_item,
};

/// Builds the bytes of one commit in `out`, which will be written at file offset `base`.
pub(crate) struct Composer<'a> {
    out: &'a mut Vec<u8>,
    place: Place,
    second: u32,
    sequence: u64,
    batches: Vec<(usize, BatchHeader)>,
}

impl<'a> Composer<'a> {
    /// Starts a commit at `place` with the archival second and the sequence number of its first event.
    pub(crate) fn new(out: &'a mut Vec<u8>, place: Place, second: u32, sequence: u64) -> Self {
        out.clear();
        Composer { out, place, second, sequence, batches: Vec::new() }
    }

    /// Writes the segment header; only as the first thing, for a commit at offset 0.
    pub(crate) fn segment_header(&mut self) {
        let header = SegmentHeader { version: VERSION, netmap: self.place.netmap, start: self.place.segment };
        self.out.extend_from_slice(&header.encode());
    }

    /// Writes sticky items and their keys.
    pub(crate) fn sticky<'i>(&mut self, items: impl Iterator<Item = (&'i [u8], &'i [u8])>, snapshot: bool) {
        let flags = STICKY | if snapshot { SNAPSHOT } else { 0 };
        let mut keys = Vec::new();
        let mut count = 0;
        let mut at = self.open();
        for (key, item) in items {
            if count > 0 && self.body(at) + keys.len() + item.len() + key.len() + 4 > MAX_BATCH {
                self.close(at, flags, count, &keys);
                at = self.open();
                keys.clear();
                count = 0;
            }
            self.out.extend_from_slice(item);
            put_field(&mut keys, key);
            count += 1;
        }
        self.close(at, flags, count, &keys);
    }

    /// Writes events and stamps the archival second into each.
    pub(crate) fn events(&mut self, mut items: &[u8]) {
        let mut count = 0;
        let mut at = self.open();
        while let Some((item, rest)) = split_item(items) {
            if count > 0 && self.body(at) + item.len() > MAX_BATCH {
                self.close(at, 0, count, &[]);
                at = self.open();
                count = 0;
            }
            let start = self.out.len();
            self.out.extend_from_slice(item);
            if let Some(stamp) = self.out.get_mut(start + SECOND_AT..start + SECOND_AT + 4) {
                stamp.copy_from_slice(&self.second.to_be_bytes());
            }
            count += 1;
            items = rest;
        }
        self.close(at, 0, count, &[]);
    }

    /// Writes positions.
    pub(crate) fn positions<'i>(&mut self, pairs: impl Iterator<Item = (&'i [u8], &'i [u8])>, snapshot: bool) {
        let flags = POSITIONS | if snapshot { SNAPSHOT } else { 0 };
        let mut count = 0;
        let mut at = self.open();
        for (source, position) in pairs {
            if count > 0 && self.body(at) + source.len() + position.len() + 8 > MAX_BATCH {
                self.close(at, flags, count, &[]);
                at = self.open();
                count = 0;
            }
            put_field(self.out, source);
            put_field(self.out, position);
            count += 1;
        }
        self.close(at, flags, count, &[]);
    }

    /// Marks the ends of the commit and seals all headers.
    pub(crate) fn finish(self) {
        let last = self.batches.len().saturating_sub(1);
        for (i, (at, mut header)) in self.batches.into_iter().enumerate() {
            header.flags |= if i == 0 { FIRST } else { 0 } | if i == last { COMMIT } else { 0 };
            let from = at + BATCH_HEADER;
            header.crc = crc32c(self.out.get(from..from + header.body as usize).unwrap_or_default());
            let place = Place { offset: self.place.offset + at as u64, ..self.place };
            if let Some(slot) = self.out.get_mut(at..from) {
                slot.copy_from_slice(&header.encode(place));
            }
        }
    }

    fn open(&mut self) -> usize {
        let at = self.out.len();
        self.out.resize(at + BATCH_HEADER, 0);
        at
    }

    fn body(&self, at: usize) -> usize {
        self.out.len() - at - BATCH_HEADER
    }

    /// Ends the batch opened at `at`; one without items vanishes.
    fn close(&mut self, at: usize, flags: u32, items: u32, keys: &[u8]) {
        if items == 0 {
            self.out.truncate(at);
            return;
        }
        self.out.extend_from_slice(keys);
        let header = BatchHeader {
            body: self.body(at) as u32,
            crc: 0,
            second: self.second,
            items,
            flags,
            sequence: self.sequence,
            keys: keys.len() as u32,
        };
        self.sequence = self.sequence.saturating_add(header.events());
        self.batches.push((at, header));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { netmap: 1, segment: 5, offset: 1000 };

    fn item(record: usize, fill: u8) -> Vec<u8> {
        let mut item = vec![0, 0, 0, 4];
        item.extend_from_slice(&(record as u32).to_be_bytes());
        item.resize(8 + record, fill);
        item
    }

    fn headers(out: &[u8]) -> Vec<BatchHeader> {
        let (mut at, mut found) = (0, Vec::new());
        while at < out.len() {
            let header = BatchHeader::decode(&out[at..], Place { offset: 1000 + at as u64, ..PLACE }).unwrap();
            at += header.size() as usize;
            found.push(header);
        }
        found
    }

    #[test]
    fn a_commit_is_sticky_then_events_then_positions_between_marks() {
        let mut out = Vec::new();
        let mut composer = Composer::new(&mut out, PLACE, 0x0a0b_0c0d, 40);
        composer.sticky([(&b"k"[..], &item(8, 1)[..])].into_iter(), false);
        composer.events(&[item(16, 2), item(20, 3)].concat());
        composer.positions([(&b"src"[..], &b"pos"[..])].into_iter(), false);
        composer.finish();
        let found = headers(&out);
        let shape: Vec<_> = found.iter().map(|h| (h.flags, h.items, h.sequence, h.body, h.keys)).collect();
        assert_eq!(shape, [(STICKY | FIRST, 1, 40, 21, 5), (0, 2, 40, 52, 0), (POSITIONS | COMMIT, 1, 42, 14, 0)]);
        assert!(found.iter().all(|h| h.second == 0x0a0b_0c0d));
        let sticky = [&item(8, 1)[..], b"\0\0\0\x01k"].concat();
        assert_eq!(out[40..61], sticky);
        let mut events = [item(16, 2), item(20, 3)].concat();
        for at in [16, 24 + 16] {
            events[at..at + 4].copy_from_slice(&[0x0a, 0x0b, 0x0c, 0x0d]);
        }
        assert_eq!(out[101..153], events, "items verbatim but for the archival second");
        assert_eq!(out[193..], *b"\0\0\0\x03src\0\0\0\x03pos");
    }

    #[test]
    fn bodies_stay_below_the_limit_unless_one_item_is_longer() {
        let mut out = Vec::new();
        let mut composer = Composer::new(&mut out, PLACE, 1, 0);
        let (large, small) = (MAX_BATCH / 7 * 4, MAX_BATCH / 8 * 3);
        let items = [item(large, 1), item(small, 1), item(large, 1), item(2 * MAX_BATCH, 1), item(16, 1)];
        composer.events(&items.concat());
        composer.finish();
        let found = headers(&out);
        let shape: Vec<_> = found.iter().map(|h| (h.items, h.sequence, h.flags)).collect();
        assert_eq!(shape, [(2, 0, FIRST), (1, 2, 0), (1, 3, 0), (1, 4, COMMIT)]);
        assert!(found.iter().all(|h| h.body as usize <= MAX_BATCH || h.items == 1));
    }

    #[test]
    fn long_sticky_and_position_lists_are_split() {
        let mut out = Vec::new();
        let long = vec![9; 60_000];
        let sticky = item(MAX_BATCH / 7 * 4, 1);
        let mut composer = Composer::new(&mut out, PLACE, 1, 0);
        composer.sticky([(&b"a"[..], &sticky[..]), (b"b", &sticky), (b"c", &sticky)].into_iter(), true);
        composer.positions((0..20).map(|_| (&b"s"[..], &long[..])), true);
        composer.finish();
        let shape: Vec<_> = headers(&out).iter().map(|h| (h.flags & !(FIRST | COMMIT), h.items)).collect();
        let (s, p) = (STICKY | SNAPSHOT, POSITIONS | SNAPSHOT);
        assert_eq!(shape, [(s, 1), (s, 1), (s, 1), (p, 4), (p, 4), (p, 4), (p, 4), (p, 4)]);
    }
}
