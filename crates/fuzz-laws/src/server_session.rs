//! A server's side of a session.

use crate::script::Script;
use std::net::{IpAddr, Ipv6Addr};
use wire::client::{ClientEvent, ClientRequest, ClientSession};
use wire::event::Block;
use wire::hosts::HostRequest;
use wire::message::{self, Bundle, MessageType};
use wire::server::{RequestError, ServerEvent, ServerSession};

const CONNECTION: u32 = 7;

/// What a client sends means the same however it is cut and whatever the server sends meanwhile. The server sends whole
/// messages, numbers its bundles, loses no record, and a client understands it all. After an error the error message is
/// the last, and nothing more is heard.
pub fn server_session(data: &[u8]) {
    let Some(script) = Script::new(data) else { return };
    let whole = run(&script, [(script.stream.len(), 0)].into_iter());
    let cut = run(&script, script.pieces());
    assert_eq!(whole, cut, "the cuts do not matter");
}

/// A session and what has come out of it so far.
struct Run {
    session: ServerSession,
    sent: Vec<u8>,
    pushed: Vec<Vec<u8>>,
}

fn run(script: &Script<'_>, pieces: impl Iterator<Item = (usize, u8)>) -> (Vec<ServerEvent>, Option<RequestError>) {
    let mut run = Run { session: ServerSession::new(CONNECTION), sent: Vec::new(), pushed: Vec::new() };
    let (mut events, mut error, mut left) = (Vec::new(), None, false);
    let mut at = 0;
    'stream: for (end, act) in pieces {
        loop {
            match run.session.receive(script.stream.get(at..end).unwrap_or_default()) {
                Ok(None) => break,
                Ok(Some((used, event))) => {
                    assert!(used >= message::HEADER && at + used <= end, "progress");
                    at += used;
                    left = matches!(event, ServerEvent::Left { .. });
                    events.push(event);
                    if left {
                        break 'stream;
                    }
                }
                Err(found) => {
                    error = Some(found);
                    break 'stream;
                }
            }
        }
        run.act(act);
    }
    if left || error.is_some() {
        let alive = [0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(run.session.receive(&alive), Ok(None), "nothing is heard after the end");
        assert!(!run.session.ready() && !run.session.streaming());
    }
    run.session.flush();
    run.send(usize::MAX);
    assert!(run.session.output().is_empty(), "all that was there has been sent");
    run.check(error.is_some());
    (events, error)
}

impl Run {
    /// What a server does while it waits for its client.
    fn act(&mut self, act: u8) {
        let length = self.pushed.len();
        match act {
            1 | 2 if !self.session.ready() => {}
            1 => self.push(vec![length as u8; 17 * length % 5000]),
            2 => {
                let items = [vec![1; length % 90], vec![2; 40_000]];
                let mut bytes = Vec::new();
                for item in &items {
                    bytes.extend_from_slice(&4u32.to_be_bytes());
                    bytes.extend_from_slice(&(item.len() as u32).to_be_bytes());
                    bytes.extend_from_slice(item);
                }
                self.session.push_items(&bytes);
                self.pushed.extend(items);
            }
            3 => self.session.flush(),
            4 => self.session.keep_alive(),
            5 => self.hosts(length),
            6 => self.send(1 + length % 11),
            7 => self.send(usize::MAX),
            _ => {}
        }
    }

    fn push(&mut self, record: Vec<u8>) {
        self.session.push(&record);
        self.pushed.push(record);
    }

    /// Answers a request for hosts, of any data type, with none, one or two.
    fn hosts(&mut self, length: usize) {
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let request = HostRequest { data_type: length as u32 % 9, ..HostRequest::single(any, 0) };
        for _ in 0..length % 3 {
            self.session.push_host(&request, &Block::new(request.layout()));
        }
        self.session.end_hosts(&request);
    }

    /// Sends up to `n` bytes of the output.
    fn send(&mut self, n: usize) {
        let output = self.session.output();
        let n = n.min(output.len());
        self.sent.extend_from_slice(output.get(..n).unwrap_or_default());
        self.session.sent(n);
    }

    fn check(&self, error: bool) {
        let request = ClientRequest { timestamp: 0, flags: 0, events: Vec::new() };
        let mut client = ClientSession::new(request);
        let (mut rest, mut sequence, mut errors, mut records) = (self.sent.as_slice(), 0, 0, Vec::new());
        while !rest.is_empty() {
            assert_eq!(errors, 0, "nothing follows the error message");
            let found = message::first(rest, u32::MAX).expect("the server sends messages").expect("and whole ones");
            match found.kind {
                MessageType::ERROR => errors += 1,
                MessageType::BUNDLE => {
                    let bundle = Bundle::parse(found.body).expect("a bundle has its numbers");
                    sequence += 1;
                    assert_eq!((bundle.connection, bundle.sequence), (CONNECTION, sequence));
                }
                _ => {}
            }
            let heard = client.receive(rest).expect("the client understands the server");
            let (used, event) = heard.expect("the client takes every message");
            assert_eq!(used, found.size());
            match event {
                ClientEvent::Records(found) => {
                    assert_eq!(found.missed, 0);
                    records.extend(found.map(|r| r.expect("items are event data").to_vec()));
                }
                ClientEvent::Unknown(message) => panic!("the server sent {}", message.kind),
                _ => {}
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        assert_eq!(errors, usize::from(error), "a client is told why its session ends");
        assert_eq!(records, self.pushed, "every record arrives, in order");
    }
}
