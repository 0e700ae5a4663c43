//! Records decoded in place, owned, converted, and written again.

use crate::walk::walk;
use wire::decode::{Decoder, Record};
use wire::event::{Block, Event};
use wire::layout;
use wire::plan::Plan;
use wire::record::{LONG_FORM_MARK, LONG_HEADER, RecordHeader, SHORT_HEADER, push_short, record_type};
use wire::versions;

/// Decoding never fails beyond the header, and what is decoded lies in the record; a problem is named with an offset in
/// it. What was decoded without a problem is written as it was read; what can be read of a broken record is the same bytes
/// the second time. A record converted to any version of its block decodes without a problem.
pub fn record(data: &[u8]) {
    let mut decoder = Decoder::new();
    for series in [1, 2] {
        let view = decoder.decode_block(series, data);
        walk(view, data);
        let mut bytes = Vec::new();
        Block::from(view).encode(&mut bytes);
        match decoder.problem() {
            None => assert_eq!(Some(&*bytes), data.get(..bytes.len()), "a block is written as it was read"),
            Some(problem) => assert!(problem.offset <= data.len(), "{problem}"),
        }
    }
    one(&mut decoder, data);
    if let Some(repaired) = with_right_length(data) {
        one(&mut decoder, &repaired);
    }
}

/// The item with a record length that fits, when it has another: a mutation that changes the size of a record would
/// never get behind the header. The mark in the first bit decides which form it is.
pub(crate) fn with_right_length(item: &[u8]) -> Option<Vec<u8>> {
    let word = u32::from_be_bytes(*item.first_chunk()?);
    let header = if word & LONG_FORM_MARK != 0 { LONG_HEADER } else { SHORT_HEADER };
    let length = item.len().checked_sub(header)? as u32;
    let mut repaired = item.to_vec();
    repaired.get_mut(4..8)?.copy_from_slice(&length.to_be_bytes());
    (repaired != item && RecordHeader::parse(item).is_err()).then_some(repaired)
}

fn one(decoder: &mut Decoder, item: &[u8]) {
    let header = RecordHeader::parse(item);
    let record = match decoder.decode(item) {
        Ok(record) => record,
        Err(error) => return assert_eq!(header, Err(error)),
    };
    assert_eq!(header, Ok(record.header));
    assert_eq!((record.bytes(), record.record_type()), (item, record_type(item)));
    assert_eq!(record.header.timestamp.is_some(), record.header.size == LONG_HEADER);
    short_form(item, &record.header);

    if let Some(header) = record.discovery() {
        walk(header, item);
    }
    walk(record.body(), item);
    walk(record.main(), item);
    let _ = (record.metadata_key(), record.opaque());
    let problem = record.problem().cloned();
    if let Some(problem) = &problem {
        assert_eq!(problem.record, record.record_type());
        let inside = record.header.size..=item.len();
        assert!(inside.contains(&problem.offset), "{problem}: outside {inside:?}");
        assert!(!problem.to_string().is_empty());
    }

    let Ok(event) = Event::try_from(&record) else {
        return assert!(record.layout.is_none() && problem.is_none(), "only an unknown record is no event");
    };
    let timestamp = record.header.timestamp;
    let mut fresh = Decoder::new();
    let again = fresh.decode(item).expect("it was decoded before");
    assert!(
        same(&event, &Event::try_from(&again).expect("an event again")),
        "a used decoder decodes as a new one does"
    );
    assert_eq!(again.problem(), problem.as_ref());

    let first = round(&event, timestamp, decoder);
    if problem.is_none() {
        assert_eq!(first.flaw, None, "what was right is right when it is written again");
        assert!(same(&event, &first.event), "encoding and decoding changes:\n{event:?}\n{:?}", first.event);
        assert_eq!(data(&first.bytes), data(item), "what is written is what was read");
    }
    if first.flaw.is_none() {
        let second = round(&first.event, timestamp, decoder);
        assert_eq!(second.bytes, first.bytes, "the second encoding is the first");
    }
    conversions(&event, timestamp, decoder, problem.is_none());
    plans(&again, &event);
}

/// A plan gives what the conversion value by value gives, or says that it cannot.
fn plans(record: &Record<'_>, event: &Event) {
    for version in versions::event_types().iter().flat_map(|t| t.versions) {
        let Some(plan) = Plan::new(record, version) else { continue };
        let mut planned = b"before".to_vec();
        if plan.convert(record, record.header.timestamp, &mut planned) {
            let mut expected = b"before".to_vec();
            let converted = event.in_version(version).expect("a plan is for a record the version has");
            converted.encode_item(record.header.timestamp, &mut expected);
            assert_eq!(planned, expected, "by plan and value by value, version {}", version.version);
        } else {
            assert_eq!(planned, b"before", "nothing is appended");
            assert!(record.problem().is_some(), "a whole record is converted by a plan for it");
        }
    }
}

/// The short form has the same data.
fn short_form(item: &[u8], header: &RecordHeader) {
    let mut short = Vec::new();
    push_short(item, &mut short).expect("the header was read before");
    let parsed = RecordHeader::parse(&short).expect("the short form is a record");
    assert_eq!((parsed.size, parsed.record_type, parsed.netmap), (SHORT_HEADER, header.record_type, header.netmap));
    assert_eq!(short.get(SHORT_HEADER..), item.get(header.size..));
}

/// An event that was encoded and decoded.
struct Round {
    bytes: Vec<u8>,
    event: Event,
    flaw: Option<String>,
}

fn round(event: &Event, timestamp: Option<u32>, decoder: &mut Decoder) -> Round {
    let mut bytes = Vec::new();
    event.encode(timestamp, &mut bytes);
    let record = decoder.decode(&bytes).expect("what was encoded has a header");
    let flaw = record.problem().map(ToString::to_string);
    let event = Event::try_from(&record).expect("the record type is still known");
    Round { bytes, event, flaw }
}

/// The bytes of a record behind its header.
fn data(item: &[u8]) -> Option<&[u8]> {
    item.get(RecordHeader::parse(item).ok()?.size..)
}

/// To every version of its block, and to every version of its event type.
fn conversions(event: &Event, timestamp: Option<u32>, decoder: &mut Decoder, whole: bool) {
    for version in versions::event_types().iter().flat_map(|t| t.versions) {
        let converted = event.in_version(version);
        assert_eq!(converted.is_some(), version.sends(event.record()), "version {}", version.version);
        if let Some(converted) = converted {
            let round = round(&converted, timestamp, decoder);
            assert!(round.flaw.is_none() || !whole, "{:?} in version {}", round.flaw, version.version);
        }
    }
    let from = event.record().main_layout();
    if event.record().inline_block().is_none() || event.main().layout().fields.is_empty() {
        return; // Nothing to convert, or a block nobody knows.
    }
    for target in layout::blocks().filter(|l| (l.series, l.title) == (from.series, from.title)) {
        let mut event = event.clone();
        event.convert(target);
        let round = round(&event, timestamp, decoder);
        if whole {
            assert_eq!(round.flaw, None, "converted to block {}", target.number);
            assert_eq!(round.event.main().layout().number, target.number);
        }
    }
}

fn same(a: &Event, b: &Event) -> bool {
    let header = |event: &Event| -> Option<Block> { event.clone().discovery_mut().cloned() };
    a.record().record_type == b.record().record_type && a.main() == b.main() && header(a) == header(b)
}
