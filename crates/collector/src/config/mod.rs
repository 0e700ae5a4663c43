//! The collector's configuration: eNcore's `estreamer.conf`, read as it is.
//!
//! Keys eNcore has and this collector does not need are accepted; unknown ones are warned about, except those with
//! `comment` in their name, which is how eNcore's file carries comments. Relative paths count from the folder of the
//! file, as eNcore's counted from the folder it was started in.

pub mod network;
mod output;

use crate::filter::{Filter, FilterError};
use crate::select::Selection;
use crate::twins::MEMBERS;
use network::Network;
use outputs::{Dialect, Format, FormatError, Options, Target};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use wire::request::{EventVersion, Start, flag};
use wire::resolution::Naming;
use wire::subscription::newest_events;
use wire::versions::event_type;

/// A configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder relative paths count from.
    pub folder: PathBuf,
    /// What the file is called, without its ending.
    pub name: String,
    /// The management centers.
    pub servers: Vec<Server>,
    /// Where to begin at the first start. Later starts go on where the checkpoint ends.
    pub start: Start,
    /// Time for TCP and TLS to connect.
    pub connect_timeout: Duration,
    /// Request flags.
    pub flags: u32,
    /// Which records are written.
    pub selection: Selection,
    /// Which events are written, beyond their record type.
    pub filter: Option<Filter>,
    /// Where records go, and how.
    pub outputs: Vec<Output>,
    /// Log level: a level name of `tracing`.
    pub log_level: &'static str,
    /// Log file, if one is wanted.
    pub log_file: Option<PathBuf>,
    /// The monitor line.
    pub monitor: Monitor,
    /// Events are given ids that stay the same on every run.
    pub event_uids: bool,
    /// Where metrics and health can be asked for, by HTTP.
    pub listen: Option<SocketAddr>,
    /// What deserves a warning.
    pub warnings: Vec<String>,
}

/// Where the management center is and how to prove who we are.
#[derive(Debug, Clone)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The PKCS#12 file the management center issued.
    pub pkcs12: PathBuf,
    /// Its password.
    pub password: Option<Secret>,
    /// What it is called in events, logs and metrics; its host if nothing else is said.
    pub name: Option<String>,
    /// The set of management centers it belongs to: all members hold the same events, which are delivered once.
    pub set: Option<String>,
}

/// A password; it never prints itself.
#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// One format and one destination.
#[derive(Debug, Clone)]
pub struct Output {
    /// How lines are written.
    pub format: LineFormat,
    /// What logs and metrics call it: its name, or the URI.
    pub name: String,
    /// Stream URI; names the output in the state file.
    pub uri: String,
    /// Where that is.
    pub place: Place,
    /// Which of the events go there; all when there is none.
    pub filter: Option<Filter>,
    /// When files are complete, and what becomes of them; folder and name come from the target.
    pub files: outputs::Settings,
    /// Private key for copies (`scpKeyFilepath`), relative to the folder of the configuration.
    pub key: Option<PathBuf>,
}

/// Where lines go.
#[derive(Debug, Clone)]
pub enum Place {
    /// On this machine, or by files to another.
    Files(Target),
    /// Over the network.
    Network(Box<Network>),
}

/// A format by name, dialect and options.
#[derive(Debug, Clone)]
pub struct LineFormat {
    /// `json`, `splunk`, …: one of [`outputs::registry::NAMES`].
    pub name: String,
    /// Whose lines they are like.
    pub dialect: Dialect,
    /// What else the format is told.
    pub options: Options,
}

impl LineFormat {
    /// Whose names its lines have.
    pub fn naming(&self) -> Naming {
        self.dialect.naming()
    }

    /// The format itself.
    pub fn make(&self) -> Result<Box<dyn Format>, FormatError> {
        outputs::by_name(&self.name, self.dialect, &self.options)
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
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{path} cannot be read: {source}. Name the right file with --config, or write one: the README has an example"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is no JSON.
    #[error("{path}, line {line}, column {column}: {message}. The file must be JSON, as eNcore writes it")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A key is missing.
    #[error("{path}: {key} is missing: {wanted}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A value is of no use.
    #[error("{path}: {key} is {value}, but it must be {wanted}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// The value found.
        value: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A stream URI that names no destination.
    #[error("{path}: {key}: {source}")]
    Uri {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What is wrong with it.
        source: Box<outputs::uri::UriError>,
    },
    /// A receiver that cannot be set up.
    #[error("{path}: {key}: {source}")]
    Network {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What is wrong.
        source: Box<outputs::transport::SetupError>,
    },
    /// No such format.
    #[error("{path}: {key}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What is wrong.
        source: Box<FormatError>,
    },
    /// A filter that cannot be understood.
    #[error("{path}: {key}: {source}")]
    Filter {
        /// The file.
        path: PathBuf,
        /// The key with its parents.
        key: String,
        /// What is wrong with it.
        source: Box<FilterError>,
    },
    /// `enabled` is false.
    #[error("{0}: enabled is false, so there is nothing to do. Set it to true to collect")]
    Disabled(PathBuf),
}

impl Config {
    /// Reads a file. A relative path is taken from the current folder.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Config::parse(&text, path, folder)
    }

    /// Reads text; `path` is what errors call it.
    pub fn parse(text: &str, path: &Path, folder: PathBuf) -> Result<Config, ConfigError> {
        let root: Value = serde_json::from_str(text).map_err(|e| ConfigError::Syntax {
            path: path.into(),
            line: e.line(),
            column: e.column(),
            message: e.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        })?;
        let mut reader = Reader { path, warnings: Vec::new() };
        let mut config = reader.config(&root, folder)?;
        config.warnings = reader.warnings;
        Ok(config)
    }

    /// Whether records of this type are written anywhere, as far as their type tells.
    pub fn wants(&self, record_type: u16) -> bool {
        let possible = |filter: &Option<Filter>| filter.as_ref().is_none_or(|f| f.possible(record_type));
        let somewhere = self.outputs.is_empty() || self.outputs.iter().any(|o| possible(&o.filter));
        self.selection.writes(record_type) && possible(&self.filter) && somewhere
    }

    /// What to ask for: the newest version of every event type of which any record is wanted, and the flags without
    /// those of unwanted records. Metadata is always asked for as the configuration says: it names what events refer to.
    pub fn request(&self) -> (u32, Vec<EventVersion>) {
        let mut flags = self.flags;
        for flag in wire::request::flags().iter().filter(|f| !f.records.is_empty()) {
            if !flag.records.iter().any(|t| self.wants(*t)) {
                flags &= !(1 << flag.bit);
            }
        }
        let wanted = |event: &EventVersion| {
            let version = event_type(event.code).and_then(|t| t.answer(event.version));
            version.is_none_or(|v| v.all_metadata || v.records.iter().any(|r| self.wants(r.record_type)))
        };
        (flags, newest_events().into_iter().filter(wanted).collect())
    }

    /// The state file of this configuration: checkpoint and metadata.
    pub fn state_file(&self) -> PathBuf {
        self.folder.join(format!("{}_state.db", self.name))
    }

    /// Whether events are written to standard output.
    pub fn prints(&self) -> bool {
        self.outputs.iter().any(|o| matches!(o.place, Place::Files(Target::Stdout)))
    }

    /// Where the certificate of a server is remembered whose authority is not known.
    pub fn pin_file(&self, server: &Server) -> PathBuf {
        self.folder.join(format!("{}.pin", server.stem()))
    }
}

impl Server {
    /// What it is called: the name in the configuration, or its host.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.host.clone())
    }

    /// What the state calls it.
    pub fn key(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// `HOST-PORT`, with which the names of its files begin.
    pub fn stem(&self) -> String {
        format!("{}-{}", self.host.replace([':', '/', '[', ']'], "_"), self.port)
    }
}

struct Reader<'a> {
    path: &'a Path,
    warnings: Vec<String>,
}

/// An object of the file and its place in it.
struct Object<'a> {
    map: &'a Map<String, Value>,
    place: String,
}

impl<'a> Object<'a> {
    fn key(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }
}

impl Reader<'_> {
    fn config(&mut self, root: &Value, folder: PathBuf) -> Result<Config, ConfigError> {
        let map = root.as_object().ok_or_else(|| self.wrong("the file", root, "a JSON object"))?;
        let root = Object { map, place: String::new() };
        self.known(
            &root,
            &[
                "enabled",
                "connectTimeout",
                "responseTimeout",
                "start",
                "workerProcesses",
                "batchSize",
                "queueSize",
                "maxQueueSize",
                "alwaysAttemptToContinue",
                "conditions",
                "monitor",
                "logging",
                "subscription",
                "handler",
                "password",
                "dialect",
            ],
        );
        if !self.flag(&root, "enabled", true)? {
            return Err(ConfigError::Disabled(self.path.into()));
        }
        let subscription = self.section(&root, "subscription", "the section with servers and records")?;
        self.known(&subscription, &["servers", "records"]);
        let handler = self.section(&root, "handler", "the section with records and outputters")?;
        self.known(&handler, &["records", "outputters", "output@comment", "filter", "eventUids"]);
        let (log_level, log_file) = self.logging(&root, &folder)?;
        Ok(Config {
            name: self.path.file_stem().map_or("estreamer".into(), |stem| stem.to_string_lossy().into_owned()),
            servers: self.servers(&root, &subscription, &folder)?,
            start: match self.number(&root, "start", 2, "0 (oldest data), 1 (from now on) or 2 (where it ended)")? {
                0 | 2 => Start::Genesis,
                1 => Start::Now,
                _ => {
                    return Err(self.wrong(
                        "start",
                        &root.map["start"],
                        "0 (oldest data), 1 (from now on) or 2 (where it ended)",
                    ));
                }
            },
            connect_timeout: Duration::from_secs(
                self.number(&root, "connectTimeout", 10, "a number of seconds")?.clamp(1, 600),
            ),
            flags: self.flags(&subscription)?,
            selection: self.selection(&handler)?,
            filter: self.filter(&handler)?,
            outputs: self.outputs(&root, &handler, &folder)?,
            log_level,
            log_file,
            monitor: self.monitor(&root)?,
            event_uids: self.flag(&handler, "eventUids", false)?,
            listen: self.listen(&root)?,
            warnings: Vec::new(),
            folder,
        })
    }

    fn servers(
        &mut self,
        root: &Object<'_>,
        subscription: &Object<'_>,
        folder: &Path,
    ) -> Result<Vec<Server>, ConfigError> {
        let key = subscription.key("servers");
        let wanted = "a list of management centers: [{\"host\": …, \"port\": 8302, \"pkcs12Filepath\": …}]";
        let list = match subscription.value("servers") {
            None => return Err(self.missing(key, wanted)),
            Some(value) => value.as_array().ok_or_else(|| self.wrong(&key, value, wanted))?,
        };
        if list.is_empty() {
            return Err(self.missing(format!("{key}[0]"), wanted));
        }
        let mut servers: Vec<Server> = Vec::new();
        for (i, entry) in list.iter().enumerate() {
            let place = format!("{key}[{i}]");
            let map = entry.as_object().ok_or_else(|| self.wrong(&place, entry, wanted))?;
            let object = Object { map, place };
            let server = self.server(root, &object, folder)?;
            if servers.iter().any(|s| s.key() == server.key()) {
                return Err(self.wrong(
                    &object.key("host"),
                    &server.host.into(),
                    "another one than in an entry before",
                ));
            }
            let members = servers.iter().filter(|s| s.set.is_some() && s.set == server.set).count();
            if members == MEMBERS {
                return Err(self.wrong(&object.key("set"), &server.set.into(), "a set with no more than 4 members"));
            }
            servers.push(server);
        }
        let alone = |s: &Server| s.set.is_some() && servers.iter().filter(|o| o.set == s.set).count() == 1;
        if let Some(set) = servers.iter().find(|s| alone(s)).and_then(|s| s.set.as_ref()) {
            self.warnings.push(format!("{key}: the set {set} has one member only"));
        }
        Ok(servers)
    }

    fn server(&mut self, root: &Object<'_>, server: &Object<'_>, folder: &Path) -> Result<Server, ConfigError> {
        self.known(server, &["host", "port", "pkcs12Filepath", "tlsVersion", "password", "name", "set"]);
        let host = self.text(server, "host", "the name or address of the management center")?;
        if host.is_empty() || host == "1.2.3.4" {
            let value = Value::from(host);
            return Err(self.wrong(
                &server.key("host"),
                &value,
                "the name or address of the management center (this is the placeholder of the sample file)",
            ));
        }
        let port = self.number(server, "port", 8302, "a TCP port, 1 to 65535")?;
        let port = u16::try_from(port).ok().filter(|p| *p != 0);
        let port =
            port.ok_or_else(|| self.wrong(&server.key("port"), &server.map["port"], "a TCP port, 1 to 65535"))?;
        let password = [server.value("password"), root.value("password")].into_iter().flatten().next();
        let password = match password {
            None => None,
            Some(Value::String(text)) => Some(Secret(text.clone())).filter(|s| !s.0.is_empty()),
            Some(_) => return Err(self.wrong(&server.key("password"), &Value::from("(hidden)"), "a text")),
        };
        let pkcs12 =
            folder.join(self.text(server, "pkcs12Filepath", "the PKCS#12 file the management center issued")?);
        let name = self.label(server, "name")?;
        let set = self.label(server, "set")?;
        Ok(Server { host, port, pkcs12, password, name, set })
    }

    /// A name that is printed in events, logs and metrics.
    fn label(&self, object: &Object<'_>, key: &str) -> Result<Option<String>, ConfigError> {
        let wanted = "a name without control characters";
        match object.value(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && !text.contains(char::is_control) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(&object.key(key), other, wanted)),
        }
    }

    fn listen(&self, root: &Object<'_>) -> Result<Option<SocketAddr>, ConfigError> {
        let Some(monitor) = self.optional_section(root, "monitor")? else { return Ok(None) };
        let wanted = "an address and a port, for example 127.0.0.1:9302";
        match monitor.value("listen") {
            None => Ok(None),
            Some(value) => match value.as_str().map(str::parse) {
                Some(Ok(address)) => Ok(Some(address)),
                _ => Err(self.wrong(&monitor.key("listen"), value, wanted)),
            },
        }
    }

    fn flags(&mut self, subscription: &Object<'_>) -> Result<u32, ConfigError> {
        let records = self.optional_section(subscription, "records")?;
        let names = [
            ("packetData", flag::PACKETS),
            ("impactEventAlerts", flag::IMPACT_ALERTS),
            ("intrusion", flag::INTRUSION),
            ("metadata", flag::METADATA),
            ("archiveTimestamps", flag::ARCHIVAL_TIMESTAMP),
            ("eventExtraData", flag::EXTRA_DATA),
            ("extended", flag::EXTENDED),
        ];
        let Some(records) = records else { return Ok(names.iter().fold(0, |all, (_, bit)| all | bit)) };
        let known: Vec<&str> =
            names.iter().map(|n| n.0).chain(["packetEncoding", "includeOriginalPacket", "connection"]).collect();
        self.known(&records, &known);
        let mut flags = 0;
        for (name, bit) in names {
            if self.flag(&records, name, true)? {
                flags |= bit;
            }
        }
        if flags & flag::ARCHIVAL_TIMESTAMP == 0 {
            self.warnings.push(format!(
                "{} is false: without archival timestamps a restart cannot go on where it ended and repeats everything",
                records.key("archiveTimestamps")
            ));
        }
        Ok(flags)
    }

    fn selection(&mut self, handler: &Object<'_>) -> Result<Selection, ConfigError> {
        let Some(records) = self.optional_section(handler, "records")? else { return Ok(Selection::default()) };
        self.known(
            &records,
            &["core", "metadata", "connections", "packets", "intrusion", "rua", "rna", "include", "exclude", "flows"],
        );
        Ok(Selection {
            core: self.flag(&records, "core", true)?,
            metadata: self.flag(&records, "metadata", true)?,
            connections: self.flag(&records, "connections", true)?,
            packets: self.flag(&records, "packets", true)?,
            intrusion: self.flag(&records, "intrusion", true)?,
            rua: self.flag(&records, "rua", true)?,
            rna: self.flag(&records, "rna", true)?,
            include: self.record_types(&records, "include")?,
            exclude: self.record_types(&records, "exclude")?,
        })
    }

    fn record_types(&self, object: &Object<'_>, name: &str) -> Result<Vec<u16>, ConfigError> {
        let wanted = "a list of record types, for example [71, 400]";
        let Some(value) = object.value(name) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| self.wrong(&object.key(name), value, wanted))?;
        let number = |v: &Value| v.as_u64().and_then(|n| u16::try_from(n).ok());
        list.iter().map(|v| number(v).ok_or_else(|| self.wrong(&object.key(name), v, wanted))).collect()
    }

    fn logging(&mut self, root: &Object<'_>, folder: &Path) -> Result<(&'static str, Option<PathBuf>), ConfigError> {
        let Some(logging) = self.optional_section(root, "logging")? else { return Ok(("info", None)) };
        self.known(&logging, &["filepath", "stdOut", "stdErr", "level", "levelOptions", "format"]);
        let level = match logging.value("level") {
            None => "info",
            Some(Value::String(level)) => match level.to_ascii_uppercase().as_str() {
                "FATAL" | "ERROR" => "error",
                "WARNING" | "WARN" => "warn",
                "INFO" => "info",
                "DEBUG" => "debug",
                "VERBOSE" | "TRACE" => "trace",
                _ => {
                    return Err(self.wrong(
                        &logging.key("level"),
                        &logging.map["level"],
                        "FATAL, ERROR, WARNING, INFO, DEBUG, VERBOSE or TRACE",
                    ));
                }
            },
            Some(other) => {
                return Err(self.wrong(
                    &logging.key("level"),
                    other,
                    "FATAL, ERROR, WARNING, INFO, DEBUG, VERBOSE or TRACE",
                ));
            }
        };
        let file = match logging.value("filepath") {
            Some(Value::String(text)) if !text.is_empty() => Some(folder.join(text)),
            _ => None,
        };
        Ok((level, file))
    }

    fn monitor(&mut self, root: &Object<'_>) -> Result<Monitor, ConfigError> {
        let default = Monitor { period: Duration::from_secs(120), handled: true, bookmark: false };
        let Some(monitor) = self.optional_section(root, "monitor")? else { return Ok(default) };
        self.known(&monitor, &["period", "handled", "bookmark", "velocity", "subscribed", "details", "listen"]);
        let period = self.number(&monitor, "period", 120, "a number of seconds, at least 1")?;
        Ok(Monitor {
            period: Duration::from_secs(period.max(1)),
            handled: self.flag(&monitor, "handled", true)?,
            bookmark: self.flag(&monitor, "bookmark", false)?,
        })
    }

    fn optional_section<'a>(&self, parent: &Object<'a>, name: &str) -> Result<Option<Object<'a>>, ConfigError> {
        let Some(value) = parent.value(name) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.wrong(&parent.key(name), value, "an object: { … }"))?;
        Ok(Some(Object { map, place: parent.key(name) }))
    }

    fn section<'a>(&self, parent: &Object<'a>, name: &str, wanted: &'static str) -> Result<Object<'a>, ConfigError> {
        self.optional_section(parent, name)?.ok_or_else(|| self.missing(parent.key(name), wanted))
    }

    fn text(&self, object: &Object<'_>, name: &str, wanted: &'static str) -> Result<String, ConfigError> {
        match object.value(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.wrong(&object.key(name), other, wanted)),
            None => Err(self.missing(object.key(name), wanted)),
        }
    }

    fn number(&self, object: &Object<'_>, name: &str, default: u64, wanted: &'static str) -> Result<u64, ConfigError> {
        match object.value(name) {
            None => Ok(default),
            Some(value) => match (value.as_u64(), value.as_f64()) {
                (Some(n), _) => Ok(n),
                // eNcore takes fractions of seconds; a whole one is the least that makes sense.
                (None, Some(f)) if f > 0.0 && f < 1e12 => Ok(f.ceil() as u64),
                _ => Err(self.wrong(&object.key(name), value, wanted)),
            },
        }
    }

    fn flag(&self, object: &Object<'_>, name: &str, default: bool) -> Result<bool, ConfigError> {
        match object.value(name) {
            None => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(other) => Err(self.wrong(&object.key(name), other, "true or false")),
        }
    }

    fn known(&mut self, object: &Object<'_>, names: &[&str]) {
        for key in object.map.keys().filter(|k| !k.contains("comment") && !names.contains(&k.as_str())) {
            self.warnings.push(format!("{} is no key this collector knows; it is ignored", object.key(key)));
        }
    }

    fn missing(&self, key: String, wanted: &'static str) -> ConfigError {
        ConfigError::Missing { path: self.path.into(), key, wanted }
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &'static str) -> ConfigError {
        let mut value = value.to_string();
        if value.len() > 80 {
            value = value.chars().take(77).chain("...".chars()).collect();
        }
        ConfigError::Value { path: self.path.into(), key: key.into(), value, wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"{
        "connectTimeout": 10, "responseTimeout": 2, "enabled": true, "start": 2, "workerProcesses": 4,
        "start@comment": "0 = genesis, 1 = now, 2 = bookmark",
        "monitor": {"period": 60, "bookmark": true, "handled": true, "subscribed": true, "velocity": false},
        "logging": {"level": "INFO", "filepath": "estreamer.log", "stdOut": true, "format": "%(asctime)s"},
        "subscription": {
            "servers": [{"host": "fmc.example.com", "port": 8302, "pkcs12Filepath": "client.pkcs12", "tlsVersion": 1.2}],
            "records": {"packetData": true, "extended": true, "metadata": true, "eventExtraData": true,
                        "impactEventAlerts": true, "intrusion": true, "archiveTimestamps": true}
        },
        "handler": {
            "records": {"core": true, "metadata": false, "packets": true, "connections": true, "rua": true, "rna": true,
                        "intrusion": true, "include": [18], "exclude": []},
            "outputters": [
                {"name": "JSON", "adapter": "json", "enabled": true,
                 "stream": {"uri": "relfile:///data/json/encore.{0}.json", "options": {"rotate": true, "maxLogs": 5000}}},
                {"name": "CEF", "adapter": "cef", "enabled": false, "stream": {"uri": "udp://1.2.3.5:514"}}
            ]
        }
    }"#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("estreamer.conf"), PathBuf::from("/opt/encore"))
    }

    #[test]
    fn a_configuration_of_encore_is_read_as_it_is() {
        let config = parse(SAMPLE).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new());
        assert_eq!((config.servers[0].host.as_str(), config.servers[0].port), ("fmc.example.com", 8302));
        assert_eq!(config.servers[0].pkcs12, Path::new("/opt/encore/client.pkcs12"));
        assert_eq!(config.flags, 0x4890_0061);
        assert_eq!(config.state_file(), Path::new("/opt/encore/estreamer_state.db"));
        assert!(!config.selection.metadata && config.selection.include == [18]);
        let target = Target::File { folder: "data/json".into(), name: "encore.{0}.json".into() };
        assert!(matches!(&config.outputs[..], [Output { place: Place::Files(found), .. }] if *found == target));
        assert_eq!(config.outputs[0].files.lines_per_file, Some(5000));
        assert_eq!(config.monitor.period, Duration::from_secs(60));
    }

    #[test]
    fn files_are_rotated_kept_and_copied_as_the_options_say() {
        let sample = |uri: &str, options: &str| {
            let text = SAMPLE.replacen("relfile:///data/json/encore.{0}.json", uri, 1);
            parse(&text.replacen("\"rotate\": true, \"maxLogs\": 5000", options, 1))
        };
        let config = sample(
            "file:///data/e{0}",
            "\"rotate\": false, \"maxBytes\": 1000, \"maxSeconds\": 3600, \"aligned\": true, \"partial\": true, \
             \"compress\": \"zstd\", \"keepFiles\": 10, \"keepBytes\": 100000, \"keepSeconds\": 86400",
        );
        let config = config.unwrap();
        let files = &config.outputs[0].files;
        assert_eq!(config.warnings, Vec::<String>::new());
        assert_eq!(
            (files.lines_per_file, files.max_bytes, files.aligned, files.partial),
            (None, Some(1000), true, true)
        );
        assert_eq!(files.max_age, Some(Duration::from_secs(3600)));
        assert_eq!(files.compression, Some(outputs::file::Compression::Zstd));
        let retention = (files.retention.files, files.retention.bytes, files.retention.age);
        assert_eq!(retention, (Some(10), Some(100_000), Some(Duration::from_secs(86_400))));
        let config = sample("scp://siem@h/:in/e.json", "\"rotate\": false, \"scpKeyFilepath\": \"id\"").unwrap();
        assert_eq!(config.warnings, Vec::<String>::new());
        let output = &config.outputs[0];
        assert_eq!((output.files.lines_per_file, output.key.as_deref()), (Some(500), Some(Path::new("id"))));
        assert!(matches!(&output.place, Place::Files(Target::Scp { name, .. }) if name == "e.{0}.json"));
        let error = sample("relfile:///e{0}", "\"compress\": \"zip\"").unwrap_err().to_string();
        assert!(error.contains("stream.options.compress is \"zip\", but it must be gzip or zstd"), "{error}");
    }

    #[test]
    fn errors_name_file_key_value_and_what_is_allowed() {
        let cases = [
            (
                "\"port\": 8302",
                "\"port\": \"x\"",
                "estreamer.conf: subscription.servers[0].port is \"x\", but it must be a TCP port, 1 to 65535",
            ),
            ("\"port\": 8302", "\"port\": 0", "subscription.servers[0].port is 0"),
            ("\"start\": 2", "\"start\": 7", "start is 7"),
            ("fmc.example.com", "1.2.3.4", "placeholder"),
            ("\"level\": \"INFO\"", "\"level\": \"LOUD\"", "logging.level is \"LOUD\""),
            (
                "\"adapter\": \"json\"",
                "\"adapter\": \"jso\"",
                "handler.outputters[0].adapter: there is no format \"jso\"; write one of json, splunk",
            ),
            ("\"include\": [18]", "\"include\": [70000]", "handler.records.include is 70000"),
            ("relfile:///", "ftp://", "handler.outputters[0].stream.uri: ftp://"),
            ("relfile:///", "tcp://", "handler.outputters[0].stream.uri: the receiver cannot be"),
            ("\"enabled\": true, \"start\"", "\"enabled\": false, \"start\"", "enabled is false"),
            ("\"handler\": {", "\"handle\": {", "handler is missing"),
            (
                "\"packetData\": true",
                "\"packetData\": 3",
                "subscription.records.packetData is 3, but it must be true or false",
            ),
        ];
        for (from, to, words) in cases {
            let text = SAMPLE.replacen(from, to, 1);
            assert_ne!(text, SAMPLE);
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(parse("{\n  \"a\": }").unwrap_err().to_string().starts_with("estreamer.conf, line 2, column 8"));
    }

    #[test]
    fn only_what_is_wanted_is_asked_for() {
        let codes = |text: &str| -> (u32, Vec<u16>) {
            let (flags, events) = parse(text).unwrap().request();
            (flags, events.iter().map(|e| e.code).collect())
        };
        let all = vec![12, 21, 31, 61, 71, 91, 101, 111, 131];
        assert_eq!(codes(SAMPLE), (0x4890_0061, all));
        let quiet = SAMPLE.replace("\"rna\": true", "\"rna\": false").replace("[18]", "[]");
        // VPN records are always wanted; with `rua` off user activity is asked for because of them.
        assert_eq!(codes(&quiet).1, [12, 21, 31, 71, 91, 101, 111, 131]);
        let filtered =
            SAMPLE.replace("\"outputters\"", "\"filter\": \"class in (intrusion, malware)\", \"outputters\"");
        assert_eq!(codes(&filtered), (0x4090_0060, vec![12, 21, 101]), "no packets, no extra data");
        let routed = SAMPLE.replace("\"name\": \"JSON\"", "\"filter\": \"class == security-intelligence\"");
        assert_eq!(codes(&routed).1, [21, 71]);
    }

    #[test]
    fn a_wrong_filter_names_key_and_place() {
        let text = SAMPLE.replace("\"name\": \"JSON\"", "\"filter\": \"clas == intrusion\"");
        assert_eq!(
            parse(&text).unwrap_err().to_string(),
            "estreamer.conf: handler.outputters[0].filter: no record has a field clas; did you mean class?, at character 1 \
             of the filter clas == intrusion"
        );
    }

    #[test]
    fn unknown_keys_are_warned_about_and_passwords_stay_hidden() {
        let config = parse(&SAMPLE.replacen("\"rua\": true", "\"rau\": true", 1)).unwrap();
        assert_eq!(config.warnings, ["handler.records.rau is no key this collector knows; it is ignored"]);
        let mut config =
            parse(&SAMPLE.replacen("\"port\": 8302", "\"port\": 8302, \"password\": \"hunter2\"", 1)).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.servers.remove(0).password.unwrap().0, "hunter2");
    }
}
