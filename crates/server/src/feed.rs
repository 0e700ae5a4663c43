//! Reading the archive for one session, a chunk at a time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use archive::{Catalog, Kind, Lost, Read, Reader};
use control::Captured;
use wire::request::Start;

use crate::selection::{self, Selection};

/// A chunk is given when it has this many bytes. Less than a batch of a busy archive ([`archive::MAX_BATCH`]): one that
/// goes out as it is goes out in the buffer it was read into.
const CHUNK: usize = 128 << 10;

/// Used buffers that are kept, and how large they may be.
const SPARES: usize = 3;
const KEEP: usize = 1 << 20;

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
    /// Used buffers. Their lengths stay: what a buffer has need not be filled with zeros before it is read into.
    spares: Vec<Vec<u8>>,
    /// The last batch went out as it is, buffer and all.
    whole: bool,
}

/// Items for a session.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Whole items, back to back in the form of bundle items.
    pub(crate) pieces: VecDeque<Vec<u8>>,
    /// Their bytes.
    pub(crate) bytes: usize,
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
    fn new(captured: Captured) -> Chunk {
        let pieces = VecDeque::new();
        Chunk { pieces, bytes: 0, records: 0, second: 0, end: false, notes: Vec::new(), captured }
    }

    /// Takes out the events of types that were unchecked after it was read. Of the first piece `at` bytes are gone already;
    /// it begins with what is left afterwards.
    pub(crate) fn hold_back(&mut self, captured: Captured, at: &mut usize) {
        if captured == self.captured {
            return;
        }
        self.captured = captured;
        if let Some(first) = self.pieces.front_mut() {
            first.drain(..std::mem::take(at).min(first.len()));
        }
        let table = captured.table();
        self.records = self.pieces.iter_mut().map(|piece| selection::keep(&table, piece)).sum();
        self.pieces.retain(|piece| !piece.is_empty());
        self.bytes = self.pieces.iter().map(Vec::len).sum();
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
        Ok(Feed { reader, selection, folder, segment: None, batch: Vec::new(), spares: Vec::new(), whole: true })
    }

    /// Reads the next chunk; of events only those of the `captured` types. After an error the feed is where it was and can
    /// be asked again.
    pub(crate) fn fill(&mut self, captured: Captured) -> archive::Result<Chunk> {
        let mut chunk = Chunk::new(captured);
        self.selection.capture(captured);
        let mut read = 0;
        while chunk.bytes < CHUNK && read < READ {
            if self.batch.capacity() == 0 {
                self.batch = self.spares.pop().unwrap_or_default();
            }
            match self.reader.next(&mut self.batch) {
                Ok(Read::Batch(info)) => {
                    self.note_segment(&mut chunk);
                    read += self.batch.len();
                    chunk.second = info.second;
                    self.select(info.kind, &mut chunk);
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
                    self.rest();
                    break;
                }
                // What was read before is good; the error comes again with the next chunk.
                Err(_) if chunk.records > 0 || !chunk.notes.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(chunk)
    }

    /// Adds what is wanted of the batch.
    fn select(&mut self, kind: Kind, chunk: &mut Chunk) {
        // Small batches are put together.
        let mut piece = match chunk.pieces.pop_back() {
            Some(last) if last.len() + self.batch.len() < CHUNK => last,
            last => {
                chunk.pieces.extend(last);
                let mut piece = if self.whole { Vec::new() } else { self.spares.pop().unwrap_or_default() };
                piece.clear();
                piece
            }
        };
        let before = piece.len();
        chunk.records += self.selection.select(kind, &mut self.batch, &mut piece);
        self.whole = self.batch.is_empty();
        chunk.bytes += piece.len() - before;
        if !piece.is_empty() {
            chunk.pieces.push_back(piece);
        }
    }

    /// Takes back buffers that were used, unless they got large.
    pub(crate) fn recycle(&mut self, buffers: &mut Vec<Vec<u8>>) {
        for buffer in buffers.drain(..) {
            if self.spares.len() < SPARES && (1..=KEEP).contains(&buffer.capacity()) {
                self.spares.push(buffer);
            }
        }
    }

    /// Gives buffers up: for now there is nothing to read.
    fn rest(&mut self) {
        (self.batch, self.spares) = (Vec::new(), Vec::new());
    }

    fn note_segment(&mut self, chunk: &mut Chunk) {
        let segment = self.reader.position().map(|p| p.segment);
        if let Some(segment) = segment.filter(|_| segment != self.segment) {
            chunk.notes.push(Note::Opened(self.folder.join(format!("unified2.{segment}"))));
        }
        self.segment = segment;
    }
}
