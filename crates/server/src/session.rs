//! A session: requests in, records out.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use archive::Cause;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use wire::hosts::HostRequest;
use wire::message::HEADER;
use wire::request::{SERVICES, StreamingRequest};
use wire::server::{BUNDLE_BYTES, ServerEvent, ServerSession};
use wire::subscription::Subscription;

use crate::connection::{close, stopped};
use crate::domains::Domain;
use crate::feed::{Chunk, Feed, Note};
use crate::hosts::{Found, Hosts};
use crate::log::{Speaker, say};
use crate::orders::Orders;
use crate::progress::{Progress, SessionState};
use crate::selection::{Selection, first_item};
use crate::server::Shared;
use crate::settings::Settings;
use crate::table::{Entry, Stop};

/// Nothing more is made ready to be sent while this much waits: two bundles, so that what TLS works on is still in the
/// processor's cache, and a client that takes nothing costs little. One chunk of the archive is read ahead beside it.
const HIGH: usize = 2 * BUNDLE_BYTES;

/// Nothing more is read from the client while this much waits to be sent, so that its requests cannot pile up answers.
/// Far above what records can make up: a client may have to get rid of acknowledgements before it reads on.
const FLOODED: usize = 8 << 20;

/// Items go into bundles in runs of about this size.
const RUN: usize = 16 << 10;

/// What is sent is cut off the output when this much has accumulated, or all is sent.
const CUT: usize = 256 << 10;

/// Pause before the archive is tried again after an error, and the longest one after many: it doubles.
const RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How long the rest of the output may take at the end of a session, and how long a client has to close after us.
const LAST_WORDS: Duration = Duration::from_secs(3);
const LINGER: Duration = Duration::from_secs(1);

/// The error code of messages to clients; the guides document none that would fit (only 19, "No space").
pub(crate) const CODE: i32 = 1;

/// Why a session ends.
enum End {
    /// The client closed or sent an error message, or the connection broke.
    Gone,
    /// An error message for the client is in the output.
    Told,
    /// The client takes nothing.
    Stalled,
    Stopped(Stop),
}

/// What the archive gave; no feed at all when it could not be opened.
type Filled = (Option<Box<Feed>>, archive::Result<Chunk>);

enum Source {
    /// No request yet.
    None,
    Idle(Box<Feed>),
    Filling(Pin<Box<dyn Future<Output = Option<Filled>> + Send>>),
}

enum Happened {
    Stop(Stop),
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<usize>),
    Filled(Option<Filled>),
    Hosts(Option<Found>),
    Committed,
    /// An administrator changed what may be sent, or whether anything is.
    Ordered,
    Time,
}

struct Session<'a> {
    shared: &'a Shared,
    domain: &'a Domain,
    settings: Arc<Settings>,
    speaker: Speaker,
    progress: &'a Progress,
    protocol: ServerSession,
    /// Bytes of the output that are sent already.
    sent: usize,
    /// Bytes were handed to TLS that may not have left it.
    unflushed: bool,
    source: Source,
    /// What is being sent, and how much of its first piece is in the output.
    chunk: Option<(Chunk, usize)>,
    /// What was read ahead.
    next: Option<Chunk>,
    /// Used buffers for the feed.
    used: Vec<Vec<u8>>,
    /// The archive may have more than was read.
    more: bool,
    heads: watch::Receiver<u64>,
    orders: watch::Receiver<Orders>,
    /// It is told as paused.
    paused: bool,
    /// When the archive may be tried again after an error.
    retry: Option<Instant>,
    /// The pause after the next error.
    pause: Duration,
    /// When the client last took something, or had nothing to take.
    taken: Instant,
    asked_until: Instant,
    /// The client has asked for host data.
    asked_hosts: bool,
    hosts: Hosts,
    /// It has asked for a data type that nobody knows.
    odd_hosts: bool,
}

/// Serves a client after the handshake, to the end of the connection.
pub(crate) async fn run(
    stream: TlsStream<TcpStream>,
    speaker: Speaker,
    entry: &Entry,
    settings: Arc<Settings>,
    shared: &Shared,
    domain: &Domain,
) {
    let now = Instant::now();
    entry.progress.enter(SessionState::Request);
    let mut session = Session {
        shared,
        domain,
        speaker,
        progress: &entry.progress,
        protocol: ServerSession::new(entry.number),
        sent: 0,
        unflushed: false,
        asked_hosts: false,
        odd_hosts: false,
        hosts: shared.hosts(domain.netmap),
        source: Source::None,
        chunk: None,
        next: None,
        used: Vec::new(),
        more: false,
        heads: domain.heads.clone(),
        orders: shared.orders.clone(),
        paused: false,
        retry: None,
        pause: RETRY,
        taken: now,
        asked_until: now + settings.request(),
        settings,
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut stop = entry.stop.clone();
    let mut input = Vec::new();
    let end = loop {
        session.advance();
        let pending = session.pending();
        session.tell(pending);
        let deadline = session.deadline();
        input.reserve(1024);
        let happened = tokio::select! {
            stop = stopped(&mut stop) => Happened::Stop(stop),
            read = reader.read_buf(&mut input), if pending < FLOODED && !session.hosts.full() => Happened::Read(read),
            wrote = send(&mut writer, session.protocol.output().get(session.sent..).unwrap_or_default()),
                if pending > 0 || session.unflushed => Happened::Wrote(wrote),
            filled = filled(&mut session.source) => Happened::Filled(filled),
            found = session.hosts.found() => Happened::Hosts(found),
            changed = session.heads.changed(), if session.waits() => {
                match changed {
                    Ok(()) => Happened::Committed,
                    Err(_) => Happened::Stop(Stop::Shutdown),
                }
            }
            Ok(()) = session.orders.changed() => Happened::Ordered,
            () = sleep_until(deadline) => Happened::Time,
        };
        let end = match happened {
            Happened::Stop(stop) => Some(End::Stopped(stop)),
            Happened::Read(Ok(0)) => Some(session.gone("the client closed the connection")),
            Happened::Read(Err(error)) | Happened::Wrote(Err(error)) => Some(session.broken(&error)),
            Happened::Read(Ok(_)) => session.receive(&mut input),
            Happened::Wrote(Ok(bytes)) => {
                session.wrote(bytes);
                None
            }
            Happened::Filled(filled) => session.filled(filled),
            Happened::Hosts(found) => {
                session.answer_hosts(found);
                None
            }
            Happened::Committed => {
                session.more = true;
                None
            }
            Happened::Ordered => None,
            Happened::Time => session.time(),
        };
        if let Some(end) = end {
            break end;
        }
    };
    let mut stream = reader.unsplit(writer);
    match end {
        End::Gone => close(&mut stream, Duration::from_millis(100)).await,
        End::Stalled | End::Stopped(Stop::Crowded) => {}
        End::Stopped(Stop::Removed) => {
            say!(info, session.speaker, "ConnectionHandler", "The client was removed: its session ends");
            close(&mut stream, LINGER).await;
        }
        End::Told | End::Stopped(Stop::Shutdown | Stop::Ended) => {
            if matches!(end, End::Stopped(Stop::Ended)) {
                say!(info, session.speaker, "ConnectionHandler", "An administrator ended this session");
                session.protocol.end(CODE, "An administrator of the server ended this session.");
            }
            let rest = session.protocol.output().get(session.sent..).unwrap_or_default();
            if timeout(LAST_WORDS, stream.write_all(rest)).await.is_ok() {
                close(&mut stream, LINGER).await;
            }
        }
    }
}

impl Session<'_> {
    /// Bytes that wait to be sent.
    fn pending(&self) -> usize {
        self.protocol.output().len().saturating_sub(self.sent)
    }

    /// Whether all of the archive is sent and the next commit is awaited.
    fn waits(&self) -> bool {
        matches!(self.source, Source::Idle(_)) && !self.more
    }

    /// Tells who watches the service how far it has come.
    fn tell(&self, pending: usize) {
        let sending = self.chunk.as_ref().map_or(0, |(chunk, at)| chunk.bytes.saturating_sub(*at));
        let ahead = self.next.as_ref().map_or(0, |chunk| chunk.bytes);
        self.progress.pending.store((pending + sending + ahead) as u64, Ordering::Relaxed);
        self.progress.current.store(self.waits() && pending + sending + ahead == 0, Ordering::Relaxed);
    }

    /// Makes ready what was read, and reads on, as far as the client keeps up. In a pause nothing goes out but what has begun,
    /// and hosts.
    fn advance(&mut self) {
        let paused = self.orders.borrow().pause.is_some();
        if paused != self.paused && self.protocol.streaming() {
            self.paused = paused;
            self.progress.enter(if paused { SessionState::Paused } else { SessionState::Streaming });
        }
        if self.pending() < HIGH {
            self.hosts.read(&self.shared.reads);
        }
        if paused {
            if self.chunk.is_some() {
                // What has begun is whole for the client.
                self.protocol.flush();
            }
            return;
        }
        let captured = self.orders.borrow().captured;
        while self.pending() < HIGH && self.protocol.ready() {
            if self.chunk.is_none() {
                let Some(chunk) = self.next.take() else { break };
                self.begin_output();
                self.chunk = Some((chunk, 0));
            }
            if let Some((chunk, at)) = &mut self.chunk {
                chunk.hold_back(captured, at);
            }
            self.push();
        }
        if self.more && self.next.is_none() && self.retry.is_none() {
            match std::mem::replace(&mut self.source, Source::None) {
                Source::Idle(mut feed) => {
                    self.more = false;
                    // Whatever is committed from now on wakes us again.
                    self.heads.borrow_and_update();
                    feed.recycle(&mut self.used);
                    self.read(move || Ok(feed));
                }
                other => self.source = other,
            }
        }
        if self.waits() && self.chunk.is_none() && self.next.is_none() && self.pending() == 0 {
            // An idle session needs no buffers.
            self.used = Vec::new();
            self.protocol.rest();
        }
    }

    /// Reads the next chunk on a thread for blocking work, when it is this session's turn.
    fn read(&mut self, feed: impl FnOnce() -> archive::Result<Box<Feed>> + Send + 'static) {
        let reads = self.shared.reads.clone();
        let captured = self.orders.borrow().captured;
        let work = move || match feed() {
            Ok(mut feed) => {
                let chunk = feed.fill(captured);
                (Some(feed), chunk)
            }
            Err(error) => (None, Err(error)),
        };
        self.source = Source::Filling(Box::pin(async move {
            let _turn = reads.acquire_owned().await.ok()?;
            tokio::task::spawn_blocking(work).await.ok()
        }));
    }

    fn filled(&mut self, filled: Option<Filled>) -> Option<End> {
        let (feed, chunk) = match filled {
            Some((Some(feed), chunk)) => (feed, chunk),
            Some((None, Err(error))) => return Some(self.no_archive(&error.to_string())),
            _ => return Some(self.no_archive("the reader failed")),
        };
        self.source = Source::Idle(feed);
        match chunk {
            Ok(chunk) => {
                self.more = self.more || !chunk.end;
                if chunk.second > 0 {
                    self.progress.read.store(chunk.second, Ordering::Relaxed);
                }
                for note in &chunk.notes {
                    self.note(note);
                }
                self.pause = RETRY;
                if chunk.records > 0 {
                    say!(
                        debug,
                        self.speaker,
                        "sfestreamer",
                        "Queued {} records, {} bytes, archived up to {}",
                        chunk.records,
                        chunk.bytes,
                        chunk.second
                    );
                    self.next = Some(chunk);
                }
            }
            Err(error) => {
                say!(
                    error,
                    self.speaker,
                    "Unified2Iterator",
                    "{error}. Trying again in {} seconds",
                    self.pause.as_secs()
                );
                self.more = true;
                self.retry = Some(Instant::now() + self.pause);
                self.pause = LONGEST_RETRY.min(self.pause * 2);
            }
        }
        None
    }

    fn no_archive(&mut self, why: &str) -> End {
        say!(error, self.speaker, "Unified2Iterator", "The archive cannot be read: {why}");
        self.protocol.end(CODE, "The server cannot read its archive. Its log says why.");
        End::Told
    }

    fn note(&self, note: &Note) {
        match note {
            Note::Opened(path) => say!(info, self.speaker, "Unified2Iterator", "Opened {}", path.display()),
            Note::Lost(lost) => {
                let why = match lost.cause {
                    Cause::Damaged => "the bytes there are damaged",
                    Cause::Missing => "archive files were deleted or damaged",
                };
                say!(
                    error,
                    self.speaker,
                    "Unified2Iterator",
                    "Lost {} events ({} bytes) at offset {} of {}: {why}",
                    lost.events,
                    lost.bytes,
                    lost.offset,
                    lost.path.display()
                );
            }
        }
    }

    /// Puts the next run of the chunk into the output; the last one is followed by what closes a bundle, unless more is
    /// there.
    fn push(&mut self) {
        let Some((chunk, at)) = &mut self.chunk else { return };
        let rest = chunk.pieces.front().and_then(|piece| piece.get(*at..)).unwrap_or_default();
        let (records, length) = run_length(rest);
        self.protocol.push_items(rest.get(..length).unwrap_or_default());
        *at += length;
        self.progress.records.fetch_add(records, Ordering::Relaxed);
        self.progress.second.store(chunk.second, Ordering::Relaxed);
        if length == rest.len() || length == 0 {
            *at = 0;
            if let Some(piece) = chunk.pieces.pop_front() {
                chunk.bytes = chunk.bytes.saturating_sub(piece.len());
                self.used.push(piece);
            }
            if chunk.pieces.is_empty() {
                self.chunk = None;
                if self.next.is_none() {
                    self.protocol.flush();
                }
            }
        }
    }

    /// Before something is to be sent: from now on the client may be slow to take it.
    fn begin_output(&mut self) {
        if self.pending() == 0 && !self.unflushed {
            self.taken = Instant::now();
        }
    }

    /// Understands what the client sent.
    fn receive(&mut self, input: &mut Vec<u8>) -> Option<End> {
        let mut used = 0;
        let end = loop {
            match self.protocol.receive(input.get(used..).unwrap_or_default()) {
                Ok(None) => break None,
                Ok(Some((size, event))) => {
                    used += size;
                    if let Some(end) = self.event(event, size - HEADER) {
                        break Some(end);
                    }
                }
                Err(error) => {
                    say!(error, self.speaker, "sfestreamer", "Bad request, closing: {error}");
                    break Some(End::Told);
                }
            }
        };
        input.drain(..used);
        end
    }

    fn event(&mut self, event: ServerEvent, length: usize) -> Option<End> {
        match event {
            ServerEvent::Announced(_) => {
                say!(info, self.speaker, "sfestreamer", "Got EVENT_STREAM_REQUEST length {length}");
                say!(
                    info,
                    self.speaker,
                    "sfestreamer",
                    "Publishing service INFO total data size {}",
                    16 * SERVICES.len()
                );
                for service in SERVICES {
                    say!(info, self.speaker, "sfestreamer", "Publishing service id:{service} - length size 8");
                }
            }
            ServerEvent::Subscribed { subscription, streaming } => {
                self.log_request(&subscription, streaming.as_ref(), length);
                self.progress.request(subscription.start.into(), &subscription.words());
                self.taken = Instant::now();
                let (selection, start) = (Selection::new(&subscription), subscription.start);
                // A session for host requests alone need not read the archive.
                if !selection.is_empty() {
                    self.heads.borrow_and_update();
                    let (catalog, folder) = (self.domain.catalog.clone(), self.domain.folder.clone());
                    self.read(move || Feed::open(catalog, folder, start, selection).map(Box::new));
                }
            }
            ServerEvent::Hosts(request) => self.hosts(&request, length),
            ServerEvent::Acknowledged => say!(debug, self.speaker, "sfestreamer", "Got NULL message"),
            ServerEvent::Left { code, text } => {
                say!(info, self.speaker, "sfestreamer", "The client leaves with error {code}: {text}");
                return Some(End::Gone);
            }
        }
        None
    }

    fn log_request(&self, subscription: &Subscription, streaming: Option<&StreamingRequest>, length: usize) {
        let (speaker, start) = (&self.speaker, u32::from(subscription.start));
        let mut service = wire::message::ESTREAMER_SERVICE;
        match streaming {
            None => say!(info, speaker, "sfestreamer", "Got EVENT_STREAM_REQUEST length {length}"),
            Some(streaming) => {
                service = streaming.service;
                say!(info, speaker, "sfestreamer", "Got UEC_STREAM_REQUEST length {length}");
                say!(info, speaker, "ConnectionHandler", "requested service [{service}] timestamp [{start}]");
                for e in &streaming.events {
                    say!(info, speaker, "ConnectionHandler", "Got Event type {}, version {}", e.code, e.version);
                }
            }
        }
        for e in &subscription.unknown {
            let does = match Subscription::answer(*e) {
                Some(given) => format!("version {} is sent", given.version),
                None => "it is ignored".to_owned(),
            };
            say!(
                warn,
                speaker,
                "ConnectionHandler",
                "Event type {}, version {} is not known: {does}",
                e.code,
                e.version
            );
        }
        let (flags, words) = (subscription.flags, subscription.words());
        say!(info, speaker, "sfestreamer", "EventStream Request (0x{flags:08x}): {words}");
        say!(
            info,
            speaker,
            "ConnectionHandler",
            "creating iterator for service [{service}] prefix [unified2.] timestamp [{start}]"
        );
    }

    /// Takes a host data request.
    fn hosts(&mut self, request: &HostRequest, length: usize) {
        let (first, last) = request.ends();
        let HostRequest { data_type, flags, .. } = *request;
        if request.data().is_none() && !std::mem::replace(&mut self.odd_hosts, true) {
            let newest = request.layout().number;
            say!(
                warn,
                self.speaker,
                "sfestreamer",
                "Host data type {data_type} is not known: the newest (block {newest}) is sent"
            );
        }
        let words =
            format!("Got HOST_DATA_REQUEST length {length}: data type {data_type}, flags {flags}, {first} to {last}");
        // A client may ask for one host after the other: the log says so once.
        if std::mem::replace(&mut self.asked_hosts, true) {
            say!(debug, self.speaker, "sfestreamer", "{words}");
        } else {
            say!(info, self.speaker, "sfestreamer", "{words}");
        }
        self.hosts.ask(*request);
    }

    /// Sends hosts that were found.
    fn answer_hosts(&mut self, found: Option<Found>) {
        let Some(answer) = self.hosts.answer(found) else { return };
        if let Some(error) = &answer.error {
            say!(error, self.speaker, "sfestreamer", "The network map cannot be read: {error}");
        }
        self.begin_output();
        for host in &answer.hosts {
            self.protocol.push_host(&answer.request, host);
        }
        if let Some(hosts) = answer.end {
            self.protocol.end_hosts(&answer.request);
            say!(debug, self.speaker, "sfestreamer", "Queued the answer to a host data request: {hosts} hosts");
        }
    }

    fn wrote(&mut self, bytes: usize) {
        self.taken = Instant::now();
        self.unflushed = bytes > 0;
        self.sent += bytes;
        self.progress.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.sent >= CUT || self.pending() == 0 {
            self.protocol.sent(self.sent);
            self.sent = 0;
        }
    }

    /// When [`Session::time`] has something to do.
    fn deadline(&self) -> Instant {
        let silence = if !self.protocol.streaming() {
            self.asked_until
        } else if self.pending() > 0 || self.unflushed {
            self.taken + self.settings.stall()
        } else {
            self.taken + self.settings.keep_alive()
        };
        self.retry.map_or(silence, |retry| retry.min(silence))
    }

    fn time(&mut self) -> Option<End> {
        let now = Instant::now();
        if self.retry.is_some_and(|retry| retry <= now) {
            self.retry = None;
        }
        if !self.protocol.streaming() {
            if now >= self.asked_until {
                let seconds = self.settings.request_seconds;
                say!(error, self.speaker, "sfestreamer", "No complete request within {seconds} seconds, closing");
                self.protocol.end(CODE, &format!("No complete event stream request came within {seconds} seconds."));
                return Some(End::Told);
            }
        } else if self.pending() > 0 || self.unflushed {
            if now >= self.taken + self.settings.stall() {
                let seconds = self.settings.stall_seconds;
                say!(error, self.speaker, "sfestreamer", "The client took nothing for {seconds} seconds, closing");
                return Some(End::Stalled);
            }
        } else if now >= self.taken + self.settings.keep_alive() {
            say!(debug, self.speaker, "sfestreamer", "Sending NULL message");
            self.begin_output();
            self.protocol.keep_alive();
        }
        None
    }

    fn broken(&self, error: &std::io::Error) -> End {
        use std::io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
        if matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable) {
            // Its system has acknowledged nothing for as long as it may: gone, or behind a broken path.
            say!(warn, self.speaker, "sfestreamer", "The client does not answer any more, closing: {error}");
        }
        self.gone(&error.to_string())
    }

    fn gone(&self, why: &str) -> End {
        say!(debug, self.speaker, "sfestreamer", "The connection is over: {why}");
        End::Gone
    }
}

/// Writes some bytes, or, without any, sees to it that all have left TLS.
async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<usize> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(bytes).await? {
        0 => Err(std::io::ErrorKind::WriteZero.into()),
        n => Ok(n),
    }
}

/// Waits for the chunk that is being read, if one is.
async fn filled(source: &mut Source) -> Option<Filled> {
    match source {
        Source::Filling(chunk) => chunk.await,
        Source::None | Source::Idle(_) => pending().await,
    }
}

/// The next run of whole items: how many, and their bytes.
fn run_length(items: &[u8]) -> (u64, usize) {
    let (mut count, mut end) = (0, 0);
    while end < RUN {
        match first_item(items.get(end..).unwrap_or_default()) {
            Some(item) => {
                count += 1;
                end += item.len();
            }
            None => break,
        }
    }
    (count, end)
}
