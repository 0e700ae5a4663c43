//! The outputs set-up offers, and writing a configuration back as eNcore does.

use crate::arguments::{EncorePreset, Preset};
use crate::exit::Failure;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

impl From<EncorePreset> for Preset {
    fn from(preset: EncorePreset) -> Preset {
        match preset {
            EncorePreset::Splunk => Preset::Splunk,
            EncorePreset::Cef => Preset::Cef,
            EncorePreset::Cef2 => Preset::Cef2,
            EncorePreset::Json => Preset::Json,
        }
    }
}

impl Preset {
    /// The format.
    pub(crate) fn adapter(self) -> &'static str {
        match self {
            Preset::Splunk => "splunk",
            Preset::Cef => "cef",
            Preset::Json => "json",
            Preset::Cef2 => "cef2",
            Preset::Leef => "leef",
        }
    }

    /// Where eNcore's set-up sends it; `cef` goes to a receiver that has to be named.
    pub(crate) fn uri(self) -> &'static str {
        match self {
            Preset::Splunk => "relfile:///data/splunk/encore.{0}.log",
            Preset::Cef => "udp://{host}:{port}",
            Preset::Json => "relfile:///data/json/encore.{0}.json",
            Preset::Cef2 => "relfile:///data/cef2/encore{0}.cef",
            Preset::Leef => "relfile:///data/leef/encore.{0}.leef",
        }
    }

    /// The outputter, to a place of its own or another one.
    pub(crate) fn outputter(self, uri: &str) -> Value {
        let options = match uri.contains("file://") {
            true => json!({"maxLogs": 10_000, "rotate": true}),
            false => json!({}),
        };
        json!({"adapter": self.adapter(), "enabled": true, "stream": {"options": options, "uri": uri}})
    }
}

/// Sets a value, making the objects around it. A list has its first element there.
pub(crate) fn set(document: &mut Value, keys: &[&str], value: Value) {
    let Some((first, rest)) = keys.split_first() else {
        *document = value;
        return;
    };
    if *first == "0" {
        if !document.is_array() {
            *document = json!([]);
        }
        if let Some(list) = document.as_array_mut() {
            if list.is_empty() {
                list.push(json!({}));
            }
            if let Some(element) = list.first_mut() {
                set(element, rest, value);
            }
        }
        return;
    }
    if !document.is_object() {
        *document = json!({});
    }
    if let Some(map) = document.as_object_mut() {
        set(map.entry(*first).or_insert(Value::Null), rest, value);
    }
}

/// Writes a file anew as eNcore does: keys sorted, four blanks; with the rights it had.
pub(crate) fn rewrite(path: &Path, document: &Value) -> Result<(), Failure> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    sorted(document).serialize(&mut serializer)?;
    let mode = fs::metadata(path).map_or(0o600, |data| data.permissions().mode() & 0o777);
    write(path, &text, mode).map_err(|e| Failure::new(format!("{} cannot be written: {e}", path.display())))
}

/// Writes a file whole or not at all, with these rights.
pub(crate) fn write(path: &Path, text: &[u8], mode: u32) -> std::io::Result<()> {
    use std::io::Write;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&new)?;
    // A file that was left there has its own rights.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_where_nothing_was() {
        let mut document = json!({"subscription": {"servers": [{"host": "1.2.3.4"}, {"host": "b"}]}});
        set(&mut document, &["subscription", "servers", "0", "host"], "fmc".into());
        set(&mut document, &["handler", "outputters", "0", "stream", "uri"], "stdout://".into());
        let expected = json!({
            "subscription": {"servers": [{"host": "fmc"}, {"host": "b"}]},
            "handler": {"outputters": [{"stream": {"uri": "stdout://"}}]}
        });
        assert_eq!(document, expected);
    }
}
