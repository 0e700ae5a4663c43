//! What was read from a socket, kept in files until the archive has it.
//!
//! A folder beside the sensor's state has files named by ascending numbers: whole lines, in the order in which they were
//! read. One thread appends to the newest ([`Writer`]), the sensor reads ([`Reader`]); its [`Place`] (file and offset) is
//! committed with the events, so that what was not committed is read again. A file all of which is committed is deleted.
//!
//! * Lines are in a file before they are looked at, so a sensor that is killed finds them again.
//! * What is not committed within 100 ms is synced, so that it outlives the machine as well.
//! * A line that was being written when the sensor was killed is cut off at the next start: it was never taken.
//! * Files are begun anew at 16 MiB, at each start, and when a larger one is committed; all of them have 256 MiB at most.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lines::{Cut, Lines};
use super::place::{Mark, Place};

/// A file this large is followed by another one.
const LARGE: u64 = 16 << 20;

/// A file this large is not kept only because nothing follows.
const WORTH: u64 = 1 << 20;

/// All files together, in bytes.
const MOST: u64 = 256 << 20;

/// What is not committed after this time is synced.
const SYNC: Duration = Duration::from_millis(100);

/// The device of a [`Place`] that is in a spool.
const DEVICE: u64 = u64::MAX;

/// A line in the place of one that was too long.
pub(super) const TOO_LONG: &[u8] = b"\0";

/// How far the sensor's commits have come: file and offset.
type Committed = Arc<Mutex<(u64, u64)>>;

/// Opens a spool at a place that was committed; another one's place counts as none.
pub(super) fn open(folder: &Path, place: Option<&Place>) -> io::Result<(Writer, Reader)> {
    fs::create_dir_all(folder)?;
    let place = place.filter(|place| place.device == DEVICE).map(|place| (place.inode, place.offset));
    let mut numbers = numbers(folder)?;
    if let Some((committed, _)) = place {
        for number in numbers.iter().filter(|number| **number < committed) {
            fs::remove_file(folder.join(number.to_string()))?;
        }
        numbers.retain(|number| *number >= committed);
    }
    let mut closed = VecDeque::new();
    for number in &numbers {
        closed.push_back((*number, cut(&folder.join(number.to_string()))?));
    }
    let newest = numbers.last().copied().max(place.map(|(number, _)| number)).unwrap_or(0);
    let number = newest + 1;
    let file = create(folder, number)?;
    let (first, offset) = match (numbers.first(), place) {
        (Some(first), Some((committed, offset))) if *first == committed => (*first, offset),
        (Some(first), _) => (*first, 0),
        (None, _) => (number, 0),
    };
    let committed = Arc::new(Mutex::new((first, offset)));
    let writer = Writer {
        folder: folder.to_owned(),
        number,
        file,
        length: 0,
        closed,
        unsynced: None,
        committed: committed.clone(),
    };
    let reader = Reader {
        folder: folder.to_owned(),
        number: first,
        file: None,
        read: offset,
        lines: Lines::default(),
        line: None,
        committed,
    };
    Ok((writer, reader))
}

/// Appends lines.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    number: u64,
    file: File,
    length: u64,
    /// Older files that may be there still, with their lengths.
    closed: VecDeque<(u64, u64)>,
    /// Since when there is something that is not synced.
    unsynced: Option<Instant>,
    committed: Committed,
}

impl Writer {
    /// Appends whole lines. After an error nothing of them is there.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.length >= LARGE {
            self.next()?;
        }
        if let Err(error) = self.file.write_all(lines) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Whether there is room for more.
    pub(super) fn has_room(&mut self) -> bool {
        let (number, offset) = committed(&self.committed);
        self.closed.retain(|(closed, _)| *closed >= number);
        let read = if self.closed.front().is_some_and(|(closed, _)| *closed == number) { offset } else { 0 };
        self.closed.iter().map(|(_, length)| length).sum::<u64>() + self.length < MOST + read.min(MOST)
    }

    /// Syncs what waits too long, and begins another file where that lets a large one be deleted.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        if committed(&self.committed) == (self.number, self.length) {
            self.unsynced = None;
            if self.length >= WORTH {
                self.next()?;
            }
        }
        if self.unsynced.is_some_and(|since| since.elapsed() >= SYNC) {
            self.sync()?;
        }
        Ok(())
    }

    /// Syncs what is not synced.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced.is_some() {
            self.file.sync_data()?;
            self.unsynced = None;
        }
        Ok(())
    }

    /// Deletes everything, if everything is committed.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if committed(&self.committed) == (self.number, self.length) || self.length == 0 {
            fs::remove_file(self.folder.join(self.number.to_string()))?;
        }
        self.sync()
    }

    fn next(&mut self) -> io::Result<()> {
        self.sync()?;
        let file = create(&self.folder, self.number + 1)?;
        self.closed.push_back((self.number, self.length));
        (self.file, self.length) = (file, 0);
        self.number += 1;
        Ok(())
    }
}

/// Reads lines and knows which of them are committed.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    number: u64,
    file: Option<File>,
    /// How far the file was read.
    read: u64,
    lines: Lines,
    line: Option<Cut>,
    committed: Committed,
}

impl Reader {
    /// Takes the next line; `false` when there is none now.
    pub(super) fn next(&mut self) -> io::Result<bool> {
        loop {
            self.line = self.lines.take();
            if self.line.is_some() {
                return Ok(true);
            }
            // What is in a file is whole when there is a next one; asked in the other order something could be missed.
            let last = self.folder.join((self.number + 1).to_string());
            let followed = fs::exists(&last)?;
            if self.fill()? {
                continue;
            }
            if !followed {
                return Ok(false);
            }
            self.lines.clear();
            (self.number, self.file, self.read) = (self.number + 1, None, 0);
        }
    }

    /// The line that was taken last; nothing stands for one that was too long.
    pub(super) fn line(&self) -> Option<&[u8]> {
        match &self.line {
            Some(Cut::Line(range)) => Some(self.lines.bytes(range.clone())).filter(|line| *line != TOO_LONG),
            Some(Cut::TooLong) | None => None,
        }
    }

    /// The place behind the line that was taken last.
    pub(super) fn place(&self) -> Place {
        Place {
            device: DEVICE,
            inode: self.number,
            offset: self.read - self.lines.pending().len() as u64,
            head: Mark::default(),
            tail: Mark::default(),
            skipping: false,
        }
    }

    /// A place is committed: files before it are deleted.
    pub(super) fn committed(&mut self, place: &Place) -> io::Result<()> {
        let before = committed(&self.committed).0;
        for number in before..place.inode {
            match fs::remove_file(self.folder.join(number.to_string())) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = (place.inode, place.offset);
        Ok(())
    }

    fn fill(&mut self) -> io::Result<bool> {
        if self.file.is_none() {
            match File::open(self.folder.join(self.number.to_string())) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &self.file else { return Ok(false) };
        let count = loop {
            match file.read_at(self.lines.space(), self.read) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.lines.filled(count);
        self.read += count as u64;
        Ok(count > 0)
    }
}

fn committed(committed: &Committed) -> (u64, u64) {
    *committed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers of the files there are, in order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn create(folder: &Path, number: u64) -> io::Result<File> {
    let path = folder.join(number.to_string());
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Cuts off a line that is not whole, and gives the length.
fn cut(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let (mut end, mut block) = (length, [0; 4096]);
    let whole = loop {
        let from = end.saturating_sub(block.len() as u64);
        let part = block.get_mut(..usize::try_from(end - from).unwrap_or(0)).unwrap_or_default();
        file.read_exact_at(part, from)?;
        match part.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => break from + at as u64 + 1,
            None if from == 0 => break 0,
            None => end = from,
        }
    };
    if whole < length {
        file.set_len(whole)?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut Reader) -> Vec<String> {
        let mut lines = Vec::new();
        while reader.next().unwrap() {
            lines.push(reader.line().map_or("(too long)".into(), |line| String::from_utf8(line.to_vec()).unwrap()));
        }
        lines
    }

    fn files(folder: &Path) -> Vec<u64> {
        numbers(folder).unwrap()
    }

    #[test]
    fn lines_are_there_until_they_are_committed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (mut writer, mut reader) = open(folder, None).unwrap();
        assert!(!reader.next().unwrap());
        writer.append(b"one\ntwo\n").unwrap();
        assert_eq!(all(&mut reader), ["one", "two"]);
        let place = reader.place();
        writer.append(b"\0\nfour\n").unwrap();
        assert_eq!(all(&mut reader), ["(too long)", "four"]);
        reader.committed(&place).unwrap();
        // Killed within a write; the archive has the first two.
        fs::OpenOptions::new().append(true).open(folder.join("1")).unwrap().write_all(b"half a li").unwrap();
        drop((writer, reader));
        let (mut writer, mut reader) = open(folder, Some(&place)).unwrap();
        writer.append(b"five\n").unwrap();
        assert_eq!(all(&mut reader), ["(too long)", "four", "five"]);
        assert_eq!(files(folder), [1, 2]);
        reader.committed(&reader.place()).unwrap();
        assert_eq!(files(folder), [2]);
        // An end in order leaves nothing.
        writer.finish().unwrap();
        assert_eq!(files(folder), [0; 0]);
        let last = reader.place();
        let (mut writer, mut reader) = open(folder, Some(&last)).unwrap();
        writer.append(b"six\n").unwrap();
        assert_eq!(all(&mut reader), ["six"]);
        assert_eq!(files(folder), [3], "a number is never used twice");
        // Without the position all is read that is there.
        drop((writer, reader));
        let (_writer, mut reader) = open(folder, None).unwrap();
        assert_eq!(all(&mut reader), ["six"]);
    }

    #[test]
    fn files_are_begun_anew_and_have_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (mut writer, mut reader) = open(folder, None).unwrap();
        let mut lines = vec![b'x'; 999];
        lines.push(b'\n');
        let lines = lines.repeat(1 << 10);
        let mut written = 0;
        while writer.has_room() {
            writer.append(&lines).unwrap();
            written += 1 << 10;
        }
        let there = files(folder);
        assert!((15..=17).contains(&there.len()), "{there:?}");
        let mut read = 0;
        while reader.next().unwrap() {
            read += 1;
        }
        assert_eq!(read, written);
        assert!(!writer.has_room(), "nothing is committed");
        reader.committed(&reader.place()).unwrap();
        assert!(writer.has_room());
        assert_eq!(files(folder).len(), 1);
        let newest = files(folder)[0];
        writer.turn().unwrap();
        assert_eq!(files(folder), [newest, newest + 1], "what is large does not stay for nothing");
        assert!(!reader.next().unwrap());
        reader.committed(&reader.place()).unwrap();
        assert_eq!(files(folder), [newest + 1]);
    }
}
