//! A file and what it was before it was rotated.
//!
//! Suricata appends to one file. It is rotated in one of two ways: the file is renamed and a new one made, or it is
//! copied and cut to nothing (`copytruncate`). In both cases what was not read is read from the file that was renamed or
//! from the copy, whichever holds the bytes that were read last; then come files that were rotated later, in their order;
//! then the file itself from its start.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::lines::Cut;
use super::place::Place;
use super::tail::{Fill, Tail, id, modified};

/// What came of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A line, whose bytes [`Follow::line`] gives.
    Line,
    /// The end of a line that was too long.
    TooLong,
    /// Something happened that a person may want to know.
    Notice(Notice),
    /// Nothing, for now.
    Nothing,
}

/// What happened to the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Reading goes on in another file.
    Rotated(PathBuf),
    /// What was not read of the file is nowhere to be found.
    Gone,
}

/// Follows a file.
#[derive(Debug)]
pub(super) struct Follow {
    path: PathBuf,
    /// How long a file that was renamed is still waited on: Suricata writes to it until it is told.
    grace: Duration,
    current: Option<Tail>,
    /// The current file is not the one of the name any more.
    old: bool,
    replaced: Option<Instant>,
    line: Option<std::ops::Range<usize>>,
    notices: VecDeque<Notice>,
}

impl Follow {
    /// Follows a file from a place, or from its start. It need not be there yet.
    pub(super) fn open(path: &Path, place: Option<&Place>, grace: Duration) -> io::Result<Follow> {
        let mut follow = Follow {
            path: path.to_owned(),
            grace,
            current: None,
            old: false,
            replaced: None,
            line: None,
            notices: VecDeque::new(),
        };
        if let Some(place) = place {
            follow.find(place)?;
        }
        Ok(follow)
    }

    /// Looks for the next line.
    pub(super) fn poll(&mut self) -> io::Result<Found> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Found::Notice(notice));
            }
            let Some(tail) = &mut self.current else {
                match Tail::open(&self.path) {
                    Ok(tail) => self.current = Some(tail),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
                    Err(error) => return Err(error),
                }
                self.old = false;
                continue;
            };
            if let Some(cut) = tail.take() {
                return Ok(self.cut(cut));
            }
            match tail.fill()? {
                Fill::More => continue,
                Fill::Rewritten => {
                    let place = tail.place();
                    self.rewritten(&place)?;
                    continue;
                }
                Fill::End => {}
            }
            if self.old {
                if let Some(found) = self.leave()? {
                    return Ok(found);
                }
                continue;
            }
            match fs::metadata(&self.path) {
                Ok(meta) if id(&meta) != tail.id() => {
                    if self.replaced.get_or_insert_with(Instant::now).elapsed() < self.grace {
                        return Ok(Found::Nothing);
                    }
                    // What came while we looked is read before the file is left.
                    self.replaced = None;
                    self.old = true;
                }
                Ok(_) => return Ok(Found::Nothing),
                // Renamed, and the new one is not there yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what follows the last line end, when no more will be written.
    pub(super) fn rest(&mut self) -> Found {
        let whole = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        match &mut self.current {
            // A piece of a line is left for whoever reads on.
            Some(tail) if !tail.lines.skipping && whole(tail.lines.pending()) => match tail.lines.rest() {
                Some(cut) => self.cut(cut),
                None => Found::Nothing,
            },
            _ => Found::Nothing,
        }
    }

    /// The line that was found last.
    pub(super) fn line(&self) -> &[u8] {
        match (&self.current, &self.line) {
            (Some(tail), Some(range)) => tail.lines.bytes(range.clone()),
            _ => &[],
        }
    }

    /// The place behind the last line; nothing before there is a file.
    pub(super) fn place(&self) -> Option<Place> {
        self.current.as_ref().map(Tail::place)
    }

    fn cut(&mut self, cut: Cut) -> Found {
        match cut {
            Cut::Line(range) => {
                self.line = Some(range);
                Found::Line
            }
            Cut::TooLong => Found::TooLong,
        }
    }

    /// The current file has ended for good: its last line, if it has no end, and then the next file.
    fn leave(&mut self) -> io::Result<Option<Found>> {
        if let Some(cut) = self.current.as_mut().and_then(|tail| tail.lines.rest()) {
            return Ok(Some(self.cut(cut)));
        }
        match self.next()? {
            Some((tail, old)) => {
                self.notices.push_back(Notice::Rotated(tail.path().to_owned()));
                (self.current, self.old) = (Some(tail), old);
                Ok(None)
            }
            // The current file stays, so that the place in it is not forgotten.
            None => Ok(Some(Found::Nothing)),
        }
    }

    /// The file after the current one, and whether it was rotated as well. `None` while it is not there, or files are
    /// being renamed just now: they are looked at by name, and must be those that were seen under it.
    fn next(&self) -> io::Result<Option<(Tail, bool)>> {
        let Some(current) = &self.current else { return Ok(None) };
        if let Some(next) = self.later(current)?.into_iter().next() {
            let tail = Tail::open(&next.path).ok().filter(|tail| tail.id() == next.id);
            return Ok(tail.map(|tail| (tail, true)));
        }
        let tail = match Tail::open(&self.path) {
            Ok(tail) => tail,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let between = self.later(current)?.iter().any(|other| other.id != tail.id());
        Ok((tail.id() != current.id() && !between).then_some((tail, false)))
    }

    /// The file was cut, or written anew.
    fn rewritten(&mut self, place: &Place) -> io::Result<()> {
        let Some(tail) = &mut self.current else { return Ok(()) };
        if self.old {
            // Nobody writes to a rotated file; what is left of it cannot be told from what was read.
            tail.rewind();
            self.current = None;
            self.notices.push_back(Notice::Gone);
            return Ok(());
        }
        tail.rewind();
        self.find(place)
    }

    /// Goes on at a place, in whichever file it is.
    fn find(&mut self, place: &Place) -> io::Result<()> {
        let here = match Tail::resume(&self.path, place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            result => result?,
        };
        if here.is_some() {
            (self.current, self.old) = (here, false);
            return Ok(());
        }
        for path in self.rotated()? {
            // A file that vanishes or cannot be read is not the one.
            let Ok(Some(tail)) = Tail::resume(&path, place) else { continue };
            self.notices.push_back(Notice::Rotated(tail.path().to_owned()));
            (self.current, self.old) = (Some(tail), true);
            return Ok(());
        }
        // Nothing had been read of the file, so nothing of it is missing.
        if place.offset > 0 {
            self.notices.push_back(Notice::Gone);
        }
        (self.current, self.old) = (None, false);
        Ok(())
    }

    /// Rotated files that were written after one, in order, but not the file of the name.
    fn later(&self, than: &Tail) -> io::Result<Vec<Rotated>> {
        let since = than.modified()?;
        let named = fs::metadata(&self.path).ok().map(|meta| id(&meta));
        let mut later = Vec::new();
        for path in self.rotated()? {
            let Ok(meta) = fs::metadata(&path) else { continue };
            if modified(&meta) > since && id(&meta) != than.id() && Some(id(&meta)) != named {
                later.push(Rotated { modified: modified(&meta), id: id(&meta), path });
            }
        }
        later.sort();
        Ok(later)
    }

    /// Files beside this one with its name and a number or a date behind it.
    fn rotated(&self) -> io::Result<Vec<PathBuf>> {
        let (Some(name), Some(dir)) = (self.path.file_name().and_then(|name| name.to_str()), self.path.parent()) else {
            return Ok(Vec::new());
        };
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let other = entry.file_name();
            let suffix = other.to_str().and_then(|other| other.strip_prefix(name));
            if suffix.is_some_and(is_rotation) && entry.path().is_file() {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A file that was rotated.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rotated {
    /// When it was written last; what the order goes by.
    modified: i128,
    id: (u64, u64),
    path: PathBuf,
}

/// Whether something behind a file's name is what rotation puts there: `.1`, `-20240131`, `.2024-01-31T12:00`.
fn is_rotation(suffix: &str) -> bool {
    suffix.len() > 1
        && suffix.starts_with(['.', '-', '_'])
        && suffix.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | ':' | 'T' | 'Z'))
        && suffix.contains(|c: char| c.is_ascii_digit())
}
