//! What an administrator has set, as all sessions see it.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use control::{Captured, EventType, Pause, Watch};
use tokio::sync::watch;

use crate::log::{Speaker, say};

/// Time between looks at the database.
const LOOK: Duration = Duration::from_millis(100);

/// Time between tries at a database that cannot be opened.
const REOPEN: Duration = Duration::from_secs(5);

/// What may be sent, and whether anything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Orders {
    /// The event types that may be sent.
    pub(crate) captured: Captured,
    /// The stream is held.
    pub(crate) pause: Option<Pause>,
}

/// Follows the database on a thread of its own, until nobody listens any more. What is set at this moment counts from the
/// start. While the database cannot be used, what was known stays in force; at first that is everything.
pub(crate) fn follow(path: PathBuf) -> std::io::Result<watch::Receiver<Orders>> {
    let mut said = false;
    let watch = open(&path, &mut said);
    let nothing = Orders { captured: Captured::ALL, pause: None };
    let first = watch.as_ref().map_or_else(|| nothing.clone(), orders);
    tell(&nothing, &first);
    let (sender, receiver) = watch::channel(first);
    // The log of whoever starts the service is this thread's too.
    let log = tracing::dispatcher::get_default(Clone::clone);
    let work = move || tracing::dispatcher::with_default(&log, || look(&path, watch, said, &sender));
    thread::Builder::new().name("control".into()).spawn(work)?;
    Ok(receiver)
}

/// Looks until nobody listens.
fn look(path: &Path, mut watch: Option<Watch>, mut said: bool, sender: &watch::Sender<Orders>) {
    let mut tried = Instant::now();
    while !sender.is_closed() {
        thread::sleep(LOOK);
        if watch.is_none() && tried.elapsed() >= REOPEN {
            tried = Instant::now();
            watch = open(path, &mut said);
        }
        let Some(watch) = &mut watch else { continue };
        watch.refresh();
        let now = orders(watch);
        sender.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                tell(before, &now);
                *before = now;
            }
            changed
        });
    }
}

fn open(path: &Path, said: &mut bool) -> Option<Watch> {
    match Watch::open(path) {
        Ok(watch) => Some(watch),
        Err(error) => {
            if !std::mem::replace(said, true) {
                say!(
                    error,
                    Speaker::parent(),
                    "ConnectionHandler",
                    "{error}. Unchecked event types and pauses do not count until it can be used"
                );
            }
            None
        }
    }
}

fn orders(watch: &Watch) -> Orders {
    Orders { captured: watch.captured(), pause: watch.pause().cloned() }
}

/// Logs what has changed.
fn tell(before: &Orders, now: &Orders) {
    let parent = Speaker::parent();
    if before.captured != now.captured {
        let off: Vec<_> = EventType::ALL.into_iter().filter(|t| !now.captured.contains(*t)).collect();
        match off.is_empty() {
            true => say!(info, parent, "sfestreamer", "All event types are enabled"),
            false => {
                let names: Vec<_> = off.into_iter().map(EventType::title).collect();
                say!(
                    info,
                    parent,
                    "sfestreamer",
                    "Event types that are not enabled and not sent: {}",
                    names.join(", ")
                );
            }
        }
    }
    match (&before.pause, &now.pause) {
        (Some(_), None) => say!(info, parent, "sfestreamer", "The pause is over: sessions go on"),
        (before, Some(pause)) if before.as_ref() != Some(pause) => {
            say!(info, parent, "sfestreamer", "The stream is paused, sessions stay open: {}", pause.reason);
        }
        _ => {}
    }
}
