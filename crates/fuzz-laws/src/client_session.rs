//! A client's side of a session.

use crate::script::Script;
use wire::client::{ClientError, ClientEvent, ClientRequest, ClientSession, ItemError};
use wire::message::{self, MessageType};
use wire::request::flag;
use wire::server::ServerSession;
use wire::subscription::newest_events;

/// What a server sends means the same however it is cut. The client sends whole messages, which a server understands.
/// After an error, its own or the server's, nothing more is heard.
pub fn client_session(data: &[u8]) {
    let Some(script) = Script::new(data) else { return };
    let whole = run(&script, [script.stream.len()].into_iter());
    let cut = run(&script, script.pieces().map(|(at, _)| at));
    assert_eq!(whole, cut, "the cuts do not matter");
}

/// All that can be seen of a session.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<Event>,
    error: Option<ClientError>,
    sent: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum Event {
    Services(Vec<u32>),
    KeepAlive,
    Records(u32, Vec<Result<Vec<u8>, ItemError>>),
    Host(bool, Vec<u8>),
    HostsEnd(bool),
    Error(i32, String),
    Unknown(MessageType, Vec<u8>),
}

fn run(script: &Script<'_>, pieces: impl Iterator<Item = usize>) -> Seen {
    let flags = u32::from(script.control(0)) << 24 | 0x0090_0061;
    let mut session = ClientSession::new(ClientRequest { timestamp: 0, flags, events: newest_events() });
    session.limit(1 << 16);
    let mut seen = Seen { events: Vec::new(), error: None, sent: Vec::new() };
    let mut at = 0;
    'stream: for end in pieces {
        loop {
            match session.receive(script.stream.get(at..end).unwrap_or_default()) {
                Ok(None) => break,
                Ok(Some((used, event))) => {
                    assert!(used >= message::HEADER && at + used <= end, "progress");
                    at += used;
                    let event = own(event);
                    if matches!(event, Event::Records(..)) {
                        session.acknowledge();
                    }
                    let over = matches!(event, Event::Error(..));
                    seen.events.push(event);
                    if over {
                        deaf(&mut session);
                        break 'stream;
                    }
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    seen.error = Some(error);
                    deaf(&mut session);
                    break 'stream;
                }
            }
        }
    }
    seen.sent = session.take_output();
    understood(&seen, flags);
    seen
}

/// The session is over.
fn deaf(session: &mut ClientSession) {
    let alive = [0, 1, 0, 0, 0, 0, 0, 0];
    assert!(matches!(session.receive(&alive), Ok(None)), "nothing is heard after an error");
}

/// What the client sent is whole messages, and an extended session of them is one a server understands. (A server that
/// offers its services unasked gets an answer it has not asked for.)
fn understood(seen: &Seen, flags: u32) {
    let mut rest = seen.sent.as_slice();
    let mut server = ServerSession::new(1);
    while !rest.is_empty() {
        let found = message::first(rest, u32::MAX).expect("the client sends messages").expect("and whole ones");
        if flags & flag::EXTENDED != 0 {
            let heard = server.receive(rest).expect("the server understands the client");
            assert_eq!(heard.map(|(used, _)| used), Some(found.size()));
        }
        rest = rest.get(found.size()..).unwrap_or_default();
    }
    let offered = seen.events.iter().any(|e| matches!(e, Event::Services(_)));
    assert_eq!(server.streaming(), offered && flags & flag::EXTENDED != 0);
}

fn own(event: ClientEvent<'_>) -> Event {
    match event {
        ClientEvent::Services(services) => Event::Services(services),
        ClientEvent::KeepAlive => Event::KeepAlive,
        ClientEvent::Records(records) => {
            Event::Records(records.missed, records.map(|r| r.map(<[u8]>::to_vec)).collect())
        }
        ClientEvent::Host { multiple, block } => {
            assert!(!block.is_empty(), "nothing is the end");
            Event::Host(multiple, block.to_vec())
        }
        ClientEvent::HostsEnd { multiple } => Event::HostsEnd(multiple),
        ClientEvent::Error { code, text } => Event::Error(code, text),
        ClientEvent::Unknown(message) => Event::Unknown(message.kind, message.body.to_vec()),
    }
}
