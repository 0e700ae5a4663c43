//! The sensor: lines from a file or a socket into an archive.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use xxhash_rust::xxh3::xxh3_64;

use crate::duty::{About, Registry};
use crate::feed::{Counters, Feed, Limits, pause};

use super::follow::{Follow, Found, Notice};
use super::gzip::{Gzip, is_gzip};
use super::lines::MAX_LINE;
use super::mapper::{Identity, Mapper};
use super::place::{Place, Position};
use super::socket::{Socket, is_socket};
use super::store::Store;
use super::{Bounds, EveError, Output, Tally};

/// Time between looks at an input that has nothing new.
const POLL: Duration = Duration::from_millis(20);

/// Time between tries at an input that cannot be read.
const RETRY: Duration = Duration::from_secs(1);

/// Lines of which it is said what is wrong with them, in a minute.
const SAID: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// What to read, and what to call it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file, or the socket.
    pub input: PathBuf,
    /// Make the socket if it is not there.
    pub socket: bool,
    /// Who the sensor is.
    pub identity: Identity,
    /// How much is kept of flows that have not ended.
    pub bounds: Bounds,
    /// How long a file that was renamed is still waited on (2 s).
    pub grace: Duration,
    /// How often the counts are logged (5 min).
    pub report_every: Duration,
    /// Where the sensor is known; without it all is captured, and nobody can hold it.
    pub registry: Option<Registry>,
    /// The network map, by which intrusion events get their impact. It need not be there.
    pub map: Option<PathBuf>,
}

impl Settings {
    /// Settings for an input in the domain `netmap`.
    pub fn new(input: impl Into<PathBuf>, device_id: u32, device_name: impl Into<String>, netmap: u32) -> Settings {
        Settings {
            input: input.into(),
            socket: false,
            identity: Identity { device_id, device_name: device_name.into(), netmap, domain: None, zone: None },
            bounds: Bounds::default(),
            grace: Duration::from_secs(2),
            report_every: Duration::from_secs(300),
            registry: None,
            map: None,
        }
    }

    /// The name under which the archive keeps how far the input was read: `eve:<device id>:<absolute path>`. The same
    /// file under another path or for another device is another source, and is read from its start.
    ///
    /// # Errors
    /// [`EveError::Input`] when the path is relative and there is no working directory.
    pub fn source(&self) -> Result<Vec<u8>, EveError> {
        let path = path::absolute(&self.input).map_err(|source| EveError::Input {
            what: "find",
            path: self.input.clone(),
            source,
        })?;
        let path: PathBuf = path.components().collect();
        let mut name = format!("eve:{}:", self.identity.device_id).into_bytes();
        name.extend_from_slice(path.as_os_str().as_bytes());
        Ok(name)
    }
}

/// Where lines come from.
#[derive(Debug)]
enum Input {
    File(Follow),
    Gzip(Gzip),
    Socket(Socket),
}

/// Reads Suricata's lines into an archive.
#[derive(Debug)]
pub struct EveSensor {
    input: Input,
    feed: Feed,
    store: Store,
    mapper: Mapper,
    out: Output,
    path: PathBuf,
    position: Position,
    said: Said,
    /// Lines that were read and are not committed, and when the first of them was read.
    uncommitted: u64,
    since: Instant,
    report_every: Duration,
    reported: Instant,
    /// Held as long as the sensor is there.
    _lock: File,
}

impl EveSensor {
    /// Opens an input and the archive of the sensor's domain below `root`. `state` is a folder for what the sensor keeps
    /// beside the archive. Reading goes on where the archive says that it has come to.
    ///
    /// # Errors
    /// [`EveError`]: [`EveError::Running`] when there is a sensor of this device already, others when something cannot
    /// be opened.
    pub fn open(settings: &Settings, root: &Path, state: &Path) -> Result<EveSensor, EveError> {
        let identity = &settings.identity;
        let source = settings.source()?;
        let lock = lock(state, identity)?;
        let about = About { kind: "eve", device: identity.device_id, name: &identity.device_name };
        let registry = settings.registry.as_ref();
        let mut feed = Feed::registered(root, identity.netmap, &source, Limits::default(), registry, about)?;
        let position = match feed.committed_position()? {
            Some(bytes) => Position::decode(&bytes).ok_or(EveError::Position)?,
            None => Position::default(),
        };
        let name = format!("eve-{}-{:016x}", identity.netmap, xxh3_64(&source));
        let path = state.join(format!("{name}.db"));
        // Nobody asks it to stop before it is open; a signal ends the process then.
        let never = AtomicBool::new(false);
        let (store, known) = with_room(|| pause(&never, RETRY), |_| {}, || Store::open(&path, position.commit))?;
        let waiting = known.flows.len();
        let mut mapper = Mapper::resume(identity.clone(), settings.bounds, known.flows, known.users, position.events)?;
        if let Some(map) = &settings.map {
            mapper.use_map(map);
        }
        let input = open(settings, position.place.as_ref(), &state.join(format!("{name}.spool")))?;
        let mut out = Output::default();
        mapper.introduce(&mut out)?;
        tracing::info!(
            input = %settings.input.display(), device = identity.device_id, netmap = identity.netmap,
            lines = position.lines, waiting,
            "The Suricata sensor is open."
        );
        let mut sensor = EveSensor {
            input,
            feed,
            store,
            mapper,
            out,
            path: settings.input.clone(),
            position,
            said: Said { since: Instant::now(), count: 0 },
            uncommitted: 0,
            since: Instant::now(),
            report_every: settings.report_every,
            reported: Instant::now(),
            _lock: lock,
        };
        sensor.push()?;
        Ok(sensor)
    }

    /// What was committed; another thread may keep it and look at any time.
    pub fn counters(&self) -> &Arc<Counters> {
        self.feed.counters()
    }

    /// What became of the lines read since [`open`](Self::open).
    pub fn tally(&self) -> &Tally {
        self.mapper.tally()
    }

    /// Reads and commits for ever, until `stop` is set. An input that cannot be read is tried again every second.
    ///
    /// # Errors
    /// [`EveError`] when the archive or the state cannot be written, other than for lack of room in the archive, which
    /// is waited for. Nothing is lost by it: open the sensor again.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), EveError> {
        let mut trouble = None;
        while !stop.load(Ordering::Relaxed) {
            let wait = match self.read(stop) {
                Ok(()) => {
                    if trouble.take().is_some() {
                        tracing::info!("The input can be read again.");
                        self.feed.waits_for(None);
                    }
                    POLL
                }
                Err(EveError::Input { what, path, source }) => {
                    let error = EveError::Input { what, path, source };
                    self.commit(stop)?;
                    let text = error.to_string();
                    if trouble.as_ref() != Some(&text) {
                        tracing::error!(%error, "The input cannot be read. It is tried again every second.");
                        self.feed.waits_for(Some(&text));
                        trouble = Some(text);
                    }
                    RETRY
                }
                Err(error) => return Err(error),
            };
            pause(stop, wait);
        }
        self.commit(stop)?;
        self.report();
        Ok(())
    }

    /// Reads and commits all there is. Flows whose end did not come become connection events too.
    ///
    /// # Errors
    /// [`EveError`] when the input cannot be read, or the archive or the state not be written. Nothing is lost by it.
    pub fn drain(&mut self, stop: &AtomicBool) -> Result<(), EveError> {
        if let Err(error) = self.read(stop) {
            // What was read before a damaged place is good.
            self.commit(stop)?;
            return Err(error);
        }
        if !stop.load(Ordering::Relaxed) {
            let rest = match &mut self.input {
                Input::File(follow) => follow.rest(),
                _ => Found::Nothing,
            };
            if rest != Found::Nothing {
                self.handle(&rest)?;
            }
            self.mapper.finish(&mut self.out)?;
            self.push()?;
        }
        self.commit(stop)
    }

    /// Reads until there is nothing more for now or `stop` is set, and commits it. Flows go on waiting for their end.
    ///
    /// # Errors
    /// As for [`drain`](Self::drain).
    pub fn read(&mut self, stop: &AtomicBool) -> Result<(), EveError> {
        while !stop.load(Ordering::Relaxed) {
            if !self.gate(stop)? {
                return Ok(());
            }
            let found = self.poll()?;
            if found == Found::Nothing {
                self.feed.lag(0);
                break;
            }
            self.handle(&found)?;
            if self.due() {
                self.feed.lag_behind(now());
                self.commit(stop)?;
            }
        }
        self.mapper.evict(now(), &mut self.out)?;
        self.push()?;
        self.commit(stop)
    }

    /// Commits and waits while the sensor is held; `false` when `stop` was set meanwhile.
    fn gate(&mut self, stop: &AtomicBool) -> Result<bool, EveError> {
        if self.feed.held() {
            self.commit(stop)?;
        }
        Ok(self.feed.wait_while_held(stop))
    }

    /// Whether it is time to commit. Lines that wait for their flow make no events, but are due as events are.
    fn due(&mut self) -> bool {
        let Limits { events, age, .. } = Limits::default();
        if self.uncommitted == 0 {
            self.since = Instant::now();
        }
        self.uncommitted += 1;
        self.feed.due() || self.uncommitted >= events || self.since.elapsed() >= age
    }

    fn poll(&mut self) -> Result<Found, EveError> {
        let found = match &mut self.input {
            Input::File(follow) => follow.poll(),
            Input::Socket(socket) => socket.poll(),
            Input::Gzip(gzip) => gzip.next().map(|line| match line {
                Some(true) => Found::Line,
                Some(false) => Found::TooLong,
                None => Found::Nothing,
            }),
        };
        found.map_err(|source| EveError::Input { what: "read", path: self.path.clone(), source })
    }

    fn handle(&mut self, found: &Found) -> Result<(), EveError> {
        let reason = match found {
            Found::Line => {
                self.position.lines += 1;
                let line = match &self.input {
                    Input::File(follow) => follow.line(),
                    Input::Gzip(gzip) => gzip.line(),
                    Input::Socket(socket) => socket.line(),
                };
                // Nothing is lost with an empty line.
                if line.trim_ascii().is_empty() {
                    return Ok(());
                }
                self.mapper.line(line, now(), &mut self.out)?
            }
            Found::TooLong => {
                self.position.lines += 1;
                let reason = "longer than a line may be";
                self.mapper.bad(reason);
                Some(reason)
            }
            Found::Notice(Notice::Rotated(path)) => {
                tracing::info!(file = %path.display(), "The file was rotated; reading goes on.");
                None
            }
            Found::Notice(Notice::Gone) => {
                tracing::error!(
                    file = %self.path.display(),
                    "The file in which reading had ended is not there any more, nor a copy of it under a name with a \
                     number or date: lines may be lost. Rotate without compressing at once (delaycompress)."
                );
                None
            }
            Found::Nothing => None,
        };
        if let Some(reason) = reason {
            self.feed.counters().skip();
            self.said.bad(self.position.lines, reason);
        }
        self.push()
    }

    /// Gives what lines became to the feed.
    fn push(&mut self) -> Result<(), EveError> {
        for metadata in self.out.metadata_records() {
            self.feed.metadata(metadata)?;
        }
        if self.mapper.newest() > 0 {
            self.feed.saw(self.mapper.newest());
        }
        for event in self.out.events() {
            self.feed.event(event)?;
        }
        self.out.clear();
        Ok(())
    }

    /// Commits what was read together with the place it was read to and what is known of flows.
    fn commit(&mut self, stop: &AtomicBool) -> Result<(), EveError> {
        let place = match &self.input {
            // While no file is open the place in the last one stands.
            Input::File(follow) => follow.place().or(self.position.place),
            Input::Gzip(gzip) => Some(gzip.place()),
            Input::Socket(socket) => Some(socket.place()),
        };
        if let Some(sighted) = &mut self.mapper.sighted {
            sighted.commit();
        }
        let flows = self.mapper.flows.has_changes() || !self.mapper.new_users.is_empty();
        if self.feed.due_at().is_none() && !flows && place == self.position.place {
            return Ok(());
        }
        self.uncommitted = 0;
        if self.reported.elapsed() >= self.report_every {
            self.report();
        }
        let last = self.position.commit;
        if flows {
            self.save(last, stop)?;
        }
        let next = Position { commit: last + 1, events: self.mapper.events(), lines: self.position.lines, place };
        self.feed.position(&next.encode())?;
        self.feed.commit(stop)?;
        self.position = next;
        if let (Input::Socket(socket), Some(place)) = (&mut self.input, &place) {
            socket.committed(place);
        }
        self.mapper.flows.saved();
        self.mapper.new_users.clear();
        Ok(())
    }

    /// Writes what is known of flows. While there is no room this waits, as the feed does.
    fn save(&mut self, last: u64, stop: &AtomicBool) -> Result<(), EveError> {
        let counters = self.feed.counters().clone();
        let (store, mapper, feed) = (&mut self.store, &self.mapper, &mut self.feed);
        with_room(
            || pause(stop, RETRY) && (!feed.held() || feed.wait_while_held(stop)),
            |full| counters.set_storage_full(full),
            || store.save(last, last + 1, &mapper.flows, &mapper.new_users),
        )
    }

    fn report(&mut self) {
        self.reported = Instant::now();
        tracing::info!(waiting = self.mapper.waiting(), "What became of the lines so far:\n{}", self.mapper.tally());
    }
}

/// Does something with the database, and waits while there is no room for it, which is told once; `wait` says whether to
/// try again.
fn with_room<T>(
    mut wait: impl FnMut() -> bool,
    tell: impl Fn(bool),
    mut work: impl FnMut() -> Result<T, EveError>,
) -> Result<T, EveError> {
    let mut waited = false;
    loop {
        match work() {
            Err(error) if error.is_full() => {
                if !std::mem::replace(&mut waited, true) {
                    tell(true);
                    tracing::warn!(
                        %error,
                        "The database of open flows has no room, so this sensor waits and keeps what it has; nothing is \
                         lost. Free space on its file system: it goes on by itself."
                    );
                }
                if !wait() {
                    return Err(error);
                }
            }
            result => {
                if waited {
                    tell(false);
                    if result.is_ok() {
                        tracing::info!("The database of open flows has room again; the sensor goes on.");
                    }
                }
                return result;
            }
        }
    }
}

/// Tells of bad lines, but not of all.
#[derive(Debug)]
struct Said {
    since: Instant,
    count: u32,
}

impl Said {
    fn bad(&mut self, line: u64, reason: &str) {
        if self.since.elapsed() >= MINUTE {
            if self.count > SAID {
                tracing::warn!(more = self.count - SAID, "More lines were no events.");
            }
            *self = Said { since: Instant::now(), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        if self.count <= SAID {
            tracing::warn!(line, reason, most = MAX_LINE, "A line is no event; it is counted.");
        }
        if self.count == SAID {
            tracing::warn!("More such lines are only counted for a minute.");
        }
    }
}

/// Takes the lock of a device: there is one sensor of it at a time.
fn lock(state: &Path, identity: &Identity) -> Result<File, EveError> {
    let path = state.join(format!("eve-{}-{}.lock", identity.netmap, identity.device_id));
    let failed = |source| EveError::Lock { path: path.clone(), source };
    fs::create_dir_all(state).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(EveError::Running { device: identity.device_id }),
        Err(error) => Err(failed(io::Error::from(error))),
    }
}

fn open(settings: &Settings, place: Option<&Place>, spool: &Path) -> Result<Input, EveError> {
    let path = &settings.input;
    let failed = |what| move |source| EveError::Input { what, path: path.clone(), source };
    if settings.socket || is_socket(path) {
        return Ok(Input::Socket(Socket::open(path, spool, place).map_err(failed("listen on"))?));
    }
    if is_gzip(path) {
        return Ok(Input::Gzip(Gzip::open(path, place).map_err(failed("open"))?));
    }
    Ok(Input::File(Follow::open(path, place, settings.grace).map_err(failed("open"))?))
}

/// Seconds since 1970-01-01 UTC.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Settings {
    /// Whether the input is compressed, which can be read only once and not followed.
    pub fn compressed(&self) -> bool {
        !self.socket && is_gzip(&self.input)
    }
}
