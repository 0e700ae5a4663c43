//! A server's side of a session: bytes in, bytes and requests out, no I/O.
//!
//! The caller feeds what it reads to [`ServerSession::receive`], acts on what the client wants, pushes records while
//! [`ServerSession::ready`], and writes what [`ServerSession::output`] holds. With bit 30 of the request flags records
//! go into bundles, without it each is a message (eStreamer Integration Guide 5.3.1 p.2-5, p.2-35).

use crate::cursor::Short;
use crate::event::Block;
use crate::hosts::{HostRequest, HostRequestLength};
use crate::message::{self, FrameError, Message, MessageType};
use crate::request::{EventStreamRequest, SERVICES, StreamingRequest, flag, push_services};
use crate::subscription::Subscription;
use thiserror::Error;

/// The longest message a server accepts: an error message of full length fits.
pub const REQUEST_LIMIT: u32 = 70_000;

/// A bundle is closed when it has this many bytes. A record larger than that has a bundle of its own.
pub const BUNDLE_BYTES: usize = 64 << 10;

/// Bundles or messages a server sends before it waits for an acknowledgement. The guides name no number.
pub const WINDOW: u32 = 10_000;

/// The server's side of a session.
#[derive(Debug)]
pub struct ServerSession {
    state: State,
    connection: u32,
    sequence: u32,
    /// Sent and not acknowledged: bundles in an extended session, messages in a plain one.
    unacknowledged: u32,
    out: Vec<u8>,
    /// Where the open bundle starts in `out`.
    bundle: Option<usize>,
    extended: bool,
    /// Hosts sent in answer to the present host data request.
    hosts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was asked yet.
    New,
    /// An extended request was announced; its list is to come.
    Announced(EventStreamRequest),
    Streaming,
    Ended,
}

/// What a message from the client means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// An event stream request with bit 30: the services have been offered, the list is to come.
    Announced(EventStreamRequest),
    /// The request is complete: stream.
    Subscribed {
        /// What is wanted.
        subscription: Subscription,
        /// The streaming request, in an extended session.
        streaming: Option<StreamingRequest>,
    },
    /// The client asks for hosts.
    Hosts(HostRequest),
    /// A Null message.
    Acknowledged,
    /// The client leaves and says why.
    Left {
        /// Its code, usually -1.
        code: i32,
        /// Its text.
        text: String,
    },
}

/// Why a server must end a session. An error message for the client is queued already.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The bytes are no messages.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message is too short for its type.
    #[error("{kind}: {short}")]
    Short {
        /// What it should be.
        kind: MessageType,
        /// What is missing.
        short: Short,
    },
    /// A host data request of another length than the two there are.
    #[error(transparent)]
    Hosts(#[from] HostRequestLength),
    /// A message that does not belong here.
    #[error("{kind} {why}")]
    Order {
        /// What came.
        kind: MessageType,
        /// Why it cannot be.
        why: &'static str,
    },
}

impl ServerSession {
    /// A session; `connection` is the connection id of its bundles, unique per connection.
    pub fn new(connection: u32) -> Self {
        ServerSession {
            state: State::New,
            connection,
            sequence: 0,
            unacknowledged: 0,
            out: Vec::new(),
            bundle: None,
            extended: false,
            hosts: 0,
        }
    }

    /// Takes the first message from `input`, if it is all there. Gives how many bytes it took and what it means; call
    /// again with the rest. After an error the session is over and the error message for the client is in the output.
    pub fn receive(&mut self, input: &[u8]) -> Result<Option<(usize, ServerEvent)>, RequestError> {
        if self.state == State::Ended {
            return Ok(None);
        }
        let taken = match message::first(input, REQUEST_LIMIT) {
            Ok(None) => return Ok(None),
            Ok(Some(message)) => self.understand(message).map(|event| (message.size(), event)),
            Err(error) => Err(error.into()),
        };
        match taken {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                self.end(1, &error.to_string());
                Err(error)
            }
        }
    }

    /// Whether the request is complete.
    pub fn streaming(&self) -> bool {
        self.state == State::Streaming
    }

    /// Whether more records may be pushed: the request is complete and the client has acknowledged enough.
    pub fn ready(&self) -> bool {
        self.state == State::Streaming && self.unacknowledged < WINDOW
    }

    /// Sends a record: event data, record header and all.
    pub fn push(&mut self, record: &[u8]) {
        if self.extended {
            self.open_bundle();
            self.out.extend_from_slice(&u32::from(MessageType::EVENT_DATA.0).to_be_bytes());
            self.out.extend_from_slice(&(record.len() as u32).to_be_bytes());
            self.out.extend_from_slice(record);
            self.close_full_bundle();
        } else {
            message::push(&mut self.out, MessageType::EVENT_DATA, record);
            self.unacknowledged = self.unacknowledged.saturating_add(1);
        }
    }

    /// Sends items that stand back to back in the form of bundle items (u32 4, u32 length, event data), as they are.
    pub fn push_items(&mut self, items: &[u8]) {
        if self.extended {
            self.open_bundle();
            self.out.extend_from_slice(items);
            self.close_full_bundle();
        } else {
            for item in message::Items::new(items).map_while(Result::ok) {
                self.push(item.body);
            }
        }
    }

    /// Closes the open bundle, so that what was pushed can go out.
    pub fn flush(&mut self) {
        if let Some(start) = self.bundle.take() {
            let length = (self.out.len() - start - message::HEADER) as u32;
            if let Some(field) = self.out.get_mut(start + 4..start + 8) {
                field.copy_from_slice(&length.to_be_bytes());
            }
            self.unacknowledged = self.unacknowledged.saturating_add(1);
        }
    }

    /// Sends a Null message: the connection is alive.
    pub fn keep_alive(&mut self) {
        self.flush();
        message::push(&mut self.out, MessageType::NULL, &[]);
    }

    /// Sends a host in answer to a request: a full host profile block of any version, converted as
    /// [`HostRequest::answer`] says. To a request for a single host only the first is sent. Call
    /// [`ServerSession::end_hosts`] after the last, also when there was none.
    pub fn push_host(&mut self, request: &HostRequest, host: &Block) {
        if self.hosts == 0 || request.multiple() {
            let mut block = Vec::new();
            request.answer(host).encode(&mut block);
            self.push_host_data(request, &block);
        }
        self.hosts = self.hosts.saturating_add(1);
    }

    /// Ends the answer to a host data request: with an empty message after a range, and for a single host that was not
    /// found. (What a management center says of a host it does not know is not documented; an empty message ends the
    /// wait of known clients.)
    pub fn end_hosts(&mut self, request: &HostRequest) {
        if self.hosts == 0 || request.multiple() {
            self.push_host_data(request, &[]);
        }
        self.hosts = 0;
    }

    fn push_host_data(&mut self, request: &HostRequest, block: &[u8]) {
        self.flush();
        let kind = match request.multiple() {
            true => MessageType::MULTIPLE_HOST_DATA,
            false => MessageType::SINGLE_HOST_DATA,
        };
        message::push(&mut self.out, kind, block);
    }

    /// Sends an error and ends the session.
    pub fn end(&mut self, code: i32, text: &str) {
        self.flush();
        message::push_error(&mut self.out, code, text);
        self.state = State::Ended;
    }

    /// What is to be sent and complete: an open bundle is not in it.
    pub fn output(&self) -> &[u8] {
        self.out.get(..self.bundle.unwrap_or(self.out.len())).unwrap_or_default()
    }

    /// Forgets the first `n` bytes of the output: they are sent.
    pub fn sent(&mut self, n: usize) {
        let n = n.min(self.output().len());
        self.out.drain(..n);
        self.bundle = self.bundle.map(|start| start - n);
    }

    /// Gives memory up that nothing is in.
    pub fn rest(&mut self) {
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    fn open_bundle(&mut self) {
        if self.bundle.is_none() {
            self.bundle = Some(self.out.len());
            self.sequence = self.sequence.wrapping_add(1);
            message::push_header(&mut self.out, MessageType::BUNDLE, 0);
            self.out.extend_from_slice(&self.connection.to_be_bytes());
            self.out.extend_from_slice(&self.sequence.to_be_bytes());
        }
    }

    fn close_full_bundle(&mut self) {
        if self.bundle.is_some_and(|start| self.out.len() - start >= BUNDLE_BYTES) {
            self.flush();
        }
    }

    fn understand(&mut self, message: Message<'_>) -> Result<ServerEvent, RequestError> {
        let Message { kind, body } = message;
        let short = |short| RequestError::Short { kind, short };
        let order = |why| Err(RequestError::Order { kind, why });
        match (kind, self.state) {
            (MessageType::NULL, _) => {
                // In a plain session clients may acknowledge a batch with one Null: it gives all credit back. Clients of
                // extended sessions acknowledge each bundle, some of them more: superfluous ones do no harm.
                self.unacknowledged = if self.extended { self.unacknowledged.saturating_sub(1) } else { 0 };
                Ok(ServerEvent::Acknowledged)
            }
            (MessageType::ERROR, _) => {
                let (code, text) = message::parse_error(body).map_err(short)?;
                self.state = State::Ended;
                Ok(ServerEvent::Left { code, text })
            }
            (MessageType::EVENT_STREAM_REQUEST, State::New) => {
                let request = EventStreamRequest::parse(body).map_err(short)?;
                if request.flags & flag::EXTENDED != 0 {
                    self.extended = true;
                    self.state = State::Announced(request);
                    push_services(&mut self.out, &SERVICES);
                    return Ok(ServerEvent::Announced(request));
                }
                self.state = State::Streaming;
                let subscription = Subscription::new(request.flags, request.timestamp, &[]);
                Ok(ServerEvent::Subscribed { subscription, streaming: None })
            }
            (MessageType::EVENT_STREAM_REQUEST, _) => {
                order("came a second time: a request lasts for the whole connection")
            }
            (MessageType::STREAMING_REQUEST, State::Announced(_)) => {
                let streaming = StreamingRequest::parse(body).map_err(short)?;
                if streaming.service != message::ESTREAMER_SERVICE {
                    return order("names another service than eStreamer (6667)");
                }
                self.state = State::Streaming;
                let subscription = Subscription::new(streaming.flags, streaming.timestamp, &streaming.events);
                Ok(ServerEvent::Subscribed { subscription, streaming: Some(streaming) })
            }
            (MessageType::STREAMING_REQUEST, _) => {
                order("must follow an event stream request with bit 30 (0x40000000) set, once")
            }
            // Domain streaming requests (6.0 and later) are among these: neither their number nor their layout is published.
            _ if kind.name().is_none() => order("is not known here; streams of single domains cannot be asked for"),
            (_, State::New) => order("came before the event stream request"),
            (MessageType::HOST_DATA_REQUEST, _) => Ok(ServerEvent::Hosts(HostRequest::parse(body)?)),
            _ => order("is no message a client sends"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ClientEvent, ClientRequest, ClientSession};
    use crate::subscription::newest_events;

    /// Hands everything both sides have to say to the other until both are silent.
    fn talk(client: &mut ClientSession, server: &mut ServerSession) -> (Vec<ServerEvent>, Vec<Vec<u8>>) {
        let (mut events, mut records) = (Vec::new(), Vec::new());
        loop {
            let up = client.take_output();
            let down = server.output().to_vec();
            server.sent(down.len());
            if up.is_empty() && down.is_empty() {
                return (events, records);
            }
            let mut rest = &up[..];
            while let Some((used, event)) = server.receive(rest).unwrap() {
                rest = &rest[used..];
                events.push(event);
            }
            let mut rest = &down[..];
            while let Some((used, event)) = client.receive(rest).unwrap() {
                rest = &rest[used..];
                if let ClientEvent::Records(found) = event {
                    records.extend(found.map(|r| r.unwrap().to_vec()));
                    client.acknowledge();
                }
            }
            assert!(rest.is_empty());
        }
    }

    fn both(flags: u32) -> (ClientSession, ServerSession, Vec<ServerEvent>) {
        let mut client = ClientSession::new(ClientRequest { timestamp: 5, flags, events: newest_events() });
        let mut server = ServerSession::new(7);
        let (events, _) = talk(&mut client, &mut server);
        (client, server, events)
    }

    #[test]
    fn records_go_in_bundles_when_asked_for_and_singly_when_not() {
        for flags in [0x4890_0061, 0x0890_0061] {
            let (mut client, mut server, events) = both(flags);
            assert!(matches!(events.last(), Some(ServerEvent::Subscribed { .. })));
            assert!(server.ready());
            server.push(&[1; 20]);
            server.push_items(&[0, 0, 0, 4, 0, 0, 0, 1, 9, 0, 0, 0, 4, 0, 0, 0, 2, 8, 8]);
            assert_eq!(server.output().is_empty(), flags & flag::EXTENDED != 0, "an open bundle is held back");
            server.flush();
            let (_, records) = talk(&mut client, &mut server);
            assert_eq!(records, [vec![1; 20], vec![9], vec![8, 8]]);
            assert_eq!(server.unacknowledged, 0);
        }
    }

    #[test]
    fn a_client_that_acknowledges_nothing_stops_the_stream() {
        let (_, mut server, _) = both(0x4890_0061);
        let mut pushed = 0;
        while server.ready() {
            server.push(&[0; 70_000]);
            let sent = server.output().len();
            server.sent(sent);
            pushed += 1;
        }
        assert_eq!(pushed, WINDOW);
        server.receive(&[0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        assert!(server.ready());
    }

    #[test]
    fn bundles_are_numbered_and_bounded() {
        let (mut client, mut server, _) = both(0x4890_0061);
        for _ in 0..200 {
            server.push(&[0; 1000]);
        }
        server.flush();
        assert!(server.sequence == 4 && server.output().len() > 200_000);
        assert_eq!(talk(&mut client, &mut server).1.len(), 200);
    }

    #[test]
    fn what_does_not_belong_is_answered_with_an_error_message() {
        let cases: [(&[u8], &str); 7] = [
            (b"GET / HTTP/1.1\r\n", "header version 18245"),
            (&[0, 1, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0], "Event Stream Request (2): 4 more bytes"),
            (&[0, 1, 0, 5, 0, 0, 0, 0], "came before the event stream request"),
            (&[0, 1, 8, 1, 0, 0, 0, 0], "must follow an event stream request"),
            (&[0, 1, 0, 6, 0, 0, 0, 0], "Single Host Data (6) came before"),
            (&[0, 1, 0, 9, 0, 0, 0, 0], "message type 9 is not known here"),
            (&[0, 1, 0, 2, 0x7f, 0xff, 0xff, 0xff], "2147483647 bytes"),
        ];
        for (input, words) in cases {
            let mut server = ServerSession::new(1);
            let error = server.receive(input).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            let sent = message::first(server.output(), 70_000).unwrap().unwrap();
            assert_eq!(sent.kind, MessageType::ERROR);
            assert_eq!(server.receive(&[0, 1, 0, 0, 0, 0, 0, 0]), Ok(None), "the session is over");
        }
    }

    #[test]
    fn a_request_lasts_for_the_whole_connection() {
        let (_, mut server, _) = both(0);
        let again = [0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(server.receive(&again).is_err());
    }
}
