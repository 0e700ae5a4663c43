//! Laws over the whole schema: what is encoded decodes to the same, and no bytes bring the decoder down.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use proptest::prelude::*;
use support::{Dice, random_block};
use wire::decode::{Decoder, Record, View};
use wire::event::{Block, Event};
use wire::layout::{self, RecordLayout};
use wire::record::RecordHeader;

fn random_event(record_type: u16, dice: &mut Dice) -> Event {
    let mut event = Event::new(record_type).unwrap();
    *event.main_mut() = random_block(event.record().main_layout(), dice);
    if let Some(header) = event.discovery_mut() {
        *header = random_block(layout::DISCOVERY_HEADER, dice);
    }
    event
}

/// A random record of every type, and of every other form its body has.
fn random_events(dice: &mut Dice) -> Vec<Event> {
    let mut events: Vec<Event> = layout::records().iter().map(|r| random_event(r.record_type, dice)).collect();
    for form in layout::blocks().filter(|l| l.series == 0) {
        let mut event = random_event(form.number as u16, dice);
        *event.main_mut() = random_block(form, dice);
        events.push(event);
    }
    events
}

/// Whether any bytes at all can follow the headers of this record type.
fn open(record: &RecordLayout) -> bool {
    record.body.is_gap() || record.body.fields.is_empty() || record.record_type == 6
}

/// The data of a record: what follows the record header.
fn data(item: &[u8]) -> &[u8] {
    &item[RecordHeader::parse(item).unwrap().size..]
}

/// What an owned record is written as.
fn written(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    Event::try_from(record).unwrap().encode(record.header.timestamp, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn every_block_encodes_and_decodes_to_the_same(seed: u64) {
        let mut decoder = Decoder::new();
        for layout in layout::blocks().filter(|l| l.header) {
            let mut bytes = Vec::new();
            random_block(layout, &mut Dice(seed)).encode(&mut bytes);
            let view = decoder.decode_block(layout.series, &bytes);
            prop_assert_eq!(view.layout(), Some(layout).filter(|l| !l.is_gap()));
            prop_assert_eq!(view.title(), Some(layout.title));
            prop_assert_eq!(view.read(), layout.fields.len());
            prop_assert_eq!(view.trailing().len(), if layout.is_gap() { 8 } else { 0 });
            let mut again = Vec::new();
            Block::from(view).encode(&mut again);
            prop_assert!(decoder.problem().is_none(), "{:?}", decoder.problem());
            prop_assert_eq!(&again, &bytes, "{} {}", layout.series, layout.number);
        }
    }

    #[test]
    fn every_record_encodes_and_decodes_to_the_same(seed: u64, second: Option<u32>) {
        let mut decoder = Decoder::new();
        for event in random_events(&mut Dice(seed)) {
            let mut bytes = Vec::new();
            event.encode(second, &mut bytes);
            let decoded = decoder.decode(&bytes).unwrap();
            prop_assert!(decoded.problem().is_none(), "{:?}", decoded.problem());
            prop_assert_eq!(decoded.header.timestamp, second.filter(|_| event.record().timestamped()));
            if event.record().record_type != 6 {
                prop_assert_eq!(decoded.main().layout(), Some(event.main().layout()).filter(|l| !l.is_gap()));
            }
            prop_assert_eq!(&written(&decoded), &bytes, "record {}", event.record().record_type);
        }
    }

    #[test]
    fn a_record_cut_anywhere_gives_what_was_read_and_names_the_place(seed: u64) {
        let mut decoder = Decoder::new();
        for event in random_events(&mut Dice(seed)) {
            let record = event.record();
            let mut bytes = Vec::new();
            event.encode(Some(1), &mut bytes);
            let whole = bytes.len();
            let header = RecordHeader::parse(&bytes).unwrap().size;
            let head = header + if record.discovery_header { 40 } else { 0 };
            // Cut inside, with a record length that agrees: what a server that lost the tail would send.
            for cut in [whole.saturating_sub(1), header + (whole - header) / 2, header] {
                let cut = cut.max(header);
                let short = shortened(&bytes, header, cut);
                let decoded = decoder.decode(&short).unwrap();
                // What is left may happen to be a block of its very length, of a type nobody knows.
                if cut < head || cut < whole && !open(record) && !decoded.opaque() {
                    let what = || format!("record {} of {whole} bytes cut at {cut} has a problem", record.record_type);
                    let problem = decoded.problem().ok_or_else(|| TestCaseError::fail(what()))?;
                    prop_assert!(problem.offset <= short.len());
                    prop_assert_eq!(problem.record, record.record_type);
                }
            }
        }
    }

    #[test]
    fn what_is_accepted_is_written_again_as_it_was(seed: u64, changes in proptest::collection::vec(any::<(u16, u8)>(), 1..4)) {
        let mut decoder = Decoder::new();
        for event in random_events(&mut Dice(seed)) {
            let mut bytes = Vec::new();
            event.encode(None, &mut bytes);
            let size = bytes.len();
            for (at, change) in &changes {
                let at = usize::from(*at) % size;
                // Small numbers as well: they turn one kind of list, or one block, into another.
                bytes[at.max(8.min(size - 1))] ^= if change % 2 == 0 { change % 32 } else { *change };
            }
            let Ok(decoded) = decoder.decode(&bytes) else { continue };
            if decoded.problem().is_none() {
                let again = written(&decoded);
                prop_assert_eq!(data(&again), data(&bytes), "record {}", event.record().record_type);
            }
        }
    }

    #[test]
    fn no_bytes_bring_the_decoder_down(record in 0u16..720, mut body in proptest::collection::vec(any::<u8>(), 0..600), small: bool) {
        if small {
            // Small numbers look like lengths and block types: they get deeper than noise.
            body.iter_mut().enumerate().for_each(|(i, b)| *b = if i % 4 == 3 { *b % 40 } else { 0 });
        }
        let mut bytes = [&u32::from(record).to_be_bytes()[..], &(body.len() as u32).to_be_bytes()].concat();
        bytes.extend(&body);
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(&bytes).unwrap();
        let whole = decoded.problem().is_none();
        if let Ok(event) = Event::try_from(&decoded) {
            let mut out = Vec::new();
            event.encode(None, &mut out);
            prop_assert!(out.len() <= bytes.len(), "nothing is made up");
            prop_assert!(!whole || data(&out) == data(&bytes));
        }
    }
}

fn shortened(bytes: &[u8], header: usize, cut: usize) -> Vec<u8> {
    let mut short = bytes[..cut].to_vec();
    short[4..8].copy_from_slice(&((cut - header) as u32).to_be_bytes());
    short
}

#[test]
fn a_record_cut_at_any_byte_keeps_what_came_before() {
    let mut decoder = Decoder::new();
    let mut other = Decoder::new();
    for record_type in [2, 10, 27, 29, 54, 57, 62, 71, 95, 98, 104, 112, 119, 125, 160, 170, 400, 500] {
        let mut bytes = Vec::new();
        random_event(record_type, &mut Dice(record_type.into())).encode(None, &mut bytes);
        let whole = other.decode(&bytes).unwrap();
        for cut in 8..bytes.len() {
            let short = shortened(&bytes, 8, cut);
            let record = decoder.decode(&short).unwrap();
            let (cut_view, whole_view) = (record.main(), whole.main());
            if cut_view.layout() == whole_view.layout() && cut_view.bytes().len() > 8 {
                let read = cut_view.read();
                let next = cut_view.layout().and_then(|l| l.fields.get(read));
                let fine = record.problem().is_none();
                assert!(!fine || next.is_some_and(|f| f.optional), "record {record_type} cut at {cut}");
                // The last field read may be a block that is cut itself.
                for i in 0..read.saturating_sub(1) {
                    let octets = |view: &View<'_>| view.value(i).and_then(|v| v.octets()).map(<[u8]>::to_vec);
                    assert_eq!(octets(&cut_view), octets(&whole_view), "record {record_type} cut at {cut}, field {i}");
                    assert_eq!(cut_view.uint(i), whole_view.uint(i));
                }
            }
            assert!(written(&record).len() <= short.len(), "record {record_type} cut at {cut}: nothing is made up");
        }
    }
}

#[test]
fn unknown_records_and_blocks_are_opaque() {
    let mut decoder = Decoder::new();
    let bytes = [0, 0, 0x0b, 0xb8, 0, 0, 0, 3, 1, 2, 3];
    let record = decoder.decode(&bytes).unwrap();
    assert!(record.layout.is_none() && record.opaque() && record.body().bytes() == [1, 2, 3]);
    // Record 400 with a block type of tomorrow.
    let mut bytes = vec![0, 0, 1, 0x90, 0, 0, 0, 12, 0, 0, 0, 99, 0, 0, 0, 12, 7, 7, 7, 7];
    let record = decoder.decode(&bytes).unwrap();
    assert!(record.layout.is_some() && record.opaque() && record.problem().is_none());
    assert_eq!((record.main().block_type(), record.main().bytes().len()), (99, 12));
    // A block that a newer product made longer keeps its tail.
    let mut event = Event::new(123).unwrap();
    event.set("id", 7u32).unwrap().set("name", "fw").unwrap();
    bytes.clear();
    event.encode(None, &mut bytes);
    bytes.extend([0xaa, 0xbb]);
    bytes[7] += 2;
    let record = decoder.decode(&bytes).unwrap();
    assert_eq!((record.main().trailing(), record.uint("id")), (&[0xaa, 0xbb][..], Some(7)));
}

#[test]
fn deep_nesting_ends() {
    // A list in a list in a list: series 1, block 139 (host profile) has lists; a hostile peer nests them for ever.
    let mut bytes = vec![0; 8];
    for _ in 0..2000 {
        let length = (bytes.len() + 8) as u32;
        bytes = [&11u32.to_be_bytes()[..], &length.to_be_bytes(), &bytes].concat();
    }
    let length = bytes.len() as u32;
    let item = [&10u32.to_be_bytes()[..], &length.to_be_bytes(), &bytes].concat();
    let _ = Decoder::new().decode(&item).unwrap().problem();
}

#[test]
fn a_block_whose_header_cannot_be_read_is_opaque_and_says_so() {
    let mut decoder = Decoder::new();
    for bytes in [&[][..], &[0; 3], &[0, 0, 0, 60, 0, 0, 0, 3, 1, 2]] {
        let view = decoder.decode_block(2, bytes);
        assert!(view.layout().is_none() && view.bytes() == bytes);
        assert!(decoder.problem().is_some(), "{bytes:?}");
    }
}
