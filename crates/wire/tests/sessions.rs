//! Both sessions against bytes of any kind: they answer or refuse, and how the bytes are cut makes no difference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use wire::client::{ClientEvent, ClientRequest, ClientSession};
use wire::message::{self, MessageType};
use wire::request::{EventStreamRequest, SERVICES, StreamingRequest, push_services};
use wire::server::ServerSession;
use wire::subscription::newest_events;

/// Messages as a peer might send them: good ones, good types with odd bodies, and plain noise.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..60);
    let kinds = prop_oneof![0u16..10, Just(2049u16), Just(2051), Just(4002), any::<u16>()];
    let odd = (kinds, body.clone()).prop_map(|(kind, body)| {
        let mut out = Vec::new();
        message::push(&mut out, MessageType(kind), &body);
        out
    });
    let request = (any::<u32>(), any::<u32>()).prop_map(|(timestamp, flags)| {
        let mut out = Vec::new();
        EventStreamRequest { timestamp, flags }.push(&mut out);
        out
    });
    let streaming = any::<u32>().prop_map(|flags| {
        let mut out = Vec::new();
        StreamingRequest { service: 6667, flags, timestamp: 0, events: newest_events() }.push(&mut out);
        out
    });
    let services = Just(()).prop_map(|()| {
        let mut out = Vec::new();
        push_services(&mut out, &SERVICES);
        out
    });
    proptest::collection::vec(prop_oneof![odd, request, streaming, services, body], 0..8).prop_map(|all| all.concat())
}

/// Feeds `input` in pieces that end at `cuts`; gives what happened as text.
fn run(input: &[u8], cuts: &[usize], mut step: impl FnMut(&[u8]) -> (usize, Option<String>)) -> Vec<String> {
    let mut events = Vec::new();
    let mut buffer: Vec<u8> = Vec::new();
    let mut ends: Vec<usize> = cuts.iter().map(|c| c % (input.len() + 1)).chain([input.len()]).collect();
    ends.sort_unstable();
    let mut from = 0;
    for end in ends {
        buffer.extend(&input[from..end]);
        from = end;
        while let (used, Some(event)) = step(&buffer) {
            let failed = event.starts_with("error");
            events.push(event);
            if failed {
                return events;
            }
            buffer.drain(..used);
        }
    }
    events
}

fn serve(input: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<u8>) {
    let mut session = ServerSession::new(1);
    let events = run(input, cuts, |buffer| match session.receive(buffer) {
        Ok(Some((used, event))) => (used, Some(format!("{event:?}"))),
        Ok(None) => (0, None),
        Err(error) => (0, Some(format!("error {error}"))),
    });
    (events, session.output().to_vec())
}

fn collect(input: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<u8>) {
    let request = ClientRequest { timestamp: 0, flags: 0x4890_0061, events: newest_events() };
    let mut session = ClientSession::new(request);
    session.limit(1 << 20);
    let events = run(input, cuts, |buffer| match session.receive(buffer) {
        Ok(Some((used, ClientEvent::Records(records)))) => {
            (used, Some(format!("{:?}", records.map(|r| r.map(<[u8]>::to_vec)).collect::<Vec<_>>())))
        }
        Ok(Some((used, event))) => (used, Some(format!("{event:?}"))),
        Ok(None) => (0, None),
        Err(error) => (0, Some(format!("error {error}"))),
    });
    (events, session.take_output())
}

proptest! {
    #[test]
    fn a_server_understands_the_same_however_the_bytes_are_cut(input in stream(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let whole = serve(&input, &[]);
        prop_assert_eq!(&serve(&input, &cuts), &whole);
        if whole.0.last().is_some_and(|e| e.starts_with("error")) {
            // The last thing the client hears is an error message.
            let mut rest = &whole.1[..];
            let mut last = None;
            while let Some(message) = message::first(rest, 1 << 20).unwrap() {
                rest = &rest[message.size()..];
                last = Some(message.kind);
            }
            prop_assert_eq!(last, Some(MessageType::ERROR));
        }
    }

    #[test]
    fn a_client_understands_the_same_however_the_bytes_are_cut(input in stream(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        prop_assert_eq!(collect(&input, &cuts), collect(&input, &[]));
    }
}
