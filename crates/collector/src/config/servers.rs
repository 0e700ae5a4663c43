//! The management centers of a configuration: `subscription.servers`.

use super::{ConfigError, Object, Reader};
use crate::twins::MEMBERS;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where a management center is and how to prove who we are.
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

impl Server {
    /// What it is called: the name in the configuration, or its host.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.host.clone())
    }

    /// What the state calls it.
    pub fn key(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Reader<'_> {
    pub(super) fn servers(
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
        if servers.len() > 1 {
            self.notices
                .push(format!("{key} has {} entries: all are collected from (eNcore took the first)", list.len()));
        }
        let alone = |s: &Server| s.set.is_some() && servers.iter().filter(|o| o.set == s.set).count() == 1;
        if let Some(set) = servers.iter().find(|s| alone(s)).and_then(|s| s.set.as_ref()) {
            self.warnings.push(format!("{key}: the set {set} has one member only"));
        }
        Ok(servers)
    }

    fn server(&mut self, root: &Object<'_>, server: &Object<'_>, folder: &Path) -> Result<Server, ConfigError> {
        self.known(server, &["host", "port", "pkcs12Filepath", "password", "name", "set"]);
        let host = self.text(server, "host", "the name or address of the management center")?;
        if host.is_empty() || host == "1.2.3.4" {
            let value = Value::from(host);
            return Err(self.wrong(
                &server.key("host"),
                &value,
                "the name or address of the management center: what stands here is the placeholder of the sample file. \
                 `estreamer configure FILE --host NAME` sets it",
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
        let (name, set) = (self.label(server, "name")?, self.label(server, "set")?);
        Ok(Server { host, port, pkcs12, password, name, set })
    }

    /// A name that is printed in events, logs and metrics.
    pub(super) fn label(&self, object: &Object<'_>, key: &str) -> Result<Option<String>, ConfigError> {
        match object.value(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if !text.contains(char::is_control) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(&object.key(key), other, "a name without control characters")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parse(servers: &str) -> Result<Config, ConfigError> {
        let text = format!(r#"{{"subscription": {{"servers": {servers}}}, "handler": {{"outputters": []}}}}"#);
        Config::parse(&text, Path::new("estreamer.conf"), PathBuf::from("/opt/e"))
    }

    fn entry(host: &str, more: &str) -> String {
        format!(r#"{{"host": "{host}", "pkcs12Filepath": "c.pkcs12"{more}}}"#)
    }

    #[test]
    fn several_with_names_and_sets() {
        let pair =
            [entry("a", r#", "name": "north", "set": "pair""#), entry("b", r#", "set": "pair""#), entry("c", "")];
        let config = parse(&format!("[{}]", pair.join(","))).unwrap();
        let names: Vec<String> = config.servers.iter().map(Server::name).collect();
        assert_eq!(names, ["north", "b", "c"]);
        assert_eq!(config.servers[1].set.as_deref(), Some("pair"));
        assert_eq!(config.servers[2].key(), "c:8302");
        assert!(config.warnings.iter().all(|w| !w.contains("set")), "{:?}", config.warnings);
        let alone = parse(&format!("[{}]", pair[0])).unwrap();
        assert!(alone.warnings.iter().any(|w| w.contains("the set pair has one member only")));
    }

    #[test]
    fn what_cannot_be() {
        let five = (0..5).map(|i| entry(&format!("h{i}"), r#", "set": "s""#)).collect::<Vec<_>>().join(",");
        let cases = [
            ("[]".to_owned(), "subscription.servers[0] is missing"),
            (format!("[{0},{0}]", entry("a", "")), "servers[1].host is \"a\", but it must be another one"),
            (format!("[{five}]"), "servers[4].set is \"s\", but it must be a set with no more than 4 members"),
            (format!("[{}]", entry("a", r#", "name": "a\nb""#)), "servers[0].name"),
        ];
        for (servers, words) in cases {
            let error = parse(&servers).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
