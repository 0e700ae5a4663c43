//! Retention while the service runs: old segments go, and a disk that fills up is told in time.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use archive::{Removal, Retention, Why};
use jiff::Timestamp;

use crate::bytes::Bytes;
use crate::log::{Speaker, say};
use crate::server::Shared;
use crate::settings::Settings;

/// How often the limits are applied.
const SWEEP: Duration = Duration::from_secs(60);

/// How often the free space is looked at: at a million events a second a disk fills within seconds.
const LOOK: Duration = Duration::from_secs(5);

/// How often the same alarm is told again.
const AGAIN: Duration = Duration::from_secs(600);

/// With less than this a disk counts as full, whatever the settings say.
const FULL: u64 = 16 << 20;

/// What is wrong with the room for the archive now, in words; `None` when nothing is.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Mutex<Option<String>>);

impl Alarm {
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// Makes room on a full disk before anything is opened.
pub(crate) fn at_start(root: &Path, settings: &Settings) {
    let full = archive::room(root).is_ok_and(|room| room.free < FULL);
    if full && let Err(error) = sweep(root, settings, 0) {
        say!(error, Speaker::parent(), "DiskManager", "The retention cannot be applied: {error}");
    }
}

/// Deletes what is too much; gives how much is lacking all the same.
fn sweep(root: &Path, settings: &Settings, held: u64) -> archive::Result<u64> {
    let plan = Retention::plan(root, settings.keep(held))?;
    let parent = Speaker::parent();
    plan.carry_out(|removal| say!(info, parent, "DiskManager", "Deleted {}", words(removal, settings)))?;
    Ok(plan.lacking)
}

/// Applies the limits until the service is gone; a message means at once.
pub(crate) fn run(shared: &Weak<Shared>, wake: &Receiver<()>) {
    let mut care = Care::default();
    loop {
        let Some(shared) = shared.upgrade() else { return };
        care.look(&shared);
        drop(shared);
        match wake.recv_timeout(LOOK) {
            Ok(()) => care.swept = None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[derive(Debug, Default)]
struct Care {
    /// When the limits were applied last.
    swept: Option<Instant>,
    /// When the alarm was told last.
    told: Option<Instant>,
    /// The last error, which is told once.
    failed: Option<String>,
}

impl Care {
    fn look(&mut self, shared: &Arc<Shared>) {
        let settings = shared.settings();
        match self.try_look(shared, &settings) {
            Ok(alarm) => {
                self.failed = None;
                self.tell(alarm.as_deref());
                shared.alarm.set(alarm);
            }
            Err(error) => {
                let text = error.to_string();
                if self.failed.as_ref() != Some(&text) {
                    say!(error, Speaker::parent(), "DiskManager", "The retention cannot be applied: {text}");
                    self.failed = Some(text);
                }
            }
        }
    }

    /// Deletes what is too much, if it is time or there is too little room; gives what is wrong then.
    fn try_look(&mut self, shared: &Shared, settings: &Settings) -> archive::Result<Option<String>> {
        let root = &shared.home.archive();
        if archive::netmaps(root)?.is_empty() {
            return Ok(None);
        }
        let free = archive::room(root)?.free;
        // While the service is paused, somebody may be copying the archive.
        let paused = shared.orders.borrow().pause.is_some();
        let due = !paused && self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP);
        if due || (!paused && free < settings.keep_free_bytes.0) {
            self.swept = Some(Instant::now());
            if sweep(root, settings, shared.domains.held())? > 0 {
                return Ok(Some(format!(
                    "The file system of {} has {} free, less than keep_free_bytes ({}), and the archive has no segment left \
                     that may be deleted: make room, or the sensors will have to wait",
                    root.display(),
                    Bytes(archive::room(root)?.free),
                    settings.keep_free_bytes
                )));
            }
        }
        let free = archive::room(root)?.free;
        Ok((free < FULL).then(|| {
            format!(
                "The file system of {} is full ({} free): the sensors wait, and nothing is lost. Make room, or set \
                 keep_free_bytes so that old events are deleted in time",
                root.display(),
                Bytes(free)
            )
        }))
    }

    fn tell(&mut self, alarm: Option<&str>) {
        let parent = Speaker::parent();
        match alarm {
            Some(text) if self.told.is_none_or(|told| told.elapsed() >= AGAIN) => {
                say!(error, parent, "DiskManager", "{text}");
                self.told = Some(Instant::now());
            }
            None if self.told.take().is_some() => {
                say!(info, parent, "DiskManager", "The archive has room again");
            }
            _ => {}
        }
    }
}

/// A segment that goes, when its events are from, and why it goes.
fn words(removal: &Removal, settings: &Settings) -> String {
    let why = match removal.why {
        Why::Age => format!("older than keep_days = {}", settings.keep_days),
        Why::Size => format!("netmap {} had more than keep_bytes = {}", removal.netmap, settings.keep_bytes),
        Why::Room => format!("less than keep_free_bytes = {} were free", settings.keep_free_bytes),
    };
    format!(
        "{} with the events from {} to {}, {} bytes: {why}",
        removal.path.display(),
        time(removal.from),
        time(removal.before),
        removal.bytes
    )
}

fn time(second: u32) -> String {
    Timestamp::from_second(second.into()).map_or_else(|_| second.to_string(), |time| time.to_string())
}
