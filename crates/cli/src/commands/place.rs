//! Where the files of a configuration are, also of one that is not enabled or not complete.

use crate::exit::Failure;
use collector::config::{ConfigError, Instance, document};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A configuration as it stands in its file.
pub(crate) struct Place {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Its contents.
    pub(crate) document: Value,
}

impl Place {
    pub(crate) fn open(path: &Path) -> Result<Place, ConfigError> {
        Ok(Place { path: path.to_owned(), folder: document::folder(path), document: document::read(path)? })
    }

    /// The value at a pointer such as `/handler/records`.
    pub(crate) fn value(&self, pointer: &str) -> Option<&Value> {
        self.document.pointer(pointer)
    }

    /// The files of the first management center.
    pub(crate) fn instance(&self) -> Result<Instance, Failure> {
        let host = self.value("/subscription/servers/0/host").and_then(Value::as_str).unwrap_or_default();
        if host.is_empty() {
            let path = self.path.display();
            return Err(Failure::new(format!(
                "{path}: subscription.servers[0].host is missing: the name or address of the management center"
            )));
        }
        let port = self.value("/subscription/servers/0/port").and_then(Value::as_u64);
        let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(8302);
        Ok(Instance::new(&self.folder, host, port))
    }

    /// The log of a collector in the background.
    pub(crate) fn log(&self) -> PathBuf {
        let name = self.value("/logging/filepath").and_then(Value::as_str).filter(|name| !name.is_empty());
        self.folder.join(name.unwrap_or(DEFAULT_LOG))
    }
}

/// The log file of a collector in the background whose configuration names none.
pub(crate) const DEFAULT_LOG: &str = "estreamer.log";

/// What runs a collector with this configuration, as messages call it.
pub(crate) fn command(config: &Path) -> String {
    format!("estreamer collect --config {}", config.display())
}
