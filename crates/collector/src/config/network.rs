//! Outputs that go over the network: `tcp`, `udp`, `tls`, `http` and `https` URIs and their options.

use super::fork::{self, Fork};
use super::{ConfigError, Object, Reader};
use outputs::sender;
use outputs::spool::Overflow;
use outputs::transport::datagram::{self, Datagram};
use outputs::transport::elastic::{self, Elastic};
use outputs::transport::hec::{self, Acknowledgement, Hec};
use outputs::transport::http::{self, Credentials};
use outputs::transport::post::{self, Post};
use outputs::transport::stream::{self, Stream};
use outputs::transport::syslog::{Format, Framing, Message, Syslog};
use outputs::transport::{Endpoint, Secret, SetupError, tls};
use outputs::{Transport, spool};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A receiver elsewhere, and what happens while it does not take lines.
#[derive(Debug, Clone)]
pub struct Network {
    /// How lines get there.
    pub carrier: Carrier,
    /// Where they wait on disk, and how many.
    pub spool: spool::Settings,
    /// In what portions they go, and how often it is tried.
    pub sender: sender::Settings,
}

/// A transport with its settings.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// TCP or TLS.
    Stream(stream::Settings),
    /// UDP.
    Datagram(datagram::Settings),
    /// Splunk's HTTP event collector.
    Hec(hec::Settings),
    /// Bulk requests of Elasticsearch or OpenSearch.
    Elastic(elastic::Settings),
    /// HTTP POST of lines.
    Post(post::Settings),
}

impl Carrier {
    /// The transport itself; nothing is connected yet.
    pub fn make(&self) -> Result<Box<dyn Transport>, SetupError> {
        Ok(match self.clone() {
            Carrier::Stream(settings) => Box::new(Stream::new(settings)?),
            Carrier::Datagram(settings) => Box::new(Datagram::new(settings)?),
            Carrier::Hec(settings) => Box::new(Hec::new(settings)?),
            Carrier::Elastic(settings) => Box::new(Elastic::new(settings)?),
            Carrier::Post(settings) => Box::new(Post::new(settings)?),
        })
    }
}

/// Options of every network output.
const QUEUE: [&str; 7] = [
    "batchLines",
    "batchBytes",
    "batchMilliseconds",
    "retryMilliseconds",
    "retryMaxMilliseconds",
    "spoolBytes",
    "whenFull",
];
const SYSLOG: [&str; 7] = ["syslog", "facility", "severity", "host", "app", "bom", "framing"];
const TLS: [&str; 4] = ["caFile", "serverName", "certFile", "keyFile"];
const HTTP: [&str; 18] = [
    "type",
    "token",
    "username",
    "password",
    "apiKey",
    "headers",
    "gzip",
    "proxy",
    "timeout",
    "index",
    "source",
    "sourcetype",
    "host",
    "raw",
    "acknowledge",
    "channel",
    "idField",
    "timeField",
];

/// Where a line of JSON has the second of its event.
const SECOND: &str = "/@computed/eventSecond";

/// Whether a stream URI is one of these.
pub(super) fn is_network(uri: &str) -> bool {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("tcp" | "udp" | "tls" | "http" | "https"))
}

impl Reader<'_> {
    /// A network output from its URI and options, checked.
    pub(super) fn network(&mut self, stream: &Object<'_>, uri: &str, folder: &Path) -> Result<Network, ConfigError> {
        let empty = serde_json::Map::new();
        let options = self.optional_section(stream, "options")?;
        let options = options.unwrap_or(Object { map: &empty, place: stream.key("options") });
        let (scheme, rest) = uri.split_once("://").unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        let of_scheme: Vec<&str> = match scheme.as_str() {
            "tcp" | "udp" => SYSLOG.to_vec(),
            "tls" => SYSLOG.into_iter().chain(TLS).collect(),
            _ => HTTP.into_iter().chain(TLS).chain(fork::KEYS).collect(),
        };
        // eNcore's options of files say nothing here; it took them and ignored them.
        let ignored = ["rotate", "maxLogs"];
        self.known(&options, &of_scheme.into_iter().chain(QUEUE).chain(ignored).collect::<Vec<_>>());
        let setup = |source| self.setup(&stream.key("uri"), source);
        let carrier = match scheme.as_str() {
            "tcp" | "udp" | "tls" => {
                let to: Endpoint = rest.trim_end_matches('/').parse().map_err(setup)?;
                let message = self.message(&options)?;
                if scheme == "udp" {
                    let line_feed = message == Message::Plain;
                    Carrier::Datagram(datagram::Settings { message, line_feed, ..datagram::Settings::new(to) })
                } else {
                    let mut settings = stream::Settings::new(to, message);
                    settings.tls = if scheme == "tls" { Some(self.tls(&options, folder)?) } else { None };
                    match options.value("framing") {
                        None => {}
                        Some(Value::String(how)) if how == "lines" => settings.framing = Framing::LineFeed,
                        Some(Value::String(how)) if how == "octets" => settings.framing = Framing::OctetCounting,
                        Some(other) => return Err(self.wrong(&options.key("framing"), other, "lines or octets")),
                    }
                    Carrier::Stream(settings)
                }
            }
            _ => {
                let fork = self.fork(&options, uri);
                self.post(&options, uri, folder, fork)?
            }
        };
        // A mistake in the settings is told now, not when the first line is to be sent.
        carrier.make().map_err(|source| self.setup(&stream.key("uri"), source))?;
        let name: String = uri.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let mut spool = spool::Settings::new(folder.join("spool").join(name));
        spool.limit = self.number(&options, "spoolBytes", spool.limit, "a number of bytes, at least 1")?.max(1);
        spool.overflow = match options.value("whenFull") {
            None => Overflow::Block,
            Some(Value::String(what)) if what == "block" => Overflow::Block,
            Some(Value::String(what)) if what == "drop" => Overflow::Drop,
            Some(other) => return Err(self.wrong(&options.key("whenFull"), other, "block or drop")),
        };
        let mut sender = sender::Settings::default();
        let size = |n: u64| usize::try_from(n.max(1)).unwrap_or(usize::MAX);
        sender.lines = size(self.number(&options, "batchLines", sender.lines as u64, "a number of lines")?);
        sender.bytes = size(self.number(&options, "batchBytes", sender.bytes as u64, "a number of bytes")?);
        // A request costs the receiver something; a few lines more on an open connection do not.
        let usual = if matches!(carrier, Carrier::Stream(_) | Carrier::Datagram(_)) { 10 } else { 500 };
        let delay = self.number(&options, "batchMilliseconds", usual, "a number of milliseconds")?;
        sender.delay = Duration::from_millis(delay.min(60_000));
        let pause = |key, usual: Duration| {
            let usual = u64::try_from(usual.as_millis()).unwrap_or(u64::MAX);
            let pause = self.number(&options, key, usual, "a number of milliseconds, at least 1")?;
            Ok::<_, ConfigError>(Duration::from_millis(pause.clamp(1, 3_600_000)))
        };
        sender.retry_first = pause("retryMilliseconds", sender.retry_first)?;
        sender.retry_longest = pause("retryMaxMilliseconds", sender.retry_longest)?.max(sender.retry_first);
        Ok(Network { carrier, spool, sender })
    }

    fn setup(&self, key: &str, source: SetupError) -> ConfigError {
        ConfigError::Network { path: self.path.into(), key: key.to_owned(), source: Box::new(source) }
    }

    /// Plain lines, or syslog messages.
    fn message(&self, options: &Object<'_>) -> Result<Message, ConfigError> {
        let format = match options.value("syslog") {
            None => return Ok(Message::Plain),
            Some(Value::String(text)) if text == "5424" => Format::Rfc5424,
            Some(Value::String(text)) if text == "3164" => Format::Rfc3164,
            Some(other) => return Err(self.wrong(&options.key("syslog"), other, "\"5424\" or \"3164\"")),
        };
        let mut syslog = Syslog::new(format);
        let setup = |key: &str| {
            let key = options.key(key);
            move |source| self.setup(&key, source)
        };
        if options.value("facility").is_some() {
            let text = self.text(options, "facility", "a syslog facility such as local0")?;
            syslog.facility = text.parse().map_err(setup("facility"))?;
        }
        if options.value("severity").is_some() {
            let text = self.text(options, "severity", "a syslog severity such as info")?;
            syslog.severity = text.parse().map_err(setup("severity"))?;
        }
        if options.value("host").is_some() {
            syslog.host = self.text(options, "host", "the name of this host")?;
        }
        if options.value("app").is_some() {
            syslog.app = self.text(options, "app", "the name of a program")?;
        }
        syslog.bom = self.flag(options, "bom", false)?;
        Ok(Message::Syslog(syslog))
    }

    fn tls(&self, options: &Object<'_>, folder: &Path) -> Result<tls::Settings, ConfigError> {
        let file = |name: &str| -> Result<Option<PathBuf>, ConfigError> {
            match options.value(name) {
                None => Ok(None),
                Some(_) => Ok(Some(folder.join(self.text(options, name, "the path of a PEM file")?))),
            }
        };
        let client = match (file("certFile")?, file("keyFile")?) {
            (Some(certificate), Some(key)) => Some(tls::ClientFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(self.missing(options.key("keyFile"), "the private key of certFile")),
            (None, Some(_)) => return Err(self.missing(options.key("certFile"), "the certificate of keyFile")),
        };
        let server_name = match options.value("serverName") {
            None => None,
            Some(_) => Some(self.text(options, "serverName", "the name in the server's certificate")?),
        };
        Ok(tls::Settings { authorities: file("caFile")?, server_name, client })
    }

    fn post(&self, options: &Object<'_>, uri: &str, folder: &Path, fork: Option<Fork>) -> Result<Carrier, ConfigError> {
        let mut http = http::Settings::new(fork.as_ref().map_or(uri, |fork| &fork.url));
        http.tls = self.tls(options, folder)?;
        http.gzip = self.flag(options, "gzip", false)?;
        http.proxy = self.secret(options, "proxy")?;
        let seconds = self.number(options, "timeout", 60, "a number of seconds")?;
        http.timeout = Duration::from_secs(seconds.clamp(1, 3600));
        if let Some(headers) = self.optional_section(options, "headers")? {
            for name in headers.map.keys() {
                if let Some(value) = self.secret(&headers, name)? {
                    http.headers.push((name.clone(), value));
                }
            }
        }
        let text = |name: &str, wanted| -> Result<Option<String>, ConfigError> {
            options.value(name).map(|_| self.text(options, name, wanted)).transpose()
        };
        let (token, key) = (self.secret(options, "token")?, self.secret(options, "apiKey")?);
        let user = text("username", "a user name")?;
        let password = self.secret(options, "password")?;
        let kinds = "hec (Splunk), elasticsearch (and OpenSearch) or ndjson (lines as they are)";
        let kind = match &fork {
            Some(fork) => fork.kind.to_owned(),
            None => self.text(options, "type", kinds)?,
        };
        http.credentials = match (token, key, user) {
            (Some(token), ..) if kind == "hec" => Credentials::Splunk(token),
            (Some(token), ..) => Credentials::Bearer(token),
            (_, Some(key), _) => Credentials::ApiKey(key),
            (_, _, Some(user)) => Credentials::Basic { user, password: password.unwrap_or(Secret::new("")) },
            _ => Credentials::None,
        };
        Ok(match kind.as_str() {
            "hec" => {
                let mut settings = hec::Settings::new(http);
                settings.raw = self.flag(options, "raw", false)?;
                settings.index = text("index", "the name of an index")?;
                settings.source = text("source", "a source")?;
                settings.sourcetype = text("sourcetype", "a source type")?;
                settings.host = text("host", "the name of a host")?;
                settings.time =
                    Some(text("timeField", "the name of a field with seconds")?.unwrap_or(SECOND.to_owned()));
                let channel = text("channel", "a channel id")?;
                if self.flag(options, "acknowledge", channel.is_some())? {
                    settings.acknowledgement = Some(Acknowledgement { channel, ..Acknowledgement::default() });
                }
                Carrier::Hec(settings)
            }
            "elasticsearch" => {
                let index = text("index", "the name of an index, %Y.%m.%d for the day")?;
                let index = index.or(fork.and_then(|fork| fork.index));
                Carrier::Elastic(elastic::Settings {
                    http,
                    index: index.unwrap_or_else(|| "estreamer-%Y.%m.%d".to_owned()),
                    id: text("idField", "the name of a field")?,
                    time: Some(text("timeField", "the name of a field with seconds")?.unwrap_or(SECOND.to_owned())),
                })
            }
            "ndjson" => Carrier::Post(post::Settings::new(http)),
            _ => return Err(self.wrong(&options.key("type"), &kind.into(), kinds)),
        })
    }

    /// A secret: a text, `env:NAME` for a variable of the environment, or `file:PATH` for the first line of a file.
    fn secret(&self, options: &Object<'_>, name: &str) -> Result<Option<Secret>, ConfigError> {
        let key = options.key(name);
        let hidden = || Value::from("(hidden)");
        let text = match options.value(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(_) => return Err(self.wrong(&key, &hidden(), "a text, env:NAME or file:PATH")),
        };
        if let Some(variable) = text.strip_prefix("env:") {
            let value = std::env::var(variable);
            let wanted = "the name of a variable that is set";
            return value.map(|v| Some(Secret::new(v))).map_err(|_| self.wrong(&key, &text.as_str().into(), wanted));
        }
        if let Some(path) = text.strip_prefix("file:") {
            let read = std::fs::read_to_string(path);
            let content = read.map_err(|_| self.wrong(&key, &text.as_str().into(), "a file that can be read"))?;
            return Ok(Some(Secret::new(content.lines().next().unwrap_or_default())));
        }
        Ok(Some(Secret::new(text.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Place};
    use super::*;

    fn parse(uri: &str, options: &str) -> Result<Config, ConfigError> {
        let text = format!(
            r#"{{"subscription": {{"servers": [{{"host": "fmc", "pkcs12Filepath": "c.pkcs12"}}]}}, "handler": {{"outputters":
               [{{"adapter": "json", "stream": {{"uri": "{uri}", "options": {options}}}}}]}}}}"#
        );
        Config::parse(&text, Path::new("e.conf"), PathBuf::from("/opt/e"))
    }

    fn network(uri: &str, options: &str) -> Network {
        match parse(uri, options).unwrap_or_else(|e| panic!("{e}")).outputs.remove(0).place {
            Place::Network(network) => *network,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_receiver_has_its_options() {
        let lines = network(
            "tcp://[2001:db8::1]:514",
            r#"{"whenFull": "drop", "spoolBytes": 1000, "batchLines": 5, "retryMaxMilliseconds": 5000}"#,
        );
        assert_eq!((lines.spool.limit, lines.spool.overflow, lines.sender.lines), (1000, Overflow::Drop, 5));
        let pauses = (lines.sender.retry_first, lines.sender.retry_longest);
        assert_eq!(pauses, (Duration::from_millis(500), Duration::from_secs(5)));
        assert_eq!(lines.spool.folder, Path::new("/opt/e/spool/tcp____2001_db8__1__514"));
        assert!(matches!(lines.carrier, Carrier::Stream(s) if s.tls.is_none() && s.framing == Framing::LineFeed));
        let syslog = r#"{"syslog": "5424", "facility": "local4", "severity": "notice", "app": "fw"}"#;
        let Carrier::Datagram(settings) = network("udp://logs.example.com:514", syslog).carrier else { panic!() };
        assert!(matches!(settings.message, Message::Syslog(s) if s.app == "fw") && !settings.line_feed);
        let Carrier::Stream(settings) = network("tls://logs.example.com:6514", syslog).carrier else { panic!() };
        assert!(settings.tls.is_some() && settings.framing == Framing::OctetCounting);
        let hec = r#"{"type": "hec", "token": "secret-1", "index": "fw", "acknowledge": true}"#;
        let carrier = network("https://splunk.example.com:8088", hec).carrier;
        assert!(!format!("{carrier:?}").contains("secret-1"));
        assert!(matches!(carrier, Carrier::Hec(s) if s.acknowledgement.is_some() && s.index.as_deref() == Some("fw")));
        let bulk = r#"{"type": "elasticsearch", "apiKey": "k", "index": "fw-%Y.%m"}"#;
        assert!(matches!(network("https://es:9200", bulk).carrier, Carrier::Elastic(s) if s.index == "fw-%Y.%m"));
        let post = r#"{"type": "ndjson", "headers": {"X-Key": "k"}, "gzip": true}"#;
        assert!(matches!(network("http://es:9200/in", post).carrier, Carrier::Post(s) if s.http.gzip));
    }

    #[test]
    fn options_of_the_fork_are_mapped() {
        let bulk = r#"{"path": "/_bulk", "httpMethod": "POST", "headers": {"Content-Type": "application/x-ndjson"},
                       "extraData": "{\"index\": {\"_index\": \"fmc-%Y.%m.%d\"}}", "Loglevel": "ERROR"}"#;
        let Carrier::Elastic(settings) = network("http://elk:9200", bulk).carrier else { panic!() };
        assert_eq!((settings.index.as_str(), settings.http.url.as_str()), ("fmc-%Y.%m.%d", "http://elk:9200"));
        let config = parse("http://in:80", r#"{"path": "/in", "httpMethod": "PUT", "extraData": "x"}"#).unwrap();
        assert!(config.warnings[0].contains("httpMethod is PUT") && config.warnings[1].contains("extraData"));
        let Carrier::Post(settings) = network("http://in:80", r#"{"path": "/in"}"#).carrier else { panic!() };
        assert_eq!(settings.http.url, "http://in:80/in");
    }

    #[test]
    fn errors_name_the_key_and_no_secret() {
        let cases = [
            ("tcp://logs", "{}", "handler.outputters[0].stream.uri: the receiver cannot be \"logs\""),
            ("udp://h:1", r#"{"syslog": "rfc"}"#, "options.syslog is \"rfc\", but it must be \"5424\" or \"3164\""),
            ("udp://h:1", r#"{"syslog": "3164", "facility": "x"}"#, "options.facility: the syslog facility cannot be"),
            ("tcp://h:1", r#"{"framing": "x"}"#, "options.framing is \"x\", but it must be lines or octets"),
            ("tcp://h:1", r#"{"whenFull": "x"}"#, "options.whenFull is \"x\", but it must be block or drop"),
            ("tls://h:1", r#"{"certFile": "c"}"#, "options.keyFile is missing"),
            ("https://h", "{}", "options.type is missing"),
            ("https://h", r#"{"type": "x"}"#, "options.type is \"x\", but it must be hec (Splunk)"),
            ("https://h", r#"{"type": "hec", "token": 5}"#, "options.token is \"(hidden)\""),
            ("https://h", r#"{"type": "hec", "token": "env:NOT_SET_AT_ALL"}"#, "a variable that is set"),
        ];
        for (uri, options, words) in cases {
            let error = parse(uri, options).unwrap_err().to_string();
            assert!(error.contains(words), "{uri} {options}: {error}");
        }
    }
}
