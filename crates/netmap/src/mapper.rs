//! Following the archive.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use archive::{Archive, Batch, Clock, Commitment, Commits, Reader, Start, Step, Tail};
use rusqlite::{OptionalExtension, TransactionBehavior, params};
use wire::decode::Decoder;

use crate::error::{Error, Result};
use crate::facts::{self, Facts};
use crate::frames::Frames;
use crate::learn::Learner;
use crate::locks::{AtWork, lock};
use crate::memory::Memory;
use crate::outbox::{Told, metadata_key};
use crate::policy::Policy;
use crate::sightings;

/// The name under which the archive keeps which discovery events it has. What is committed with it is never learned from.
pub const SOURCE: &[u8] = b"network map";

/// Sources whose events are a whole story: they have told what is new themselves, or not, as they saw fit.
const TELL_THEMSELVES: [&[u8]; 2] = [b"simulator:", b"replay:"];

/// Bytes of the archive that are learned from before what was found is written and told.
const CHUNK: usize = 4 << 20;

/// Hosts that may have changed before they are written.
const CHANGES: Duration = Duration::from_secs(1);

/// Sightings taken at a time.
const SIGHTINGS: u32 = 1000;

/// How often to look for sightings, and the longest wait for a commit.
const LOOK: Duration = Duration::from_millis(250);

/// Time between tries after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// How often a mapper that is held looks whether it may go on.
const HELD: Duration = Duration::from_millis(50);

/// How often to look for what was not seen for too long: a part of the timeout, and no more than this.
const EXPIRE: Duration = Duration::from_secs(60);

/// Keeps the map of one netmap.
#[derive(Debug)]
pub struct Mapper {
    root: PathBuf,
    netmap: u32,
    clock: Clock,
    learner: Learner,
    facts: Facts,
    archive: Archive,
    commits: Commits,
    commit: Commitment,
    progress: Progress,
    /// Events before this sequence number were told of by an earlier map.
    quiet_until: u64,
    /// What is in the database and may not be in the archive.
    sending: bool,
    /// Discovery events are captured.
    tell: bool,
    written: Instant,
    expired: Instant,
    at_work: Option<AtWork>,
    _lock: File,
}

/// What an administrator wants of a mapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// It is to write nothing for now.
    pub hold: bool,
    /// What is new is to be told: discovery events are captured.
    pub tell: bool,
}

/// How far the archive was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) second: u32,
    /// Sequence number of the next event.
    pub(crate) next: u64,
    /// Number of the last set of discovery events.
    pub(crate) outbox: u64,
}

/// What a step of the mapper came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// There is more in the archive.
    OnTheWay,
    /// Everything that is committed was read.
    ToTheEnd,
    /// The archive has no room for discovery events: try again later.
    NoRoom,
}

impl Mapper {
    /// Opens the map in the file `path`, which is made if need be, for the archive of `netmap` below `root`. What an
    /// earlier mapper has written and not told is told with the first [`step`](Self::step).
    ///
    /// # Errors
    /// [`Error`] when the map or the archive cannot be opened, or there is a mapper already.
    pub fn open(root: &Path, netmap: u32, path: &Path, policy: Policy, clock: Clock) -> Result<Mapper> {
        let lock = lock(path, netmap)?;
        let at_work = AtWork::begin(path, netmap)?;
        let options = archive::Options { clock: clock.clone(), ..archive::Options::default() };
        let (mut archive, _) = Archive::open(root, netmap, options)?;
        let mut memory = Memory::open(path, netmap)?;
        let (progress, quiet_until) = begin(&mut memory, &mut archive, root, &policy)?;
        let start = if progress.next == 0 { Start::Genesis } else { Start::Second(progress.second) };
        let commits = Commits::new(Reader::open(root, netmap, start)?);
        let frames = Frames::open(&memory.db, netmap).map_err(Error::database(path))?;
        Ok(Mapper {
            root: root.to_owned(),
            netmap,
            clock,
            learner: Learner::new(memory, policy, frames),
            facts: Facts::default(),
            archive,
            commits,
            commit: Commitment::default(),
            progress,
            quiet_until,
            sending: true,
            tell: true,
            written: Instant::now(),
            expired: Instant::now(),
            at_work: Some(at_work),
            _lock: lock,
        })
    }

    /// Follows the archive until `stop` is set, and does what `orders` say: while it is to hold it writes nothing, and
    /// [`writes`](crate::writes) is false as soon as that is so. What fails is tried again every second and logged once.
    pub fn run(mut self, stop: &AtomicBool, mut orders: impl FnMut() -> Orders) {
        let mut tail = Tail::new(&self.root, self.netmap);
        let mut said = None;
        while !stop.load(Ordering::Relaxed) {
            let Orders { hold, tell } = orders();
            self.tell = tell;
            if hold {
                self.at_work = None;
                std::thread::sleep(HELD);
                continue;
            }
            if self.at_work.is_none() {
                match AtWork::begin(&self.learner.memory.path, self.netmap) {
                    // It may have been told to hold again before this was known.
                    Ok(at_work) => self.at_work = Some(at_work),
                    Err(error) => {
                        said = tell_once(self.netmap, said, error.to_string());
                        pause(stop);
                    }
                }
                continue;
            }
            let failed = match self.step() {
                Ok(Came::OnTheWay) => continue,
                Ok(Came::ToTheEnd) => {
                    if said.take().is_some() {
                        tracing::info!(netmap = self.netmap, "The network map goes on.");
                    }
                    match tail.wait(LOOK) {
                        Ok(_) => continue,
                        Err(error) => error.to_string(),
                    }
                }
                Ok(Came::NoRoom) => "the archive has no room for discovery events; nothing is lost".to_owned(),
                Err(error) => {
                    let text = error.to_string();
                    match self.again() {
                        Ok(()) => text,
                        Err(error) => error.to_string(),
                    }
                }
            };
            said = tell_once(self.netmap, said, failed);
            pause(stop);
        }
        // In a pause nothing is written at the end either: it is read again.
        if self.at_work.is_none() || orders().hold {
            return;
        }
        if let Err(error) = self.finish() {
            tracing::warn!(netmap = self.netmap, %error, "The network map does not have the newest yet; it reads that again.");
        }
    }

    /// Reads on as far as there is something, up to some megabytes, learns from it, and tells what is new.
    ///
    /// # Errors
    /// [`Error`]; then call [`again`](Self::again) before anything else.
    pub fn step(&mut self) -> Result<Came> {
        if self.sending && !self.send()? {
            return Ok(Came::NoRoom);
        }
        let end = self.read()?;
        let sightings = if end { self.sightings()? } else { Vec::new() };
        self.expire()?;
        let due = self.learner.memory.changed() && (self.written.elapsed() >= CHANGES || !sightings.is_empty());
        let names = !self.learner.names.is_empty() && end;
        if due || names || !self.learner.out.is_empty() || !sightings.is_empty() {
            self.save(&sightings)?;
            if self.sending && !self.send()? {
                return Ok(Came::NoRoom);
            }
        }
        Ok(if end && sightings.is_empty() { Came::ToTheEnd } else { Came::OnTheWay })
    }

    /// Writes what was learned and not written, and tells what is new.
    ///
    /// # Errors
    /// As for [`step`](Self::step).
    pub fn finish(&mut self) -> Result<()> {
        self.save(&[])?;
        self.send()?;
        Ok(())
    }

    /// Goes back to what is written, after a failure.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn again(&mut self) -> Result<()> {
        self.learner.memory.forget()?;
        self.learner.out.clear();
        self.learner.names.clear();
        let path = self.learner.memory.path.clone();
        let progress = progress(&self.learner.memory).map_err(Error::database(&path))?;
        self.progress = progress.unwrap_or_default();
        let start = if self.progress.next == 0 { Start::Genesis } else { Start::Second(self.progress.second) };
        self.commits = Commits::new(Reader::open(&self.root, self.netmap, start)?);
        self.commit = Commitment::default();
        self.sending = true;
        Ok(())
    }

    /// Hosts in the map.
    pub fn hosts(&self) -> u64 {
        self.learner.memory.count
    }

    /// Learns from a chunk of the archive; whether that was all there is.
    fn read(&mut self) -> Result<bool> {
        let mut bytes = 0;
        while bytes < CHUNK {
            match self.commits.next(&mut self.commit)? {
                Step::Commit => {}
                Step::End => return Ok(true),
                Step::Lost(lost) => {
                    tracing::warn!(
                        netmap = self.netmap,
                        events = lost.events,
                        path = %lost.path.display(),
                        "Events of the archive that cannot be read do not get into the network map."
                    );
                }
            }
            let commit = &self.commit;
            bytes += commit.events.len() + commit.sticky.len();
            let after = commit.first_sequence + commit.count;
            if after < self.progress.next {
                continue;
            }
            let own = commit.sources.iter().any(|source| source == SOURCE);
            let quiet = !self.tell
                || !commit.whole
                || commit.sources.is_empty()
                || after <= self.quiet_until
                || commit.sources.iter().any(|s| TELL_THEMSELVES.iter().any(|prefix| s.starts_with(prefix)));
            let skip = usize::try_from(self.progress.next.saturating_sub(commit.first_sequence)).unwrap_or(usize::MAX);
            if !own {
                self.facts.metadata(&commit.sticky, &mut self.learner);
                self.facts.events(&commit.events, skip, commit.second, quiet, &mut self.learner)?;
            } else if after <= self.quiet_until || !commit.whole {
                // A map that is learned again takes what an earlier one has told as what others tell.
                self.facts.events(&commit.events, skip, commit.second, true, &mut self.learner)?;
            }
            self.progress.next = self.progress.next.max(after);
            self.progress.second = commit.second;
        }
        Ok(false)
    }

    /// Learns from sightings; gives their numbers.
    fn sightings(&mut self) -> Result<Vec<i64>> {
        let failed = Error::database(&self.learner.memory.path);
        let waiting = sightings::waiting(&self.learner.memory.db, self.netmap, SIGHTINGS).map_err(failed)?;
        let now = self.clock.now();
        for (number, sighting) in &waiting {
            match sighting {
                Some(sighting) => facts::sighting(sighting, now, !self.tell, &mut self.learner)?,
                None => tracing::warn!(number, "A sighting in the network map cannot be understood; it is left out."),
            }
        }
        Ok(waiting.into_iter().map(|(number, _)| number).collect())
    }

    /// Forgets what was not seen for too long, when it is time to look.
    fn expire(&mut self) -> Result<()> {
        let every = EXPIRE.min(Duration::from_secs(u64::from(self.learner.policy.timeout) / 4 + 1));
        if self.expired.elapsed() < every {
            return Ok(());
        }
        self.expire_now()
    }

    fn expire_now(&mut self) -> Result<()> {
        self.save(&[])?;
        if self.sending && !self.send()? {
            return Ok(());
        }
        let now = self.clock.now();
        let told = Told { heard: now, second: now, microsecond: 0, device: 0, quiet: !self.tell };
        if !self.learner.expire(told)? {
            self.expired = Instant::now();
        }
        Ok(())
    }

    /// Writes changes, progress, and the events that are to be told, in one transaction.
    pub(crate) fn save(&mut self, sightings: &[i64]) -> Result<()> {
        let (learner, progress, netmap) = (&self.learner, &self.progress, self.netmap);
        let failed = Error::database(&learner.memory.path);
        let mut next = *progress;
        let telling = !learner.out.is_empty();
        if telling {
            next.outbox += 1;
        }
        // The connection is lent out of the memory that is to be written with it.
        let write = || {
            let transaction = rusqlite::Transaction::new_unchecked(&learner.memory.db, TransactionBehavior::Immediate)?;
            learner.memory.save(&transaction)?;
            learner.frames.save(&transaction, netmap)?;
            transaction
                .prepare_cached("UPDATE progress SET second = ?, sequence = ?, outbox = ? WHERE netmap = ?")?
                .execute(params![next.second, next.next.cast_signed(), next.outbox.cast_signed(), netmap])?;
            if telling {
                // Those before were told before this set was made.
                transaction.prepare_cached("DELETE FROM outbox WHERE netmap = ?")?.execute([netmap])?;
                let mut insert = transaction.prepare_cached("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)")?;
                let metadata = learner.out.metadata.iter().map(|item| (1, item));
                let events = learner.out.events.iter().map(|item| (0, item));
                for (place, (kind, item)) in (0i64..).zip(metadata.chain(events)) {
                    insert.execute(params![netmap, next.outbox.cast_signed(), place, kind, item])?;
                }
            }
            for number in sightings {
                transaction.prepare_cached("DELETE FROM sighting WHERE number = ?")?.execute([number])?;
            }
            let mut name = transaction.prepare_cached("INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?, ?, ?)")?;
            for n in &learner.names {
                name.execute(params![netmap, n.record, n.id, n.name, n.vendor, n.version])?;
            }
            drop(name);
            transaction.commit()
        };
        write().map_err(failed)?;
        self.progress = next;
        self.learner.memory.saved();
        self.learner.frames.saved();
        self.learner.names.clear();
        self.written = Instant::now();
        if telling {
            self.learner.out.clear();
            self.sending = true;
        }
        Ok(())
    }

    /// Tells the archive what is written and not told; `false` when it has no room.
    pub(crate) fn send(&mut self) -> Result<bool> {
        let told = self.archive.position(SOURCE)?.and_then(|bytes| position(&bytes)).map_or(0, |(number, _)| number);
        if told < self.progress.outbox {
            let mut batch = Batch::new();
            let mut decoder = Decoder::new();
            for (metadata, item) in self.unsent()? {
                match metadata {
                    true => batch.push_sticky(&metadata_key(&item, &mut decoder)?, &item)?,
                    false => batch.push_event(&item)?,
                }
            }
            let place = [self.progress.outbox.to_be_bytes(), self.progress.next.to_be_bytes()].concat();
            batch.set_position(SOURCE, &place)?;
            match self.archive.commit(&mut batch) {
                Ok(_) => {}
                Err(archive::Error::StorageFull { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.sending = false;
        Ok(true)
    }

    fn unsent(&self) -> Result<Vec<(bool, Vec<u8>)>> {
        let rows = || {
            let sql = "SELECT kind, item FROM outbox WHERE netmap = ? AND number = ? ORDER BY place";
            let mut statement = self.learner.memory.db.prepare_cached(sql)?;
            let rows = statement.query_map(params![self.netmap, self.progress.outbox.cast_signed()], |row| {
                Ok((row.get::<_, i64>(0)? == 1, row.get(1)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        rows().map_err(Error::database(&self.learner.memory.path))
    }
}

/// Finds out where to go on: the map's progress, and up to which event an earlier map has told.
fn begin(memory: &mut Memory, archive: &mut Archive, root: &Path, policy: &Policy) -> Result<(Progress, u64)> {
    let path = memory.path.clone();
    let failed = Error::database(&path);
    let netmap = memory.netmap;
    let known = progress(memory).map_err(&failed)?;
    let told = archive.position(SOURCE)?.and_then(|bytes| position(&bytes));
    let mut at = known.unwrap_or_default();
    let end = archive::Catalog::new(root, netmap).head()?.map_or(0, |head| head.sequence);
    if at.next > end {
        tracing::warn!(
            netmap,
            "The archive is not the one the network map was made of: it is read from its beginning. Hosts stay."
        );
        (at.second, at.next) = (0, 0);
        memory.db.execute("DELETE FROM outbox WHERE netmap = ?", [netmap]).map_err(&failed)?;
        at.outbox = told.map_or(0, |(number, _)| number);
    }
    // What the archive has of a map that is lost is not told a second time. A map that is not has read further.
    let quiet_until = told.map_or(0, |(_, sequence)| sequence);
    at.outbox = at.outbox.max(told.map_or(0, |(number, _)| number));
    memory
        .db
        .execute(
            "INSERT INTO progress VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (netmap)
             DO UPDATE SET second = ?2, sequence = ?3, outbox = ?4, monitored = ?5",
            params![netmap, at.second, at.next.cast_signed(), at.outbox.cast_signed(), policy.monitored.to_string()],
        )
        .map_err(&failed)?;
    Ok((at, quiet_until))
}

fn progress(memory: &Memory) -> rusqlite::Result<Option<Progress>> {
    let sql = "SELECT second, sequence, outbox FROM progress WHERE netmap = ?";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Progress {
            second: row.get(0)?,
            next: row.get::<_, i64>(1)?.cast_unsigned(),
            outbox: row.get::<_, i64>(2)?.cast_unsigned(),
        })
    };
    memory.db.query_row(sql, [memory.netmap], read).optional()
}

/// Number of the last set of events that was told, and the sequence number up to which it was learned from.
fn position(bytes: &[u8]) -> Option<(u64, u64)> {
    let (number, sequence) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), u64::from_be_bytes(sequence.try_into().ok()?)))
}

/// Logs why the map waits, unless that is what it said last.
fn tell_once(netmap: u32, said: Option<String>, failed: String) -> Option<String> {
    if said.as_ref() != Some(&failed) {
        tracing::warn!(
            netmap,
            "The network map waits: {failed}. It is tried again every second and goes on by itself."
        );
    }
    Some(failed)
}

fn pause(stop: &AtomicBool) {
    let start = Instant::now();
    while start.elapsed() < RETRY && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail loudly")]
impl Mapper {
    pub(crate) fn read_for_test(&mut self) {
        while !self.read().unwrap() {}
    }

    pub(crate) fn expire_for_test(&mut self) {
        for _ in 0..3 {
            self.expire_now().unwrap();
        }
    }

    pub(crate) fn find_for_test(&mut self, at: std::net::IpAddr) -> i64 {
        self.learner.memory.find(&wire::event::sixteen(at)).unwrap().unwrap()
    }

    pub(crate) fn also_for_test(&mut self, id: i64, at: std::net::IpAddr, told: Told) {
        self.learner.also(id, wire::event::sixteen(at), told).unwrap();
    }
}
