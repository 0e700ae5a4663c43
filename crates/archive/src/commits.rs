//! Reading whole commits, and who made them.

use crate::error::Result;
use crate::format::{COMMIT, POSITIONS, SNAPSHOT, split_field};
use crate::reader::{Kind, Lag, Lost, Read, Reader};

/// A commit: its items and the sources whose position it moved.
///
/// A sensor commits its events together with its position, so the sources say who made a commit (rule C1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commitment {
    /// Archival second of all of it.
    pub second: u32,
    /// Sequence number of the first event in or behind it.
    pub first_sequence: u64,
    /// Number of events.
    pub count: u64,
    /// Sticky items, back to back; at the head of a segment a copy of all there are.
    pub sticky: Vec<u8>,
    /// Events, back to back.
    pub events: Vec<u8>,
    /// Names of the sources whose position changed with it.
    pub sources: Vec<Vec<u8>>,
    /// Whether all of it is here. Where an archive is damaged a part may be missing, the sources among it.
    pub whole: bool,
}

/// What [`Commits::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A commit.
    Commit,
    /// Something that was committed cannot be read, and was skipped. What was read of its commit is in the
    /// [`Commitment`], which is not [`whole`](Commitment::whole), and may be empty.
    Lost(Lost),
    /// Nothing more is committed now.
    End,
}

/// Reads an archive commit by commit.
#[derive(Debug)]
pub struct Commits {
    reader: Reader,
    batch: Vec<u8>,
    /// The last call gave what is in the caller's commitment.
    given: bool,
}

impl Commits {
    /// Goes on where a reader is.
    pub fn new(reader: Reader) -> Commits {
        Commits { reader, batch: Vec::new(), given: true }
    }

    /// Gives the next commit. Call it with the same `commit` each time: after [`Step::End`] it may hold a part.
    ///
    /// # Errors
    /// As for [`Reader::next`]. Nothing is lost by one: call again.
    pub fn next(&mut self, commit: &mut Commitment) -> Result<Step> {
        if std::mem::take(&mut self.given) {
            commit.sticky.clear();
            commit.events.clear();
            commit.sources.clear();
            (commit.count, commit.whole) = (0, false);
        }
        loop {
            let (read, flags) = self.reader.next_flagged(&mut self.batch, true)?;
            match read {
                Read::End => return Ok(Step::End),
                Read::Lost(lost) => {
                    self.given = true;
                    return Ok(Step::Lost(lost));
                }
                Read::Batch(info) => {
                    commit.second = info.second;
                    if commit.count == 0 {
                        commit.first_sequence = info.first_sequence;
                    }
                    match info.kind {
                        Kind::Events => {
                            commit.count += u64::from(info.items);
                            commit.events.extend_from_slice(&self.batch);
                        }
                        Kind::Sticky { .. } if flags & POSITIONS == 0 => commit.sticky.extend_from_slice(&self.batch),
                        Kind::Sticky { .. } if flags & SNAPSHOT == 0 => sources(&self.batch, &mut commit.sources),
                        Kind::Sticky { .. } => {}
                    }
                    if flags & COMMIT != 0 {
                        (self.given, commit.whole) = (true, true);
                        return Ok(Step::Commit);
                    }
                }
            }
        }
    }

    /// How far it is behind.
    ///
    /// # Errors
    /// As for [`Reader::lag`].
    pub fn lag(&self) -> Result<Option<Lag>> {
        self.reader.lag()
    }
}

/// The names in a body of positions.
fn sources(mut body: &[u8], names: &mut Vec<Vec<u8>>) {
    while let Some((name, rest)) = split_field(body) {
        names.push(name.to_vec());
        body = split_field(rest).map_or(&[], |(_, rest)| rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Archive, Batch, Clock, Options, Start};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn item(data: u8) -> Vec<u8> {
        let mut item = vec![0, 0, 0, 4, 0, 0, 0, 20];
        item.extend_from_slice(&[0; 16]);
        item.extend_from_slice(&[data; 4]);
        item
    }

    #[test]
    fn each_commit_comes_whole_and_with_its_sources() {
        let dir = tempfile::tempdir().unwrap();
        let second = Arc::new(AtomicU32::new(100));
        let clock = second.clone();
        let options = Options {
            clock: Clock::new(move || clock.load(Ordering::Relaxed)),
            segment_seconds: 10,
            ..Options::default()
        };
        let (mut archive, _) = Archive::open(dir.path(), 0, options).unwrap();
        let mut write = |source: Option<&[u8]>, data: u8| {
            let mut batch = Batch::new();
            batch.push_event(&item(data)).unwrap();
            batch.push_event(&item(data)).unwrap();
            if let Some(source) = source {
                batch.set_position(source, &[data]).unwrap();
                batch.push_sticky(source, &item(data)).unwrap();
            }
            archive.commit(&mut batch).unwrap();
        };
        write(Some(b"a"), 1);
        write(None, 2);
        write(Some(b"b"), 3);
        second.store(120, Ordering::Relaxed);
        // A new segment begins with the positions of all sources.
        write(Some(b"a"), 4);
        write(Some(b"a"), 4);

        let mut commits = Commits::new(Reader::open(dir.path(), 0, Start::Genesis).unwrap());
        let mut found = Vec::new();
        let mut commit = Commitment::default();
        while commits.next(&mut commit).unwrap() == Step::Commit {
            assert!(commit.whole && commit.count == 2);
            let names: Vec<_> = commit.sources.iter().map(|s| String::from_utf8(s.clone()).unwrap()).collect();
            found.push((commit.second, commit.first_sequence, *commit.events.last().unwrap(), names.concat()));
        }
        let of = |second, sequence, data, name: &str| (second, sequence, data, name.to_owned());
        // The last one moved no position.
        assert_eq!(
            found,
            [of(100, 0, 1, "a"), of(100, 2, 2, ""), of(100, 4, 3, "b"), of(120, 6, 4, "a"), of(120, 8, 4, "")]
        );
        assert_eq!(commit.sticky.len(), 0);
    }
}
