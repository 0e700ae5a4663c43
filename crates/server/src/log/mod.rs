//! Log lines as an appliance's service writes them.
//!
//! `Mon D HH:MM:SS HOST SF-IMS[PID]: [TID] PROCESS:COMPONENT [LEVEL] text`, in UTC (Cisco TAC article 215631 shows real
//! ones). The parent process of an appliance, which accepts connections, is `Event Streamer` here with this process's
//! id as TID; each of its children, one a connection, is `EventStreamer child(NAME)` with the number of the connection as
//! TID. Text that comes from outside cannot forge a line: control characters are escaped.
//!
//! [`Lines`] is a layer for `tracing_subscriber`; the program installs it. Lines go to a writer, a file or syslog, as text
//! or as JSON ([`Format`]); the [`Recent`] ones stay in memory.

mod entry;
mod recent;
mod sink;
mod syslog;
mod target;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use entry::{Entry, Fields};
pub use recent::{Line, Recent};
use sink::Sink;
use syslog::Syslog;
pub use target::{Facility, Format, SyslogAddress, Target};

/// The process name of the accepting side.
const PARENT: &str = "Event Streamer";

/// A layer that writes every event up to a level as a line.
#[derive(Debug)]
pub struct Lines {
    control: Control,
    format: Format,
    host: String,
    pid: u32,
}

/// Changes what [`Lines`] does while it is installed.
#[derive(Debug, Clone)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    level: AtomicU8,
    sink: Mutex<Sink>,
    recent: Recent,
}

impl Lines {
    /// Writes lines to any writer, such as the standard error; each line is one write.
    pub fn to_writer(writer: impl Write + Send + 'static, level: Level) -> Lines {
        Lines::new(Sink::Writer(Box::new(writer)), level)
    }

    /// Appends lines to a file, which is created with mode 0600 if it is not there.
    ///
    /// # Errors
    /// What the system says when the file cannot be opened.
    pub fn to_file(path: &Path, level: Level) -> io::Result<Lines> {
        Ok(Lines::new(Sink::file(path)?, level))
    }

    /// Sends lines to syslog from a thread of its own. Whether somebody listens there need not be known yet: lines wait
    /// for it, as long as there is room for them.
    ///
    /// # Errors
    /// What the system says when the thread cannot be made.
    pub fn to_syslog(address: SyslogAddress, facility: Facility, level: Level) -> io::Result<Lines> {
        Ok(Lines::new(Sink::Syslog(Syslog::start(address, facility)?), level))
    }

    /// Where the settings say: standard error, a file or syslog.
    ///
    /// # Errors
    /// As for [`Lines::to_file`] and [`Lines::to_syslog`].
    pub fn to(target: &Target, facility: Facility, level: Level) -> io::Result<Lines> {
        match target {
            Target::StandardError => Ok(Lines::to_writer(io::stderr(), level)),
            Target::File(path) => Lines::to_file(path, level),
            Target::Syslog(address) => Lines::to_syslog(address.clone(), facility, level),
        }
    }

    /// Writes lines in this format; without it they are text.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Lines {
        self.format = format;
        self
    }

    /// A handle to change level and file later.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The recent lines.
    pub fn recent(&self) -> Recent {
        self.control.recent()
    }

    fn new(sink: Sink, level: Level) -> Lines {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let inner = Inner { level: AtomicU8::new(0), sink: Mutex::new(sink), recent: Recent::default() };
        let control = Control(Arc::new(inner));
        control.set_level(level);
        Lines { control, format: Format::Text, host, pid: std::process::id() }
    }
}

impl Control {
    /// Sets how much is logged, from the next line on.
    pub fn set_level(&self, level: Level) {
        self.0.level.store(rank(&level), Ordering::Relaxed);
    }

    /// Opens the log file again, after something has renamed it. Does nothing for other sinks: syslog is found again by
    /// itself.
    ///
    /// # Errors
    /// What the system says; lines then go to the old file still.
    pub fn reopen(&self) -> io::Result<()> {
        self.sink().reopen()
    }

    /// The recent lines.
    pub fn recent(&self) -> Recent {
        self.0.recent.clone()
    }

    /// Waits until syslog has the lines so far, at most so long: for the end of the program.
    pub fn flush(&self, most: Duration) {
        let waiting = match &*self.sink() {
            Sink::Syslog(syslog) => Some(syslog.waiting()),
            Sink::Writer(_) | Sink::File { .. } => None,
        };
        if let Some(waiting) = waiting {
            waiting.until_sent(most);
        }
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.0.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        if rank(metadata.level()) > self.control.0.level.load(Ordering::Relaxed) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let entry = Entry::new(Timestamp::now(), *metadata.level(), metadata.target(), self.pid, fields);
        self.control.0.recent.push(&entry);
        self.control.sink().write(&entry, self.format, &self.host, self.pid);
    }
}

/// Who says something: the parent or a child.
#[derive(Debug, Clone)]
pub(crate) struct Speaker {
    tid: u32,
    process: Arc<str>,
    connection: Option<Connection>,
}

/// The connection that is spoken of.
#[derive(Debug, Clone)]
struct Connection {
    number: u32,
    peer: Arc<str>,
    client: Option<Arc<str>>,
}

impl Speaker {
    pub(crate) fn parent() -> Self {
        Speaker { tid: std::process::id(), process: PARENT.into(), connection: None }
    }

    /// The parent, speaking of a connection.
    pub(crate) fn parent_of(number: u32, peer: SocketAddr) -> Self {
        let connection = Some(Connection { number, peer: peer.to_string().into(), client: None });
        Speaker { connection, ..Speaker::parent() }
    }

    /// The child that serves a connection; it has the name of the address until the client's is known.
    pub(crate) fn child(number: u32, peer: SocketAddr) -> Self {
        let process = format!("EventStreamer child({})", peer.ip()).into();
        let connection = Some(Connection { number, peer: peer.to_string().into(), client: None });
        Speaker { tid: number, process, connection }
    }

    /// The same with the client's name.
    pub(crate) fn named(self, client: &str) -> Self {
        let process = format!("EventStreamer child({client})").into();
        let connection = self.connection.map(|c| Connection { client: Some(client.into()), ..c });
        Speaker { process, connection, ..self }
    }

    pub(crate) fn tid(&self) -> u32 {
        self.tid
    }

    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    pub(crate) fn session(&self) -> Option<u32> {
        self.connection.as_ref().map(|c| c.number)
    }

    pub(crate) fn peer(&self) -> Option<&str> {
        self.connection.as_ref().map(|c| &*c.peer)
    }

    pub(crate) fn client(&self) -> Option<&str> {
        self.connection.as_ref()?.client.as_deref()
    }
}

/// Logs a line: level, speaker, component, text.
macro_rules! say {
    ($level:ident, $speaker:expr, $component:literal, $($text:tt)+) => {{
        let speaker: &$crate::log::Speaker = &$speaker;
        tracing::$level!(
            target: "estreamer", tid = speaker.tid(), process = speaker.process(), component = $component,
            session = speaker.session(), peer = speaker.peer(), client = speaker.client(), $($text)+
        );
    }};
}
pub(crate) use say;

/// 1 for errors to 5 for trace.
fn rank(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn lines_of_other_crates_levels_files_and_forgeries() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("server.log");
        let lines = Lines::to_file(&path, Level::INFO).unwrap();
        let (control, recent) = (lines.control(), lines.recent());
        let child = Speaker::child(7, "192.0.2.1:999".parse().unwrap()).named("a\nb");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::debug!("not yet");
            tracing::warn!(target: "archive::writer", netmap = 3, path = %"/x", "The clock is behind.");
            say!(error, child, "sfestreamer", "bye\nJun  3 19:02:14 {}", "forged\x1b[0m");
            std::fs::rename(&path, temp.path().join("old")).unwrap();
            control.reopen().unwrap();
            control.set_level(Level::DEBUG);
            tracing::debug!("now");
        });
        let old = std::fs::read_to_string(temp.path().join("old")).unwrap();
        let old: Vec<_> = old.lines().collect();
        assert_eq!(old.len(), 2);
        assert!(old[0].ends_with("Event Streamer:archive [WARN] The clock is behind. netmap=3 path=/x"), "{}", old[0]);
        assert!(old[1].contains(": [7] EventStreamer child(a\\nb):sfestreamer [ERROR] bye\\nJun"), "{}", old[1]);
        assert!(old[1].ends_with("forged\\u{1b}[0m"), "what the JSON has in fields is in the head here: {}", old[1]);
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("[DEBUG] now\n"));

        let kept = recent.after(0, 10, Level::TRACE);
        let short: Vec<_> = kept.iter().map(|l| (l.number, l.level, l.process.as_str(), l.text.as_str())).collect();
        assert_eq!(short[0], (1, Level::WARN, "Event Streamer", "The clock is behind. netmap=3 path=/x"));
        assert_eq!(short[1].2, "EventStreamer child(a\\nb)");
        assert_eq!((short[2].0, short[2].1, short[2].3), (3, Level::DEBUG, "now"));
    }

    #[test]
    fn json_has_what_is_known_as_fields() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let lines = Lines::to_file(&path, Level::INFO).unwrap().with_format(Format::Json);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let child = Speaker::child(7, "[2001:db8::1]:999".parse().unwrap()).named("siem.example");
            say!(info, child, "sfestreamer", "bye\n{}", "\"you\"");
            say!(warn, Speaker::parent(), "ConnectionHandler", "Shutting down");
            tracing::error!(target: "archive::writer", netmap = 3, good = false, message = "No room");
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let all: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let pid = std::process::id();
        for line in &all {
            assert_eq!(line["pid"], pid);
            assert_eq!(line["program"], "SF-IMS");
            line["time"].as_str().unwrap().parse::<Timestamp>().unwrap();
            assert!(!line["host"].as_str().unwrap().is_empty());
        }
        let without: Vec<String> = text.lines().map(|l| l[l.find("\"level\"").unwrap()..].to_owned()).collect();
        assert!(without[0].ends_with(
            "\"tid\":7,\"process\":\"EventStreamer child(siem.example)\",\"component\":\"sfestreamer\",\
             \"message\":\"bye\\n\\\"you\\\"\",\"session\":7,\"peer\":\"[2001:db8::1]:999\",\"client\":\"siem.example\"}"
        ), "{}", without[0]);
        assert!(without[0].starts_with("\"level\":\"INFO\","));
        assert_eq!(
            (all[1]["level"].as_str(), all[1]["process"].as_str(), &all[1]["tid"], all[1].get("session")),
            (Some("WARN"), Some("Event Streamer"), &pid.into(), None)
        );
        assert_eq!(
            (&all[2]["component"], &all[2]["netmap"], &all[2]["good"]),
            (&"archive".into(), &3.into(), &false.into())
        );
    }
}
