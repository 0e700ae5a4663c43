//! Reading the archive for one session, a chunk at a time.

use std::path::PathBuf;
use std::sync::Arc;

use archive::{Catalog, Lost, Read, Reader};
use control::Captured;
use wire::request::Start;

use crate::selection::{self, Selection};

/// A chunk is given when it has this many bytes.
pub(crate) const CHUNK: usize = 256 << 10;

/// A chunk is given, even an empty one, when this many bytes were read for it: then others have their turn.
const READ: usize = 8 << 20;

/// Reads what one session wants. All of it blocks.
pub(crate) struct Feed {
    reader: Reader,
    selection: Selection,
    /// The folder of the network map.
    folder: PathBuf,
    segment: Option<u32>,
    batch: Vec<u8>,
    spare: Vec<u8>,
}

/// Items for a session, back to back in the form of bundle items.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) items: Vec<u8>,
    pub(crate) records: u64,
    /// Archival second of the last one.
    pub(crate) second: u32,
    /// Nothing more is committed.
    pub(crate) end: bool,
    pub(crate) notes: Vec<Note>,
    /// The event types that were captured when it was read.
    captured: Captured,
}

impl Chunk {
    /// Takes out the events of types that were unchecked after it was read.
    pub(crate) fn hold_back(&mut self, captured: Captured) {
        if captured != self.captured {
            self.records = selection::keep(&captured.table(), &mut self.items);
            self.captured = captured;
        }
    }
}

/// What is to be logged about a chunk.
#[derive(Debug)]
pub(crate) enum Note {
    /// A segment was begun.
    Opened(PathBuf),
    /// Something is missing.
    Lost(Lost),
}

impl Feed {
    pub(crate) fn open(
        catalog: Arc<Catalog>,
        folder: PathBuf,
        start: Start,
        selection: Selection,
    ) -> archive::Result<Feed> {
        let start = match start {
            Start::Genesis => archive::Start::Genesis,
            Start::Now => archive::Start::Now,
            Start::Second(second) => archive::Start::Second(second),
        };
        let reader = Reader::in_catalog(catalog, start)?;
        Ok(Feed { reader, selection, folder, segment: None, batch: Vec::new(), spare: Vec::new() })
    }

    /// Reads the next chunk; of events only those of the `captured` types. After an error the feed is where it was and can
    /// be asked again.
    pub(crate) fn fill(&mut self, captured: Captured) -> archive::Result<Chunk> {
        let mut items = std::mem::take(&mut self.spare);
        items.clear();
        let mut chunk = Chunk { items, records: 0, second: 0, end: false, notes: Vec::new(), captured };
        self.selection.capture(captured);
        let mut read = 0;
        while chunk.items.len() < CHUNK && read < READ {
            match self.reader.next(&mut self.batch) {
                Ok(Read::Batch(info)) => {
                    self.note_segment(&mut chunk);
                    read += self.batch.len();
                    chunk.second = info.second;
                    chunk.records += self.selection.select(info.kind, &mut self.batch, &mut chunk.items);
                }
                Ok(Read::Lost(lost)) => {
                    self.note_segment(&mut chunk);
                    chunk.notes.push(Note::Lost(lost));
                    // Damage can be in many places; each is small work, but not none.
                    read += 4096;
                }
                Ok(Read::End) => {
                    self.note_segment(&mut chunk);
                    chunk.end = true;
                    // An idle session needs no buffers.
                    self.batch = Vec::new();
                    break;
                }
                // What was read before is good; the error comes again with the next chunk.
                Err(_) if chunk.records > 0 || !chunk.notes.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(chunk)
    }

    /// Takes back the buffer of a chunk that was used, unless it got large.
    pub(crate) fn recycle(&mut self, items: Vec<u8>) {
        if items.capacity() <= 4 * CHUNK {
            self.spare = items;
        }
    }

    fn note_segment(&mut self, chunk: &mut Chunk) {
        let segment = self.reader.position().map(|p| p.segment);
        if let Some(segment) = segment.filter(|_| segment != self.segment) {
            chunk.notes.push(Note::Opened(self.folder.join(format!("unified2.{segment}"))));
        }
        self.segment = segment;
    }
}
