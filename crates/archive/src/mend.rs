//! Making an archive good again.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::check::{Looked, Map};
use crate::compose::Composer;
use crate::disk;
use crate::error::{Error, Result};
use crate::findings::Checked;
use crate::format::{
    BATCH_HEADER, BatchHeader, COMMIT, FIRST, POSITIONS, Place, SEGMENT_HEADER, SNAPSHOT, SegmentHeader, VERSION,
    put_field,
};
use crate::layout;
use crate::recover::{Repair, Table};
use crate::scan::{Found, Segment, Window};
use crate::walk::{Piece, REPAIR, Walked, Walker};
use crate::writer::{Archive, Options};

/// How long a repair waits for the commit of a writer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes written at a time.
const WRITE: usize = 1 << 20;

/// What a repair did, or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mended {
    /// What a crash had left behind was cleaned up, as every writer does.
    Recovered(Repair),
    /// A new segment was begun, since nobody may append to the damaged one while it is repaired.
    Began {
        /// The new one's start second.
        start: u32,
    },
    /// A segment header was written anew.
    Header {
        /// The segment.
        path: PathBuf,
    },
    /// A segment was replaced by a copy without its damage, and with complete copies of metadata and positions.
    Replaced {
        /// The segment.
        path: PathBuf,
        /// Bytes that were cut out.
        cut: u64,
        /// Events that are known to be missing; the gap in their numbers is marked.
        missing: u64,
        /// Metadata and positions that were copied from older segments.
        copied: usize,
        /// The files with the bytes that were cut out.
        kept: Vec<PathBuf>,
    },
    /// A segment was examined. Its findings are those from before the repair.
    Examined {
        /// What was found.
        checked: Checked,
        /// Something is still wrong with it.
        left: bool,
    },
}

/// Makes good what can be made good in a network map's archive, and tells what was done.
///
/// What a crash left behind is cleaned up, damaged segment headers and incomplete copies at the beginning of segments are
/// written anew: nothing is lost by any of this. With `cut`, damaged bytes are cut out as well, into a file
/// `unified2.N.damaged-OFFSET` beside the segment, and the gap in the numbers of the events is marked, so that it is no
/// finding any more. All good batches stay, with their sequence numbers and seconds.
///
/// Writers and readers may be at work. A segment is only replaced when nobody appends to it (a new one is begun, if need
/// be), by renaming a durable copy: a crash at any moment leaves the old one or the new one. A reader that has the old one
/// open reads it to its end.
///
/// # Errors
/// [`Error::Busy`] and [`Error::Repairing`] when others do not let it, [`Error::Unstable`] when the disk fails,
/// [`Error::Io`] and [`Error::StorageFull`]. What was told before is done.
pub fn repair(root: &Path, netmap: u32, cut: bool, told: &mut dyn FnMut(Mended)) -> Result<()> {
    let dir = layout::netmap_dir(root, netmap);
    // Without a directory there is nothing to repair, and none is to be made.
    if !layout::netmaps(root)?.contains(&netmap) {
        return Err(Error::io("open", &dir)(io::ErrorKind::NotFound.into()));
    }
    let (mut archive, opened) = Archive::open(root, netmap, Options::default())?;
    let recovered = archive.recover(PATIENCE)?;
    let busy = || Error::Busy { path: dir.join("lock"), seconds: PATIENCE.as_secs() };
    let repairs = opened.repairs.into_iter().chain(recovered.ok_or_else(busy)?.repairs);
    // What is only told and not made good comes again with the findings.
    repairs
        .filter(|repair| !matches!(repair, Repair::Damaged { .. }))
        .for_each(|repair| told(Mended::Recovered(repair)));

    let mut map = Map::open(&dir, netmap)?;
    if cut && map.beheaded() {
        told(Mended::Began { start: archive.begin_segment(REPAIR)?.second });
        map = Map::open(&dir, netmap)?;
    }
    let mut walker = Walker::default();
    // A new segment is begun once: one that is not better than the old one would not get better by another.
    let mut begun = false;
    let mut next = 0;
    while let Some(start) = map.starts.get(next).copied() {
        next += 1;
        let before = (map.starts.len() == next).then(|| walker.clone());
        let mut looked = map.walk(start, &mut walker, &mut |_| None);
        if let Looked::Walked(_, walked) = &looked
            && walked.checked.newest
            && (walked.cuts() && cut || walked.lacks() && !walked.cuts())
            && !begun
            && let Some(before) = before
        {
            begun = true;
            told(Mended::Began { start: archive.begin_segment(REPAIR)?.second });
            // Others may have appended to it up to now.
            map = Map::open(&dir, netmap)?;
            next = map.starts.iter().position(|s| *s == start).map_or(map.starts.len(), |at| at + 1);
            walker = before;
            looked = map.walk(start, &mut walker, &mut |_| None);
        }
        match looked {
            Looked::Walked(segment, walked) => mend(&dir, &segment, *walked, cut, told)?,
            Looked::Closed(checked) => told(Mended::Examined { checked: *checked, left: true }),
            Looked::Gone => walker = Walker::default(),
        }
    }
    Ok(())
}

/// Repairs a segment.
fn mend(dir: &Path, segment: &Segment, walked: Walked, cut: bool, told: &mut dyn FnMut(Mended)) -> Result<()> {
    let cuts = walked.cuts();
    // The newest is left alone, since others append to it.
    let replace = !walked.checked.newest && (cuts && cut || walked.lacks() && !cuts);
    if replace {
        match flock(&segment.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Error::Repairing { path: segment.path.clone() }),
            Err(error) => return Err(Error::io("lock", &segment.path)(error.into())),
        }
        told(Replacement::new(dir, segment, &walked)?.put()?);
    } else if !segment.intact {
        let header = SegmentHeader { version: VERSION, netmap: segment.netmap, start: segment.start };
        // Within one sector, and nobody ever writes there again: no crash can make it worse than it is.
        let file = OpenOptions::new().write(true).open(&segment.path).map_err(Error::io("open", &segment.path))?;
        disk::write_at(&file, &segment.path, &header.encode(), 0)?;
        disk::sync(&file, &segment.path)?;
        told(Mended::Header { path: segment.path.clone() });
    }
    let left = walked.checked.findings.iter().any(|finding| !cured(&finding.what, cuts, replace));
    told(Mended::Examined { checked: walked.checked, left });
    Ok(())
}

/// Whether a finding is gone after a repair.
fn cured(what: &crate::What, cuts: bool, replaced: bool) -> bool {
    use crate::What;
    match what {
        What::Cut | What::Record(_) | What::SegmentHeader => true,
        What::Damaged | What::Unreadable(_) | What::Missing => replaced && cuts,
        What::Snapshot(_) => replaced,
        _ => false,
    }
}

/// The copy of a segment that will take its place.
struct Replacement<'a> {
    dir: &'a Path,
    old: &'a Segment,
    walked: &'a Walked,
    path: PathBuf,
    file: File,
    /// What was composed and is not written yet, and where it goes.
    out: Vec<u8>,
    written: u64,
}

impl<'a> Replacement<'a> {
    fn new(dir: &'a Path, old: &'a Segment, walked: &'a Walked) -> Result<Replacement<'a>> {
        let path = layout::repair_path(dir, old.start);
        // One that a crash left: we have the lock, so nobody else writes it.
        disk::remove(&path)?;
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(Error::io("create", &path))?;
        let mode = old.file.metadata().map_err(Error::io("examine", &old.path))?.permissions();
        file.set_permissions(mode).map_err(Error::io("set the mode of", &path))?;
        Ok(Replacement { dir, old, walked, path, file, out: Vec::new(), written: 0 })
    }

    /// Writes the copy and puts it in place.
    fn put(mut self) -> Result<Mended> {
        let done = self.write();
        if done.is_err() {
            // Nothing has happened yet.
            let _ = disk::remove(&self.path);
        }
        done
    }

    fn write(&mut self) -> Result<Mended> {
        let (old, walked) = (self.old, self.walked);
        let header = SegmentHeader { version: VERSION, netmap: old.netmap, start: old.start };
        self.out.extend_from_slice(&header.encode());
        let (mut kept, mut cut, mut missing) = (Vec::new(), 0, 0);
        let copied = walked.lacking.0.len() + walked.lacking.1.len();
        // A gap before all that is here is marked first: the copy has the numbers behind it.
        let (mut first, mut copy) = (true, copied > 0);
        for piece in &walked.pieces {
            if copy && matches!(piece, Piece::Keep { .. }) {
                copy = false;
                self.snapshot(&walked.lacking.0, &walked.lacking.1)?;
            }
            match *piece {
                Piece::Keep { from, to } => self.copy(from, to)?,
                Piece::Cut { from, to, missing: (least, next), second } => {
                    if from < to {
                        kept.push(self.keep(from, to)?);
                        cut += to - from;
                    }
                    if least < next {
                        missing += next - least;
                        self.mark(least, next, second, first)?;
                    }
                }
            }
            first = false;
        }
        if copy {
            self.snapshot(&walked.lacking.0, &walked.lacking.1)?;
        }
        self.flush(0)?;
        disk::sync(&self.file, &self.path)?;
        disk::sync_dir(self.dir)?;
        if !old.linked()? {
            // Retention was faster, or another repair.
            return Err(Error::Repairing { path: old.path.clone() });
        }
        disk::rename(&self.path, &old.path)?;
        disk::sync_dir(self.dir)?;
        Ok(Mended::Replaced { path: old.path.clone(), cut, missing, copied, kept })
    }

    /// Where the next byte goes.
    fn end(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    fn flush(&mut self, least: usize) -> Result<()> {
        if self.out.len() > least {
            disk::write_at(&self.file, &self.path, &self.out, self.written)?;
            self.written += self.out.len() as u64;
            self.out.clear();
        }
        Ok(())
    }

    /// Adds a batch; its header is sealed for its new place.
    fn push(&mut self, header: &BatchHeader, body: &[u8]) -> Result<()> {
        let place = Place { netmap: self.old.netmap, segment: self.old.start, offset: self.end() };
        self.out.extend_from_slice(&header.encode(place));
        self.out.extend_from_slice(body);
        self.flush(WRITE)
    }

    /// Copies good batches.
    fn copy(&mut self, from: u64, to: u64) -> Result<()> {
        let (mut window, mut body) = (Window::new(256 << 10), Vec::new());
        let mut at = from;
        while at < to {
            let found = window.header(self.old, at, to)?;
            let unstable = || Error::Unstable { path: self.old.path.clone(), offset: at };
            let Found::Batch(header) = found else { return Err(unstable()) };
            if !window.body(self.old, at, &header, &mut body)? {
                return Err(unstable());
            }
            self.push(&header, &body)?;
            at += header.size();
        }
        Ok(())
    }

    /// Adds copies of what older segments know.
    fn snapshot(&mut self, sticky: &Table, positions: &Table) -> Result<()> {
        let place = Place { netmap: self.old.netmap, segment: self.old.start, offset: self.end() };
        let mut bytes = Vec::new();
        let mut composer = Composer::new(&mut bytes, place, self.old.start, self.walked.checked.first_sequence);
        composer.sticky(sticky.iter().map(|(key, item)| (&key[..], &item[..])), true);
        composer.positions(positions.iter().map(|(source, position)| (&source[..], &position[..])), true);
        composer.finish();
        self.out.extend_from_slice(&bytes);
        self.flush(WRITE)
    }

    /// Marks a gap in the numbers.
    fn mark(&mut self, from: u64, to: u64, second: u32, first: bool) -> Result<()> {
        let mut body = Vec::new();
        put_field(&mut body, REPAIR);
        put_field(&mut body, &[from.to_be_bytes(), to.to_be_bytes()].concat());
        let header = BatchHeader {
            body: body.len() as u32,
            crc: crc32c::crc32c(&body),
            second,
            items: 1,
            flags: POSITIONS | FIRST | COMMIT | if first { SNAPSHOT } else { 0 },
            sequence: to,
            keys: 0,
        };
        self.push(&header, &body)
    }

    /// Puts damaged bytes into a file of their own. What cannot be read is zeros there.
    fn keep(&self, from: u64, to: u64) -> Result<PathBuf> {
        let plain = layout::damaged_path(self.dir, self.old.start, from);
        let names = (1..1000u32).map(|n| match n {
            1 => plain.clone(),
            n => plain.with_extension(format!("damaged-{from}.{n}")),
        });
        for path in names {
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !self.same(from, to, &path)? {
                        continue;
                    }
                    // A repair that was interrupted has been here.
                    OpenOptions::new().write(true).open(&path).map_err(Error::io("open", &path))?
                }
                Err(error) => return Err(Error::io("create", &path)(error)),
            };
            return self.pour(from, to, &file, &path).map(|()| path);
        }
        Err(Error::io("create", &plain)(io::ErrorKind::AlreadyExists.into()))
    }

    /// Whether a file has nothing but the beginning of these bytes, so that nothing in it can be lost.
    fn same(&self, from: u64, to: u64, path: &Path) -> Result<bool> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let length = disk::length(&file, path)?;
        let (mut mine, mut theirs) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        let mut at = 0;
        while at < length && length <= to - from {
            let n = disk::read_at(&file, path, &mut theirs, at)?;
            let (m, _) = disk::read_part(&self.old.file, &self.old.path, &mut mine, from + at);
            if m < n || mine.get(..n) != theirs.get(..n) {
                return Ok(false);
            }
            at += n as u64;
        }
        Ok(length <= to - from)
    }

    fn pour(&self, from: u64, to: u64, file: &File, path: &Path) -> Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut at = from;
        while at < to {
            // Up to the next block, so that a bad one takes no good neighbours with it.
            let block = (at / 4096 + 1) * 4096 - at;
            let most = usize::try_from(to - at).unwrap_or(usize::MAX).min(buffer.len());
            let chunk = buffer.get_mut(..most).unwrap_or_default();
            let (mut n, outcome) = disk::read_part(&self.old.file, &self.old.path, chunk, at);
            if n == 0 {
                if outcome.is_ok() {
                    break;
                }
                n = usize::try_from(block).unwrap_or(most).min(most);
                chunk.iter_mut().take(n).for_each(|byte| *byte = 0);
            }
            disk::write_at(file, path, chunk.get(..n).unwrap_or_default(), at - from)?;
            at += n as u64;
        }
        disk::sync(file, path)
    }
}

/// The bytes of a marker and what is before it never reach the limits of a batch.
const _: () = assert!(REPAIR.len() + 24 + BATCH_HEADER < 4096 && SEGMENT_HEADER < 4096);
