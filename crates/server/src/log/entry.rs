//! An event, and how it is written.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::Level;
use tracing::field::{Field, Visit};

use super::PARENT;

/// The program name of an appliance's lines.
pub(super) const PROGRAM: &str = "SF-IMS";

/// The target of what this crate says, whose extra fields are in the head of a line already.
const OURS: &str = "estreamer";

/// What is logged.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) time: Timestamp,
    pub(super) level: Level,
    pub(super) tid: u64,
    pub(super) process: String,
    pub(super) component: String,
    message: String,
    fields: Map<String, Value>,
    ours: bool,
}

impl Entry {
    pub(super) fn new(time: Timestamp, level: Level, target: &str, pid: u32, fields: Fields) -> Entry {
        let crate_name = target.split("::").next().unwrap_or_default();
        Entry {
            time,
            level,
            tid: fields.tid.unwrap_or(pid.into()),
            process: fields.process.unwrap_or_else(|| PARENT.to_owned()),
            component: fields.component.unwrap_or_else(|| crate_name.to_owned()),
            message: fields.message,
            fields: fields.rest,
            ours: target == OURS,
        }
    }

    /// `[TID] PROCESS:COMPONENT [LEVEL] text`, in which nothing can break a line.
    pub(super) fn body(&self) -> String {
        let (tid, process, component, level) = (self.tid, &self.process, &self.component, self.level);
        safe(format!("[{tid}] {process}:{component} [{level}] {}", self.words()))
    }

    /// The text alone, in which nothing can break a line.
    pub(super) fn text(&self) -> String {
        safe(self.words())
    }

    /// The line of an appliance, without its end.
    pub(super) fn line(&self, host: &str, pid: u32) -> String {
        format!("{} {host} {PROGRAM}[{pid}]: {}", self.time.strftime("%b %e %H:%M:%S"), self.body())
    }

    /// An object with what is known, without the end of the line.
    pub(super) fn json(&self, host: &str, pid: u32) -> String {
        let mut object = Map::new();
        let head: [(&str, Value); 9] = [
            // Microseconds, always six digits.
            ("time", format!("{:.6}", self.time).into()),
            ("host", host.into()),
            ("program", PROGRAM.into()),
            ("pid", pid.into()),
            ("level", self.level.as_str().into()),
            ("tid", self.tid.into()),
            ("process", self.process.as_str().into()),
            ("component", self.component.as_str().into()),
            ("message", self.message.as_str().into()),
        ];
        object.extend(head.into_iter().map(|(key, value)| (key.to_owned(), value)));
        for (key, value) in &self.fields {
            // A field of another crate never hides one of these.
            object.entry(key.as_str()).or_insert_with(|| value.clone());
        }
        Value::Object(object).to_string()
    }

    /// The message and what other crates add to it: ` name=value` each.
    fn words(&self) -> String {
        let mut words = self.message.clone();
        if !self.ours {
            for (name, value) in &self.fields {
                // Writing to a string cannot fail.
                let _ = match value {
                    Value::String(text) => write!(words, " {name}={text}"),
                    value => write!(words, " {name}={value}"),
                };
            }
        }
        words
    }
}

/// Control characters escaped.
pub(super) fn safe(text: String) -> String {
    if !text.chars().any(char::is_control) {
        return text;
    }
    text.chars().fold(String::new(), |mut safe, c| {
        if c.is_control() {
            safe.extend(c.escape_default())
        } else {
            safe.push(c)
        }
        safe
    })
}

/// Cuts a text off at so many bytes, or a little before.
pub(super) fn cut(text: &mut String, most: usize) {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
}

/// The fields of an event.
#[derive(Default)]
pub(super) struct Fields {
    tid: Option<u64>,
    process: Option<String>,
    component: Option<String>,
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.rest.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "tid" => self.tid = Some(value),
            _ => self.add(field, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "process" => self.process = Some(value.to_owned()),
            "component" => self.component = Some(value.to_owned()),
            "message" => self.message = value.to_owned(),
            _ => self.add(field, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.add(field, format!("{value:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_on_an_appliance() {
        let fields = Fields {
            tid: Some(23935),
            process: Some("EventStreamer child(10.48.26.47)".into()),
            component: Some("sfestreamer".into()),
            message: "Got EVENT_STREAM_REQUEST length 8".into(),
            rest: Map::new(),
        };
        let now = Timestamp::from_second(1_591_210_934).unwrap();
        let entry = Entry::new(now, Level::INFO, OURS, 22601, fields);
        assert_eq!(
            entry.line("firepower", 22601),
            "Jun  3 19:02:14 firepower SF-IMS[22601]: [23935] EventStreamer child(10.48.26.47):sfestreamer [INFO] \
             Got EVENT_STREAM_REQUEST length 8"
        );
        assert!(
            entry
                .json("firepower", 22601)
                .starts_with("{\"time\":\"2020-06-03T19:02:14.000000Z\",\"host\":\"firepower\",")
        );
    }
}
