//! Laws over the whole schema: a record written as a line of JSON is read as the bytes the encoder gives, and what the
//! JSON format prints of it can be read again.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use outputs::{Format, Json, Resolved};
use proptest::prelude::*;
use publish::{Defaults, parse};
use serde_json::{Value as Tree, json};
use support::{Dice, random_event, shared};
use wire::decode::Decoder;
use wire::event::{Block, Event, Value};
use wire::layout::{self, DISCOVERY_HEADER, Field, Kind};

/// A record by the canonical names of its fields.
fn line(event: &mut Event) -> Tree {
    let mut object = json!({"recordType": event.record().record_type, "netmap": event.netmap()});
    let main = event.main();
    if main.layout().header {
        object["blockType"] = main.layout().number.into();
    } else if event.record().inline_block().is_some() {
        object["blockType"] = 0.into();
    }
    let mut bytes = Vec::new();
    event.encode(None, &mut bytes);
    object["recordLength"] = (bytes.len() - 8).into();
    merge(&mut object, block(event.main()));
    if let Some(header) = event.discovery_mut() {
        object["discoveryHeader"] = block(header);
    }
    object
}

fn merge(object: &mut Tree, more: Tree) {
    let Tree::Object(more) = more else { panic!("a block is an object") };
    object.as_object_mut().unwrap().extend(more);
}

/// The fields of a block, and its header.
fn block(block: &Block) -> Tree {
    let mut object = json!({});
    if block.layout().header {
        let mut bytes = Vec::new();
        block.encode(&mut bytes);
        object = json!({"blockType": block.layout().number, "blockLength": bytes.len()});
    }
    for (position, field) in block.layout().fields.iter().enumerate() {
        if let Some(tree) = value(field, block.value(position)) {
            object[field.name] = tree;
        }
    }
    object
}

fn value(field: &Field, value: &Value) -> Option<Tree> {
    Some(match (value, field.kind) {
        (Value::Unset, _) => return None,
        (Value::Uint(number), _) => (*number).into(),
        (Value::Block(inner), _) => block(inner),
        (Value::List(items), _) => items.iter().map(block).collect(),
        (Value::Octets(octets), Kind::String | Kind::Blob | Kind::Counted { text: true, .. }) => {
            json!({"hex": hex(octets)})
        }
        (Value::Octets(octets), Kind::Ipv6) => {
            wire::event::address(octets.as_slice().try_into().unwrap()).to_string().into()
        }
        (Value::Octets(octets), Kind::Ipv4) => {
            std::net::Ipv4Addr::from(<[u8; 4]>::try_from(octets.as_slice()).unwrap()).to_string().into()
        }
        (Value::Octets(octets), _) => hex(octets).into(),
    })
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A random record of every type, in every block and every form its body has.
fn events(dice: &mut Dice) -> Vec<Event> {
    let mut events = Vec::new();
    for record in layout::records().iter().filter(|record| !record.body.is_gap()) {
        match record.inline_block() {
            Some((_, expected)) => {
                let versions = layout::blocks().filter(|l| l.title == expected.title && l.series == expected.series);
                events.extend(versions.filter(|l| !l.is_gap()).map(|l| random_event(record.record_type, l, dice)));
                let bodies = record.body.forms().filter(|form| form.fields.iter().all(|f| !f.name.is_empty()));
                events.extend(bodies.map(|form| random_event(record.record_type, form, dice)));
            }
            None => events.extend(record.body.forms().map(|form| random_event(record.record_type, form, dice))),
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_line_gives_the_bytes_the_encoder_gives(seed: u64, netmap in 0u16..0x8000) {
        for mut event in events(&mut Dice(seed)) {
            event.set_netmap(netmap);
            let mut bytes = Vec::new();
            event.encode(None, &mut bytes);
            let line = line(&mut event).to_string();
            let read = parse(line.as_bytes(), &Defaults::default());
            let read = read.map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
            prop_assert!(read.record == bytes, "record {} as {}: {line}", event.record().record_type, event.main().layout().title);
            prop_assert_eq!(read.id, None);
        }
    }

    #[test]
    fn every_block_that_can_stand_in_a_list_is_read(seed: u64) {
        // Record 6 holds blocks of any type of series 1.
        for layout in layout::blocks().filter(|l| l.header && l.series == 1 && !l.is_gap()) {
            let mut event = Event::new(6).unwrap();
            event.main_mut().set("data", vec![support::random_block(layout, &mut Dice(seed))]).unwrap();
            let mut bytes = Vec::new();
            event.encode(None, &mut bytes);
            let line = line(&mut event).to_string();
            let read = parse(line.as_bytes(), &Defaults::default());
            let read = read.map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
            prop_assert!(read.record == bytes, "{}: {line}", layout.title);
        }
    }

    #[test]
    fn what_is_printed_is_read_again(seed: u64) {
        let format = Json::new();
        let (mut decoder, mut again) = (Decoder::new(), Decoder::new());
        for mut event in events(&mut Dice(seed)) {
            // What the header and the block share is printed once.
            shared(&mut event);
            let mut bytes = Vec::new();
            event.encode(None, &mut bytes);
            let record = decoder.decode(&bytes).unwrap();
            if record.problem().is_some() || record.layout.is_none() {
                continue;
            }
            let mut line = Vec::new();
            format.format(&Resolved { record: &record, computed: &[] }, &mut line);
            let text = String::from_utf8(line).unwrap();
            let read = parse(text.as_bytes(), &Defaults::default());
            let read = read.map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
            let mut second = Vec::new();
            let record = again.decode(&read.record).unwrap();
            format.format(&Resolved { record: &record, computed: &[] }, &mut second);
            prop_assert_eq!(String::from_utf8(second).unwrap(), text);
        }
    }
}

#[test]
fn all_fields_of_the_discovery_header_have_names() {
    assert!(DISCOVERY_HEADER.fields.iter().all(|field| !field.name.is_empty()));
}
