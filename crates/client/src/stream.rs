//! A session of records: from the server to an output, until something ends it.

use crate::bookmark::{Bookmark, BookmarkError};
use crate::connection::{Connection, SessionError, Step};
use crate::endpoint::Endpoint;
use crate::identity::Identity;
use crate::output::{Output, OutputError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wire::client::{ClientEvent, ClientRequest, Records};
use wire::decode::Decoder;

/// How often an output is flushed and the stop flag looked at when nothing comes.
const PAUSE: Duration = Duration::from_millis(200);

/// What ends a session before the server does.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// So many records the output took.
    pub count: Option<u64>,
    /// So much time after the connection is there.
    pub time: Option<Duration>,
    /// Take only the records of this domain (netmap id), and metadata.
    pub domain: Option<u16>,
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The count of [`Limits`] is reached.
    Count,
    /// The time of [`Limits`] is over.
    Time,
    /// The stop flag was set.
    Stopped,
    /// The server has closed the connection.
    Closed,
    /// Who reads the output has gone.
    Reader,
}

/// What happened in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Records that came.
    pub received: u64,
    /// Records the output took.
    pub taken: u64,
    /// Records that could not be decoded, or only in part.
    pub flawed: u64,
    /// Records the output could not hand on.
    pub lost: u64,
    /// Why it ended.
    pub end: End,
}

/// Connects, asks, and hands every record to the output. The bookmark follows what the output has handed on.
///
/// # Errors
/// If the connection cannot be opened, breaks, or the server or the output fails.
pub fn run(
    endpoint: &Endpoint,
    identity: &Identity,
    request: ClientRequest,
    limits: &Limits,
    bookmark: &mut Bookmark,
    output: &mut dyn Output,
    stop: &AtomicBool,
) -> Result<Summary, SessionError> {
    let summary = Summary { received: 0, taken: 0, flawed: 0, lost: 0, end: End::Stopped };
    let mut run = Run { limits, bookmark, output, decoder: Decoder::new(), second: 0, unmarked: false, summary };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SessionError::System)?;
    let outcome = runtime.block_on(run.session(endpoint, identity, request, stop));
    // What came before a failure is handed on, too.
    let finished = run.output.finish().inspect(|_| run.mark());
    match outcome.and_then(|end| Ok((end, finished?))) {
        Ok((end, lost)) => Ok(Summary { end, lost, ..run.summary }),
        Err(SessionError::Output(error)) if error.reader_gone() => Ok(Summary { end: End::Reader, ..run.summary }),
        Err(error) => Err(error),
    }
}

struct Run<'a> {
    limits: &'a Limits,
    bookmark: &'a mut Bookmark,
    output: &'a mut dyn Output,
    decoder: Decoder,
    /// The highest archival second.
    second: u32,
    /// The bookmark could not be written.
    unmarked: bool,
    summary: Summary,
}

impl Run<'_> {
    async fn session(
        &mut self,
        endpoint: &Endpoint,
        identity: &Identity,
        request: ClientRequest,
        stop: &AtomicBool,
    ) -> Result<End, SessionError> {
        let mut connection = Connection::open(endpoint, identity, request).await?;
        let end = self.limits.time.map(|time| Instant::now() + time);
        let mut flushed = Instant::now();
        loop {
            if stop.load(Ordering::Relaxed) {
                connection.close().await;
                return Ok(End::Stopped);
            }
            if self.full() {
                connection.close().await;
                return Ok(End::Count);
            }
            let left = end.map_or(PAUSE, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                connection.close().await;
                return Ok(End::Time);
            }
            let step = connection.step(left.min(PAUSE)).await?;
            if step == Step::Data {
                connection.messages(|event| match event {
                    ClientEvent::Records(records) => self.records(records),
                    _ => Ok::<_, SessionError>(true),
                })?;
            }
            if step != Step::Data || flushed.elapsed() > PAUSE {
                self.output.flush()?;
                self.mark();
                flushed = Instant::now();
            }
            if step == Step::Closed {
                return Ok(End::Closed);
            }
        }
    }

    fn full(&self) -> bool {
        self.limits.count.is_some_and(|count| self.summary.taken >= count)
    }

    /// Takes the records of a message, as long as there is room for them.
    fn records(&mut self, records: Records<'_>) -> Result<bool, SessionError> {
        for item in records {
            self.summary.received += 1;
            let item = match item {
                Ok(item) => item,
                Err(error) => {
                    self.flaw(&error);
                    continue;
                }
            };
            self.item(item)?;
            if self.full() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn item(&mut self, item: &[u8]) -> Result<(), OutputError> {
        let record = match self.decoder.decode(item) {
            Ok(record) => record,
            Err(error) => {
                self.flaw(&error);
                return Ok(());
            }
        };
        self.second = self.second.max(record.header.timestamp.unwrap_or(0));
        let metadata = record.layout.is_some_and(|l| l.metadata);
        if self.limits.domain.is_some_and(|domain| domain != record.header.netmap) && !metadata {
            return Ok(());
        }
        if let Some(problem) = record.problem() {
            self.summary.flawed += 1;
            tracing::warn!("{problem}");
        }
        if self.output.record(&record)? {
            self.summary.taken += 1;
        }
        Ok(())
    }

    fn flaw(&mut self, error: &dyn std::error::Error) {
        self.summary.flawed += 1;
        tracing::warn!("{error}");
    }

    /// Moves the bookmark. One that cannot be written is told once: what comes matters more.
    fn mark(&mut self) {
        if self.second == 0 || self.unmarked {
            return;
        }
        let moved: Result<(), BookmarkError> = self.bookmark.advance(self.second);
        if let Err(error) = moved {
            tracing::warn!("{error}");
            self.unmarked = true;
        }
    }
}
