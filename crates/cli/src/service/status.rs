//! What a collector says of itself: `HOST-PORT_status.dat`, SIGUSR1, and the line for the service manager.
//!
//! eNcore's file has only `state`; what is beside it is for `estreamer status`.

use collector::config::{Config, Instance};
use collector::stats::{State, Status};
use collector::telemetry;
use jiff::Zoned;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The longest time between two looks at what has changed.
const TURN: Duration = Duration::from_secs(1);

/// Time between two bookmarks: each is made durable.
const BOOKMARK: Duration = Duration::from_secs(5);

/// A state of eNcore's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    /// Its number.
    pub(crate) id: i64,
    /// Its word.
    pub(crate) word: &'static str,
}

/// Not connected, or ended by a fault.
pub(crate) const ERROR: Code = Code { id: -1, word: "Error" };
/// Not there.
pub(crate) const STOPPED: Code = Code { id: 0, word: "Stopped" };
/// Connected.
pub(crate) const RUNNING: Code = Code { id: 1, word: "Running" };
/// Not connected yet.
pub(crate) const STARTING: Code = Code { id: 2, word: "Starting" };
/// Told to end.
pub(crate) const STOPPING: Code = Code { id: 3, word: "Stopping" };

/// The state of all management centers in eNcore's numbers, the worst counts, and why it is no better one.
pub(crate) fn code(status: &Status) -> (Code, Option<String>) {
    let mut reasons = Vec::new();
    let mut worst = RUNNING;
    for stats in &status.sources {
        let code = match stats.state() {
            State::Starting => STARTING,
            State::Running => continue,
            State::Waiting(reason) => {
                reasons.push(match status.sources.len() {
                    1 => reason,
                    _ => format!("{}: {reason}", stats.name),
                });
                ERROR
            }
            State::Stopped => STOPPED,
        };
        if worst != ERROR {
            worst = code;
        }
    }
    (worst, (!reasons.is_empty()).then(|| reasons.join(" ")))
}

/// Keeps the files of a running collector true.
#[derive(Debug)]
pub(crate) struct Observer {
    /// The collector's, and that of each management center.
    instance: Instance,
    sources: Vec<Instance>,
    server: String,
    start: Zoned,
    begun: Instant,
    looked: Option<Instant>,
    /// The status as it was written last, without what always changes.
    written: Option<(Code, Option<String>, u64, u32)>,
    /// The bookmarks, and when they were written.
    bookmarks: Vec<u32>,
    marked: Option<Instant>,
    /// A file that cannot be written is spoken of once.
    told: bool,
}

impl Observer {
    pub(crate) fn new(config: &Config) -> Observer {
        let servers: Vec<String> = config.servers.iter().map(|s| s.key()).collect();
        Observer {
            instance: config.instance(),
            sources: config.servers.iter().map(|s| config.instance_of(s)).collect(),
            server: servers.join(", "),
            start: Zoned::now(),
            begun: Instant::now(),
            looked: None,
            written: None,
            bookmarks: vec![0; config.servers.len()],
            marked: None,
            told: false,
        }
    }

    /// Looks, about once a second; says whether it did.
    pub(crate) fn turn(&mut self, status: &Status) -> bool {
        if self.looked.is_some_and(|last| last.elapsed() < TURN) {
            return false;
        }
        self.looked = Some(Instant::now());
        let (code, reason) = code(status);
        self.write(status, code, reason);
        if self.marked.is_none_or(|last| last.elapsed() >= BOOKMARK) {
            self.mark(status);
        }
        true
    }

    /// Writes a state of the whole service, and the bookmark.
    pub(crate) fn last(&mut self, status: &Status, code: Code, reason: Option<String>) {
        self.write(status, code, reason);
        self.mark(status);
    }

    /// eNcore's status structure, and what else is known.
    pub(crate) fn structure(&self, status: &Status, code: Code, reason: Option<&str>) -> Value {
        let duration = self.begun.elapsed().as_secs_f64();
        let events = status.sum(|s| &s.delivered);
        let lag = status.sources.iter().filter_map(|s| s.lag()).max();
        let (_, health) = telemetry::health(status);
        json!({
            "start": iso(&self.start),
            "now": iso(&Zoned::now()),
            "duration": (duration * 1000.0).round() / 1000.0,
            "bookmark": status.second(),
            "events": events,
            "cumulative_rate": (events as f64 / duration.max(0.001) * 100.0).round() / 100.0,
            "processes": [{"name": "collector", "pid": std::process::id(), "count": status.sum(|s| &s.received)}],
            "state": {"id": code.id, "description": code.word},
            "reason": reason,
            "server": self.server,
            "pid": std::process::id(),
            "lag": lag.map(|lag| lag.as_secs()),
            "pending": status.pending(),
            "connections": status.sum(|s| &s.connections),
            "sources": health["sources"],
            "outputs": health["outputs"],
        })
    }

    fn write(&mut self, status: &Status, code: Code, reason: Option<String>) {
        let counted = status.sum(|s| &s.received) + status.sum(|s| &s.delivered);
        let now = Some((code, reason.clone(), counted, status.second()));
        if self.written == now {
            return;
        }
        let text = self.structure(status, code, reason.as_deref()).to_string();
        match replace(&self.instance.status(), text.as_bytes()) {
            Ok(()) => self.written = now,
            Err(error) => self.tell(&self.instance.status(), &error),
        }
    }

    /// The bookmarks follow what is durable, so they are never ahead of it.
    fn mark(&mut self, status: &Status) {
        self.marked = Some(Instant::now());
        let mut failed = None;
        for ((stats, instance), written) in status.sources.iter().zip(&self.sources).zip(&mut self.bookmarks) {
            let second = stats.second.load(Ordering::Relaxed);
            if second == 0 || second == *written {
                continue;
            }
            let path = instance.bookmark();
            match collector::encore::write_bookmark(&path, second) {
                Ok(()) => *written = second,
                Err(error) => failed = Some((path, error)),
            }
        }
        if let Some((path, error)) = failed {
            self.tell(&path, &error);
        }
    }

    fn tell(&mut self, path: &Path, error: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!("{} cannot be written: {error}. Only tools that read it miss it", path.display());
        }
    }
}

fn iso(time: &Zoned) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Replaces a file that others look at while it is written; it need not outlive a power failure.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    fs::rename(&new, path)
}

/// The status a collector has written, as far as it can be read.
pub(crate) fn read(instance: &Instance) -> Option<Value> {
    serde_json::from_slice(&fs::read(instance.status()).ok()?).ok()
}

/// The state, as its file says, unless nobody keeps it true any more.
pub(crate) fn current(instance: &Instance, lives: bool) -> (i64, String) {
    let state = read(instance).filter(|_| lives).and_then(|status| {
        let state = status.get("state")?;
        Some((state.get("id")?.as_i64()?, state.get("description")?.as_str()?.to_owned()))
    });
    state.unwrap_or_else(|| match lives {
        true => (STARTING.id, STARTING.word.to_owned()),
        false => (STOPPED.id, STOPPED.word.to_owned()),
    })
}
