//! A sensor's part in the service: there is one of it, it does what it is told, and it says how it is doing.
//!
//! A thread of its own looks ten times a second at what an administrator has set, and reports once a second, so neither
//! a sensor that blocks nor a database that is locked or full stops the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use control::{Beat, Captured, EventType, Post, Sensor};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

use crate::feed::{Counters, FeedError};

/// Time between looks at what is set.
const LOOK: Duration = Duration::from_millis(100);

/// Time between reports.
const BEAT: Duration = Duration::from_secs(1);

/// Time between tries at a database that cannot be opened.
const REOPEN: Duration = Duration::from_secs(5);

/// Where the sensors of a home are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// The database of event types, pauses and sensors.
    pub control: PathBuf,
    /// The folder for locks: of each source there is one sensor at a time.
    pub locks: PathBuf,
    /// Name of the domain that is fed, told to clients as metadata; without one it is not named.
    pub domain: Option<String>,
}

/// What a sensor says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About<'a> {
    /// What it is: "eve", "unified2", "simulator", "replay", "record-json".
    pub kind: &'a str,
    /// Its device id; 0 when it has none of its own.
    pub device: u32,
    /// Its name.
    pub name: &'a str,
}

impl Registry {
    /// The registry of the home in a folder, whose database is `control`. Locks are in `sensors/`.
    pub fn of_home(home: &Path, control: PathBuf, domain: Option<String>) -> Registry {
        Registry { control, locks: home.join("sensors"), domain }
    }

    /// Whether a sensor of this source runs. While it does it holds a lock, which ends with its process.
    pub fn runs(&self, netmap: u32, source: &[u8]) -> bool {
        let Ok(file) = File::open(self.lock_path(netmap, source)) else { return false };
        matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK))
    }

    fn lock_path(&self, netmap: u32, source: &[u8]) -> PathBuf {
        // As the registry has it, which is text.
        let source = String::from_utf8_lossy(source);
        self.locks.join(format!("source-{netmap}-{:016x}.lock", xxh3_64(source.as_bytes())))
    }

    /// Takes the lock of a source.
    fn lock(&self, netmap: u32, source: &[u8]) -> Result<File, FeedError> {
        let path = self.lock_path(netmap, source);
        let failed = |source| FeedError::Lock { path: path.clone(), source };
        fs::create_dir_all(&self.locks).map_err(failed)?;
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed)?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    let mut pid = String::new();
                    // Who it is helps, but is not needed.
                    let _ = (&mut file).take(20).read_to_string(&mut pid);
                    let pid = pid.trim().parse().ok();
                    return Err(FeedError::Running { name: String::from_utf8_lossy(source).into(), netmap, pid });
                }
                Err(error) => return Err(failed(io::Error::from(error))),
            }
        }
        let note = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = note {
            tracing::debug!(path = %path.display(), %error, "The process id cannot be noted.");
        }
        Ok(file)
    }
}

/// The thread of a sensor and what it shares with it.
#[derive(Debug)]
pub(crate) struct Duty {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Held as long as the sensor is there.
    _lock: File,
}

#[derive(Debug)]
struct Shared {
    captured: AtomicU16,
    /// It is to write nothing.
    hold: AtomicBool,
    why: Mutex<String>,
    /// It may write at this moment, whatever it was told. Each side sets its own flag before it looks at that of the
    /// other, so that nobody writes after it was reported as held.
    active: AtomicBool,
    ended: AtomicBool,
}

impl Duty {
    /// Takes the lock of a source and registers its sensor. A database that cannot be used is logged and tried again;
    /// until then everything is captured.
    pub(crate) fn begin(
        registry: &Registry,
        netmap: u32,
        source: &[u8],
        about: About<'_>,
        counters: &Arc<Counters>,
    ) -> Result<Duty, FeedError> {
        let lock = registry.lock(netmap, source)?;
        let me = Me {
            path: registry.control.clone(),
            netmap,
            source: String::from_utf8_lossy(source).into(),
            device: about.device,
            name: about.name.to_owned(),
            kind: about.kind.to_owned(),
        };
        let shared = Arc::new(Shared {
            captured: AtomicU16::new(Captured::ALL.bits()),
            hold: AtomicBool::new(false),
            why: Mutex::default(),
            active: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let mut clerk = Clerk {
            post: None,
            tried: Instant::now(),
            said: false,
            reported: [0; EventType::ALL.len()],
            discarded: 0,
            beaten: None,
            holding: false,
            counters: counters.clone(),
            shared: shared.clone(),
            me,
        };
        clerk.open();
        clerk.listen();
        let thread = thread::Builder::new().name("registry".into()).spawn(move || clerk.run());
        let thread = thread.map_err(|source| FeedError::Lock { path: registry.control.clone(), source })?;
        Ok(Duty { shared, thread: Some(thread), _lock: lock })
    }

    /// The event types to capture.
    pub(crate) fn captured(&self) -> Captured {
        Captured::from_bits(self.shared.captured.load(Ordering::Relaxed))
    }

    /// Why nothing is to be written, if it is so.
    pub(crate) fn held(&self) -> Option<String> {
        self.shared.hold.load(Ordering::SeqCst).then(|| self.shared.why().clone())
    }

    /// Whether it is held.
    pub(crate) fn is_held(&self) -> bool {
        self.shared.hold.load(Ordering::Relaxed)
    }

    /// Says that something may be written from now on, unless it is held: then it says so.
    pub(crate) fn enter(&self) -> Result<(), String> {
        self.shared.active.store(true, Ordering::SeqCst);
        match self.held() {
            None => Ok(()),
            Some(why) => {
                self.leave();
                Err(why)
            }
        }
    }

    /// Says that nothing will be written until the next [`enter`](Self::enter).
    pub(crate) fn leave(&self) {
        self.shared.active.store(false, Ordering::SeqCst);
        if self.is_held()
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn why(&self) -> MutexGuard<'_, String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`Sensor`] that owns its names.
struct Me {
    path: PathBuf,
    netmap: u32,
    source: String,
    device: u32,
    name: String,
    kind: String,
}

/// What the thread does.
struct Clerk {
    me: Me,
    post: Option<Post>,
    tried: Instant,
    said: bool,
    /// Events of each type in earlier reports.
    reported: [u64; EventType::ALL.len()],
    discarded: u64,
    beaten: Option<Instant>,
    /// Reported as held.
    holding: bool,
    counters: Arc<Counters>,
    shared: Arc<Shared>,
}

impl Clerk {
    fn run(mut self) {
        loop {
            // Looked at first: what was counted before the end is in the last report.
            let ended = self.shared.ended.load(Ordering::SeqCst);
            if self.post.is_none() && !ended && self.tried.elapsed() >= REOPEN {
                self.open();
            }
            self.listen();
            self.report(ended);
            if ended {
                return;
            }
            thread::park_timeout(LOOK);
        }
    }

    fn open(&mut self) {
        let Me { path, netmap, source, device, name, kind } = &self.me;
        self.tried = Instant::now();
        match Post::open(path, &Sensor { netmap: *netmap, source, device: *device, name, kind }) {
            Ok(post) => {
                if std::mem::take(&mut self.said) {
                    tracing::info!(path = %path.display(), "The sensor is registered now.");
                }
                self.post = Some(post);
            }
            Err(error) => self.complain(&error),
        }
    }

    /// Passes on what is set.
    fn listen(&mut self) {
        let Some(post) = &mut self.post else { return };
        let orders = post.orders();
        let before = self.shared.captured.swap(orders.captured.bits(), Ordering::Relaxed);
        if before != orders.captured.bits() {
            let all = EventType::ALL.into_iter().filter(|t| !orders.captured.contains(*t));
            let without = all.map(EventType::key).collect::<Vec<_>>().join(", ");
            match without.as_str() {
                "" => tracing::info!("All event types are captured."),
                _ => tracing::info!("Event types that are not captured: {without}."),
            }
        }
        match &orders.hold {
            Some(why) => {
                if *self.shared.why() != *why {
                    self.shared.why().clone_from(why);
                }
                self.shared.hold.store(true, Ordering::SeqCst);
            }
            None => self.shared.hold.store(false, Ordering::SeqCst),
        }
    }

    /// Reports when it is time to, and at once when the sensor begins or ceases to be held.
    fn report(&mut self, ended: bool) {
        let active = self.shared.active.load(Ordering::SeqCst);
        let holding = self.shared.hold.load(Ordering::SeqCst) && !active;
        let due = self.beaten.is_none_or(|beaten| beaten.elapsed() >= BEAT);
        if !due && !ended && holding == self.holding {
            return;
        }
        let mut now = [0; EventType::ALL.len()];
        for (record_type, count) in self.counters.by_type() {
            if let Some(total) = EventType::of(record_type).and_then(|t| now.get_mut(t as usize)) {
                *total += count;
            }
        }
        let discarded = self.counters.discarded();
        let since = now.iter().zip(self.reported).map(|(now, before)| now - before);
        let beat = Beat {
            events: EventType::ALL.into_iter().zip(since).filter(|(_, count)| *count > 0).collect(),
            discarded: discarded - self.discarded,
            last_event: self.counters.last_event().map(i64::from),
            lag: self.counters.lag(),
            waiting: self.counters.waiting(),
        };
        let Some(post) = &mut self.post else { return };
        post.set_active(active);
        self.beaten = Some(Instant::now());
        match post.beat(&beat) {
            Ok(()) => {
                (self.reported, self.discarded, self.holding) = (now, discarded, holding);
                if std::mem::take(&mut self.said) {
                    tracing::info!("The sensor can report again.");
                }
            }
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &control::Error) {
        if !std::mem::replace(&mut self.said, true) {
            tracing::error!(
                %error,
                "This sensor cannot report, and does not see what is set; it goes on and tries again. It captures what \
                 it was told last, or everything."
            );
        }
    }
}
