//! The collector's configuration: eNcore's `estreamer.conf`, read as it is.
//!
//! Keys eNcore has and this collector does not need are accepted; unknown ones are warned about, except those with
//! `comment` in their name, which is how eNcore's file carries comments. Relative paths count from the folder of the
//! file, as eNcore's counted from the folder it was started in.

pub mod document;
mod error;
mod fork;
mod instance;
mod keys;
mod logging;
pub mod network;
mod output;
mod reader;
mod records;
mod servers;

use crate::filter::Filter;
use crate::select::Selection;
use network::Network;
use outputs::{Dialect, Format, FormatError, Options, Target};
use reader::{Object, Reader};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::request::{EventVersion, Start};
use wire::resolution::Naming;
use wire::subscription::newest_events;
use wire::versions::event_type;

pub use error::ConfigError;
pub use instance::Instance;
pub use logging::{Log, Monitor};
pub use servers::{Secret, Server};

/// A configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder relative paths count from.
    pub folder: PathBuf,
    /// What the file is called, without its ending.
    pub name: String,
    /// The management centers; at least one.
    pub servers: Vec<Server>,
    /// `enabled`: whether it may run.
    pub enabled: bool,
    /// Where to begin at the first start. Later starts go on where the checkpoint ends.
    pub start: Start,
    /// A bookmark that eNcore left, or that was set since, says where to begin.
    pub follow_bookmark: bool,
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
    /// Events are given ids that stay the same on every run.
    pub event_uids: bool,
    /// The log.
    pub log: Log,
    /// The monitor line.
    pub monitor: Monitor,
    /// What deserves a warning.
    pub warnings: Vec<String>,
    /// Keys that do nothing here, and what happens instead.
    pub notices: Vec<String>,
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

impl Config {
    /// Reads a file: TOML when its name ends in `.toml`, else JSON. A relative path is taken from the current folder.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::examine(path)?.if_enabled(path)
    }

    /// Reads a file, also one that is not enabled.
    pub fn examine(path: &Path) -> Result<Config, ConfigError> {
        Config::from_document(&document::read(path)?, path, document::folder(path))
    }

    /// Reads text; `path` is what errors call it.
    pub fn parse(text: &str, path: &Path, folder: PathBuf) -> Result<Config, ConfigError> {
        Config::from_document(&document::parse(text, path)?, path, folder)?.if_enabled(path)
    }

    fn from_document(root: &Value, path: &Path, folder: PathBuf) -> Result<Config, ConfigError> {
        let mut reader = Reader { path, warnings: Vec::new(), notices: Vec::new() };
        let mut config = reader.config(root, folder)?;
        (config.warnings, config.notices) = (reader.warnings, reader.notices);
        Ok(config)
    }

    fn if_enabled(self, path: &Path) -> Result<Config, ConfigError> {
        if self.enabled { Ok(self) } else { Err(ConfigError::Disabled(path.into())) }
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

    /// The files that belong to the collector, named after the first management center as eNcore names them.
    pub fn instance(&self) -> Instance {
        match self.servers.first() {
            Some(server) => self.instance_of(server),
            None => Instance::new(&self.folder, &self.name, 0),
        }
    }

    /// The files that belong to a management center.
    pub fn instance_of(&self, server: &Server) -> Instance {
        Instance::of(&self.folder, server)
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
                "start",
                "conditions",
                "monitor",
                "logging",
                "subscription",
                "handler",
                "password",
                "packetEncoding",
                "dialect",
            ],
        );
        self.conditions(&root)?;
        let subscription = self.section(&root, "subscription", "the section with servers and records")?;
        self.known(&subscription, &["servers", "records"]);
        let handler = self.section(&root, "handler", "the section with records and outputters")?;
        self.known(&handler, &["records", "outputters", "filter", "eventUids"]);
        let mut log = self.logging(&root, &folder)?;
        let outputs = self.outputs(&root, &handler, &folder)?;
        if log.stdout && outputs.iter().any(|o| matches!(o.place, Place::Files(Target::Stdout))) {
            (log.stdout, log.stderr) = (false, true);
            self.notices.push("events go to standard output, so the log goes to standard error".to_owned());
        }
        let (start, follow_bookmark) = self.start(&root)?;
        Ok(Config {
            name: self.path.file_stem().map_or("estreamer".into(), |stem| stem.to_string_lossy().into_owned()),
            servers: self.servers(&root, &subscription, &folder)?,
            enabled: self.flag(&root, "enabled", true)?,
            start,
            follow_bookmark,
            connect_timeout: Duration::from_secs(
                self.number(&root, "connectTimeout", 10, "a number of seconds")?.clamp(1, 600),
            ),
            flags: self.flags(&subscription)?,
            selection: self.selection(&handler)?,
            filter: self.filter(&handler)?,
            outputs,
            event_uids: self.flag(&handler, "eventUids", false)?,
            log,
            monitor: self.monitor(&root)?,
            warnings: Vec::new(),
            notices: Vec::new(),
            folder,
        })
    }

    /// Where to begin, and whether a bookmark has a say in it.
    fn start(&mut self, root: &Object<'_>) -> Result<(Start, bool), ConfigError> {
        let wanted = "0 (oldest data), 1 (from now on) or 2 (where it ended)";
        Ok(match self.number(root, "start", 2, wanted)? {
            0 => (Start::Genesis, false),
            1 => (Start::Now, false),
            2 => (Start::Genesis, true),
            other => {
                self.warnings.push(format!("{} is {other}, which means 2 (where it ended)", root.key("start")));
                (Start::Genesis, true)
            }
        })
    }

    /// eNcore stops when one of its conditions is false; none of them has a meaning here.
    fn conditions(&mut self, root: &Object<'_>) -> Result<(), ConfigError> {
        let Some(value) = root.value("conditions") else { return Ok(()) };
        let list = value.as_array().ok_or_else(|| self.wrong("conditions", value, "a list of words, or empty"))?;
        for condition in list {
            match condition.as_str() {
                Some("splunk") => self.notices.push(
                    "conditions: \"splunk\" is not looked at; it collects whether Splunk runs or not, and Splunk reads \
                     the files later"
                        .to_owned(),
                ),
                _ => self.warnings.push(format!("conditions: {condition} is no condition; it is ignored")),
            }
        }
        Ok(())
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
            ("\"start\": 2", "\"start\": \"x\"", "start is \"x\""),
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
        assert_eq!(
            config.warnings,
            ["handler.records.rau is no key this collector knows; it is ignored. Did you mean rua?"]
        );
        let config = parse(&SAMPLE.replacen("\"port\": 8302", "\"port\": 8302, \"password\": \"hunter2\"", 1)).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.servers[0].password.as_ref().unwrap().0, "hunter2");
    }
}
