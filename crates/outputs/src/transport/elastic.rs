//! Elasticsearch and OpenSearch: the bulk API.
//!
//! Each line must be a JSON object, and is created as a document. The answer is read item by item: what is created, or
//! exists already (409), is done; what the receiver cannot take now (429, 5xx; also 401, 403 and 404, which speak of the
//! index and not of the document) is sent again, alone; any other refusal puts the line aside.
//!
//! A batch whose answer got lost is sent again. With [`Settings::id`] its documents are recognised; without, they are there
//! twice.

use super::http::{self, Client};
use super::{Failure, Rejected, Settled, SetupError, Transport};
use crate::spool::Lines;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of an identifier of a document.
const ID: usize = 512;

/// Where and how to create documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// URL (what comes before `/_bulk`), credentials, compression.
    pub http: http::Settings,
    /// Index or data stream; `%Y`, `%m`, `%d` and other specifiers stand for the event's day in UTC, as in
    /// `estreamer-%Y.%m.%d`.
    pub index: String,
    /// Where in a line its time is, in seconds since 1970: a name, or a JSON pointer as `/a/b`. Without it, or when a
    /// line has none, the index is that of the time of sending.
    pub time: Option<String>,
    /// Where in a line its identifier is: a text or number of at most 512 bytes. Lines without one get an identifier
    /// from the receiver.
    pub id: Option<String>,
}

/// Creates documents.
pub struct Elastic {
    client: Client,
    settings: Settings,
    /// Numbers of lines at the front of the queue that the receiver has, from batches that it took in part.
    taken: BTreeSet<u64>,
    /// Lines that it will never take.
    rejected: BTreeMap<u64, Rejected>,
    settled: Vec<Settled>,
}

#[derive(Deserialize)]
struct Bulk {
    items: Vec<BTreeMap<String, Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    #[serde(default)]
    error: Value,
}

impl Elastic {
    /// A transport with these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`SetupError`] for settings or files that cannot be used.
    pub fn new(settings: Settings) -> Result<Elastic, SetupError> {
        let wrong = |problem| SetupError::setting("the index", settings.index.clone(), problem);
        let name = index(&settings.index, Timestamp::UNIX_EPOCH)
            .map_err(|e| wrong(format!("{e}; write as in estreamer-%Y.%m.%d")))?;
        let bad = |c: char| c.is_uppercase() || c.is_whitespace() || c.is_control() || "\\/*?\"<>|,#:".contains(c);
        if name.is_empty() || name.contains(bad) || name.starts_with(['-', '_', '+', '.']) || name.len() > 255 {
            let problem = "it must be in lower case, without blanks and any of \\/*?\"<>|,#: and begin with a letter";
            return Err(wrong(problem.to_owned()));
        }
        let client = Client::new(settings.http.clone())?;
        Ok(Elastic { client, settings, taken: BTreeSet::new(), rejected: BTreeMap::new(), settled: Vec::new() })
    }

    /// The line of the bulk request before a document, `None` when the line is not an object.
    fn action(&self, line: &[u8], now: Timestamp) -> Option<String> {
        let object: Value = serde_json::from_slice(line).ok().filter(Value::is_object)?;
        let field = |place: &Option<String>| place.as_ref().and_then(|place| http::find(&object, place));
        let time = field(&self.settings.time).and_then(Value::as_f64).and_then(timestamp);
        let mut create = Map::new();
        create.insert("_index".to_owned(), json!(index(&self.settings.index, time.unwrap_or(now)).ok()?));
        let id = match field(&self.settings.id) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        if let Some(id) = id.filter(|id| (1..=ID).contains(&id.len())) {
            create.insert("_id".to_owned(), json!(id));
        }
        Some(json!({ "create": create }).to_string())
    }

    /// Takes note of what became of each line. The first error that can be repeated, if there is one.
    fn judge(&mut self, sent: &[(u64, &[u8])], items: Vec<BTreeMap<String, Item>>) -> Option<String> {
        let mut again = None;
        for ((number, line), item) in sent.iter().zip(items) {
            let Some(item) = item.into_values().next() else {
                again.get_or_insert_with(|| "a document without an answer".to_owned());
                continue;
            };
            let words = || format!("{}{}", item.status, http::words(&explain(&item.error)));
            match item.status {
                200..=299 | 409 => {}
                400..=499 if ![401, 403, 404, 408, 429].contains(&item.status) => {
                    self.rejected.insert(*number, Rejected { line: line.to_vec(), reason: words() });
                }
                _ => {
                    again.get_or_insert_with(words);
                    continue;
                }
            }
            self.taken.insert(*number);
        }
        again
    }

    fn settle(&mut self, end: u64) {
        let later = self.rejected.split_off(&end);
        let rejected = std::mem::replace(&mut self.rejected, later).into_values().collect();
        self.taken = self.taken.split_off(&end);
        self.settled.push(Settled { rejected, truncated: 0 });
    }
}

impl Transport for Elastic {
    fn describe(&self) -> String {
        self.client.url("/_bulk")
    }

    fn send(&mut self, lines: &Lines) -> Result<(), Failure> {
        let (mut body, mut sent, mut end) = (Vec::new(), Vec::new(), 0);
        let now = Timestamp::now();
        for (number, line) in lines.iter() {
            end = number + 1;
            if self.taken.contains(&number) {
                continue;
            }
            let Some(action) = self.action(line, now) else {
                let reason = "not a JSON object".to_owned();
                self.rejected.insert(number, Rejected { line: line.to_vec(), reason });
                self.taken.insert(number);
                continue;
            };
            for part in [action.as_bytes(), line] {
                body.extend_from_slice(part);
                body.push(b'\n');
            }
            sent.push((number, line));
        }
        if !sent.is_empty() {
            let url = self.client.url("/_bulk");
            let filtered = format!("{url}?filter_path=errors,items.*.status,items.*.error");
            let answer = self.client.post(&filtered, "application/x-ndjson", &[], &body)?;
            if !(200..300).contains(&answer.status) {
                return Err(answer.failure(&url));
            }
            let bulk: Bulk = match serde_json::from_slice(&answer.body) {
                Ok(bulk) => bulk,
                Err(error) => {
                    let words = answer.words();
                    return Err(Failure::again(format!(
                        "{url} does not answer as Elasticsearch does ({error}){words}"
                    )));
                }
            };
            if bulk.items.len() != sent.len() {
                let (had, has) = (sent.len(), bulk.items.len());
                return Err(Failure::again(format!("{url} answers to {has} documents where {had} were sent")));
            }
            if let Some(reason) = self.judge(&sent, bulk.items) {
                let reason = format!("{url} cannot take all documents now: {reason}");
                return Err(Failure::Again { reason, after: answer.after });
            }
        }
        self.settle(end);
        Ok(())
    }

    fn settled(&mut self) -> Result<Vec<Settled>, Failure> {
        Ok(std::mem::take(&mut self.settled))
    }

    fn reset(&mut self) {
        // What the receiver has it keeps: `taken` stays.
        self.client.reset();
        self.settled.clear();
    }

    fn connected(&self) -> bool {
        self.client.connected()
    }
}

/// The name of the index at a time.
fn index(pattern: &str, time: Timestamp) -> Result<String, jiff::Error> {
    jiff::fmt::strtime::format(pattern, &time.to_zoned(jiff::tz::TimeZone::UTC))
}

fn timestamp(seconds: f64) -> Option<Timestamp> {
    // A cast of a float saturates.
    Timestamp::from_second(seconds.floor() as i64).ok()
}

fn explain(error: &Value) -> String {
    match (error.get("type").and_then(Value::as_str), error.get("reason").and_then(Value::as_str)) {
        (Some(kind), Some(reason)) => format!("{kind}: {reason}"),
        _ if error.is_null() => String::new(),
        _ => error.to_string(),
    }
}
