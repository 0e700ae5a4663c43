//! Log lines as an appliance's service writes them.
//!
//! `Mon D HH:MM:SS HOST SF-IMS[PID]: [TID] PROCESS:COMPONENT [LEVEL] text`, in UTC (Cisco TAC article 215631 shows real
//! ones). The parent process of an appliance, which accepts connections, is `Event Streamer` here with this process's
//! id as TID; each of its children, one a connection, is `EventStreamer child(NAME)` with the number of the connection as
//! TID. Text that comes from outside cannot forge a line: control characters are escaped.
//!
//! [`Lines`] is a layer for `tracing_subscriber`; the program installs it.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// The process name of the accepting side.
const PARENT: &str = "Event Streamer";

/// A layer that writes every event up to a level as a line.
#[derive(Debug)]
pub struct Lines {
    control: Control,
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
}

enum Sink {
    Writer(Box<dyn Write + Send>),
    File { path: PathBuf, file: File },
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
        let file = open(path)?;
        Ok(Lines::new(Sink::File { path: path.to_path_buf(), file }, level))
    }

    /// A handle to change level and file later.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    fn new(sink: Sink, level: Level) -> Lines {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let control = Control(Arc::new(Inner { level: AtomicU8::new(0), sink: Mutex::new(sink) }));
        control.set_level(level);
        Lines { control, host, pid: std::process::id() }
    }
}

impl Control {
    /// Sets how much is logged, from the next line on.
    pub fn set_level(&self, level: Level) {
        self.0.level.store(rank(&level), Ordering::Relaxed);
    }

    /// Opens the log file again, after something has renamed it. Does nothing for another writer.
    ///
    /// # Errors
    /// What the system says; lines then go to the old file still.
    pub fn reopen(&self) -> io::Result<()> {
        match &mut *self.sink() {
            Sink::File { path, file } => *file = open(path)?,
            Sink::Writer(_) => {}
        }
        Ok(())
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
        let crate_name = metadata.target().split("::").next().unwrap_or_default();
        let line = fields.line(Timestamp::now(), &self.host, self.pid, crate_name, *metadata.level());
        // There is nowhere to report a log that cannot be written.
        let _ = match &mut *self.control.sink() {
            Sink::Writer(writer) => writer.write_all(line.as_bytes()).and_then(|()| writer.flush()),
            Sink::File { file, .. } => file.write_all(line.as_bytes()),
        };
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sink::Writer(_) => f.write_str("Writer"),
            Sink::File { path, .. } => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Who says something: the parent or a child.
#[derive(Debug, Clone)]
pub(crate) struct Speaker {
    tid: u32,
    process: Arc<str>,
}

impl Speaker {
    pub(crate) fn parent() -> Self {
        Speaker { tid: std::process::id(), process: PARENT.into() }
    }

    /// The child that serves a connection; its name is that of the client, once known.
    pub(crate) fn child(number: u32, name: &str) -> Self {
        Speaker { tid: number, process: format!("EventStreamer child({name})").into() }
    }

    pub(crate) fn tid(&self) -> u32 {
        self.tid
    }

    pub(crate) fn process(&self) -> &str {
        &self.process
    }
}

/// Logs a line: level, speaker, component, text.
macro_rules! say {
    ($level:ident, $speaker:expr, $component:literal, $($text:tt)+) => {{
        let speaker: &$crate::log::Speaker = &$speaker;
        tracing::$level!(
            target: "estreamer", tid = speaker.tid(), process = speaker.process(), component = $component, $($text)+
        );
    }};
}
pub(crate) use say;

/// The fields of an event.
#[derive(Default)]
struct Fields {
    tid: Option<u64>,
    process: Option<String>,
    component: Option<String>,
    text: String,
    /// What other crates add: ` name=value` each.
    rest: String,
}

impl Fields {
    fn line(&self, now: Timestamp, host: &str, pid: u32, crate_name: &str, level: Level) -> String {
        let mut line = String::with_capacity(160);
        let time = now.strftime("%b %e %H:%M:%S");
        let tid = self.tid.unwrap_or(pid.into());
        let process = self.process.as_deref().unwrap_or(PARENT);
        let component = self.component.as_deref().unwrap_or(crate_name);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "{time} {host} SF-IMS[{pid}]: [{tid}] {process}:{component} [{level}] {}{}",
            self.text, self.rest
        );
        if line.chars().any(char::is_control) {
            line = line.chars().fold(String::new(), |mut safe, c| {
                if c.is_control() {
                    safe.extend(c.escape_default())
                } else {
                    safe.push(c)
                }
                safe
            });
        }
        line.push('\n');
        line
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "tid" => self.tid = Some(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "process" => self.process = Some(value.to_owned()),
            "component" => self.component = Some(value.to_owned()),
            "message" => self.text = value.to_owned(),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

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
    fn a_line_is_as_on_an_appliance() {
        let fields = Fields {
            tid: Some(23935),
            process: Some("EventStreamer child(10.48.26.47)".into()),
            component: Some("sfestreamer".into()),
            text: "Got EVENT_STREAM_REQUEST length 8".into(),
            rest: String::new(),
        };
        let now = Timestamp::from_second(1_591_210_934).unwrap();
        assert_eq!(
            fields.line(now, "firepower", 22601, "server", Level::INFO),
            "Jun  3 19:02:14 firepower SF-IMS[22601]: [23935] EventStreamer child(10.48.26.47):sfestreamer [INFO] \
             Got EVENT_STREAM_REQUEST length 8\n"
        );
    }

    #[test]
    fn lines_of_other_crates_levels_files_and_forgeries() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("server.log");
        let lines = Lines::to_file(&path, Level::INFO).unwrap();
        let control = lines.control();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::debug!("not yet");
            tracing::warn!(target: "archive::writer", netmap = 3, path = %"/x", "The clock is behind.");
            say!(error, Speaker::child(7, "a\nb"), "sfestreamer", "bye\nJun  3 19:02:14 {}", "forged\x1b[0m");
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
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("[DEBUG] now\n"));
    }
}
