//! Files of captured messages, read from any message on.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use wire::client::MESSAGE_LIMIT;
use wire::message::{self, HEADER, Message, MessageType};

/// Bytes read at a time.
const READ: usize = 1 << 20;

/// A file of messages back to back.
#[derive(Debug)]
pub(super) struct Capture {
    file: File,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    offset: u64,
    /// Bytes of the buffer that were given out.
    used: usize,
    /// All of the file is in the buffer.
    end: bool,
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Piece<'c> {
    /// A message.
    Message(Message<'c>),
    /// Bytes that are none, up to the next message or the end.
    Damage {
        /// How many.
        bytes: usize,
        /// Why the first of them are no message.
        why: String,
    },
}

impl Capture {
    /// Opens a file at an offset where a message begins.
    pub(super) fn open(path: &Path, offset: u64) -> io::Result<Capture> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Capture { file, buffer: Vec::new(), offset, used: 0, end: false })
    }

    /// Where the next piece begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset + self.used as u64
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        let why = loop {
            let rest = self.rest(0);
            match message::first(rest, MESSAGE_LIMIT).map(|message| message.map(|message| message.size())) {
                Ok(Some(size)) => {
                    let from = self.used;
                    self.used += size;
                    // It is there still.
                    let message = message::first(self.buffer.get(from..).unwrap_or_default(), MESSAGE_LIMIT);
                    return Ok(message.ok().flatten().map(Piece::Message));
                }
                Ok(None) if !self.end => self.fill()?,
                Ok(None) if rest.is_empty() => return Ok(None),
                Ok(None) => {
                    let wanted = message::announced(rest).map_or("its header".to_owned(), |n| format!("{n} bytes"));
                    break format!("it is cut short: {} bytes are there of {wanted}", rest.len());
                }
                Err(error) => break error.to_string(),
            }
        };
        let mut bytes = 1;
        loop {
            match self.begins(bytes)? {
                true => break,
                false => bytes += 1,
            }
        }
        self.used += bytes;
        Ok(Some(Piece::Damage { bytes, why }))
    }

    /// Whether a message begins so many bytes on, or the file ends there: a header of a known type, and behind the message
    /// the end or another header.
    fn begins(&mut self, at: usize) -> io::Result<bool> {
        let Some(length) = self.header(at)? else { return Ok(self.rest(at).is_empty()) };
        let behind = at + HEADER + length;
        while self.rest(behind).len() < HEADER && !self.end {
            self.fill()?;
        }
        let all = self.rest(0).len();
        Ok(behind == all || behind < all && self.header(behind)?.is_some())
    }

    /// The length that a header there announces, if there is one of a known type.
    fn header(&mut self, at: usize) -> io::Result<Option<usize>> {
        while self.rest(at).len() < HEADER && !self.end {
            self.fill()?;
        }
        let Some([0, 1, high, low, a, b, c, d]) = self.rest(at).first_chunk::<HEADER>() else { return Ok(None) };
        let kind = MessageType(u16::from_be_bytes([*high, *low]));
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        Ok(Some(length)
            .filter(|length| u32::try_from(*length).is_ok_and(|n| n <= MESSAGE_LIMIT) && kind.name().is_some()))
    }

    fn rest(&self, at: usize) -> &[u8] {
        self.buffer.get(self.used.saturating_add(at)..).unwrap_or_default()
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.used);
        self.offset += self.used as u64;
        self.used = 0;
        let before = self.buffer.len();
        (&mut self.file).take(READ as u64).read_to_end(&mut self.buffer)?;
        self.end = self.buffer.len() == before;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8]) -> Vec<(u64, Option<usize>)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture");
        std::fs::write(&path, bytes).unwrap();
        let mut capture = Capture::open(&path, 0).unwrap();
        let mut found = Vec::new();
        loop {
            let offset = capture.offset();
            match capture.next().unwrap() {
                None => return found,
                Some(Piece::Message(message)) => found.push((offset, Some(message.body.len()))),
                Some(Piece::Damage { bytes, why }) => {
                    assert!(!why.is_empty() && bytes > 0);
                    found.push((offset, None));
                }
            }
        }
    }

    #[test]
    fn damage_is_skipped_up_to_the_next_message() {
        let mut good = Vec::new();
        message::push(&mut good, MessageType::EVENT_DATA, &[7; 20]);
        message::push(&mut good, MessageType::NULL, &[]);
        assert_eq!(pieces(&good), [(0, Some(20)), (28, Some(0))]);
        let both = [&good[..], b"garbage \0\x01 and more", &good].concat();
        let garbage = both.len() as u64 - 36;
        assert_eq!(
            pieces(&both),
            [(0, Some(20)), (28, Some(0)), (36, None), (garbage, Some(20)), (garbage + 28, Some(0))]
        );
        assert_eq!(pieces(&good[..30]), [(0, Some(20)), (28, None)]);
        assert_eq!(pieces(&good[..27]), [(0, None)]);
        assert_eq!(pieces(b"GET / HTTP/1.1"), [(0, None)]);
        assert_eq!(pieces(b""), []);
        // A length that reaches far beyond what is there.
        let mut long = good.clone();
        long[4..8].copy_from_slice(&1_000_000u32.to_be_bytes());
        assert_eq!(pieces(&[&long[..], &good].concat()).last(), Some(&(64, Some(0))));
    }
}
