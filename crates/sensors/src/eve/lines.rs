//! Bytes cut into lines, of which none may be too long.

use std::ops::Range;

/// The longest line that is read. A packet in base64 takes up to 90 KB, a statistics line less.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Bytes read at once.
const READ: usize = 128 * 1024;

/// What was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A line, without its end: a place in [`Lines::bytes`].
    Line(Range<usize>),
    /// The end of a line that was too long; what came before is gone.
    TooLong,
}

/// A buffer of bytes that were read and not taken.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buf: Vec<u8>,
    /// Bytes not taken are `buf[start..end]`.
    start: usize,
    end: usize,
    /// How far there is no end of a line.
    seen: usize,
    /// Within a line that is too long.
    pub(super) skipping: bool,
}

impl Lines {
    /// Takes the next line that is whole.
    pub(super) fn take(&mut self) -> Option<Cut> {
        let fresh = self.buf.get(self.seen..self.end).unwrap_or_default();
        let Some(at) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.seen = self.end;
            if self.skipping || self.end - self.start > MAX_LINE {
                self.skipping = true;
                self.start = self.end;
            }
            return None;
        };
        let (from, to) = (self.start, self.seen + at);
        self.start = to + 1;
        self.seen = self.start;
        if std::mem::take(&mut self.skipping) || to - from > MAX_LINE {
            return Some(Cut::TooLong);
        }
        Some(Cut::Line(from..to))
    }

    /// Takes what is left as a line: nothing follows.
    pub(super) fn rest(&mut self) -> Option<Cut> {
        let from = self.start;
        self.start = self.end;
        self.seen = self.end;
        if std::mem::take(&mut self.skipping) {
            return Some(Cut::TooLong);
        }
        (from < self.end).then_some(Cut::Line(from..self.end))
    }

    /// Bytes of a line that was taken; gone after the next [`space`](Self::space).
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buf.get(range).unwrap_or_default()
    }

    /// Bytes that are not taken.
    pub(super) fn pending(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    /// Room for more bytes. It grows with the line in it, which is bounded.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.seen -= self.start;
        self.start = 0;
        if self.buf.len() < self.end + READ {
            self.buf.resize(self.end + READ, 0);
        }
        self.buf.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were put into the space.
    pub(super) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buf.len());
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.seen, self.skipping) = (0, 0, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(lines: &mut Lines, bytes: &[u8]) {
        lines.space()[..bytes.len()].copy_from_slice(bytes);
        lines.filled(bytes.len());
    }

    fn text(lines: &mut Lines) -> Option<String> {
        lines.take().map(|cut| match cut {
            Cut::Line(range) => String::from_utf8(lines.bytes(range).to_vec()).unwrap(),
            Cut::TooLong => "(too long)".to_owned(),
        })
    }

    #[test]
    fn lines_are_cut_wherever_reads_end() {
        let mut lines = Lines::default();
        for byte in b"one\n\ntwo\nthr" {
            put(&mut lines, &[*byte]);
        }
        for expected in ["one", "", "two"] {
            assert_eq!(text(&mut lines).as_deref(), Some(expected));
        }
        assert_eq!(text(&mut lines), None);
        assert_eq!(lines.pending(), b"thr");
        assert_eq!(lines.rest().map(|_| ()), Some(()));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_while_it_comes() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            put(&mut lines, &[b'x'; 65_536]);
            assert_eq!(text(&mut lines), None);
        }
        assert!(lines.buf.len() < 2 * MAX_LINE);
        put(&mut lines, b"end\nnext\n");
        assert_eq!(text(&mut lines).as_deref(), Some("(too long)"));
        assert_eq!(text(&mut lines).as_deref(), Some("next"));
    }
}
