//! The log: `logging` and `monitor`.

use super::{ConfigError, Object, Reader};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Levels of eNcore, and which of ours they are.
const LEVELS: &str = "FATAL, ERROR, WARNING, INFO, DEBUG, VERBOSE or TRACE";

/// Where the log goes, and how it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level name of `tracing`.
    pub level: &'static str,
    /// The log file, if one is wanted.
    pub file: Option<PathBuf>,
    /// Also to standard output.
    pub stdout: bool,
    /// Also to standard error.
    pub stderr: bool,
    /// Objects of JSON instead of eNcore's lines.
    pub json: bool,
    /// The file is renamed, and a new one begun, when it has this many bytes; 0: never.
    pub max_bytes: u64,
    /// How many renamed files are kept.
    pub keep_files: usize,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info", file: None, stdout: false, stderr: true, json: false, max_bytes: 100 << 20, keep_files: 5 }
    }
}

/// What the monitor line says, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// Time between lines.
    pub period: Duration,
    /// It says how many records were handled.
    pub handled: bool,
    /// It says how far in time the stream is.
    pub bookmark: bool,
    /// The whole status is logged with it.
    pub details: bool,
    /// Where metrics and health can be asked for, by HTTP.
    pub listen: Option<SocketAddr>,
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor { period: Duration::from_secs(120), handled: true, bookmark: false, details: false, listen: None }
    }
}

impl Reader<'_> {
    pub(super) fn logging(&mut self, root: &Object<'_>, folder: &Path) -> Result<Log, ConfigError> {
        let mut log = Log::default();
        let Some(logging) = self.optional_section(root, "logging")? else { return Ok(log) };
        self.known(&logging, &["filepath", "stdOut", "stdErr", "level", "format", "maxBytes", "keepFiles"]);
        if let Some(level) = logging.value("level") {
            log.level = match level.as_str().unwrap_or_default().to_ascii_uppercase().as_str() {
                "FATAL" | "ERROR" => "error",
                "WARNING" | "WARN" => "warn",
                "INFO" => "info",
                "DEBUG" => "debug",
                "VERBOSE" | "TRACE" => "trace",
                _ => return Err(self.wrong(&logging.key("level"), level, LEVELS)),
            };
        }
        log.file = match logging.value("filepath") {
            None => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(_) => Some(folder.join(self.text(&logging, "filepath", "the path of the log file")?)),
        };
        // eNcore writes to standard output when nothing is said; there events may be.
        log.stdout = self.flag(&logging, "stdOut", false)?;
        let elsewhere = log.stdout || logging.value("stdOut").is_some() && log.file.is_some();
        log.stderr = self.flag(&logging, "stdErr", !elsewhere)?;
        if !log.stdout && !log.stderr && log.file.is_none() {
            log.stderr = true;
            self.warnings.push(format!(
                "{} leaves the log no place: it goes to standard error. Set filepath, stdOut or stdErr",
                logging.place
            ));
        }
        log.json = match logging.value("format") {
            None => false,
            Some(Value::String(text)) if text.eq_ignore_ascii_case("json") => true,
            // eNcore's default, in whatever order: the lines are like that.
            Some(Value::String(text)) if text.contains("asctime") || text.eq_ignore_ascii_case("encore") => false,
            Some(Value::String(text)) if text.contains('%') => {
                self.notices.push(format!(
                    "{} is a format of Python's: the lines have eNcore's usual form. \"json\" gives objects",
                    logging.key("format")
                ));
                false
            }
            Some(other) => return Err(self.wrong(&logging.key("format"), other, "encore or json")),
        };
        log.max_bytes =
            self.size(&logging, "maxBytes", log.max_bytes, "a number of bytes; 0 for a file without end")?;
        let files = self.size(&logging, "keepFiles", log.keep_files as u64, "a number of files")?;
        log.keep_files = usize::try_from(files.min(10_000)).unwrap_or(usize::MAX);
        Ok(log)
    }

    /// A whole number that may be 0.
    fn size(&self, object: &Object<'_>, name: &str, default: u64, wanted: &'static str) -> Result<u64, ConfigError> {
        match object.value(name) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| self.wrong(&object.key(name), value, wanted)),
        }
    }

    pub(super) fn monitor(&mut self, root: &Object<'_>) -> Result<Monitor, ConfigError> {
        let Some(monitor) = self.optional_section(root, "monitor")? else { return Ok(Monitor::default()) };
        self.known(&monitor, &["period", "handled", "bookmark", "details", "listen"]);
        let period = self.number(&monitor, "period", 120, "a number of seconds, at least 1")?;
        Ok(Monitor {
            period: Duration::from_secs(period.max(1)),
            handled: self.flag(&monitor, "handled", true)?,
            bookmark: self.flag(&monitor, "bookmark", false)?,
            details: self.flag(&monitor, "details", false)?,
            listen: match monitor.value("listen") {
                None => None,
                Some(value) => match value.as_str().map(str::parse) {
                    Some(Ok(address)) => Some(address),
                    _ => {
                        let wanted = "an address and a port, for example 127.0.0.1:9302";
                        return Err(self.wrong(&monitor.key("listen"), value, wanted));
                    }
                },
            },
        })
    }
}
