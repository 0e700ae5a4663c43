//! CSV (RFC 4180): one kind of event a file, with a fixed row of columns.
//!
//! Fields are separated by commas and records by a line feed; a field is quoted when it contains a comma, a quote or
//! blanks at its ends, and quotes in it are doubled. A line end in a text is written as the two characters `\n` or `\r`,
//! so that an event stays one line. What an event has not is empty.

use crate::mapping::item::{Item, first};
use crate::mapping::places::Parts;
use crate::mapping::plan::{Plans, Shown};
use crate::mapping::{Mapping, MappingError};
use crate::packet::PacketEncoding;
use crate::registry::FormatError;
use crate::resolved::{Format, Resolved};
use crate::splunk::payload_text;
use crate::style::{Case, Style, character, classes, raw, text, write};
use crate::text::Line;

const FILE: (&str, &str) = ("csv", include_str!("../mapping/csv.toml"));

const SHOWN: Shown = Shown {
    replace: false,
    rest: false,
    case: Case::Camel,
    equals: "",
    front: ["", ""],
    metadata: false,
    versions: true,
    all: true,
};

/// One kind of event.
#[derive(Debug)]
pub(crate) struct Csv {
    plans: Plans,
    columns: Vec<String>,
    /// The form of Cisco's own client for Perl: bars between fields, nothing quoted.
    style: Values,
}

#[derive(Debug)]
struct Values {
    bars: bool,
}

/// The names of the sets of columns.
pub(crate) fn sets() -> Result<Vec<String>, MappingError> {
    let mut names: Vec<String> = Mapping::load(&[FILE])?.sets.into_keys().collect();
    names.sort_unstable();
    Ok(names)
}

/// The mapping of a set, and the names of its columns.
pub(crate) fn mapping(set: &str) -> Result<(Mapping, Vec<String>), FormatError> {
    let mut mapping = Mapping::load(&[FILE])?;
    let Some(chosen) = mapping.sets.remove(set) else {
        return Err(FormatError::Columns { name: set.to_owned(), sets: sets()? });
    };
    let columns = chosen.columns.iter().map(|(name, _)| name.clone()).collect();
    mapping.choose(chosen);
    Ok((mapping, columns))
}

impl Csv {
    pub(crate) fn new(set: &str) -> Result<Csv, FormatError> {
        let (mapping, columns) = mapping(set)?;
        Ok(Csv { plans: Plans::new(mapping, SHOWN), columns, style: Values { bars: set == "sdk" } })
    }
}

impl Format for Csv {
    fn format(&self, event: &Resolved<'_>, out: &mut Vec<u8>) -> bool {
        let parts = Parts::new(event.record);
        let Some(plan) = self.plans.plan(event.record, parts.main.as_ref()) else { return false };
        let event = plan.event(parts, event);
        let mut line = Line::new(out, 1024);
        for slot in &plan.slots {
            if let Some(item) = first(&slot.sources, &event) {
                line = write(&self.style, &item, line);
            }
            line = self.style.after(line);
        }
        line.back(1).finish();
        true
    }

    fn header(&self, out: &mut Vec<u8>) -> bool {
        let separator = if self.style.bars { "|" } else { "," };
        out.extend_from_slice(self.columns.join(separator).as_bytes());
        out.push(b'\n');
        true
    }
}

impl Style for Values {
    const CLASS: [u8; 256] = classes(b"\"|", b", ");

    fn shown(&self) -> &Shown {
        &SHOWN
    }

    fn plain<'o>(&self, octets: &[u8], quote: bool, out: Line<'o>) -> Line<'o> {
        match quote && !self.bars {
            true => raw(out.bytes(b"\""), octets).bytes(b"\""),
            false => raw(out, octets),
        }
    }

    fn odd<'o>(&self, text: &str, out: Line<'o>) -> Line<'o> {
        let mut out = if self.bars { out } else { out.bytes(b"\"") };
        for c in text.chars() {
            out = match c {
                '\n' => out.bytes(b"\\n"),
                '\r' => out.bytes(b"\\r"),
                '\0' => out,
                '"' if !self.bars => out.bytes(b"\"\""),
                '|' if self.bars => out.bytes(b" "),
                c => character(out, c),
            };
        }
        if self.bars { out } else { out.bytes(b"\"") }
    }

    fn payload<'o>(&self, payload: &Item<'_>, out: Line<'o>) -> Line<'o> {
        text(self, payload_text(payload, PacketEncoding::Hex).as_bytes(), false, out)
    }

    fn omits(&self, _: &Item<'_>) -> bool {
        false
    }

    fn after<'o>(&self, out: Line<'o>) -> Line<'o> {
        out.bytes(if self.bars { b"|" } else { b"," })
    }
}
