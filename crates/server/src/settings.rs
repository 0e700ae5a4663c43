//! `settings.toml`: how the service behaves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::log::{Facility, Format, Target};

/// A hundred years.
const MAX_KEEP_DAYS: u32 = 36_525;

/// Largest settings file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The settings file of a new home: every key with its default, and what it means.
pub(crate) const SAMPLE: &str = r##"# Settings of the eStreamer service. Lines that begin with "# key =" show the defaults.
# A reload (SIGHUP) reads this file again; what needs a restart says so.

# Addresses and ports to listen on. "[::]:8302" means all addresses, IPv4 included. Needs a restart.
# listen = ["[::]:8302"]

# The network map whose archive is served: archive/netmap_N. Needs a restart.
# netmap = 0

# Whether a client must connect from the address its certificate was issued for. Turn it off only for clients behind
# address translation; all other checks stay.
# host_check = true

# Seconds of silence after which a client gets a Null message, so that firewalls do not forget the connection: 1 to 3600.
# keep_alive_seconds = 30

# Clients at a time, over all: 1 to 100000. One more is told so, and sent away.
# max_connections = 500

# Connections of clients at a time from one address: 1 to 100000. Some clients open one for each kind of event.
# max_connections_per_address = 32

# Connections at a time that have not finished the TLS handshake: 1 to 100000. They take no place away from clients; when
# one more comes, the one that has waited longest is closed. After a restart all clients may come at once.
# max_handshakes = 500

# Seconds a client may take for the TLS handshake: 1 to 600.
# handshake_seconds = 15

# Seconds a client may take, after the handshake, for a complete request: 1 to 3600.
# request_seconds = 60

# Seconds after which a client that takes nothing is disconnected: 1 to 86400.
# stall_seconds = 600

# Days for which events are kept: 0 to 36525; 0 means for ever. Whole segments (an hour, or 256 MiB) are deleted, the oldest
# first, and never the newest of a network map. This and the next two are applied at start, at a reload and every minute.
# keep_days = 0

# Size that the archive of a network map may have, such as "20GB", "500 GiB" or a number of bytes: "0" means no limit.
# keep_bytes = "0"

# Free space that the archive leaves on its file system: the oldest segments of all network maps are deleted when there is
# less. "0" turns it off: then sensors wait when the disk is full.
# keep_free_bytes = "1GB"

# Where log lines go: "stderr" (in the background log/server.log instead), a file (relative to this folder), "syslog" (the
# socket /dev/log), "syslog:///SOCKET", or "syslog://HOST:PORT" (UDP). Needs a restart.
# log_file = "stderr"

# How log lines look: "text" as on an appliance, or "json", an object a line. Needs a restart.
# log_format = "text"

# The facility of lines to syslog: "daemon", "user", "auth", "authpriv", "local0" to "local7", ... Needs a restart.
# log_facility = "daemon"

# How much is logged: "error", "warn", "info" or "debug". "debug" has every message.
# log_level = "info"

# Addresses and ports of the administration page and API (HTTPS). It is there once it has a password ("estreamer admin
# password"); [] switches it off. Needs a restart.
# admin_listen = ["127.0.0.1:8443", "[::1]:8443"]

# Whether a network map of hosts is kept. It answers host data requests, gives intrusion events their impact, and tells what
# is new by discovery events. Needs a restart, as the other settings of the map do.
# network_map = true

# Networks whose addresses become hosts: address and prefix length each. [] means none, ["0.0.0.0/0", "::/0"] all.
# monitored_networks = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"]

# Hosts a network map has at most: 1 to 10000000.
# host_limit = 50000

# What happens to a host beyond: "drop" leaves it out, "replace" forgets the one that was not seen for the longest time.
# host_limit_reached = "drop"

# Seconds after which hosts, servers and client applications that are not seen any more are forgotten: 60 to 315360000.
# host_timeout_seconds = 604800

# Validity of new client certificates in days: 1 to 36525; they never outlive the authority.
# client_certificate_days = 3650

# Kind of the keys of new clients: "rsa2048", "rsa3072", "rsa4096" or "ecdsa-p256". Old clients know RSA alone.
# client_keys = "rsa2048"
"##;

/// The settings of a service, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The network map to serve.
    pub netmap: u32,
    /// Whether certificate name and remote address must agree.
    pub host_check: bool,
    /// Seconds of silence before a Null message.
    pub keep_alive_seconds: u32,
    /// Clients over all.
    pub max_connections: u32,
    /// Clients from one address.
    pub max_connections_per_address: u32,
    /// Connections whose handshake is not done.
    pub max_handshakes: u32,
    /// Seconds for the TLS handshake.
    pub handshake_seconds: u32,
    /// Seconds from there to a complete request.
    pub request_seconds: u32,
    /// Seconds a client may take nothing.
    pub stall_seconds: u32,
    /// Days for which events are kept; 0 for ever.
    pub keep_days: u32,
    /// Size the archive of a network map may have; 0 any.
    pub keep_bytes: Bytes,
    /// Free space that the archive leaves on its file system; 0 none.
    pub keep_free_bytes: Bytes,
    /// `stderr`, a file, relative to the home folder, or a syslog daemon; see [`Target::parse`].
    pub log_file: PathBuf,
    /// How log lines look.
    pub log_format: Format,
    /// The facility of lines to syslog.
    pub log_facility: Facility,
    /// How much is logged.
    pub log_level: LevelSetting,
    /// Addresses of the administration page; none switches it off.
    pub admin_listen: Vec<SocketAddr>,
    /// Whether a network map is kept.
    pub network_map: bool,
    /// Networks whose addresses become hosts.
    pub monitored_networks: Vec<String>,
    /// Hosts a network map has at most.
    pub host_limit: u32,
    /// What happens to a host beyond.
    pub host_limit_reached: netmap::AtLimit,
    /// Seconds after which hosts that are not seen any more are forgotten.
    pub host_timeout_seconds: u32,
    /// Validity of new client certificates in days.
    pub client_certificate_days: u32,
    /// Kind of new clients' keys.
    pub client_keys: KeySetting,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LevelSetting {
    /// Data was lost or a person is needed.
    Error,
    /// Unexpected, but nothing was lost.
    Warn,
    /// What an appliance logs.
    Info,
    /// Every message.
    Debug,
}

impl From<LevelSetting> for tracing::Level {
    fn from(level: LevelSetting) -> Self {
        match level {
            LevelSetting::Error => tracing::Level::ERROR,
            LevelSetting::Warn => tracing::Level::WARN,
            LevelSetting::Info => tracing::Level::INFO,
            LevelSetting::Debug => tracing::Level::DEBUG,
        }
    }
}

/// Kind of new clients' keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeySetting {
    /// RSA of 2048 bits.
    #[serde(rename = "rsa2048")]
    Rsa2048,
    /// RSA of 3072 bits.
    #[serde(rename = "rsa3072")]
    Rsa3072,
    /// RSA of 4096 bits.
    #[serde(rename = "rsa4096")]
    Rsa4096,
    /// ECDSA on P-256.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
}

impl From<KeySetting> for pki::KeyKind {
    fn from(kind: KeySetting) -> Self {
        match kind {
            KeySetting::Rsa2048 => pki::KeyKind::Rsa2048,
            KeySetting::Rsa3072 => pki::KeyKind::Rsa3072,
            KeySetting::Rsa4096 => pki::KeyKind::Rsa4096,
            KeySetting::EcdsaP256 => pki::KeyKind::EcdsaP256,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: vec![SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 8302))],
            netmap: 0,
            host_check: true,
            keep_alive_seconds: 30,
            max_connections: 500,
            max_connections_per_address: 32,
            max_handshakes: 500,
            handshake_seconds: 15,
            request_seconds: 60,
            stall_seconds: 600,
            keep_days: 0,
            keep_bytes: Bytes(0),
            keep_free_bytes: Bytes(1_000_000_000),
            log_file: "stderr".into(),
            log_format: Format::Text,
            log_facility: Facility::Daemon,
            log_level: LevelSetting::Info,
            admin_listen: vec![
                SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 8443)),
                SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 8443)),
            ],
            network_map: true,
            monitored_networks: netmap::INSIDE.map(str::to_owned).to_vec(),
            host_limit: 50_000,
            host_limit_reached: netmap::AtLimit::Drop,
            host_timeout_seconds: netmap::WEEK,
            client_certificate_days: 3650,
            client_keys: KeySetting::Rsa2048,
        }
    }
}

impl Settings {
    /// Reads and checks a settings file.
    ///
    /// # Errors
    /// [`Error::Settings`] naming file, line and key, and [`Error::Pki`] when the file cannot be read.
    pub fn load(path: &Path) -> Result<Settings> {
        let bytes = pki::read_bounded(path, MAX_FILE)?;
        let text = String::from_utf8(bytes).map_err(|error| Error::Settings {
            place: path.display().to_string(),
            problem: format!("byte {} is no UTF-8 text", error.utf8_error().valid_up_to() + 1),
        })?;
        Settings::parse(&text, &path.display().to_string())
    }

    /// Checks settings given as text; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn parse(text: &str, name: &str) -> Result<Settings> {
        let settings: Settings = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
            let key = text.lines().nth(line - 1).and_then(|l| l.split_once('=')).map_or("", |(key, _)| key.trim());
            let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
            Error::Settings { place: format!("{name}, line {line}"), problem: format!("{key}{}", error.message()) }
        })?;
        settings.check(name)?;
        Ok(settings)
    }

    fn check(&self, name: &str) -> Result<()> {
        let wrong = |problem: String| Err(Error::Settings { place: name.to_owned(), problem });
        for (key, value, most) in [
            ("keep_alive_seconds", self.keep_alive_seconds, 3600),
            ("max_connections", self.max_connections, 100_000),
            ("max_connections_per_address", self.max_connections_per_address, 100_000),
            ("max_handshakes", self.max_handshakes, 100_000),
            ("handshake_seconds", self.handshake_seconds, 600),
            ("request_seconds", self.request_seconds, 3600),
            ("stall_seconds", self.stall_seconds, 86_400),
            ("host_limit", self.host_limit, 10_000_000),
            ("client_certificate_days", self.client_certificate_days, pki::authority::MAX_DAYS),
        ] {
            if value == 0 || value > most {
                return wrong(format!("{key} = {value} is out of range; give 1 to {most}"));
            }
        }
        if self.keep_days > MAX_KEEP_DAYS {
            return wrong(format!("keep_days = {} is out of range; give 0 to {MAX_KEEP_DAYS}", self.keep_days));
        }
        if !(60..=315_360_000).contains(&self.host_timeout_seconds) {
            let seconds = self.host_timeout_seconds;
            return wrong(format!("host_timeout_seconds = {seconds} is out of range; give 60 to 315360000"));
        }
        if let Err(problem) = netmap::Networks::parse(&self.monitored_networks) {
            return wrong(format!("monitored_networks: {problem}"));
        }
        // The record header has 15 bits for it (record type word: bits 16 to 30).
        if self.netmap > 0x7fff {
            return wrong(format!("netmap = {} is out of range; give 0 to 32767", self.netmap));
        }
        if self.listen.is_empty() {
            return wrong("listen = [] leaves no way in; give at least one address, such as \"[::]:8302\"".to_owned());
        }
        if let Err(problem) = Target::parse(&self.log_file, Path::new("")) {
            return wrong(format!("log_file: {problem}"));
        }
        Ok(())
    }

    /// Where log lines go.
    pub fn log_target(&self, home: &Path) -> Target {
        // It was checked when the settings were read.
        Target::parse(&self.log_file, home).unwrap_or(Target::StandardError)
    }

    /// What the network map is to have.
    pub fn map_policy(&self) -> netmap::Policy {
        netmap::Policy {
            // They were checked when the settings were read.
            monitored: netmap::Networks::parse(&self.monitored_networks).unwrap_or_default(),
            host_limit: self.host_limit,
            at_limit: self.host_limit_reached,
            timeout: self.host_timeout_seconds,
        }
    }

    /// The keys that differ from `new` and count only after a restart.
    pub(crate) fn restart_needed(&self, new: &Settings) -> Vec<&'static str> {
        let changed = [
            ("listen", self.listen != new.listen),
            ("netmap", self.netmap != new.netmap),
            ("admin_listen", self.admin_listen != new.admin_listen),
            ("log_file", self.log_file != new.log_file),
            ("log_format", self.log_format != new.log_format),
            ("log_facility", self.log_facility != new.log_facility),
            ("network_map", self.network_map != new.network_map),
            ("monitored_networks", self.monitored_networks != new.monitored_networks),
            ("host_limit", self.host_limit != new.host_limit),
            ("host_limit_reached", self.host_limit_reached != new.host_limit_reached),
            ("host_timeout_seconds", self.host_timeout_seconds != new.host_timeout_seconds),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }

    /// What the archive keeps, counted from now. `held` are bytes of deleted segments that somebody still reads.
    pub fn keep(&self, held: u64) -> archive::Keep {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let since = now.saturating_sub(u64::from(self.keep_days) * 86_400);
        let some = |bytes: Bytes| (bytes.0 > 0).then_some(bytes.0);
        archive::Keep {
            since: (self.keep_days > 0).then(|| u32::try_from(since).unwrap_or(u32::MAX)),
            bytes: some(self.keep_bytes),
            free: some(self.keep_free_bytes),
            held,
        }
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds.into())
    }

    pub(crate) fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds.into())
    }

    pub(crate) fn request(&self) -> Duration {
        Duration::from_secs(self.request_seconds.into())
    }

    pub(crate) fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_default_and_names_every_key() {
        assert_eq!(Settings::parse(SAMPLE, "x").unwrap(), Settings::default());
        // With the comment marks of the key lines taken away it still says the same.
        let live: String = SAMPLE
            .lines()
            .filter_map(|l| l.strip_prefix("# ").filter(|l| l.split_once(" = ").is_some_and(|(k, _)| !k.contains(' '))))
            .map(|l| format!("{l}\n"))
            .collect();
        assert_eq!(live.lines().count(), 25);
        assert_eq!(Settings::parse(&live, "x").unwrap(), Settings::default());
    }

    #[test]
    fn errors_name_file_line_key_and_what_is_allowed() {
        for (text, words) in [
            ("\nmax_conections = 3\n", &["s.toml, line 2", "max_conections", "max_connections"][..]),
            ("log_level = \"loud\"", &["s.toml, line 1: log_level", "loud", "debug"]),
            ("max_connections = 0", &["s.toml: max_connections = 0 is out of range; give 1 to 100000"]),
            ("keep_alive_seconds = \"x\"", &["line 1: keep_alive_seconds", "string"]),
            ("keep_alive_seconds = -1", &["line 1: keep_alive_seconds", "-1"]),
            ("listen = []", &["listen = []"]),
            ("listen = [\"8302\"]", &["line 1: listen", "socket address"]),
            ("monitored_networks = [\"10.0.0.0/33\"]", &["s.toml: monitored_networks: \"10.0.0.0/33\"", "10.0.0.0/8"]),
            ("host_timeout_seconds = 3", &["60 to 315360000"]),
            ("host_limit_reached = \"panic\"", &["line 1: host_limit_reached", "replace"]),
            ("netmap = 40000", &["0 to 32767"]),
            ("log_file = \"\"", &["log_file: it is empty"]),
            ("log_file = \"syslog://a:b\"", &["s.toml: log_file: \"a:b\" is no HOST:PORT"]),
            ("log_format = \"xml\"", &["line 1: log_format", "json"]),
            ("log_facility = \"local8\"", &["line 1: log_facility", "local7"]),
            ("keep_days = 40000", &["keep_days = 40000 is out of range; give 0 to 36525"]),
            ("keep_bytes = \"20 parrots\"", &["line 1: keep_bytes", "20 parrots", "20GB"]),
            ("keep_free_bytes = -1", &["line 1: keep_free_bytes", "-1"]),
            ("= 3", &["line 1"]),
        ] {
            let error = Settings::parse(text, "s.toml").unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{text}: {error}");
            }
        }
    }

    #[test]
    fn limits_that_are_not_set_do_not_apply() {
        let keep = |text| Settings::parse(text, "x").unwrap().keep(5);
        let default = keep("");
        assert_eq!((default.since, default.bytes, default.free, default.held), (None, None, Some(1_000_000_000), 5));
        let all = keep("keep_days = 2\nkeep_bytes = \"3GB\"\nkeep_free_bytes = 0\n");
        assert_eq!((all.bytes, all.free), (Some(3_000_000_000), None));
        let now = u32::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        assert!((now - 172_801..=now - 172_790).contains(&all.since.unwrap()));
    }

    #[test]
    fn what_needs_a_restart_is_told() {
        let new = Settings { netmap: 2, max_connections: 7, ..Settings::default() };
        assert_eq!(Settings::default().restart_needed(&new), ["netmap"]);
        assert_eq!(Settings::default().log_target(Path::new("/h")), Target::StandardError);
        let to_file = Settings { log_file: "log/server.log".into(), ..Settings::default() };
        assert_eq!(to_file.log_target(Path::new("/h")), Target::File("/h/log/server.log".into()));
        assert_eq!(Settings::default().restart_needed(&to_file), ["log_file"]);
    }
}
