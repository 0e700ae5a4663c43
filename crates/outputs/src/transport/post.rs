//! Any receiver that takes lines in the body of a POST.

use super::http::{self, Client};
use super::{Failure, Settled, SetupError, Transport};
use crate::spool::Lines;

/// Where and how to post lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// URL, credentials, headers, compression.
    pub http: http::Settings,
    /// Content type; `application/x-ndjson` by default.
    pub kind: String,
}

impl Settings {
    /// JSON lines to this receiver.
    pub fn new(http: http::Settings) -> Settings {
        Settings { http, kind: "application/x-ndjson".to_owned() }
    }
}

/// Posts each batch as lines. Success is any status from 200 to 299; 400, 413 and 422 are taken for lines that the
/// receiver refuses, and lead to smaller batches until it is known which; all else is tried again.
pub struct Post {
    client: Client,
    kind: String,
    settled: usize,
}

impl Post {
    /// A transport with these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`SetupError`] for settings or files that cannot be used.
    pub fn new(settings: Settings) -> Result<Post, SetupError> {
        if settings.kind.is_empty() || !settings.kind.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(SetupError::setting("the content type", settings.kind, "it must be as application/x-ndjson"));
        }
        Ok(Post { client: Client::new(settings.http)?, kind: settings.kind, settled: 0 })
    }
}

impl Transport for Post {
    fn describe(&self) -> String {
        self.client.url("")
    }

    fn send(&mut self, lines: &Lines) -> Result<(), Failure> {
        let mut body = Vec::with_capacity(lines.size());
        for (_, line) in lines.iter() {
            body.extend_from_slice(line);
            body.push(b'\n');
        }
        let url = self.client.url("");
        let answer = self.client.post(&url, &self.kind, &[], &body)?;
        if !(200..300).contains(&answer.status) {
            return Err(answer.failure(&url));
        }
        self.settled += 1;
        Ok(())
    }

    fn settled(&mut self) -> Result<Vec<Settled>, Failure> {
        Ok(vec![Settled::default(); std::mem::take(&mut self.settled)])
    }

    fn reset(&mut self) {
        self.client.reset();
        self.settled = 0;
    }

    fn connected(&self) -> bool {
        self.client.connected()
    }
}
