//! A compressed file, read once from its start to its end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::lines::{Cut, Lines};
use super::place::{Mark, Place};
use super::tail::id;

/// Whether a file is compressed.
pub(super) fn is_gzip(path: &Path) -> bool {
    let mut magic = [0; 2];
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == [0x1f, 0x8b]
}

/// A compressed file.
pub(super) struct Gzip {
    decoder: MultiGzDecoder<File>,
    lines: Lines,
    id: (u64, u64),
    /// Bytes read, uncompressed.
    read: u64,
    ended: bool,
    line: std::ops::Range<usize>,
}

impl Gzip {
    /// Opens a file, and passes over what was taken of it before.
    pub(super) fn open(path: &Path, place: Option<&Place>) -> io::Result<Gzip> {
        let file = File::open(path)?;
        let id = id(&file.metadata()?);
        let mut gzip =
            Gzip { decoder: MultiGzDecoder::new(file), lines: Lines::default(), id, read: 0, ended: false, line: 0..0 };
        if let Some(place) = place.filter(|place| (place.device, place.inode) == id) {
            let passed = io::copy(&mut gzip.decoder.by_ref().take(place.offset), &mut io::sink())?;
            gzip.read = passed;
            gzip.lines.skipping = place.skipping;
        }
        Ok(gzip)
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<bool>> {
        loop {
            let cut = match self.lines.take() {
                None if self.ended => self.lines.rest(),
                cut => cut,
            };
            match cut {
                Some(Cut::Line(range)) => {
                    self.line = range;
                    return Ok(Some(true));
                }
                Some(Cut::TooLong) => return Ok(Some(false)),
                None if self.ended => return Ok(None),
                None => {}
            }
            match self.decoder.read(self.lines.space()) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.lines.filled(count);
                    self.read += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The line that was found last.
    pub(super) fn line(&self) -> &[u8] {
        self.lines.bytes(self.line.clone())
    }

    pub(super) fn place(&self) -> Place {
        Place {
            device: self.id.0,
            inode: self.id.1,
            offset: self.read - self.lines.pending().len() as u64,
            head: Mark::default(),
            tail: Mark::default(),
            skipping: self.lines.skipping,
        }
    }
}

impl std::fmt::Debug for Gzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gzip").field("read", &self.read).finish_non_exhaustive()
    }
}
