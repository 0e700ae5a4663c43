//! eNcore's names for destinations: the `stream.uri` of an outputter.

use crate::scp::{Remote, ScpError};
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// Where a URI points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `file:///abs/path/name{0}.json`, or `relfile:///data/json/encore.{0}.json`, which is relative to the working
    /// directory.
    File {
        /// The folder; empty for the working directory.
        folder: PathBuf,
        /// What follows the last slash, to be used as the name in [`Settings`](crate::Settings); may be empty.
        name: String,
    },
    /// `scp://user@host:port/folder/name{0}.json`. A folder that begins with a colon is relative to the home folder there.
    Scp {
        /// The folder there; key and configuration are not set.
        remote: Remote,
        /// Name of the files, here and there. It has a `{0}`: where the URI has none, `.{0}` stands before the last dot.
        name: String,
    },
    /// `stdout://`
    Stdout,
}

/// A URI that names no destination.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UriError {
    /// No `scheme://`.
    #[error(
        "{0}: not a URI; write for example relfile:///data/json/encore.{{0}}.json, file:///var/log/events.json or stdout://"
    )]
    NoScheme(String),
    /// A destination of eNcore that is not there yet.
    #[error("{uri}: {scheme} is not available yet; use file, relfile, scp or stdout")]
    Later {
        /// The URI.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// Something nobody knows. (eNcore takes it for `stdout`.)
    #[error("{uri}: {scheme} is unknown; use file, relfile, scp, stdout, tcp, udp, tls, http or https")]
    Unknown {
        /// The URI.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// A target of `scp` that cannot be.
    #[error("{0}")]
    Scp(String),
    /// Two slashes where there should be three, so that the first folder becomes a host.
    #[error("{uri}: {host} stands where a host would be; write {scheme}:///{host}{path}")]
    Host {
        /// The URI.
        uri: String,
        /// Its scheme.
        scheme: String,
        /// What stands between the second and the third slash.
        host: String,
        /// What follows it.
        path: String,
    },
}

impl FromStr for Target {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Target, UriError> {
        let text = uri.trim();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| UriError::NoScheme(text.to_owned()))?;
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "stdout" => Ok(Target::Stdout),
            "file" | "relfile" => {
                let Some(path) = rest.strip_prefix('/') else {
                    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                    let (host, path) = (host.to_owned(), path.to_owned());
                    return Err(UriError::Host { uri: text.to_owned(), scheme, host, path });
                };
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                let folder = if scheme == "file" { format!("/{folder}") } else { folder.to_owned() };
                Ok(Target::File { folder: folder.into(), name: name.to_owned() })
            }
            "scp" => {
                let (place, name) = rest.rsplit_once('/').unwrap_or((rest, ""));
                // `scp://host/name` is in the root folder, as with a file, and `scp://host/:name` in that of the user.
                let root = if place.contains('/') || name.starts_with(':') { "" } else { "/" };
                let remote = format!("{place}{root}").parse().map_err(|e: ScpError| UriError::Scp(e.to_string()))?;
                Ok(Target::Scp { remote, name: numbered(name.strip_prefix(':').unwrap_or(name)) })
            }
            "tcp" | "udp" | "http" | "https" => Err(UriError::Later { uri: text.to_owned(), scheme }),
            _ => Err(UriError::Unknown { uri: text.to_owned(), scheme }),
        }
    }
}

/// Every file that is copied needs a name of its own.
fn numbered(name: &str) -> String {
    match name.rsplit_once('.') {
        _ if name.contains("{0}") => name.to_owned(),
        _ if name.is_empty() => "log{0}".to_owned(),
        Some((stem, extension)) => format!("{stem}.{{0}}.{extension}"),
        None => format!("{name}.{{0}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &str, name: &str) -> Result<Target, UriError> {
        Ok(Target::File { folder: folder.into(), name: name.into() })
    }

    #[test]
    fn the_presets_of_encore() {
        assert_eq!("relfile:///data/json/encore.{0}.json".parse(), file("data/json", "encore.{0}.json"));
        assert_eq!("relfile:///x.log".parse(), file("", "x.log"));
        assert_eq!("file:///var/log/cef/name{0}.cef".parse(), file("/var/log/cef", "name{0}.cef"));
        assert_eq!("file:///x".parse(), file("/", "x"));
        assert_eq!("FILE:///data/".parse(), file("/data", ""));
        assert_eq!("stdout://".parse(), Ok(Target::Stdout));
        assert_eq!(" stdout:///".parse(), Ok(Target::Stdout));
    }

    #[test]
    fn targets_of_scp() {
        let scp = |uri: &str| match uri.parse() {
            Ok(Target::Scp { remote, name }) => (remote.user, remote.host, remote.port, remote.folder, name),
            other => panic!("{other:?}"),
        };
        let user = || Some("siem".to_owned());
        let is =
            |user, host: &str, port, folder: &str, name: &str| (user, host.into(), port, folder.into(), name.into());
        assert_eq!(scp("scp://siem@h.example/in/e{0}.json"), is(user(), "h.example", None, "/in", "e{0}.json"));
        assert_eq!(scp("scp://siem@h:2222/in/a/e.json"), is(user(), "h", Some(2222), "/in/a", "e.{0}.json"));
        assert_eq!(scp("scp://h/:in/e{0}"), is(None, "h", None, "in", "e{0}"));
        assert_eq!(scp("scp://h:22:in/a/e{0}"), is(None, "h", Some(22), "in/a", "e{0}"));
        assert_eq!(scp("scp://h:in/e{0}"), is(None, "h", None, "in", "e{0}"));
        assert_eq!(scp("scp://h/:e"), is(None, "h", None, "", "e.{0}"));
        assert_eq!(scp("scp://h/:/e"), is(None, "h", None, "", "e.{0}"));
        assert_eq!(scp("scp://h/e"), is(None, "h", None, "/", "e.{0}"));
        assert_eq!(scp("scp://h"), is(None, "h", None, "/", "log{0}"));
        assert_eq!(scp("scp://siem@[2001:db8::1]:22/in/"), is(user(), "2001:db8::1", Some(22), "/in", "log{0}"));
        assert_eq!(scp("scp://[::1]/:e{0}"), is(None, "::1", None, "", "e{0}"));
        for (uri, words) in [
            ("scp:///in/e{0}", "the host \"\" is missing"),
            ("scp://-oProxyCommand=x/in/e{0}", "is neither a host name nor an IP address"),
            ("scp://a b/in/e{0}", "is neither a host name nor an IP address"),
            ("scp://u:secret@h/in/e{0}", "the user \"u\" is followed by a password"),
            ("scp://h:70000/in/e{0}", "no TCP port from 1 to 65535"),
            ("scp://h:0/in/e{0}", "no TCP port from 1 to 65535"),
            ("scp://[::1/in/e{0}", "a bracket that is not closed"),
            ("scp://h/in;reboot/e{0}", "the remote folder \"/in;reboot\" may have letters"),
            ("scp://h/~x/e{0}", "may have letters"),
        ] {
            let text = uri.parse::<Target>().unwrap_err().to_string();
            assert!(text.contains(words) && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn what_is_no_destination_says_what_is() {
        let text = |uri: &str| uri.parse::<Target>().unwrap_err().to_string();
        assert_eq!(
            text("tcp://10.0.0.1:514"),
            "tcp://10.0.0.1:514: tcp is not available yet; use file, relfile, scp or stdout"
        );
        assert_eq!(
            text("kafka://x"),
            "kafka://x: kafka is unknown; use file, relfile, scp, stdout, tcp, udp, tls, http or https"
        );
        assert_eq!(
            text("file://var/log/x"),
            "file://var/log/x: var stands where a host would be; write file:///var/log/x"
        );
        assert_eq!(
            text("/var/log/x"),
            "/var/log/x: not a URI; write for example relfile:///data/json/encore.{0}.json, file:///var/log/events.json or stdout://"
        );
        assert!(text("relfile://").contains("relfile:///"));
    }
}
