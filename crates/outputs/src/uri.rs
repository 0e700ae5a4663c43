//! eNcore's names for destinations: the `stream.uri` of an outputter.

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
    #[error("{uri}: {scheme} is not available yet; use file, relfile or stdout")]
    Later {
        /// The URI.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// Something nobody knows. (eNcore takes it for `stdout`.)
    #[error("{uri}: {scheme} is unknown; use file, relfile or stdout")]
    Unknown {
        /// The URI.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
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
            "tcp" | "udp" | "scp" | "http" | "https" => Err(UriError::Later { uri: text.to_owned(), scheme }),
            _ => Err(UriError::Unknown { uri: text.to_owned(), scheme }),
        }
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
    fn what_is_no_destination_says_what_is() {
        let text = |uri: &str| uri.parse::<Target>().unwrap_err().to_string();
        assert_eq!(
            text("tcp://10.0.0.1:514"),
            "tcp://10.0.0.1:514: tcp is not available yet; use file, relfile or stdout"
        );
        assert_eq!(text("kafka://x"), "kafka://x: kafka is unknown; use file, relfile or stdout");
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
