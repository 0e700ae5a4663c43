//! Where lines go and how they look, as the settings say it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The port of syslog (RFC 5426 3.3).
const PORT: u16 = 514;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As an appliance writes it.
    #[default]
    Text,
    /// A JSON object: `time` (RFC 3339, UTC), `host`, `program`, `pid`, `level`, `tid`, `process`, `component`, `message`,
    /// and, where they are known, `session` (number), `peer` (address and port) and `client` (certificate name).
    Json,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The standard error of the program.
    StandardError,
    /// A file.
    File(PathBuf),
    /// A syslog daemon.
    Syslog(SyslogAddress),
}

/// Where a syslog daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    /// At a Unix socket of this machine.
    Local(PathBuf),
    /// On a UDP port.
    Udp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// The facility of syslog messages (RFC 5424 table 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of syslog(3)")]
pub enum Facility {
    User = 1,
    Mail = 2,
    #[default]
    Daemon = 3,
    Auth = 4,
    Syslog = 5,
    Lpr = 6,
    News = 7,
    Uucp = 8,
    Cron = 9,
    Authpriv = 10,
    Ftp = 11,
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

impl Target {
    /// Understands `stderr`, `syslog`, `syslog:///SOCKET`, `syslog://HOST:PORT` (port 514 if there is none), or the name of
    /// a file, relative to `home`.
    ///
    /// # Errors
    /// What is wrong with it and what is allowed.
    pub fn parse(text: &Path, home: &Path) -> Result<Target, String> {
        // Only a file's name may be any bytes.
        let Some(words) = text.to_str() else { return Ok(Target::File(home.join(text))) };
        match words {
            "" => Err("it is empty; give \"stderr\", \"syslog\" or a file, such as \"log/server.log\"".to_owned()),
            "stderr" => Ok(Target::StandardError),
            "syslog" => Ok(Target::Syslog(SyslogAddress::Local("/dev/log".into()))),
            _ => match words.split_once("://") {
                Some(("syslog", rest)) => address(rest).map(Target::Syslog),
                Some((other, _)) => Err(format!(
                    "\"{other}://\" is not known; give \"syslog\", \"syslog:///SOCKET\", \"syslog://HOST:PORT\" or a file"
                )),
                None => Ok(Target::File(home.join(text))),
            },
        }
    }
}

fn address(rest: &str) -> Result<SyslogAddress, String> {
    if rest.starts_with('/') {
        return Ok(SyslogAddress::Local(rest.into()));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let bad =
        || format!("\"{rest}\" is no HOST:PORT; give such as \"syslog://192.0.2.1:514\" or \"syslog://[2001:db8::1]\"");
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').ok_or_else(bad)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            (host, after.strip_prefix(':').or(if after.is_empty() { Some("") } else { None }).ok_or_else(bad)?)
        }
        None => rest.split_once(':').unwrap_or((rest, "")),
    };
    let port = if port.is_empty() { PORT } else { port.parse().ok().filter(|p| *p > 0).ok_or_else(bad)? };
    if host.is_empty() || host.contains(['/', ' ', '@']) {
        return Err(bad());
    }
    Ok(SyslogAddress::Udp { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_understood_or_explained() {
        let parse = |text: &str| Target::parse(Path::new(text), Path::new("/h"));
        let local = |path: &str| Ok(Target::Syslog(SyslogAddress::Local(path.into())));
        let udp = |host: &str, port| Ok(Target::Syslog(SyslogAddress::Udp { host: host.into(), port }));
        for (text, target) in [
            ("stderr", Ok(Target::StandardError)),
            ("log/a", Ok(Target::File("/h/log/a".into()))),
            ("/var/log/a", Ok(Target::File("/var/log/a".into()))),
            ("syslog", local("/dev/log")),
            ("syslog:///run/log", local("/run/log")),
            ("syslog://log.example", udp("log.example", 514)),
            ("syslog://log.example:1514/", udp("log.example", 1514)),
            ("syslog://[2001:db8::1]:9", udp("2001:db8::1", 9)),
            ("syslog://[::1]", udp("::1", 514)),
        ] {
            assert_eq!(parse(text), target, "{text}");
        }
        for text in [
            "",
            "syslog://",
            "syslog://:514",
            "syslog://a:0",
            "syslog://a:x",
            "syslog://[::1]9",
            "syslog://[a]",
            "tcp://a",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("give "), "{text}: {error}");
        }
    }
}
