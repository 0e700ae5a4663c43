//! Taking values out of a configuration file, with errors that say where they stood.

use super::ConfigError;
use serde_json::{Map, Value};
use std::path::Path;

/// Reads one file.
pub(super) struct Reader<'a> {
    /// What errors call it.
    pub(super) path: &'a Path,
    pub(super) warnings: Vec<String>,
    /// Keys that do nothing here, and what happens instead.
    pub(super) notices: Vec<String>,
}

/// An object of the file and its place in it.
pub(super) struct Object<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) place: String,
}

impl<'a> Object<'a> {
    pub(super) fn key(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }
}

impl Reader<'_> {
    pub(super) fn optional_section<'a>(
        &self,
        parent: &Object<'a>,
        name: &str,
    ) -> Result<Option<Object<'a>>, ConfigError> {
        let Some(value) = parent.value(name) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.wrong(&parent.key(name), value, "an object: { … }"))?;
        Ok(Some(Object { map, place: parent.key(name) }))
    }

    pub(super) fn section<'a>(
        &self,
        parent: &Object<'a>,
        name: &str,
        wanted: &'static str,
    ) -> Result<Object<'a>, ConfigError> {
        self.optional_section(parent, name)?.ok_or_else(|| self.missing(parent.key(name), wanted))
    }

    pub(super) fn text(&self, object: &Object<'_>, name: &str, wanted: &'static str) -> Result<String, ConfigError> {
        match object.value(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.wrong(&object.key(name), other, wanted)),
            None => Err(self.missing(object.key(name), wanted)),
        }
    }

    pub(super) fn number(
        &self,
        object: &Object<'_>,
        name: &str,
        default: u64,
        wanted: &'static str,
    ) -> Result<u64, ConfigError> {
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

    pub(super) fn flag(&self, object: &Object<'_>, name: &str, default: bool) -> Result<bool, ConfigError> {
        match object.value(name) {
            None => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            // eNcore takes whatever Python takes for a truth value; of that only these are clear.
            Some(Value::Number(n)) if n.as_u64() == Some(0) => Ok(false),
            Some(Value::Number(n)) if n.as_u64() == Some(1) => Ok(true),
            Some(other) => Err(self.wrong(&object.key(name), other, "true or false")),
        }
    }

    pub(super) fn missing(&self, key: String, wanted: &'static str) -> ConfigError {
        ConfigError::Missing { path: self.path.into(), key, wanted }
    }

    pub(super) fn wrong(&self, key: &str, value: &Value, wanted: &'static str) -> ConfigError {
        let mut value = value.to_string();
        if value.len() > 80 {
            value = value.chars().take(77).chain("...".chars()).collect();
        }
        ConfigError::Value { path: self.path.into(), key: key.into(), value, wanted }
    }
}
