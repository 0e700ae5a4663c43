//! Every golden message cut at every byte: an error or a partial record, never a panic, and no more memory than its
//! size accounts for.
//!
//! A record is decoded in place, so what a decoder keeps is where blocks and fields are, not what they hold. Most
//! messages need less than their own size for that. Nested blocks are the expensive ones: a list item with little in it
//! is a dozen bytes on the wire and some forty here, so a message full of them needs up to [`FACTOR`] times its size.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use allocation_counter::measure;
use wire::client::{ClientRequest, ClientSession};
use wire::decode::{Decoder, List, Record, Value, View};
use wire::layout::{Class, RecordLayout};
use wire::message::{self, Message};
use wire::record::{RecordError, RecordHeader, SHORT_HEADER};

/// Heap bytes a fresh decoder may take for a message of no size: the frames and slots of its first blocks.
const CONSTANT: u64 = 120;

/// Heap bytes for each byte of a message with nested blocks (discovery and user records).
const FACTOR: u64 = 4;

/// A message cut short may be read in another form than the whole one; this much more the other form may take.
const OTHER_FORM: u64 = 72;

/// What was seen, so that the test proves it has looked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    cuts: usize,
    /// Record headers that do not fit the bytes.
    errors: usize,
    /// Records that tell where they end too early.
    partial: usize,
    /// Records that are whole where they were cut: trailing and optional fields, texts without a length.
    whole: usize,
    /// Heap bytes for the messages as they are.
    heap: u64,
    bytes: u64,
}

#[test]
fn every_message_cut_at_every_byte() {
    let stream = common::stream();
    let messages = common::messages(&stream);
    let halves = [0, 1].map(|half| messages.iter().skip(half).step_by(2));
    let seen = std::thread::scope(|scope| {
        let threads = halves.map(|half| scope.spawn(|| half.fold(Seen::default(), cut)));
        let [a, b] = threads.map(|thread| thread.join().unwrap());
        Seen {
            cuts: a.cuts + b.cuts,
            errors: a.errors + b.errors,
            partial: a.partial + b.partial,
            whole: a.whole + b.whole,
            heap: a.heap + b.heap,
            bytes: a.bytes + b.bytes,
        }
    });
    println!("{seen:?}");
    assert_eq!(seen.cuts, 701_339 + 8 * 1752);
    assert!(seen.errors > 600_000 && seen.partial > 600_000 && seen.whole > 500, "{seen:?}");
    assert!(seen.heap < seen.bytes, "all in all a decoder keeps less than it reads: {seen:?}");
}

/// Cuts one message everywhere.
fn cut(mut seen: Seen, message: &Message<'_>) -> Seen {
    let mut framed = Vec::new();
    message::push(&mut framed, message.kind, message.body);
    let mut client = ClientSession::new(ClientRequest { timestamp: 0, flags: 0, events: Vec::new() });
    seen.cuts += framed.len();
    let info = measure(|| {
        for piece in (0..framed.len()).map(|end| &framed[..end]) {
            assert_eq!(message::first(piece, 1 << 20), Ok(None));
            assert!(matches!(client.receive(piece), Ok(None)));
        }
    });
    assert_eq!(info.bytes_total, 0, "nothing is kept for a message that is not all there");

    let body = message.body;
    let mut decoder = Decoder::new();
    let mut fresh = Decoder::new();
    let mut whole = None;
    let needed = measure(|| whole = decoder.decode(body).ok()).bytes_max;
    let nests = |l: &RecordLayout| l.discovery_header && l.class != Class::Connection;
    let factor = if whole.and_then(|r| r.layout).is_none_or(nests) { FACTOR } else { 1 };
    assert!(needed <= CONSTANT + factor * body.len() as u64, "{needed} bytes for {} ({factor})", body.len());
    seen.heap += needed;
    seen.bytes += body.len() as u64;
    let size = whole.map_or(SHORT_HEADER, |record| record.header.size);
    let mut patched = body.to_vec();
    for end in 0..body.len() {
        // As it is: the record length is that of the whole.
        let piece = &body[..end];
        match decode(&mut fresh, piece, needed, factor) {
            Err(error) => {
                let expected = match error {
                    RecordError::Short { length } | RecordError::Length { length, .. } => length,
                };
                assert_eq!(expected, end);
                seen.errors += 1;
            }
            Ok(record) => {
                // By chance the length fits the other form of the header.
                let length = record.header.length as usize;
                assert!(end == length || end == length + SHORT_HEADER || whole.is_none(), "{:?}", record.header);
                look(&mut seen, &record, None);
            }
        }
        // A record that ends there by its own account.
        let size = if end < size { SHORT_HEADER } else { size };
        let Some(length) = end.checked_sub(size) else { continue };
        patched[4..8].copy_from_slice(&(length as u32).to_be_bytes());
        let record = decode(&mut fresh, &patched[..end], needed, factor).unwrap();
        let same = whole.filter(|whole| whole.header.size == record.header.size);
        look(&mut seen, &record, same.as_ref());
    }
    seen
}

/// Decodes with a decoder that keeps nothing from before, and watches its heap.
fn decode<'r>(decoder: &'r mut Decoder, piece: &'r [u8], needed: u64, factor: u64) -> Result<Record<'r>, RecordError> {
    *decoder = Decoder::new();
    let mut result = None;
    let heap = measure(|| result = Some(decoder.decode(piece))).bytes_max;
    assert!(heap <= needed + OTHER_FORM, "{heap} bytes for a piece, {needed} for the whole message");
    assert!(heap <= CONSTANT + factor * piece.len() as u64, "{heap} bytes for {} ({factor})", piece.len());
    result.unwrap()
}

/// A record that was cut says so, or is whole as it is; either way what it has is what stands in the whole record.
fn look(seen: &mut Seen, record: &Record<'_>, whole: Option<&Record<'_>>) {
    let header = RecordHeader::parse(record.bytes()).unwrap();
    assert_eq!(header, record.header);
    match record.problem() {
        Some(problem) => {
            seen.partial += 1;
            assert_eq!(problem.record, header.record_type);
            assert!(!problem.field.is_empty() && !problem.layout.title.is_empty());
            assert!((header.size..=record.bytes().len()).contains(&problem.offset), "{problem}");
        }
        None => {
            seen.whole += 1;
            let body = record.body();
            let headers = header.size + record.discovery().map_or(0, |d| d.bytes().len());
            assert_eq!(headers + body.bytes().len(), record.bytes().len(), "every byte has a place");
        }
    }
    let Some(whole) = whole else { return };
    for (piece, all) in record.discovery().zip(whole.discovery()).into_iter().chain([(record.body(), whole.body())]) {
        prefix(piece, all);
    }
}

/// What was read of a piece is in the whole, too, and the same. Only what is near the cut is looked at: what is further
/// away was near another cut.
fn prefix(piece: View<'_>, whole: View<'_>) {
    if piece.layout().is_none() || piece.layout() != whole.layout() {
        return assert!(whole.bytes().starts_with(piece.bytes()));
    }
    assert!(piece.read() <= whole.read());
    for position in piece.read().saturating_sub(3)..piece.read() {
        match (piece.value(position), whole.value(position)) {
            (None, None) => {}
            (Some(Value::Uint(a)), Some(Value::Uint(b))) => assert_eq!(a, b),
            (Some(Value::Block(a)), Some(Value::Block(b))) => prefix(a, b),
            (Some(Value::List(a)), Some(Value::List(b))) => items(a, b),
            (Some(a), Some(b)) => {
                // A text without a length of its own is all the rest of its block.
                let (a, b) = (a.octets().unwrap(), b.octets().unwrap());
                assert!(a == b || position + 1 == piece.read() && b.starts_with(a));
            }
            (a, b) => panic!("{a:?} of {b:?}"),
        }
    }
}

fn items(piece: List<'_>, whole: List<'_>) {
    if let Some((at, last)) = piece.items().enumerate().last() {
        prefix(last, whole.items().nth(at).expect("no more items than the whole list"));
    }
}
