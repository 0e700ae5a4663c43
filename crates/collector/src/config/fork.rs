//! Options of the HTTP output that a fork of eNcore has: what they mean to ours.

use super::{Object, Reader};
use serde_json::Value;

/// Keys of that fork that ours has not.
pub(super) const KEYS: [&str; 4] = ["path", "httpMethod", "extraData", "Loglevel"];

/// What they come to.
pub(super) struct Fork {
    /// The URL of our output.
    pub(super) url: String,
    /// Its `type`.
    pub(super) kind: &'static str,
    /// The index of bulk requests.
    pub(super) index: Option<String>,
}

impl Reader<'_> {
    /// The fork's options, when there are any and our `type` is not given.
    pub(super) fn fork(&mut self, options: &Object<'_>, uri: &str) -> Option<Fork> {
        if options.value("type").is_some() || !KEYS.iter().any(|key| options.value(key).is_some()) {
            return None;
        }
        let text = |key: &str| options.value(key).and_then(Value::as_str).unwrap_or_default();
        let method = text("httpMethod");
        if !method.is_empty() && !method.eq_ignore_ascii_case("POST") {
            self.warnings.push(format!("{} is {method}, but lines are sent with POST", options.key("httpMethod")));
        }
        let path = text("path");
        let path = if path.is_empty() { "/" } else { path };
        let base = uri.trim_end_matches('/');
        let (url, kind, index) = match path.trim_end_matches('/').strip_suffix("/_bulk") {
            Some(before) => (format!("{base}{before}"), "elasticsearch", index(text("extraData"))),
            None => (format!("{base}/{}", path.trim_start_matches('/')), "ndjson", None),
        };
        match kind {
            "elasticsearch" => self.notices.push(format!(
                "{} is written as bulk requests to the index {}; set type to \"elasticsearch\" and index to choose",
                options.place,
                index.as_deref().unwrap_or("estreamer-%Y.%m.%d")
            )),
            _ if !text("extraData").is_empty() => self.warnings.push(format!(
                "{} is not written before the lines; for Elasticsearch set type to \"elasticsearch\"",
                options.key("extraData")
            )),
            _ => {}
        }
        Some(Fork { url, kind, index })
    }
}

/// The index in a line such as `{"index": {"_index": "fmc-%Y.%m.%d"}}`.
fn index(line: &str) -> Option<String> {
    let action: Value = serde_json::from_str(line.trim().trim_end_matches(',')).ok()?;
    let (_, what) = action.as_object()?.iter().next()?;
    what.get("_index")?.as_str().map(str::to_owned)
}
