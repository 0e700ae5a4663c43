//! The reference of records and data blocks as text (Markdown), made from the layouts.

use crate::hosts::host_data;
use crate::layout::{self, Certainty, Class, Field, Kind, Layout, Naming, RecordLayout, Status};
use crate::names::{self, Enumeration};
use crate::request;
use crate::versions::event_types;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// One line a record type.
pub fn record_list() -> String {
    let mut out = String::from("| record | name | status | certainty |\n|---:|---|---|---|\n");
    for record in layout::records() {
        let body = record.body;
        let _ = writeln!(out, "| {} | {} | {} | {} |", record.record_type, record.name, status(body), certainty(body));
    }
    out
}

/// One line a data block of a series (1 or 2).
pub fn block_list(series: u8) -> String {
    let mut out = String::from("| block | name | versions | status | certainty |\n|---:|---|---|---|---|\n");
    for block in numbered(series) {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            block.number,
            block.title,
            block.versions,
            status(block),
            certainty(block)
        );
    }
    out
}

/// The data blocks of a series, by number.
pub fn numbered(series: u8) -> impl Iterator<Item = &'static Layout> {
    (0..1024).filter_map(move |number| layout::block(series, number))
}

/// A record type: what it is, who asks for it, its fields.
pub fn record(record: &RecordLayout) -> String {
    let mut out = format!("### {} {}\n\n", record.record_type, record.name);
    let what = match (record.metadata, record.class) {
        (true, _) => format!("Metadata, identified by {}.", join(record.key)),
        (false, Class::None) => "Event; a collector writes it only when it is listed.".to_owned(),
        (false, class) => format!("Event, class {}.", format!("{class:?}").to_lowercase()),
    };
    let _ = writeln!(out, "{what} {}", origin(record.body));
    let asked: Vec<String> = event_types()
        .iter()
        .filter(|e| e.versions.iter().any(|v| v.own(record.record_type).is_some()))
        .map(|e| format!("event type {} ({})", e.code, e.name))
        .collect();
    if !asked.is_empty() {
        let _ = writeln!(out, "Asked for by {}.", asked.join(", "));
    }
    if record.discovery_header {
        out.push_str("The discovery event header comes first.\n");
    }
    out.push('\n');
    match record.inline_block() {
        Some((_, block)) => {
            let _ = writeln!(
                out,
                "Data block {}:{} ({}), or another that the wire names.",
                block.series, block.number, block.title
            );
        }
        None => out.push_str(&fields(record.body)),
    }
    out
}

/// The data types of host data requests with the blocks that answer.
pub fn host_data_types() -> String {
    let mut out = String::from("| data type | asks for | product versions | data block |\n|---:|---|---|---|\n");
    for t in host_data() {
        let what = if t.multiple { "a range" } else { "a single host" };
        let _ = writeln!(out, "| {} | {what} | {} | {}:{} |", t.data_type, t.product, t.layout.series, t.layout.number);
    }
    out
}

/// A data block: what it is, its versions and source, its fields.
pub fn block(layout: &Layout) -> String {
    let mut out = format!("### {}:{} {}\n\n", layout.series, layout.number, layout.title);
    if !layout.versions.is_empty() {
        let _ = write!(out, "Product versions {}. ", layout.versions);
    }
    let _ = writeln!(out, "{}\n", origin(layout));
    out.push_str(&fields(layout));
    out
}

/// The bits of the request flags word with what they select.
pub fn flags() -> String {
    let mut out = String::from("| bit | asks for | that is | in a server's log |\n|---:|---|---|---|\n");
    for flag in request::flags() {
        let records: Vec<String> = flag.records.iter().map(|r| format!("record {r}")).collect();
        let event = flag.event.map(|e| format!("event type {} version {}", e.code, e.version));
        let is = event.unwrap_or_else(|| records.join(", "));
        let _ = writeln!(out, "| {} | {} | {is} | {} |", flag.bit, flag.name, flag.words);
    }
    out
}

/// The event types of the extended request with the blocks their versions yield.
pub fn requests() -> String {
    let mut out = String::from(
        "| event type | version | product versions | new records | new data blocks | in a server's log |\n\
         |---|---:|---|---|---|---|\n",
    );
    for event in event_types() {
        let (mut records, mut blocks): (&[&RecordLayout], &[&Layout]) = (&[], &[]);
        for version in event.versions {
            let form =
                |r: &&RecordLayout| match layout::record(r.record_type).is_some_and(|newest| newest.body == r.body) {
                    true => r.record_type.to_string(),
                    false => format!("{} ({})", r.record_type, r.body.versions),
                };
            let had = |r: &RecordLayout| records.iter().any(|old| std::ptr::eq(*old, r));
            // All that carry an event for which one of them is new.
            let new: Vec<u16> = version.records.iter().filter(|r| !had(r)).map(|r| r.event).collect();
            let is_new = |r: &&&RecordLayout| new.contains(&r.event);
            let new_records: Vec<String> = match version.all_metadata {
                true => vec!["all metadata".to_owned()],
                false => version.records.iter().filter(is_new).map(form).collect(),
            };
            let new_blocks = version.blocks.iter().filter(|b| !blocks.contains(b));
            let new_blocks: Vec<String> = new_blocks.map(|b| format!("{}:{}", b.series, b.number)).collect();
            (records, blocks) = (version.records, version.blocks);
            let _ = writeln!(
                out,
                "| {} {} | {} | {} | {} | {} | {} |",
                event.code,
                event.name,
                version.version,
                version.product,
                new_records.join(", "),
                new_blocks.join(", "),
                version.words
            );
        }
    }
    out
}

/// An enumeration: what it tells, where it is known from, the fields that have it, all names.
pub fn enumeration(enumeration: &Enumeration) -> String {
    let mut out = format!("### {}\n\n{}.", enumeration.name, enumeration.title);
    out.push_str(if enumeration.bits { " A set of bits.\n" } else { "\n" });
    let certainty = match enumeration.certainty {
        Certainty::Gap => "Names unknown",
        Certainty::Inferred => "Inferred",
        Certainty::Documented => "Documented",
        Certainty::Observed => "Observed",
    };
    let _ = writeln!(out, "{certainty}: {}.", enumeration.source);
    if let [first, rest @ ..] = enumeration.metadata {
        let more: String = rest.iter().map(|r| format!(", {r}")).collect();
        let _ = writeln!(out, "A server's own names come in record {first}{more}.");
    }
    let _ = writeln!(out, "Fields: {}.\n", fields_of(enumeration));
    if !enumeration.names.is_empty() {
        out.push_str("| number | name |\n|---:|---|\n");
    }
    for (number, name) in enumeration.names {
        let _ = match enumeration.bits {
            true => writeln!(out, "| {number:#x} | {name} |"),
            false => writeln!(out, "| {number} | {name} |"),
        };
    }
    out
}

/// The fields that have an enumeration, with the titles of their blocks and records.
fn fields_of(enumeration: &Enumeration) -> String {
    let bodies = layout::records().iter().map(|r| r.body);
    let mut fields: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for layout in layout::blocks().chain(bodies).chain([layout::DISCOVERY_HEADER]) {
        for (position, field) in layout.fields.iter().enumerate() {
            for naming in layout.names(position).filter(|n| n.of == enumeration) {
                let text = format!("`{}`{}", field.name, condition(layout, naming));
                fields.entry(text).or_default().insert(layout.title);
            }
        }
    }
    let field = |(field, titles): (String, BTreeSet<&str>)| {
        format!("{field} ({})", titles.into_iter().collect::<Vec<_>>().join("; "))
    };
    fields.into_iter().map(field).collect::<Vec<_>>().join(", ")
}

fn fields(layout: &Layout) -> String {
    if layout.is_gap() {
        return "The layout is not known: delivered as bytes.\n".to_owned();
    }
    if layout.fields.is_empty() {
        return "No fields.\n".to_owned();
    }
    let mut out = String::from("| field | type | |\n|---|---|---|\n");
    for (position, field) in layout.fields.iter().enumerate() {
        let mut notes = Vec::new();
        for naming in layout.names(position) {
            notes.push(format!("`{}`{}", naming.of.name, condition(layout, naming)));
        }
        if field.encore != field.name {
            notes.push(format!("eNcore prints `{}`", field.encore));
        }
        if let Some(condition) = field.present_if {
            notes.push(format!("only when `{}` is not 0", name(layout, condition)));
        }
        if field.optional {
            notes.push("may be absent with all that follows".to_owned());
        }
        let _ = writeln!(out, "| `{}` | {} | {} |", field.name, kind(layout, field), notes.join("; "));
    }
    out
}

fn condition(layout: &Layout, naming: &Naming) -> String {
    naming.when.map_or_else(String::new, |(other, number)| format!(" when `{}` is {number}", name(layout, other)))
}

fn kind(layout: &Layout, field: &Field) -> String {
    match field.kind {
        Kind::Uint => format!("u{}", 8 * u32::from(field.fixed)),
        Kind::Hex => format!("{} octets", field.fixed),
        Kind::Uuid => "UUID".to_owned(),
        Kind::Ipv4 => "IPv4 address, 4 octets".to_owned(),
        Kind::Ipv6 => "IP address, 16 octets".to_owned(),
        Kind::Mac => "MAC address".to_owned(),
        Kind::String => "String block".to_owned(),
        Kind::Blob => "BLOB block".to_owned(),
        Kind::Counted { length, text } => {
            let what = if text { "text" } else { "octets" };
            match layout.fields.get(usize::from(length)) {
                Some(counter) => format!("{what}, as long as `{}` says", counter.name),
                None => format!("{what}, the rest of the block"),
            }
        }
        Kind::Block { expected, .. } if expected.number == 0 => "data block that the wire names".to_owned(),
        Kind::Block { expected, .. } => {
            format!("data block {}:{} ({})", expected.series, expected.number, expected.title)
        }
        Kind::List { of, generic } => {
            let list = if generic { "Generic List" } else { "List" };
            match of.number {
                0 => format!("{list} of data blocks that the wire names"),
                number => format!("{list} of {}:{number} ({})", of.series, of.title),
            }
        }
    }
}

fn origin(layout: &Layout) -> String {
    let mut text = format!("{}, {}", capital(status(layout)), certainty(layout));
    if !layout.source.is_empty() {
        let _ = write!(text, " ({})", layout.source);
    }
    text.push('.');
    text
}

fn status(layout: &Layout) -> &'static str {
    match layout.status {
        Status::Current => "current",
        Status::Legacy => "legacy",
        Status::Internal => "internal",
    }
}

fn certainty(layout: &Layout) -> &'static str {
    match layout.certainty {
        Certainty::Documented => "documented",
        Certainty::Observed => "observed",
        Certainty::Inferred => "inferred",
        Certainty::Gap => "layout unknown",
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn name(layout: &Layout, position: u16) -> &'static str {
    layout.fields.get(usize::from(position)).map_or("", |f| f.name)
}

fn join(names: &[&str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

/// The whole reference as files: name and contents.
pub fn files() -> Vec<(&'static str, String)> {
    const HEAD: &str = "<!-- Made from crates/wire/schema. Do not edit: UPDATE_DOCS=1 cargo test -p estreamer-wire --test reference -->\n\n";
    let index = format!(
        "{HEAD}# Records and data blocks\n\n\
         What follows the record header in event data, for every product version whose layout is known. *Documented* was read \
         in a vendor's guide or client table, *observed* is decoded by a client used against real servers, *inferred* follows \
         from neighbouring versions.\n\n\
         - [records.md](records.md): record types\n- [series1.md](series1.md), [series2.md](series2.md): data blocks\n\
         - [names.md](names.md): what the numbers in `TypesWrittenLikeThis` mean\n\n\
         A data block is u32 block type and u32 block length (these 8 bytes included), then its fields. All integers are \
         big-endian.\n\n## What a request selects\n\nRequest flags:\n\n{}\nEvent types of the extended request. A \
         version has the records and data blocks of the one before it, except those that the new ones take the place of.\n\n\
         {}\n## Host data\n\n{}\n## Record types\n\n{}\n## Series 1\n\n{}\n## Series 2\n\n{}",
        flags(),
        requests(),
        host_data_types(),
        record_list(),
        block_list(1),
        block_list(2)
    );
    let mut records =
        format!("{HEAD}# Record types\n\n## Discovery event header\n\n{}\n", fields(layout::DISCOVERY_HEADER));
    for r in layout::records() {
        let _ = writeln!(records, "{}", record(r));
    }
    let series = |n: u8| {
        let blocks: Vec<String> = numbered(n).map(block).collect();
        format!("{HEAD}# Data blocks of series {n}\n\n{}", blocks.join("\n"))
    };
    let names: Vec<String> = names::enumerations().iter().map(|e| enumeration(e)).collect();
    let names = format!(
        "{HEAD}# Names of numbers\n\n\
         Any other number can occur. *Documented* was read in a vendor's guide or is what a public registry defines, \
         *observed* is printed by a client used against real servers.\n\n{}",
        names.join("\n")
    );
    let series = [("series1.md", series(1)), ("series2.md", series(2))];
    [("README.md", index), ("records.md", records), ("names.md", names)].into_iter().chain(series).collect()
}
