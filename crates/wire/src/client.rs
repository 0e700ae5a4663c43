//! A client's side of a session: bytes in, bytes and events out, no I/O.
//!
//! The dialogue (eStreamer Integration Guide 5.3.1 p.2-3 to 2-7): the client sends its event stream request; with bit 30
//! set the server answers with its services and the client names the event types and versions it wants; then event data
//! comes, in bundles or as single messages, and the client acknowledges each of these with a Null message. The
//! acknowledgement is credit, nothing more: the server keeps no record of what it delivered.

use crate::cursor::Short;
use crate::hosts::HostRequest;
use crate::message::{self, Bundle, ESTREAMER_SERVICE, FrameError, Items, Message, MessageType};
use crate::request::{EventStreamRequest, EventVersion, StreamingRequest, flag, parse_services};
use thiserror::Error;

/// The longest message a client accepts unless told otherwise: 64 MiB.
pub const MESSAGE_LIMIT: u32 = 64 << 20;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRequest {
    /// Where to begin; see [`crate::request::Start`].
    pub timestamp: u32,
    /// Request flags; with [`flag::EXTENDED`] the `events` are asked for.
    pub flags: u32,
    /// Event types and versions.
    pub events: Vec<EventVersion>,
}

/// The client's side of a session.
#[derive(Debug)]
pub struct ClientSession {
    request: ClientRequest,
    state: State,
    limit: u32,
    out: Vec<u8>,
    last_bundle: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The event stream request is out; with bit 30 the services are to come.
    Asked,
    /// Event data may come.
    Streaming,
    Ended,
}

/// What a message from the server means.
#[derive(Debug, Clone)]
pub enum ClientEvent<'a> {
    /// The server's services; the streaming request has been answered already.
    Services(Vec<u32>),
    /// Nothing to send: the connection is alive.
    KeepAlive,
    /// Records, as event data messages or a bundle of them. Acknowledge them with [`ClientSession::acknowledge`].
    Records(Records<'a>),
    /// A host of the network map (type 6 or 7); [`ClientSession::acknowledge`] it. It is the whole answer to a request
    /// for a single host; to one for a range others may follow, and at last [`ClientEvent::HostsEnd`].
    Host {
        /// Answer to a range (type 7).
        multiple: bool,
        /// A full host profile block, for [`Decoder::decode_block`](crate::decode::Decoder::decode_block) with series 1.
        block: &'a [u8],
    },
    /// No more hosts (an empty message of type 6 or 7).
    HostsEnd {
        /// The end of a range (type 7); otherwise the single host asked for is not known.
        multiple: bool,
    },
    /// The server reports an error and closes.
    Error {
        /// Its code; 19 is the only documented one.
        code: i32,
        /// Its text.
        text: String,
    },
    /// A message of a type nobody knows, ignored.
    Unknown(Message<'a>),
}

/// The records of one message.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    source: Source<'a>,
    /// Bundles missed between this one and the one before, if any: the server's numbering jumped.
    pub missed: u32,
}

#[derive(Debug, Clone)]
enum Source<'a> {
    Single(Option<&'a [u8]>),
    Bundle(Items<'a>),
}

impl<'a> Iterator for Records<'a> {
    /// The event data (record header and record), or why the rest of a bundle cannot be read.
    type Item = Result<&'a [u8], ItemError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Single(one) => one.take().map(Ok),
            Source::Bundle(items) => Some(match items.next()? {
                Ok(Message { kind: MessageType::EVENT_DATA, body }) => Ok(body),
                Ok(other) => Err(ItemError::Kind(other.kind)),
                Err(short) => Err(ItemError::Short(short)),
            }),
        }
    }
}

/// An item of a bundle that is no event data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ItemError {
    /// Another message than event data; the rest of the bundle is still good.
    #[error("a bundle holds a {0} message; only event data belongs there")]
    Kind(MessageType),
    /// The item reaches beyond the bundle; nothing after it can be read.
    #[error("an item reaches beyond its bundle: {0}")]
    Short(Short),
}

/// Why a client must give up a session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientError {
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
    /// The server does not offer eStreamer.
    #[error(
        "the server offers the services {0:?} but not eStreamer (6667); is this the eStreamer port of a management center?"
    )]
    NoService(Vec<u32>),
}

impl ClientSession {
    /// A session that begins with this request; take it from [`ClientSession::take_output`].
    pub fn new(request: ClientRequest) -> Self {
        let mut out = Vec::new();
        EventStreamRequest { timestamp: request.timestamp, flags: request.flags }.push(&mut out);
        ClientSession { request, state: State::Asked, limit: MESSAGE_LIMIT, out, last_bundle: 0 }
    }

    /// Sets the longest message to accept, in bytes.
    pub fn limit(&mut self, bytes: u32) {
        self.limit = bytes;
    }

    /// Takes the first message from `input`, if it is all there. Gives how many bytes it took and what it means; call
    /// again with the rest. After an error the session is over.
    pub fn receive<'a>(&mut self, input: &'a [u8]) -> Result<Option<(usize, ClientEvent<'a>)>, ClientError> {
        if self.state == State::Ended {
            return Ok(None);
        }
        let framed = message::first(input, self.limit).inspect_err(|_| self.state = State::Ended);
        let Some(message) = framed? else { return Ok(None) };
        let event = self.understand(message).inspect_err(|_| self.state = State::Ended)?;
        Ok(Some((message.size(), event)))
    }

    /// Whether event data may come: the server has understood the request.
    pub fn streaming(&self) -> bool {
        self.state == State::Streaming || self.request.flags & flag::EXTENDED == 0
    }

    /// Acknowledges event data: queues a Null message. One for each [`ClientEvent::Records`] keeps the stream flowing.
    pub fn acknowledge(&mut self) {
        message::push(&mut self.out, MessageType::NULL, &[]);
    }

    /// Asks for hosts. There is no need to wait for an answer to the event stream request; for hosts alone its flags may
    /// be 0 (5.3.1 p.2-24).
    pub fn request_hosts(&mut self, request: &HostRequest) {
        request.push(&mut self.out);
    }

    /// Tells the server why the client leaves.
    pub fn leave(&mut self, text: &str) {
        message::push_error(&mut self.out, -1, text);
        self.state = State::Ended;
    }

    /// What is to be sent, in order.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn understand<'a>(&mut self, message: Message<'a>) -> Result<ClientEvent<'a>, ClientError> {
        let Message { kind, body } = message;
        let short = |short| ClientError::Short { kind, short };
        Ok(match kind {
            MessageType::NULL => ClientEvent::KeepAlive,
            MessageType::EVENT_DATA => ClientEvent::Records(Records { source: Source::Single(Some(body)), missed: 0 }),
            MessageType::BUNDLE => {
                let bundle = Bundle::parse(body).map_err(short)?;
                let expected = self.last_bundle.wrapping_add(1);
                let missed = if self.last_bundle == 0 { 0 } else { bundle.sequence.saturating_sub(expected) };
                self.last_bundle = bundle.sequence;
                ClientEvent::Records(Records { source: Source::Bundle(bundle.items), missed })
            }
            MessageType::STREAMING_INFORMATION => {
                let services = parse_services(body).map_err(short)?;
                if !services.contains(&ESTREAMER_SERVICE) {
                    return Err(ClientError::NoService(services));
                }
                // Unasked for, as in a plain session, it needs no answer.
                if self.state == State::Asked && self.request.flags & flag::EXTENDED != 0 {
                    self.state = State::Streaming;
                    StreamingRequest {
                        service: ESTREAMER_SERVICE,
                        flags: self.request.flags,
                        timestamp: self.request.timestamp,
                        events: self.request.events.clone(),
                    }
                    .push(&mut self.out);
                }
                ClientEvent::Services(services)
            }
            MessageType::SINGLE_HOST_DATA | MessageType::MULTIPLE_HOST_DATA => {
                let multiple = kind == MessageType::MULTIPLE_HOST_DATA;
                match body.is_empty() {
                    true => ClientEvent::HostsEnd { multiple },
                    false => ClientEvent::Host { multiple, block: body },
                }
            }
            MessageType::ERROR => {
                let (code, text) = message::parse_error(body).map_err(short)?;
                self.state = State::Ended;
                ClientEvent::Error { code, text }
            }
            _ => ClientEvent::Unknown(message),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{SERVICES, push_services};

    fn request() -> ClientRequest {
        let events = vec![EventVersion { version: 17, code: 71 }, EventVersion { version: 4, code: 21 }];
        ClientRequest { timestamp: 0, flags: 0x4890_0061, events }
    }

    #[test]
    fn the_dialogue_of_a_real_extended_session() {
        let mut session = ClientSession::new(request());
        assert_eq!(session.take_output(), [0, 1, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0x48, 0x90, 0, 0x61]);
        assert!(!session.streaming());
        let mut input = Vec::new();
        push_services(&mut input, &SERVICES);
        let (used, event) = session.receive(&input).unwrap().unwrap();
        assert!(matches!(event, ClientEvent::Services(s) if s == SERVICES) && used == input.len());
        let sent = session.take_output();
        assert_eq!(sent[..8], [0, 1, 8, 1, 0, 0, 0, 28]);
        assert_eq!(sent[24..], [0, 17, 0, 71, 0, 4, 0, 21, 0, 0, 0, 0]);
        assert!(session.streaming());
        // Bundle and stand-alone message of protocol documentation: record 123, device 1, "fw".
        let bundle = b"\x00\x01\x0f\xa2\x00\x00\x00\x22\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x12\x00\x00\x00\x7b\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x02fw";
        let (used, event) = session.receive(bundle).unwrap().unwrap();
        assert_eq!(used, bundle.len());
        let ClientEvent::Records(records) = event else { panic!() };
        assert_eq!(records.map(|r| r.unwrap().len()).collect::<Vec<_>>(), [18]);
        session.acknowledge();
        assert_eq!(session.take_output(), [0, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_server_without_estreamer_and_errors_end_the_session() {
        let mut session = ClientSession::new(request());
        let mut input = Vec::new();
        push_services(&mut input, &[5000]);
        assert_eq!(session.receive(&input).unwrap_err(), ClientError::NoService(vec![5000]));
        let mut session = ClientSession::new(request());
        let mut input = Vec::new();
        message::push_error(&mut input, 19, "No space");
        let (_, event) = session.receive(&input).unwrap().unwrap();
        assert!(matches!(event, ClientEvent::Error { code: 19, text } if text == "No space"));
        assert!(session.receive(&input).unwrap().is_none());
    }

    #[test]
    fn missed_bundles_and_foreign_items_are_told() {
        let mut session = ClientSession::new(request());
        let bundle = |sequence: u32, items: &[u8]| {
            let mut out = Vec::new();
            let body = [&7u32.to_be_bytes()[..], &sequence.to_be_bytes(), items].concat();
            message::push(&mut out, MessageType::BUNDLE, &body);
            out
        };
        let missed = |s: &mut ClientSession, b: &[u8]| match s.receive(b).unwrap().unwrap().1 {
            ClientEvent::Records(r) => r.missed,
            other => panic!("{other:?}"),
        };
        assert_eq!(missed(&mut session, &bundle(1, &[])), 0);
        assert_eq!(missed(&mut session, &bundle(2, &[])), 0);
        assert_eq!(missed(&mut session, &bundle(5, &[])), 2);
        let odd = bundle(6, &[0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 1, 0]);
        let ClientEvent::Records(records) = session.receive(&odd).unwrap().unwrap().1 else { panic!() };
        let seen: Vec<_> = records.collect();
        assert_eq!(seen[0], Err(ItemError::Kind(MessageType::SINGLE_HOST_DATA)));
        assert_eq!(seen[1], Ok(&[1][..]));
        assert!(matches!(seen[2], Err(ItemError::Short(_))));
    }
}
