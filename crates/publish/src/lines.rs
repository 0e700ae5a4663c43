//! Lines of a stream that comes in pieces.

use crate::error::{Flaw, LineError};
use crate::line::MAX_LINE;

/// Cuts a stream into lines. A line that is too long is skipped, however long it is.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    /// Octets of that line that were skipped.
    skipped: usize,
    number: u64,
}

impl Lines {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Lines::default()
    }

    /// Takes a piece. Each line that ends in it is given to `take` with its number, the first being 1, without its line
    /// feed and the blanks around it.
    ///
    /// # Errors
    /// Those of `take`, which gets no more lines then.
    pub fn push<E>(
        &mut self,
        mut piece: &[u8],
        mut take: impl FnMut(u64, Result<&[u8], LineError>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = piece.iter().position(|octet| *octet == b'\n') {
            let (line, rest) = piece.split_at(end);
            piece = rest.get(1..).unwrap_or_default();
            if self.begun.is_empty() && self.skipped == 0 && line.len() <= MAX_LINE {
                self.number += 1;
                take(self.number, Ok(line.trim_ascii()))?;
            } else {
                self.keep(line);
                self.end(&mut take)?;
            }
        }
        self.keep(piece);
        Ok(())
    }

    /// The stream ends: its last line may have no line feed.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn finish<E>(&mut self, mut take: impl FnMut(u64, Result<&[u8], LineError>) -> Result<(), E>) -> Result<(), E> {
        if self.begun.is_empty() && self.skipped == 0 { Ok(()) } else { self.end(&mut take) }
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.skipped > 0 || self.begun.len() + piece.len() > MAX_LINE {
            self.skipped += self.begun.len() + piece.len();
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(piece);
        }
    }

    fn end<E>(&mut self, take: &mut impl FnMut(u64, Result<&[u8], LineError>) -> Result<(), E>) -> Result<(), E> {
        self.number += 1;
        let skipped = std::mem::take(&mut self.skipped);
        let line = std::mem::take(&mut self.begun);
        match skipped {
            0 => take(self.number, Ok(line.trim_ascii())),
            length => take(self.number, Err(Flaw::TooLong { length, most: MAX_LINE }.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(stream: &[u8], size: usize) -> Vec<(u64, Result<Vec<u8>, Flaw>)> {
        let mut found = Vec::new();
        let mut lines = Lines::new();
        let mut take = |number, line: Result<&[u8], LineError>| {
            found.push((number, line.map(<[u8]>::to_vec).map_err(|error| error.flaw)));
            Ok::<(), ()>(())
        };
        stream.chunks(size).for_each(|piece| lines.push(piece, &mut take).unwrap());
        lines.finish(&mut take).unwrap();
        found
    }

    #[test]
    fn the_pieces_do_not_matter() {
        let long = vec![b'x'; MAX_LINE + 1];
        let stream = [b"one\r\n\n  two\n", &long[..], b"\nlast"].concat();
        let whole = cut(&stream, usize::MAX);
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[2], (3, Ok(b"two".to_vec())));
        assert_eq!(whole[3], (4, Err(Flaw::TooLong { length: MAX_LINE + 1, most: MAX_LINE })));
        assert_eq!(whole[4], (5, Ok(b"last".to_vec())));
        for size in [1, 7, 4096] {
            assert_eq!(cut(&stream, size), whole);
        }
    }
}
