//! Splunk: the HTTP event collector.
//!
//! An answer of 200 says that the events were received, not that they are stored. With
//! [`Settings::acknowledgement`], which the token must have enabled, batches stay under way until the indexers
//! acknowledge them, and are sent again when they do not in time. Then Splunk may have events twice.

use super::http::{self, Client};
use super::{Failure, Settled, SetupError, Transport};
use crate::spool::Lines;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Where and how to send events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// URL (what comes before `/services`), the token as [`http::Credentials::Splunk`], compression.
    pub http: http::Settings,
    /// Send lines as they are, to the raw endpoint, where Splunk finds time and fields as in a file.
    pub raw: bool,
    /// Source type of the events.
    pub sourcetype: Option<String>,
    /// Source of the events.
    pub source: Option<String>,
    /// Index of the events; the token must allow it.
    pub index: Option<String>,
    /// Host of the events.
    pub host: Option<String>,
    /// Where in a line its time is, in seconds since 1970: a name, or a JSON pointer as `/a/b`. Lines without one get the
    /// time of arrival. Not for the raw endpoint.
    pub time: Option<String>,
    /// Wait until the indexers acknowledge.
    pub acknowledgement: Option<Acknowledgement>,
}

/// How to wait for indexers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// A UUID by which Splunk knows this sender; a random one if `None`.
    pub channel: Option<String>,
    /// Time between two questions.
    pub poll: Duration,
    /// Time after which a batch is sent again.
    pub timeout: Duration,
    /// Batches that may be under way.
    pub window: usize,
}

impl Default for Acknowledgement {
    /// A random channel, asked every second, for at most two minutes, 8 batches.
    fn default() -> Acknowledgement {
        let (poll, timeout) = (Duration::from_secs(1), Duration::from_secs(120));
        Acknowledgement { channel: None, poll, timeout, window: 8 }
    }
}

impl Settings {
    /// Events with the metadata of the token, without acknowledgement.
    pub fn new(http: http::Settings) -> Settings {
        let (sourcetype, source, index, host, time) = (None, None, None, None, None);
        Settings { http, raw: false, sourcetype, source, index, host, time, acknowledgement: None }
    }
}

/// Sends events.
pub struct Hec {
    client: Client,
    settings: Settings,
    /// Path and query of the endpoint.
    path: String,
    channel: Option<String>,
    /// What each event begins with, behind its time.
    metadata: String,
    /// Batches whose acknowledgement is waited for, oldest first.
    waiting: VecDeque<Waiting>,
    /// Batches that need none.
    settled: usize,
    asked: Instant,
}

struct Waiting {
    id: u64,
    since: Instant,
    acknowledged: bool,
}

/// The answer to events.
#[derive(Deserialize, Default)]
struct Received {
    code: Option<u64>,
    #[serde(rename = "ackId")]
    ack: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    invalid: Option<usize>,
}

#[derive(Deserialize)]
struct Acknowledged {
    acks: HashMap<u64, bool>,
}

impl Hec {
    /// A transport with these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`SetupError`] for settings or files that cannot be used.
    pub fn new(settings: Settings) -> Result<Hec, SetupError> {
        let chosen = settings.acknowledgement.as_ref().and_then(|a| a.channel.clone());
        if let Some(channel) = &chosen
            && (channel.len() != 36 || !channel.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'))
        {
            let problem = "it must be a UUID, as 12345678-9abc-4def-8123-456789abcdef";
            return Err(SetupError::setting("the channel", channel, problem));
        }
        let needed = settings.raw || settings.acknowledgement.is_some();
        let channel = chosen.or_else(|| needed.then(uuid));
        let fields = [
            ("sourcetype", &settings.sourcetype),
            ("source", &settings.source),
            ("index", &settings.index),
            ("host", &settings.host),
        ];
        let fields = || fields.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
        let mut path = "/services/collector/event".to_owned();
        if settings.raw {
            let query: Vec<String> = fields().map(|(name, value)| format!("{name}={}", percent(value))).collect();
            let mark = if query.is_empty() { "" } else { "?" };
            path = format!("/services/collector/raw{mark}{}", query.join("&"));
        }
        let metadata = fields().map(|(name, value)| format!("{}:{},", json!(name), json!(value))).collect();
        let client = Client::new(settings.http.clone())?;
        let (waiting, asked) = (VecDeque::new(), Instant::now());
        Ok(Hec { client, settings, path, channel, metadata, waiting, settled: 0, asked })
    }

    fn body(&self, lines: &Lines) -> Vec<u8> {
        let mut body = Vec::with_capacity(lines.size() + lines.len() * (self.metadata.len() + 32));
        for (_, line) in lines.iter() {
            if self.settings.raw {
                body.extend_from_slice(line);
            } else {
                self.event(line, &mut body);
            }
            body.push(b'\n');
        }
        body
    }

    /// A line as an event: JSON as it is, other text as a string.
    fn event(&self, line: &[u8], body: &mut Vec<u8>) {
        body.push(b'{');
        let mut json = false;
        if let Some(place) = &self.settings.time {
            if let Ok(object) = serde_json::from_slice::<Value>(line) {
                json = object.is_object();
                if let Some(time) = http::find(&object, place).filter(|time| time.is_number()) {
                    body.extend_from_slice(format!("\"time\":{time},").as_bytes());
                }
            }
        } else {
            json = line.starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
        }
        body.extend_from_slice(self.metadata.as_bytes());
        body.extend_from_slice(b"\"event\":");
        match json {
            true => body.extend_from_slice(line),
            false => body.extend_from_slice(Value::from(String::from_utf8_lossy(line)).to_string().as_bytes()),
        }
        body.push(b'}');
    }

    fn post(&mut self, path: &str, body: &[u8]) -> Result<http::Answer, Failure> {
        let url = self.client.url(path);
        let channel = self.channel.clone();
        let headers: Vec<(&str, &str)> = channel.iter().map(|c| ("x-splunk-request-channel", c.as_str())).collect();
        let kind = if self.settings.raw && path == self.path { "text/plain" } else { "application/json" };
        self.client.post(&url, kind, &headers, body)
    }

    fn acknowledged(&mut self) -> Result<(), Failure> {
        let ids: Vec<u64> = self.waiting.iter().filter(|w| !w.acknowledged).map(|w| w.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let channel = self.channel.clone().unwrap_or_default();
        let path = format!("/services/collector/ack?channel={channel}");
        let answer = self.post(&path, json!({ "acks": ids }).to_string().as_bytes())?;
        self.asked = Instant::now();
        let url = self.client.url("/services/collector/ack");
        if answer.status != 200 {
            return Err(Failure::again(answer.failure(&url).to_string()));
        }
        let Ok(Acknowledged { acks }) = serde_json::from_slice(&answer.body) else {
            return Err(Failure::again(format!("{url} does not answer as Splunk does{}", answer.words())));
        };
        for waiting in &mut self.waiting {
            // Splunk says so once and forgets it.
            waiting.acknowledged |= acks.get(&waiting.id) == Some(&true);
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<Settled> {
        let mut done = std::mem::take(&mut self.settled);
        while self.waiting.front().is_some_and(|first| first.acknowledged) {
            self.waiting.pop_front();
            done += 1;
        }
        vec![Settled::default(); done]
    }
}

impl Transport for Hec {
    fn describe(&self) -> String {
        http::url_without_query(&self.client.url(&self.path))
    }

    fn window(&self) -> usize {
        self.settings.acknowledgement.as_ref().map_or(1, |a| a.window)
    }

    fn poll(&self) -> Duration {
        let poll = self.settings.acknowledgement.as_ref().map_or(Duration::from_millis(50), |a| a.poll);
        poll.clamp(Duration::from_millis(1), Duration::from_secs(10))
    }

    fn send(&mut self, lines: &Lines) -> Result<(), Failure> {
        let body = self.body(lines);
        let path = self.path.clone();
        let answer = self.post(&path, &body)?;
        let url = self.describe();
        let received: Received = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status != 200 {
            let failure = answer.failure(&url);
            let again = |remedy| Err(Failure::again(format!("{failure}; {remedy}")));
            return match (answer.status, received.code) {
                // What is wrong is not the event.
                (400, Some(7)) => again("the token does not allow this index; change one of them"),
                (400, Some(10 | 11)) => again("the receiver wants another channel"),
                (400, Some(14)) => again("enable indexer acknowledgement for the token, or do not ask for it here"),
                (400, _) => Err(Failure::Refused { line: received.invalid, reason: failure.to_string() }),
                // What waits for its acknowledgement still may: sending it again would make a busy receiver busier.
                (429 | 503, _) => Err(Failure::Busy { reason: failure.to_string(), after: answer.after }),
                _ => Err(failure),
            };
        }
        if self.settings.acknowledgement.is_none() {
            self.settled += 1;
            return Ok(());
        }
        let Some(id) = received.ack else {
            let words = answer.words();
            let remedy = "enable indexer acknowledgement for the token, or do not ask for it here";
            return Err(Failure::again(format!("{url} gives no number to ask for{words}; {remedy}")));
        };
        if self.waiting.is_empty() {
            self.asked = Instant::now();
        }
        if self.waiting.back().is_some_and(|last| id <= last.id) {
            // Its numbers no longer tell which batch is meant.
            let remedy =
                "it was restarted, or several receivers share the address and connections do not stay with one";
            return Err(Failure::again(format!("{url} counts acknowledgements anew: {remedy}")));
        }
        self.waiting.push_back(Waiting { id, since: Instant::now(), acknowledged: false });
        Ok(())
    }

    fn settled(&mut self) -> Result<Vec<Settled>, Failure> {
        let Some(acknowledgement) = self.settings.acknowledgement.clone() else { return Ok(self.take()) };
        if !self.waiting.is_empty() && self.asked.elapsed() >= acknowledgement.poll {
            let asked = self.acknowledged();
            let settled = self.take();
            let late = self.waiting.front().is_some_and(|first| first.since.elapsed() >= acknowledgement.timeout);
            if settled.is_empty() && late {
                asked?;
                let (url, seconds) = (self.describe(), acknowledgement.timeout.as_secs());
                let reason = format!("{url} has not acknowledged events within {seconds} s; look at its indexers");
                return Err(Failure::again(reason));
            }
            // While there is time, a question that failed is asked again.
            self.asked = Instant::now();
            return Ok(settled);
        }
        Ok(self.take())
    }

    fn reset(&mut self) {
        self.client.reset();
        self.waiting.clear();
        self.settled = 0;
    }

    fn finish(&mut self, within: Duration) -> Vec<Settled> {
        let until = Instant::now() + within;
        let mut settled = self.take();
        while !self.waiting.is_empty() {
            let pause = self.poll().min(until.saturating_duration_since(Instant::now()));
            std::thread::sleep(pause);
            if self.acknowledged().is_err() {
                break;
            }
            settled.extend(self.take());
            if Instant::now() >= until {
                break;
            }
        }
        settled
    }

    fn connected(&self) -> bool {
        self.client.connected()
    }
}

/// A random UUID of version 4. It need only be unlike others.
fn uuid() -> String {
    let half = || u128::from(RandomState::new().hash_one(Instant::now()));
    let bits = (half() << 64 | half()) & !(0xf000 << 64) & !(0xc000 << 48) | 0x4000 << 64 | 0x8000 << 48;
    let text = format!("{bits:032x}");
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A text as a value of a query.
fn percent(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(change: impl FnOnce(&mut Settings), lines: &str) -> String {
        let mut settings = Settings::new(http::Settings::new("http://h"));
        change(&mut settings);
        let hec = Hec::new(settings).unwrap();
        String::from_utf8(hec.body(&Lines::new(0, lines.as_bytes().to_vec()))).unwrap()
    }

    #[test]
    fn events() {
        let all = |s: &mut Settings| {
            s.sourcetype = Some("cisco:estreamer:data".to_owned());
            s.index = Some("a\"b".to_owned());
            s.time = Some("/event/sec".to_owned());
        };
        let text = body(all, "{\"event\": {\"sec\": 17.25}}\nnot \"JSON\"\n{\"sec\": 1}\n");
        assert_eq!(
            text,
            concat!(
                r#"{"time":17.25,"sourcetype":"cisco:estreamer:data","index":"a\"b","event":{"event": {"sec": 17.25}}}"#,
                "\n",
                r#"{"sourcetype":"cisco:estreamer:data","index":"a\"b","event":"not \"JSON\""}"#,
                "\n",
                r#"{"sourcetype":"cisco:estreamer:data","index":"a\"b","event":{"sec": 1}}"#,
                "\n"
            )
        );
        assert_eq!(body(|_| {}, "{\"a\": 1}\n{\"a\": \n"), "{\"event\":{\"a\": 1}}\n{\"event\":\"{\\\"a\\\": \"}\n");
        assert_eq!(body(|s| s.raw = true, "a=1\n"), "a=1\n");
    }

    #[test]
    fn raw_metadata_is_in_the_query() {
        let mut settings = Settings::new(http::Settings::new("http://h/"));
        settings.raw = true;
        settings.source = Some("a b&c".to_owned());
        settings.host = Some("h".to_owned());
        let hec = Hec::new(settings).unwrap();
        assert_eq!(hec.path, "/services/collector/raw?source=a%20b%26c&host=h");
        assert_eq!(hec.describe(), "http://h/services/collector/raw");
    }

    #[test]
    fn channels() {
        let one = uuid();
        assert_eq!((one.len(), one.get(14..15)), (36, Some("4")));
        assert!(matches!(one.get(19..20), Some("8" | "9" | "a" | "b")), "{one}");
        assert_ne!(one, uuid());
        let mut settings = Settings::new(http::Settings::new("http://h"));
        settings.acknowledgement = Some(Acknowledgement { channel: Some("x".to_owned()), ..Default::default() });
        assert!(Hec::new(settings).is_err());
    }
}
