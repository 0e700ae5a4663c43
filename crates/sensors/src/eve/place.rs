//! Where a sensor is, in a form that outlives it.

use xxhash_rust::xxh3::xxh3_64;

/// The bytes that tell one file from another, at most.
pub(super) const WINDOW: usize = 64;

/// A few bytes of a file, by length and hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) length: u8,
    hash: u64,
}

impl Mark {
    pub(super) fn of(bytes: &[u8]) -> Mark {
        let bytes = bytes.get(..WINDOW).unwrap_or(bytes);
        Mark { length: u8::try_from(bytes.len()).unwrap_or(0), hash: xxh3_64(bytes) }
    }
}

/// The place behind the last line taken of a file. Its first bytes and those before the place tell whether another
/// file is the same: a name does not after a rotation, an inode not after copying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) offset: u64,
    pub(super) head: Mark,
    pub(super) tail: Mark,
    /// Within a line that is too long.
    pub(super) skipping: bool,
}

/// What is committed with the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Number of the commit: which rows of the database hold.
    pub(super) commit: u64,
    /// Number of the last intrusion event.
    pub(super) events: u32,
    /// Lines read.
    pub(super) lines: u64,
    /// The place in the file; nothing for a socket.
    pub(super) place: Option<Place>,
}

impl Position {
    const VERSION: u8 = 1;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        out.extend_from_slice(&self.commit.to_be_bytes());
        out.extend_from_slice(&self.events.to_be_bytes());
        out.extend_from_slice(&self.lines.to_be_bytes());
        if let Some(place) = &self.place {
            out.push(u8::from(place.skipping));
            for number in [place.device, place.inode, place.offset] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            for mark in [place.head, place.tail] {
                out.push(mark.length);
                out.extend_from_slice(&mark.hash.to_be_bytes());
            }
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Position> {
        let rest = bytes.strip_prefix(&[Self::VERSION])?;
        let (commit, rest) = number(rest)?;
        let (events, rest) = rest.split_first_chunk()?;
        let (lines, rest) = number(rest)?;
        let mut position = Position { commit, events: u32::from_be_bytes(*events), lines, place: None };
        let Some((skipping, rest)) = rest.split_first() else { return Some(position) };
        let (device, rest) = number(rest)?;
        let (inode, rest) = number(rest)?;
        let (offset, rest) = number(rest)?;
        let (head, rest) = mark(rest)?;
        let (tail, rest) = mark(rest)?;
        let fits = *skipping <= 1 && rest.is_empty() && u64::from(head.length.max(tail.length)) <= offset;
        position.place = Some(Place { device, inode, offset, head, tail, skipping: *skipping == 1 });
        fits.then_some(position)
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u64::from_be_bytes(*number), rest))
}

fn mark(bytes: &[u8]) -> Option<(Mark, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (hash, rest) = number(rest)?;
    (usize::from(*length) <= WINDOW).then_some((Mark { length: *length, hash }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_kept_as_bytes_and_others_refused() {
        let place = Place {
            device: 7,
            inode: 1 << 40,
            offset: 1000,
            head: Mark::of(b"head"),
            tail: Mark::of(&[1; 100]),
            skipping: true,
        };
        for place in [None, Some(place)] {
            let position = Position { commit: 3, events: 9, lines: 12, place };
            let bytes = position.encode();
            assert_eq!(Position::decode(&bytes), Some(position));
            for cut in 0..bytes.len() {
                assert_ne!(Position::decode(&bytes[..cut]), Some(position));
            }
            assert_eq!(Position::decode(&[&bytes[..], &[0; 50]].concat()), None);
        }
        assert_eq!(Position::decode(&[2; 21]), None);
    }
}
