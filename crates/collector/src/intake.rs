//! From the bytes of a connection to batches: the session, the metadata, and what was delivered before. No I/O.

use crate::checkpoint::Position;
use crate::stats::Stats;
use crate::tables::Tables;
use crate::uid::content;
use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use thiserror::Error;
use wire::client::{ClientError, ClientEvent, ClientRequest, ClientSession, ItemError, Records};
use wire::decode::Decoder;
use wire::record::RecordHeader;
use xxhash_rust::xxh3::xxh3_64;

/// A batch is handed on when it holds this many bytes.
const BATCH_BYTES: usize = 128 << 10;

/// Part of the stream, with the metadata as it was there.
#[derive(Debug)]
pub struct Batch {
    /// Number of the source.
    pub source: usize,
    /// Batches of a source are numbered from 0 and delivered in that order.
    pub sequence: u64,
    /// The records back to back.
    pub data: Vec<u8>,
    /// What they are.
    pub entries: Vec<Entry>,
    /// The names in force.
    pub tables: Arc<Tables>,
}

/// One record of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Where it ends in the batch's data; it begins where the one before ends.
    pub end: usize,
    /// Record type.
    pub record_type: u16,
    /// Archival second and hash, for the checkpoint; `None` for metadata.
    pub position: Option<(u32, u64)>,
    /// How many equal records of the same second came before.
    pub repeat: u32,
}

/// Why a session is over.
#[derive(Debug, Error)]
pub enum SessionEnd {
    /// The bytes are no eStreamer.
    #[error(transparent)]
    Protocol(#[from] ClientError),
    /// The server sent an error message.
    #[error("the management center reports error {code}: {text}")]
    Server {
        /// Its code.
        code: i32,
        /// Its text.
        text: String,
    },
}

/// What was taken in last, to know it again after a reconnection.
#[derive(Debug, Default)]
struct Frontier {
    second: u32,
    /// How often each record of that second has come, by its hash.
    hashes: FxHashMap<u64, u32>,
    /// Records of that second that may come again in this connection.
    again: FxHashMap<u64, u32>,
}

/// Takes in what a connection brings.
#[derive(Debug)]
pub struct Intake {
    session: Option<ClientSession>,
    /// Bytes read from the connection; fill it at its end, then call [`Intake::process`].
    pub buffer: Vec<u8>,
    tables: Arc<Tables>,
    /// Hash of the newest metadata record by what it names.
    metadata: FxHashMap<Vec<u8>, u64>,
    frontier: Frontier,
    resumed: bool,
    open: Batch,
    /// The open batch has events, so newer names must not reach it.
    events: bool,
    ready: VecDeque<Batch>,
    /// Message types that nobody knows and that came already.
    strange: BTreeSet<u16>,
    decoder: Decoder,
    stats: Arc<Stats>,
}

impl Intake {
    /// An intake of a source that goes on where a checkpoint ends.
    pub fn new(source: usize, resume: &Position, stats: Arc<Stats>) -> Self {
        let mut tables = Tables::built_in();
        let mut decoder = Decoder::new();
        let mut metadata = FxHashMap::default();
        for (key, item) in &resume.metadata {
            if let Ok(record) = decoder.decode(item) {
                tables.store(&record);
                metadata.insert(key.clone(), content(item));
            }
        }
        let tables = Arc::new(tables);
        let mut frontier = Frontier { second: resume.second.unwrap_or(0), ..Frontier::default() };
        for hash in &resume.hashes {
            *frontier.hashes.entry(*hash).or_default() += 1;
        }
        Intake {
            session: None,
            buffer: Vec::new(),
            open: Batch { source, sequence: 0, data: Vec::new(), entries: Vec::new(), tables: tables.clone() },
            events: false,
            tables,
            metadata,
            frontier,
            resumed: resume.second.is_some(),
            ready: VecDeque::new(),
            strange: BTreeSet::new(),
            decoder,
            stats,
        }
    }

    /// The archival second to ask for; `None` before any event was taken in.
    pub fn second(&self) -> Option<u32> {
        self.resumed.then_some(self.frontier.second)
    }

    /// Begins a session on a new connection.
    pub fn begin(&mut self, request: ClientRequest) {
        self.session = Some(ClientSession::new(request));
        self.buffer.clear();
        self.frontier.again.clone_from(&self.frontier.hashes);
    }

    /// Whether the server has understood the request.
    pub fn streaming(&self) -> bool {
        self.session.as_ref().is_some_and(ClientSession::streaming)
    }

    /// What is to be sent, in order.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.session.as_mut().map(ClientSession::take_output).unwrap_or_default()
    }

    /// Takes in every whole message of the buffer. Says how many messages there were.
    pub fn process(&mut self) -> Result<usize, SessionEnd> {
        let Some(mut session) = self.session.take() else { return Ok(0) };
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.messages(&mut session, &buffer);
        if let Ok((used, _)) = outcome {
            buffer.drain(..used);
        }
        self.buffer = buffer;
        self.session = Some(session);
        outcome.map(|(_, messages)| messages)
    }

    /// Closes the open batch: what is in it is not to wait any longer.
    pub fn flush(&mut self) {
        if self.open.entries.is_empty() {
            return;
        }
        let next = Batch {
            source: self.open.source,
            sequence: self.open.sequence + 1,
            data: Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8),
            entries: Vec::with_capacity(self.open.entries.len()),
            tables: self.tables.clone(),
        };
        self.ready.push_back(std::mem::replace(&mut self.open, next));
        self.events = false;
    }

    /// Whether records are in a batch that is still open.
    pub fn waiting(&self) -> bool {
        !self.open.entries.is_empty()
    }

    /// The next closed batch.
    pub fn next_batch(&mut self) -> Option<Batch> {
        self.ready.pop_front()
    }

    fn messages(&mut self, session: &mut ClientSession, buffer: &[u8]) -> Result<(usize, usize), SessionEnd> {
        let (mut used, mut messages) = (0, 0);
        while let Some((size, event)) = session.receive(buffer.get(used..).unwrap_or_default())? {
            match event {
                ClientEvent::Records(records) => {
                    self.records(records);
                    session.acknowledge();
                }
                ClientEvent::Error { code, text } => return Err(SessionEnd::Server { code, text }),
                ClientEvent::Unknown(message) => {
                    // A server that sends one will send more of them.
                    if self.strange.insert(message.kind.0) {
                        tracing::warn!(
                            "{} of {} bytes ignored, and all that follow: the server sends a message no guide describes",
                            message.kind,
                            message.body.len()
                        );
                    }
                }
                ClientEvent::Services(services) => tracing::debug!("the server offers services {services:?}"),
                ClientEvent::Host { .. } | ClientEvent::HostsEnd { .. } => {
                    tracing::debug!("host data ignored: the collector asks for none");
                }
                ClientEvent::KeepAlive => {}
            }
            used += size;
            messages += 1;
        }
        Ok((used, messages))
    }

    fn records(&mut self, records: Records<'_>) {
        if records.missed != 0 {
            tracing::warn!("{} bundles are missing in the server's numbering", records.missed);
        }
        for item in records {
            self.stats.received.add(1);
            match item {
                Ok(item) => self.record(item),
                Err(error @ (ItemError::Kind(_) | ItemError::Short(_))) => self.reject(&error, &[]),
            }
        }
    }

    fn record(&mut self, item: &[u8]) {
        let header = match RecordHeader::parse(item) {
            Ok(header) => header,
            Err(error) => return self.reject(&error, item),
        };
        let known = wire::layout::record(header.record_type);
        if known.is_some_and(|r| r.metadata) {
            return self.metadata(item);
        }
        // Without archival timestamps there is nothing to resume by: every record counts as new.
        let Some(second) = header.timestamp else { return self.push(item, header.record_type, None, 0) };
        let hash = xxh3_64(item);
        let frontier = &mut self.frontier;
        if second > frontier.second || !self.resumed {
            frontier.second = second;
            frontier.hashes.clear();
            frontier.again.clear();
            self.resumed = true;
        }
        let mut repeat = 0;
        if second == frontier.second {
            if let Some(count) = frontier.again.get_mut(&hash).filter(|c| **c > 0) {
                *count -= 1;
                return self.stats.known.add(1);
            }
            let count = frontier.hashes.entry(hash).or_default();
            repeat = *count;
            *count += 1;
        }
        self.push(item, header.record_type, Some((second, hash)), repeat);
    }

    fn metadata(&mut self, item: &[u8]) {
        let record = match self.decoder.decode(item) {
            Ok(record) => record,
            Err(error) => return self.reject(&error, item),
        };
        let record_type = record.record_type();
        let key = record.metadata_key().unwrap_or_default();
        let hash = content(item);
        if self.metadata.get(&key) == Some(&hash) {
            return self.stats.known.add(1);
        }
        let mut tables = self.tables.clone();
        let changed = Arc::make_mut(&mut tables).store(&record);
        self.metadata.insert(key, hash);
        if changed {
            if self.events {
                self.flush();
            }
            // The open batch has no events yet: the newest names are right for all that will be in it.
            self.open.tables = tables.clone();
            self.tables = tables;
        }
        self.push(item, record_type, None, 0);
    }

    fn push(&mut self, item: &[u8], record_type: u16, position: Option<(u32, u64)>, repeat: u32) {
        self.open.data.extend_from_slice(item);
        self.open.entries.push(Entry { end: self.open.data.len(), record_type, position, repeat });
        self.events |= position.is_some() || wire::layout::record(record_type).is_none_or(|r| !r.metadata);
        if self.open.data.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// A record that cannot even be cut out: its bytes go to the log, the stream goes on.
    #[cold]
    fn reject(&mut self, error: &dyn std::error::Error, item: &[u8]) {
        self.stats.failed.add(1);
        let start: String = item.iter().take(64).map(|b| format!("{b:02x}")).collect();
        tracing::error!("a record was not understood and is lost: {error}. Its first bytes: {start}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::table_id;
    use wire::event::Event;
    use wire::message::{self, MessageType};

    fn request() -> ClientRequest {
        ClientRequest { timestamp: 0, flags: 0x0890_0061, events: Vec::new() }
    }

    fn intake(resume: &Position) -> Intake {
        let mut intake = Intake::new(0, resume, Arc::default());
        intake.begin(request());
        intake
    }

    fn event(second: u32, id: u32) -> Vec<u8> {
        let mut event = Event::new(400).unwrap();
        event.set("eventId", id).unwrap().set("deviceId", 1u32).unwrap();
        let mut out = Vec::new();
        event.encode(Some(second), &mut out);
        out
    }

    fn device(name: &str) -> Vec<u8> {
        let mut event = Event::new(123).unwrap();
        event.set("id", 1u32).unwrap().set("name", name).unwrap();
        let mut out = Vec::new();
        event.encode(None, &mut out);
        out
    }

    fn feed(intake: &mut Intake, items: &[Vec<u8>]) {
        for item in items {
            message::push(&mut intake.buffer, MessageType::EVENT_DATA, item);
        }
        intake.process().unwrap();
    }

    fn drain(intake: &mut Intake) -> Vec<Batch> {
        intake.flush();
        std::iter::from_fn(|| intake.next_batch()).collect()
    }

    #[test]
    fn each_batch_has_the_names_of_its_place_in_the_stream() {
        let mut intake = intake(&Position::default());
        feed(
            &mut intake,
            &[device("one"), event(5, 1), event(5, 2), device("two"), event(5, 3), device("two"), event(5, 4)],
        );
        let devices = table_id("devices").unwrap();
        let seen: Vec<_> = drain(&mut intake)
            .iter()
            .map(|b| (b.sequence, b.entries.len(), b.tables.number(devices, 1).unwrap().to_owned()))
            .collect();
        assert_eq!(seen, [(0, 3, "one".to_owned()), (1, 3, "two".to_owned())]);
        assert_eq!(intake.stats.known.value(), 1, "metadata that says nothing new is not handed on");
        assert_eq!(intake.take_output().len(), 16 + 7 * 8, "the request and a Null a message");
    }

    #[test]
    fn a_reconnection_repeats_nothing_and_loses_nothing() {
        let mut intake = intake(&Position::default());
        feed(&mut intake, &[event(5, 1), event(6, 2), event(6, 2), event(6, 3)]);
        assert_eq!(drain(&mut intake)[0].entries.len(), 4);
        assert_eq!(intake.second(), Some(6));
        intake.begin(request());
        // The server begins with second 6 again; meanwhile it has archived more.
        feed(&mut intake, &[event(6, 2), event(6, 2), event(6, 3), event(6, 2), event(6, 4), event(7, 2)]);
        let batches = drain(&mut intake);
        assert_eq!(batches[0].entries.len(), 3, "a third equal record is new");
        assert_eq!(intake.stats.known.value(), 3);
    }

    #[test]
    fn a_restart_goes_on_after_what_the_checkpoint_knows() {
        let resume = Position { second: Some(6), hashes: vec![xxh3_64(&event(6, 2))], metadata: vec![] };
        let mut intake = intake(&resume);
        assert_eq!(intake.second(), Some(6));
        feed(&mut intake, &[event(6, 1), event(6, 2), event(6, 3)]);
        assert_eq!(drain(&mut intake)[0].entries.len(), 2);
    }

    #[test]
    fn what_is_no_record_is_counted_and_the_stream_goes_on() {
        let mut intake = intake(&Position::default());
        let mut unknown = event(5, 1);
        unknown[2..4].copy_from_slice(&3000u16.to_be_bytes());
        feed(&mut intake, &[vec![0; 3], [0, 0, 0, 4, 0xff, 0, 0, 0].to_vec(), unknown, event(5, 2)]);
        assert_eq!(intake.stats.failed.value(), 2);
        assert_eq!(drain(&mut intake)[0].entries.len(), 2);
        intake.buffer.extend(b"garbage!");
        assert!(matches!(intake.process(), Err(SessionEnd::Protocol(_))));
    }

    #[test]
    fn an_error_message_ends_the_session() {
        let mut intake = intake(&Position::default());
        message::push_error(&mut intake.buffer, 19, "No space");
        assert_eq!(intake.process().unwrap_err().to_string(), "the management center reports error 19: No space");
    }

    /// Counts warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<std::sync::atomic::AtomicU64>);

    impl tracing::Subscriber for Warnings {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::WARN
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn messages_of_unknown_types_are_told_once_a_type() {
        let warnings = Warnings::default();
        tracing::subscriber::with_default(warnings.clone(), || {
            let mut intake = intake(&Position::default());
            for kind in [999, 4003, 999, 999, 6, 7, 0, 4003] {
                message::push(&mut intake.buffer, MessageType(kind), &[1, 2, 3]);
            }
            feed(&mut intake, &[event(5, 1)]);
            assert_eq!(drain(&mut intake)[0].entries.len(), 1, "the stream goes on");
            // Also after a reconnection.
            intake.begin(request());
            message::push(&mut intake.buffer, MessageType(999), &[]);
            intake.process().unwrap();
        });
        assert_eq!(warnings.0.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
}
