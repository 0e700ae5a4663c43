//! Appending: lock, catch up, write, sync, publish, unlock.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::batch::Batch;
use crate::clock::Clock;
use crate::compose::Composer;
use crate::disk;
use crate::error::{Error, Result};
use crate::format::Place;
use crate::head::{HeadFile, Record};
use crate::layout;
use crate::recover::{Live, Recovery, State, catch_up};
use crate::scan::Segment;

/// How an archive is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment of at least this many bytes is followed by a new one (default 256 MiB). It may get larger: by
    /// the commit that reaches the limit, and by all further commits of the same archival second.
    pub segment_bytes: u64,
    /// A segment that began this many archival seconds ago is followed by a new one (default 3600).
    pub segment_seconds: u32,
    /// Where archival seconds come from (default: the system's clock).
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: 256 << 20, segment_seconds: 3600, clock: Clock::system() }
    }
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The archival second in every event of the commit.
    pub second: u32,
    /// Sequence number of the first event.
    pub first_sequence: u64,
    /// Events written.
    pub events: u64,
    /// Sticky items written: those that were new or different.
    pub sticky: usize,
    /// Bytes the archive grew by; 0 when the batch had nothing new.
    pub bytes: u64,
}

/// A writer of one network map's archive. Any number of them, in any number of processes, may be open at a time.
#[derive(Debug)]
pub struct Archive {
    dir: PathBuf,
    netmap: u32,
    options: Options,
    lock: Lock,
    head: HeadFile,
    state: State,
    /// What could not be taken back yet. While there is something, the lock is kept.
    undo: Option<Undo>,
    scratch: Vec<u8>,
    clock_behind: bool,
}

/// How to take back a commit that failed.
#[derive(Debug)]
enum Undo {
    /// Cut the live segment to its known end.
    Cut,
    /// Remove a segment that was begun.
    Remove(PathBuf),
}

/// No more than this of the scratch buffer is kept between commits.
const KEEP_SCRATCH: usize = 4 << 20;

impl Archive {
    /// Opens the archive of `netmap` below `root` for appending, creating the directories as needed, and repairs
    /// what a crash left behind. If another process is writing at this moment, the archive is in order and is not
    /// looked at. A process that only serves an archive should open it once as well, for the repair.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::StorageFull`] from the file system, [`Error::Version`] and [`Error::Misplaced`]
    /// when a segment is not of this program or not of this place.
    pub fn open(root: &Path, netmap: u32, options: Options) -> Result<(Archive, Recovery)> {
        let dir = layout::netmap_dir(root, netmap);
        if !dir.is_dir() {
            fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
            disk::sync_dir(root)?;
        }
        let mut archive = Archive {
            lock: Lock::open(&dir)?,
            head: HeadFile::writable(&dir, netmap),
            state: State::default(),
            undo: None,
            scratch: Vec::new(),
            clock_behind: false,
            dir,
            netmap,
            options,
        };
        let mut recovery = Recovery::default();
        if archive.lock.try_take()? {
            recovery.checked = true;
            let caught = archive.catch_up(&mut recovery);
            archive.lock.release()?;
            caught?;
        }
        Ok((archive, recovery))
    }

    /// Makes everything in `batch` durable, and then visible, in one step: after a crash at any moment either all
    /// of it is there or nothing. On success the batch is empty. Waits while another process commits.
    ///
    /// The caller decides how often to commit: each commit costs one sync of the disk, and what was not committed
    /// is lost in a crash.
    ///
    /// # Errors
    /// [`Error::StorageFull`] or [`Error::Io`] when the commit could not be made durable. It is then taken back,
    /// the batch keeps its contents, and it can be committed again. (If the process dies before that, and the
    /// failed commit did reach the disk whole, recovery keeps it, positions included: so ask
    /// [`position`](Self::position) after a restart, and nothing is there twice.)
    pub fn commit(&mut self, batch: &mut Batch) -> Result<Commit> {
        let done = self.locked(|archive| archive.append(batch, false))?;
        batch.clear();
        Ok(done)
    }

    /// Begins a new segment, so that nobody appends to the old one any more, and readers go on in the new one when they
    /// are through with it. `source` gets an empty position, so that there is something to commit.
    pub(crate) fn begin_segment(&mut self, source: &[u8]) -> Result<Commit> {
        let mut batch = Batch::new();
        batch.set_position(source, b"")?;
        self.locked(|archive| archive.append(&batch, true))
    }

    /// Repairs what a crash left behind, once no writer is in the middle of a commit; `None` when that took longer
    /// than `patience`.
    pub(crate) fn recover(&mut self, patience: Duration) -> Result<Option<Recovery>> {
        let until = Instant::now() + patience;
        while !self.lock.try_take()? {
            if Instant::now() >= until {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(5));
        }
        let mut recovery = Recovery { checked: true, repairs: Vec::new() };
        let caught = self.catch_up(&mut recovery);
        self.lock.release()?;
        caught.map(|()| Some(recovery))
    }

    /// The last durable position of `source`, whoever wrote it.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn position(&mut self, source: &[u8]) -> Result<Option<Vec<u8>>> {
        self.locked(|archive| Ok(archive.state.positions.get(source).cloned()))
    }

    /// Runs `work` under the lock, with everything others wrote taken into account.
    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.lock.take()?;
        let done = self.take_back().and_then(|()| self.catch_up(&mut Recovery::default())).and_then(|()| work(self));
        if self.undo.is_none() {
            self.lock.release()?;
        }
        done
    }

    fn catch_up(&mut self, recovery: &mut Recovery) -> Result<()> {
        if self.is_current()? {
            return Ok(());
        }
        let from = recovery.repairs.len();
        let caught = catch_up(&self.dir, self.netmap, &mut self.head, &mut self.state, &mut recovery.repairs);
        recovery.repairs.iter().skip(from).for_each(crate::Repair::log);
        if caught.is_err() {
            // Half a state is worse than none: read it all again next time, but never go back in numbers.
            let (second, sequence) = (self.state.second, self.state.sequence);
            self.state = State { second, sequence, ..State::default() };
        }
        caught
    }

    /// Whether nobody else wrote since: the head is ours, the segment is there, and it ends where we ended it.
    fn is_current(&mut self) -> Result<bool> {
        let (Some(live), Some(head)) = (&self.state.live, self.state.head()) else { return Ok(false) };
        let published = self.head.read()?.record() == Some(Record { head, rolling: 0 });
        Ok(published && live.segment.linked()? && live.segment.length()? == live.end)
    }

    fn append(&mut self, batch: &Batch, begin: bool) -> Result<Commit> {
        let second = self.second();
        let mut commit =
            Commit { second, first_sequence: self.state.sequence, events: batch.count, sticky: 0, bytes: 0 };
        let sticky = || news(&batch.sticky, &self.state.sticky);
        let positions = || news(&batch.positions, &self.state.positions);
        if !begin && batch.count == 0 && sticky().next().is_none() && positions().next().is_none() {
            return Ok(commit);
        }
        commit.sticky = sticky().count();

        let (roll, second) = self.roll(second, begin);
        commit.second = second;
        let (start, end) = match &self.state.live {
            Some(live) if !roll => (live.segment.start, live.end),
            _ => (second, 0),
        };
        let place = Place { netmap: self.netmap, segment: start, offset: end };
        let mut composer = Composer::new(&mut self.scratch, place, second, self.state.sequence);
        if roll {
            composer.segment_header();
            composer.sticky(all(&self.state.sticky), true);
            composer.positions(all(&self.state.positions), true);
        }
        composer.sticky(sticky(), false);
        composer.events(&batch.events);
        composer.positions(positions(), false);
        composer.finish();
        commit.bytes = self.scratch.len() as u64;

        let written = self.write(roll, place, second, self.state.sequence.saturating_add(batch.count));
        self.scratch.clear();
        self.scratch.shrink_to(KEEP_SCRATCH);
        written?;
        for (mine, news) in [(&mut self.state.sticky, &batch.sticky), (&mut self.state.positions, &batch.positions)] {
            for (key, value) in news {
                mine.insert(key.clone(), value.clone());
            }
        }
        Ok(commit)
    }

    /// Writes and syncs the scratch buffer at `place`, then publishes it. Takes it back if any of this fails.
    fn write(&mut self, roll: bool, place: Place, second: u32, sequence: u64) -> Result<()> {
        let begun = if roll {
            if let Some(head) = self.state.head() {
                // Should this process die before it publishes, others look for a newer segment.
                self.head.write(Record { head, rolling: place.segment })?;
            }
            Some(Segment::create(&self.dir, self.netmap, place.segment)?)
        } else {
            None
        };
        let end = place.offset + self.scratch.len() as u64;
        let head = crate::Head { segment: place.segment, offset: end, sequence, second };
        let written = begun.as_ref().or(self.state.live.as_ref().map(|live| &live.segment)).map_or(Ok(()), |segment| {
            disk::write_at(&segment.file, &segment.path, &self.scratch, place.offset)?;
            disk::sync(&segment.file, &segment.path)?;
            if roll {
                disk::sync_dir(&self.dir)?;
            }
            self.head.write(Record { head, rolling: 0 })
        });
        if let Err(error) = written {
            self.undo = Some(begun.map_or(Undo::Cut, |segment| Undo::Remove(segment.path)));
            if let Err(undo) = self.take_back() {
                tracing::error!(
                    %undo,
                    "A failed commit could not be taken back yet. No other process can write to this archive until it is."
                );
            }
            return Err(error);
        }
        match (begun, &mut self.state.live) {
            (Some(segment), live) => *live = Some(Live { segment, end }),
            (None, Some(live)) => live.end = end,
            (None, None) => {}
        }
        self.state.second = second;
        self.state.sequence = sequence;
        Ok(())
    }

    /// Removes what a failed commit left in the files.
    fn take_back(&mut self) -> Result<()> {
        match (&self.undo, &self.state.live) {
            (Some(Undo::Cut), Some(live)) => disk::truncate(&live.segment.file, &live.segment.path, live.end)?,
            (Some(Undo::Remove(path)), _) => disk::remove(path)?,
            _ => return Ok(()),
        }
        self.undo = None;
        if let Some(head) = self.state.head() {
            self.head.write(Record { head, rolling: 0 })?;
        }
        Ok(())
    }

    /// The archival second now. It never goes back.
    fn second(&mut self) -> u32 {
        let (now, last) = (self.options.clock.now(), self.state.second);
        if now < last && !self.clock_behind {
            tracing::warn!(
                netmap = self.netmap,
                now,
                last,
                "The clock is behind the archive. Events get the last archival second again until the clock has caught up."
            );
        }
        self.clock_behind = now < last;
        now.max(last)
    }

    /// Whether this commit begins a segment, and its archival second.
    fn roll(&self, second: u32, begin: bool) -> (bool, u32) {
        let last = self.state.second;
        if begin {
            return (true, second.max(last.saturating_add(1)));
        }
        match &self.state.live {
            // The first one, or the old one is gone. Its second is its name, so it must be a new one.
            None => (true, second.max(last.saturating_add(1))),
            Some(live) => {
                let due = second.saturating_sub(live.segment.start) >= self.options.segment_seconds
                    || live.end >= self.options.segment_bytes;
                (second > last && due, second)
            }
        }
    }
}

/// The entries of `new` that `old` does not have like this.
fn news<'a>(
    new: &'a crate::recover::Table,
    old: &'a crate::recover::Table,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    new.iter().filter(|(key, value)| old.get(*key) != Some(*value)).map(|(key, value)| (&key[..], &value[..]))
}

fn all(table: &crate::recover::Table) -> impl Iterator<Item = (&[u8], &[u8])> {
    table.iter().map(|(key, value)| (&key[..], &value[..]))
}

/// The file whose lock a writer holds while it commits. The system releases it when the process dies.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
    held: bool,
}

impl Lock {
    fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let file = lock_file(&path)?;
        Ok(Lock { path, file, held: false })
    }

    /// Waits for the lock.
    fn take(&mut self) -> Result<()> {
        self.acquire(FlockOperation::LockExclusive).map(|_| ())
    }

    /// Takes the lock if it is free.
    fn try_take(&mut self) -> Result<bool> {
        self.acquire(FlockOperation::NonBlockingLockExclusive)
    }

    fn acquire(&mut self, how: FlockOperation) -> Result<bool> {
        while !self.held {
            match flock(&self.file, how) {
                Ok(()) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(error) => return Err(Error::io("lock", &self.path)(error.into())),
            }
            // Should someone have removed the file, others lock the new one.
            self.held = self.file.metadata().map_err(Error::io("examine", &self.path))?.nlink() > 0;
            if !self.held {
                self.file = lock_file(&self.path)?;
            }
        }
        Ok(true)
    }

    fn release(&mut self) -> Result<()> {
        self.held = false;
        flock(&self.file, FlockOperation::Unlock).map_err(|error| Error::io("unlock", &self.path)(error.into()))
    }
}

fn lock_file(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(Error::io("open", path))
}
