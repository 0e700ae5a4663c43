//! One line of JSON and the record it stands for.

use crate::block::{Builder, Entry, Names, hex, number, unknown};
use crate::error::{Flaw, LineError};
use crate::nearest::nearest;
use crate::tree::Tree;
use crate::values;
use wire::event::{Block, Event, Value};
use wire::layout::{self, DISCOVERY_HEADER, RecordLayout};
use wire::record::SHORT_HEADER;

/// The longest line.
pub const MAX_LINE: usize = 1 << 20;

/// The longest id of a caller, in bytes.
pub const MAX_ID: usize = 256;

/// The largest record: far more than a line can hold, except for one that is all blocks.
const MAX_RECORD: usize = 16 << 20;

/// The largest netmap id.
const MAX_NETMAP: u64 = 0x7fff;

/// Fields that say when an event happened, by canonical name, with those of the microseconds: the first that a record
/// has is the time of the event.
const TIMES: [(&str, &str); 5] = [
    ("eventSecond", "eventMicrosecond"),
    ("correlationEventSecond", "correlationEventMicrosecond"),
    ("fileEventTimestamp", ""),
    ("malwareEventTimestamp", ""),
    ("packetSecond", "packetMicrosecond"),
];

/// What an event gets that its line leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The device id.
    pub device: Option<u32>,
    /// When it happened: Unix second and microsecond.
    pub time: Option<(u32, u32)>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its record type.
    pub record_type: u16,
    /// The caller's id.
    pub id: Option<String>,
    /// The record as the encoder writes it, without archival timestamp.
    pub record: Vec<u8>,
}

/// Reads a line: a JSON object with `recordType`, the fields of the record by their canonical names or by those eNcore
/// prints, and, if wanted, `netmap` and the caller's `id` (`@id` in records that have a field `id`). What is left out
/// gets its default, or is zero or empty.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(line: &[u8], defaults: &Defaults) -> Result<Line, LineError> {
    if line.len() > MAX_LINE {
        return Err(Flaw::TooLong { length: line.len(), most: MAX_LINE }.into());
    }
    let tree: Tree =
        serde_json::from_slice(line).map_err(|error| LineError::new(Flaw::Json { detail: error.to_string() }))?;
    let Tree::Object(entries) = tree else {
        return Err(LineError::new(Flaw::NotObject { or_list: false }).of(tree.excerpt()));
    };
    let record_type = record_type(&entries)?;
    let read = read(record_type, &entries, defaults);
    read.map_err(|error| LineError { record_type: Some(record_type), ..error })
}

fn record_type(entries: &[Entry]) -> Result<u16, LineError> {
    let (_, tree) = entries.iter().find(|(key, _)| key == "recordType").ok_or(Flaw::NoRecordType)?;
    let wrong = |nearest| LineError::new(Flaw::RecordType { nearest }).of(tree.excerpt()).within("recordType");
    let number = match tree {
        Tree::Uint(number) => Some(*number),
        Tree::Text(text) => values::digits(text).or_else(|| {
            let named = layout::records().iter().filter(|record| record.name.eq_ignore_ascii_case(text));
            // Of several the one that current versions send.
            let current = named.max_by_key(|record| (record.event == record.record_type, record.record_type));
            current.map(|record| record.record_type.into())
        }),
        _ => None,
    };
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| match tree {
        Tree::Text(text) => wrong(nearest(text, layout::records().iter().map(|record| record.name))),
        _ => wrong(None),
    })
}

fn read(record_type: u16, entries: &[Entry], defaults: &Defaults) -> Result<Line, LineError> {
    if let Some((_, problem)) = entries.iter().find(|(key, _)| key == "@problem") {
        return Err(Flaw::Damaged { problem: problem.excerpt() }.into());
    }
    let known = layout::record(record_type);
    let netmap = number(entries, "netmap")?.unwrap_or(0);
    if netmap > MAX_NETMAP {
        return Err(LineError::new(Flaw::Range { bytes: 2, most: MAX_NETMAP }).of(netmap.to_string()).within("netmap"));
    }
    let id = id(known, entries)?;
    let record = match known.filter(|record| !record.body.is_gap()) {
        Some(record) => event(record, netmap as u16, entries, defaults)?,
        None => bytes(record_type, netmap as u16, entries)?,
    };
    if record.len() > MAX_RECORD {
        return Err(Flaw::Size { length: record.len(), most: MAX_RECORD }.into());
    }
    Ok(Line { record_type, id, record })
}

/// Whether a record has a field of this name at its top, in the block that `block_type` says or in any body.
fn has(names: Names, record: &RecordLayout, block_type: Option<u64>, name: &str) -> bool {
    let found = |layout: &'static layout::Layout| layout.forms().any(|form| names.find(form, name).is_some());
    match (record.inline_block(), block_type) {
        // A block that nobody knows has no fields.
        (Some((_, expected)), Some(number @ 1..)) => {
            u32::try_from(number).ok().and_then(|number| layout::block(expected.series, number)).is_some_and(found)
        }
        _ => found(record.main_layout()) || found(record.body),
    }
}

/// The key of the caller's id.
fn id_key(known: Option<&'static RecordLayout>, block_type: Option<u64>) -> &'static str {
    if known.is_some_and(|record| has(Names::of(&[]), record, block_type, "id")) { "@id" } else { "id" }
}

fn id(known: Option<&'static RecordLayout>, entries: &[Entry]) -> Result<Option<String>, LineError> {
    let key = id_key(known, number(entries, "blockType")?);
    let Some((name, tree)) = entries.iter().find(|(name, _)| name == key || name == "@id") else { return Ok(None) };
    let id = match tree {
        Tree::Null => return Ok(None),
        Tree::Text(text) if (1..=MAX_ID).contains(&text.len()) => text.clone(),
        Tree::Uint(number) => number.to_string(),
        _ => return Err(LineError::new(Flaw::Id { most: MAX_ID }).of(tree.excerpt()).within(name)),
    };
    Ok(Some(id))
}

/// What a line says besides the fields.
fn about(id: &str, key: &str) -> bool {
    match key {
        "recordType" | "netmap" | "recordLength" | "archiveTimestamp" | "checksum" | "@id" | "@computed"
        | "discoveryHeader" => true,
        _ => key == id,
    }
}

/// A record of which only bytes are known.
fn bytes(record_type: u16, netmap: u16, entries: &[Entry]) -> Result<Vec<u8>, LineError> {
    let mut data = None;
    for entry in entries.iter().filter(|(key, _)| !about("id", key) && key != "blockType") {
        match entry.0.as_str() {
            "data" => data = Some(hex(&entry.1).map_err(|error| error.within("data"))?),
            key => return Err(LineError::new(Flaw::OnlyData).within(key)),
        }
    }
    let data = data.ok_or(Flaw::OnlyData)?;
    let mut out = (u32::from(netmap) << 16 | u32::from(record_type)).to_be_bytes().to_vec();
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    out.extend_from_slice(&data);
    Ok(out)
}

fn event(
    record: &'static RecordLayout,
    netmap: u16,
    entries: &[Entry],
    defaults: &Defaults,
) -> Result<Vec<u8>, LineError> {
    let mut event = Event::new(record.record_type).map_err(|_| LineError::new(Flaw::OnlyData))?;
    event.set_netmap(netmap);
    let names = Names::of(entries);
    let mut builder = Builder::new(names);

    // A key that the header has belongs to it, and to the block as well when that has it too.
    let mut main: Vec<Entry> = Vec::new();
    let mut header: Vec<Entry> = Vec::new();
    let block_type = number(entries, "blockType")?;
    let id = id_key(Some(record), block_type);
    for entry in entries.iter().filter(|(key, _)| !about(id, key)) {
        let in_header = record.discovery_header && names.find(DISCOVERY_HEADER, &entry.0).is_some();
        let in_main = has(names, record, block_type, &entry.0);
        if in_header && !in_main {
            header.push(entry.clone());
            continue;
        }
        // What does not fit the header is the block's alone.
        if in_header && builder.choose([DISCOVERY_HEADER].into_iter(), std::slice::from_ref(entry), None).is_ok() {
            header.push(entry.clone());
        }
        main.push(entry.clone());
    }
    if let Some(place) = event.discovery_mut() {
        let own = entries.iter().find(|(key, _)| key == "discoveryHeader");
        if let Some((key, tree)) = own {
            let Tree::Object(own) = tree else {
                return Err(LineError::new(Flaw::NotObject { or_list: false }).of(tree.excerpt()).within(key));
            };
            let position = |key: &str| names.find(DISCOVERY_HEADER, key);
            header.retain(|(key, _)| !own.iter().any(|(name, _)| position(name) == position(key)));
            header.extend(own.iter().cloned());
        }
        let made = builder.choose([DISCOVERY_HEADER].into_iter(), &header, None);
        *place = made.map_err(|error| if own.is_some() { error.within("discoveryHeader") } else { error })?;
    }
    // The data of the record without the header, if the line says its length.
    let length = number(entries, "recordLength")?.and_then(|length| length.checked_sub(discovery_length(&event)));
    let mut trailing = Vec::new();
    *event.main_mut() = self::main(record, &main, &mut builder, &mut trailing, length)?;
    event.set_trailing(trailing);
    fill_in(&mut event, defaults);
    let mut out = Vec::new();
    event.encode(None, &mut out);
    Ok(out)
}

/// The block of the record, or its body; what follows the block goes to `trailing`.
fn main(
    record: &'static RecordLayout,
    entries: &[Entry],
    builder: &mut Builder,
    trailing: &mut Vec<u8>,
    length: Option<u64>,
) -> Result<Block, LineError> {
    let block_type = number(entries, "blockType")?;
    let names = builder.names;
    let fits = |layout: &'static layout::Layout| {
        layout.forms().any(|form| {
            let no_field = |key: &str| matches!(key, "blockType" | "blockLength" | "blockString" | "@trailing");
            entries.iter().all(|(key, _)| no_field(key) || names.find(form, key).is_some())
        })
    };
    let check = |layout: &'static layout::Layout| {
        let wrong = entries.iter().find(|(key, _)| {
            let no_field = matches!(key.as_str(), "blockType" | "blockLength" | "blockString" | "@trailing" | "data");
            !no_field && names.find(layout, key).is_none()
        });
        let header: &[&layout::Layout] = if record.discovery_header { &[DISCOVERY_HEADER] } else { &[] };
        wrong.map(|entry| unknown(layout, header, entry))
    };
    // Before blocks, some records had bodies of their own.
    let bodies = || record.body.forms().filter(|form| !form.fields.iter().any(|field| field.name.is_empty()));
    let inline = record.inline_block().map(|(_, layout)| layout);
    let Some(layout) = inline.filter(|layout| match block_type {
        Some(0) => layout.number == 0 || bodies().next().is_none(),
        Some(_) => true,
        None => fits(layout) || !bodies().any(fits),
    }) else {
        if !bodies().any(fits)
            && let Some(error) = bodies().next().and_then(check)
        {
            return Err(error);
        }
        return builder.choose(bodies(), entries, length);
    };
    let known = block_type.and_then(|number| layout::block(layout.series, u32::try_from(number).ok()?));
    let chosen = if block_type.is_some() { known } else { Some(layout) };
    if let Some(layout) = chosen.filter(|layout| !layout.is_gap() && !fits(layout))
        && let Some(error) = check(layout)
    {
        return Err(error);
    }
    let mut block = builder.block(layout, entries)?;
    // What follows the block within the record is printed together with what follows its fields.
    let behind = entries.iter().find(|(key, _)| key == "@trailing").map(|(_, tree)| hex(tree)).transpose()?;
    if let (Some(mut octets), Some(length)) = (behind, number(entries, "blockLength")?) {
        block.set_trailing(Vec::new());
        let mut encoded = Vec::new();
        block.encode(&mut encoded);
        let inside = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(encoded.len()).min(octets.len());
        *trailing = octets.split_off(inside);
        block.set_trailing(octets);
    }
    Ok(block)
}

fn discovery_length(event: &Event) -> u64 {
    let mut out = Vec::new();
    event.encode(None, &mut out);
    let mut main = Vec::new();
    event.main().encode(&mut main);
    (out.len() - SHORT_HEADER - main.len()) as u64
}

/// Device and time of an event that does not say them.
fn fill_in(event: &mut Event, defaults: &Defaults) {
    if event.record().metadata {
        return;
    }
    let unset = |event: &Event, name: &str| matches!(event.named(name), Some(Value::Unset));
    if let Some(device) = defaults.device
        && unset(event, "deviceId")
    {
        let _ = event.set("deviceId", device);
    }
    if let Some((second, microsecond)) = defaults.time
        && let Some((seconds, microseconds)) = TIMES.iter().find(|(name, _)| event.named(name).is_some())
        && unset(event, seconds)
    {
        let _ = event.set(seconds, second);
        if unset(event, microseconds) {
            let _ = event.set(microseconds, microsecond);
        }
    }
}
