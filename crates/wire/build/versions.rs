//! Versions of the event types: the records and data blocks each of them is made of.

use crate::Result;
use crate::layouts::{Known, reference};
use crate::model::{Certainty, Conversion, Event, Record, RecordRef, Records, Requests, Version};
use std::fmt::Write as _;

/// The table of event types. Of each version it holds all record forms and blocks, those of earlier versions that it
/// does not replace included.
pub(crate) fn events(known: &Known, records: &Records, requests: &Requests) -> Result<String> {
    let mut out = format!("pub(crate) static EVENTS: [EventType; {}] = [", requests.event.len());
    for event in &requests.event {
        let at = |e: String| format!("requests: event type {}: {e}", event.code);
        let versions = versions(known, records, event).map_err(at)?;
        let _ = write!(out, "EventType{{code:{},name:{:?},versions:&[{versions}]}},", event.code, event.name);
    }
    out.push_str("];\n");
    Ok(out)
}

/// A record form that is in force: record type, what the record is a form of, and how to write it.
struct Sent {
    record_type: u16,
    event: u16,
    place: String,
}

fn versions(known: &Known, records: &Records, event: &Event) -> Result<String> {
    let mut out = String::new();
    let mut sent: Vec<Sent> = Vec::new();
    let mut blocks: Vec<(u32, u32)> = Vec::new();
    let mut last = None;
    for version in &event.version {
        let at = |e: String| format!("version {}: {e}", version.version);
        if last.is_some_and(|last| last >= version.version) {
            return Err(at("versions must be in rising order".into()));
        }
        last = Some(version.version);
        let came = version_records(records, version).map_err(at)?;
        // What carries the same event takes the place of what earlier versions had for it.
        sent.retain(|s| came.iter().all(|c| c.event != s.event));
        sent.extend(came);
        for text in &version.blocks {
            let key = reference(text).map_err(at)?;
            let block = known.get(&key).ok_or_else(|| at(format!("block {text} is not defined")))?;
            if block.certainty == Certainty::Gap {
                return Err(at(format!("block {text} has no layout")));
            }
            blocks.retain(|k| k.0 != key.0 || known[k].title != block.title);
            blocks.push(key);
        }
        let records: String = sent.iter().map(|s| format!("&{},", s.place)).collect();
        let blocks: String = blocks.iter().map(|(series, number)| format!("&B{series}_{number},")).collect();
        let _ = write!(
            out,
            "Version{{version:{},product:{:?},words:{:?},records:&[{records}],blocks:&[{blocks}],all_metadata:{},short_header:{}}},",
            version.version, version.product, version.words, version.all_metadata, version.short_header
        );
    }
    Ok(out)
}

/// The record forms that come with a version.
fn version_records(records: &Records, version: &Version) -> Result<Vec<Sent>> {
    let find = |record_type: u16| -> Result<(usize, &Record)> {
        let found = records.record.iter().enumerate().find(|(_, r)| r.r#type == record_type);
        found.ok_or_else(|| format!("record {record_type} is not defined"))
    };
    let mut all = Vec::new();
    for entry in &version.records {
        let (at, record, form) = match entry {
            RecordRef::Type(record_type) => {
                let (at, record) = find(*record_type)?;
                (at, record, String::new())
            }
            RecordRef::Form(text) => {
                let wrong = || format!("{text} is no record type and form, as in \"29#1\"");
                let (record_type, form) = text.split_once('#').ok_or_else(wrong)?;
                let (at, record) = find(record_type.parse().map_err(|_| wrong())?)?;
                let form: usize = form.parse().map_err(|_| wrong())?;
                if form == 0 || form > record.alternative.len() {
                    return Err(format!("record {record_type} has no form {form}"));
                }
                (at, record, format!(".forms[{}]", form - 1))
            }
        };
        let event = record.form_of.unwrap_or(record.r#type);
        find(event)?;
        all.push(Sent { record_type: record.r#type, event, place: format!("RECORDS[{at}]{form}") });
    }
    let twice = all.iter().enumerate().find(|(i, a)| all.iter().skip(i + 1).any(|b| b.record_type == a.record_type));
    match twice {
        Some((_, s)) => Err(format!("record {} is named twice", s.record_type)),
        None => Ok(all),
    }
}

/// What converting needs to know beyond names.
pub(crate) fn conversion(out: &mut String, known: &Known, file: &Conversion) -> Result<()> {
    let has = |name: &str| known.values().any(|b| b.fields.iter().any(|f| f.name == name));
    let singles = file.single.iter().flat_map(|s| [&s.field, &s.list, &s.item]);
    if let Some(unknown) = file.largest.iter().chain(&file.bits).chain(singles).find(|name| !has(name)) {
        return Err(format!("conversion: no block has a field {unknown}"));
    }
    let single: String = file
        .single
        .iter()
        .map(|s| format!("Single{{field:{:?},list:{:?},item:{:?}}},", s.field, s.list, s.item))
        .collect();
    let _ = writeln!(
        out,
        "pub(crate) static LARGEST: &[&str] = &{:?};\npub(crate) static BITS: &[&str] = &{:?};\n\
         pub(crate) static SINGLES: &[Single] = &[{single}];",
        file.largest, file.bits
    );
    Ok(())
}
