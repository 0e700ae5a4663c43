//! What clients ask for.

use wire::layout;
use wire::message::{self, Message, MessageType};
use wire::request::{
    EventStreamRequest, EventVersion, HostRequest, Start, StreamingRequest, parse_services, push_services,
};
use wire::subscription::{Form, Subscription};

/// What is read from a request and written again reads the same. A subscription does not depend on the order of the
/// entries it is made of, has one version of each event type, and sends a record in a version that has its event.
pub fn request(data: &[u8]) {
    if let Ok(request) = EventStreamRequest::parse(data) {
        let mut out = Vec::new();
        request.push(&mut out);
        assert_eq!(EventStreamRequest::parse(body(&out, MessageType::EVENT_STREAM_REQUEST)), Ok(request));
        assert_eq!(out.get(8..), data.get(..8), "eight bytes say it all");
        assert_eq!(u32::from(Start::from(request.timestamp)), request.timestamp);
        subscription(request.flags, request.timestamp, &[]);
    }
    if let Ok(request) = StreamingRequest::parse(data) {
        assert!(16 + 4 * request.events.len() <= data.len());
        let mut out = Vec::new();
        request.push(&mut out);
        assert_eq!(StreamingRequest::parse(body(&out, MessageType::STREAMING_REQUEST)).as_ref(), Ok(&request));
        subscription(request.flags, request.timestamp, &request.events);
    }
    if let Ok(services) = parse_services(data) {
        let mut out = Vec::new();
        push_services(&mut out, &services);
        assert_eq!(parse_services(body(&out, MessageType::STREAMING_INFORMATION)), Ok(services));
    }
    match HostRequest::parse(data) {
        Ok(request) => {
            let mut out = Vec::new();
            request.push(&mut out);
            assert_eq!(body(&out, MessageType::HOST_DATA_REQUEST), data);
            let (first, last) = request.ends();
            assert!(request.contains(first) && request.contains(last), "both ends are asked for");
            assert!(request.multiple() || first == last);
        }
        Err(_) => assert!(!matches!(data.len(), 16 | 40)),
    }
    if let Ok((code, text)) = message::parse_error(data) {
        let mut out = Vec::new();
        message::push_error(&mut out, code, &text);
        let (same, kept) = message::parse_error(body(&out, MessageType::ERROR)).expect("what was written can be read");
        assert!(same == code && text.starts_with(&kept));
        assert!(kept == text || text.len() > 65_534, "only a text that is too long is cut");
    }
}

/// The body of the only message in `out`.
fn body(out: &[u8], expected: MessageType) -> &[u8] {
    match message::first(out, u32::MAX) {
        Ok(Some(Message { kind, body })) if kind == expected && message::HEADER + body.len() == out.len() => body,
        other => panic!("not one {expected}: {other:?}"),
    }
}

fn subscription(flags: u32, timestamp: u32, entries: &[EventVersion]) {
    let subscription = Subscription::new(flags, timestamp, entries);
    let reversed: Vec<EventVersion> = entries.iter().rev().copied().collect();
    let other = Subscription::new(flags, timestamp, &reversed);
    for (i, event) in subscription.events.iter().enumerate() {
        assert!(subscription.events.iter().skip(i + 1).all(|e| e.code != event.code), "{event:?} stands alone");
    }
    for record in layout::records() {
        let form = subscription.form(record.record_type);
        assert_eq!(form, other.form(record.record_type), "record {}: order does not matter", record.record_type);
        if let Some(Form::Version(version)) = form {
            assert!(version.sends(record), "record {} is sent as a record of the same event", record.record_type);
            let block = version.first_block(record).map(|l| (l.series, l.title));
            let expected = record.inline_block().map(|(_, l)| (l.series, l.title));
            assert!(expected.is_none() || block == expected, "record {}", record.record_type);
        }
    }
    for unknown in [0, 3000, u16::MAX] {
        assert_eq!(subscription.form(unknown), None);
    }
    let words = subscription.words();
    assert!(words.starts_with(&format!("Since {timestamp}")) && words == other.words(), "{words}");
    assert!(!words.contains("w/  ") && !words.ends_with("w/ "), "no word is empty: {words}");
}
