//! Records written at speed: the encoded record with nothing in it, into which values are patched.
//!
//! A [`Template`] is made from an [`Event`] and its layout once. A value of fixed size is written at its place; a text
//! is kept aside and put in when the record is emitted, the lengths around it corrected. What is not set stays as it
//! is in the event. That the bytes are those the event itself would encode to is tested below.

use super::SimulatorError;
use wire::event::{Event, NoField};
use wire::layout::{DISCOVERY_HEADER, Field as LayoutField, Kind, Layout};
use wire::record::{LONG_HEADER, SHORT_HEADER};

/// Bytes of message type and length before the record in a bundle item.
const ITEM_HEADER: usize = 8;

/// An encoded record to fill in.
#[derive(Debug)]
pub(crate) struct Template {
    record_type: u16,
    name: &'static str,
    empty: Vec<u8>,
    bytes: Vec<u8>,
    fields: Vec<(&'static str, Field)>,
    gaps: Vec<Gap>,
    /// Where the lengths of item, record and block are.
    lengths: Vec<usize>,
    pool: Vec<u8>,
}

/// Where a field of a template is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    at: usize,
    /// Bytes of a field of fixed size, 0 for a text.
    size: usize,
    gap: usize,
}

/// Where a text goes.
#[derive(Debug, Clone, Copy)]
struct Gap {
    at: usize,
    /// Where its length stands, which counts `header` bytes more than the text has.
    length_at: usize,
    length_size: usize,
    header: usize,
    /// The text in the pool.
    from: usize,
    to: usize,
}

impl Template {
    /// A template of an event whose texts are all empty.
    pub(crate) fn new(event: &Event) -> Result<Template, SimulatorError> {
        let record = event.record();
        let mut bytes = Vec::new();
        event.encode_item(Some(0), &mut bytes);
        let mut template = Template {
            record_type: record.record_type,
            name: record.name,
            empty: Vec::new(),
            bytes,
            fields: Vec::new(),
            gaps: Vec::new(),
            lengths: vec![4, ITEM_HEADER + 4],
            pool: Vec::new(),
        };
        let mut at = ITEM_HEADER + if record.timestamped() { LONG_HEADER } else { SHORT_HEADER };
        if record.discovery_header {
            at = template.walk(DISCOVERY_HEADER, at);
        }
        template.walk(event.main().layout(), at);
        template.empty = template.bytes.clone();
        Ok(template)
    }

    /// The field with this canonical name.
    pub(crate) fn field(&self, name: &str) -> Result<Field, NoField> {
        // The event's own field comes after the one of the same name in the discovery event header.
        let found = self.fields.iter().rev().find(|(known, _)| *known == name).map(|(_, field)| *field);
        found.ok_or_else(|| NoField { layout: self.name.to_owned(), field: name.to_owned() })
    }

    /// The field of the discovery event header with this name.
    pub(crate) fn header_field(&self, name: &str) -> Result<Field, NoField> {
        let found = self.fields.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
        found.ok_or_else(|| NoField { layout: self.name.to_owned(), field: name.to_owned() })
    }

    /// Sets an unsigned integer.
    pub(crate) fn uint(&mut self, field: Field, value: impl Into<u64>) {
        put(&mut self.bytes, field.at, field.size, value.into());
    }

    /// Sets an address or identifier.
    pub(crate) fn octets(&mut self, field: Field, value: &[u8]) {
        debug_assert_eq!(value.len(), field.size);
        if let Some(place) = self.bytes.get_mut(field.at..field.at + value.len()) {
            place.copy_from_slice(value);
        }
    }

    /// Sets a text or a run of octets, given in parts.
    pub(crate) fn text<const N: usize>(&mut self, field: Field, parts: [&[u8]; N]) {
        if let Some(gap) = self.gaps.get_mut(field.gap) {
            gap.from = self.pool.len();
            parts.iter().for_each(|part| self.pool.extend_from_slice(part));
            gap.to = self.pool.len();
        }
    }

    /// Appends the record as a bundle item and makes the template empty again.
    pub(crate) fn emit(&mut self, out: &mut Vec<u8>) {
        let more: usize = self.gaps.iter().map(|gap| gap.to - gap.from).sum();
        for at in &self.lengths {
            let length = read_u32(&self.bytes, *at) as usize + more;
            put(&mut self.bytes, *at, 4, length as u64);
        }
        out.reserve(self.bytes.len() + more);
        let mut done = 0;
        for gap in &mut self.gaps {
            let length = gap.to - gap.from;
            if length == 0 {
                continue;
            }
            put(&mut self.bytes, gap.length_at, gap.length_size, (gap.header + length) as u64);
            out.extend_from_slice(&self.bytes[done..gap.at]);
            out.extend_from_slice(&self.pool[gap.from..gap.to]);
            done = gap.at;
            (gap.from, gap.to) = (0, 0);
        }
        out.extend_from_slice(&self.bytes[done..]);
        self.pool.clear();
        self.bytes.copy_from_slice(&self.empty);
    }

    /// Its record type.
    pub(crate) fn record_type(&self) -> u16 {
        self.record_type
    }

    /// Finds the fields of a layout that begins at `at`; gives where it ends.
    fn walk(&mut self, layout: &'static Layout, mut at: usize) -> usize {
        if layout.header {
            self.lengths.push(at + 4);
            at += 8;
        }
        let start = self.fields.len();
        for field in layout.fields {
            let present = field.present_if.is_none_or(|i| {
                let condition = self.fields.get(start + usize::from(i)).map(|(_, f)| *f);
                condition.is_some_and(|f| self.bytes[f.at..f.at + f.size].iter().any(|octet| *octet != 0))
            });
            let size = if present { self.size(field, at) } else { 0 };
            let gap = self.gaps.len();
            if field.fixed == 0 && present {
                self.gap(field, at, start);
            }
            self.fields.push((field.name, Field { at, size: field.fixed.into(), gap }));
            at += size;
        }
        at
    }

    /// Bytes of a field in the empty record.
    fn size(&self, field: &LayoutField, at: usize) -> usize {
        match field.kind {
            _ if field.fixed != 0 => field.fixed.into(),
            Kind::Counted { .. } => 0,
            _ => read_u32(&self.bytes, at + 4) as usize,
        }
    }

    fn gap(&mut self, field: &LayoutField, at: usize, start: usize) {
        let gap = match field.kind {
            Kind::Counted { length, .. } => {
                let count = self.fields.get(start + usize::from(length)).map_or((0, 0), |(_, f)| (f.at, f.size));
                Gap { at, length_at: count.0, length_size: count.1, header: 0, from: 0, to: 0 }
            }
            _ => Gap { at: at + 8, length_at: at + 4, length_size: 4, header: 8, from: 0, to: 0 },
        };
        self.gaps.push(gap);
    }
}

/// Defines a struct of the fields a writer sets, each found by its canonical name.
macro_rules! fields {
    ($name:ident { $($field:ident = $canonical:literal,)* }) => {
        #[derive(Debug)]
        struct $name {
            $($field: $crate::simulator::template::Field,)*
        }

        impl $name {
            fn of(template: &$crate::simulator::template::Template) -> Result<Self, wire::event::NoField> {
                Ok($name { $($field: template.field($canonical)?,)* })
            }
        }
    };
}
pub(crate) use fields;

fn put(bytes: &mut [u8], at: usize, size: usize, value: u64) {
    let octets = value.to_be_bytes();
    if let (Some(place), Some(value)) = (bytes.get_mut(at..at + size), octets.get(8 - size.min(8)..)) {
        place.copy_from_slice(value);
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |octets| u32::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::event::Value;

    /// Fills every field of a record in a template and in an event.
    fn both(record_type: u16) -> (Vec<u8>, Vec<u8>) {
        let mut event = Event::new(record_type).unwrap();
        if let Some(header) = event.discovery_mut() {
            header.set("hasIpv6", 1u8).unwrap();
        }
        let mut template = Template::new(&event).unwrap();
        let layout = event.main().layout();
        for (i, field) in layout.fields.iter().enumerate() {
            let place = template.field(field.name).unwrap();
            match field.kind {
                Kind::Uint if field.counts.is_none() => {
                    event.main_mut().set_at(i, i as u64);
                    template.uint(place, i as u64);
                }
                Kind::Uint | Kind::Block { .. } | Kind::List { .. } => {}
                _ => {
                    let octets = vec![i as u8; if field.fixed == 0 { i % 5 } else { field.fixed.into() }];
                    event.main_mut().set_at(i, Value::Octets(octets.clone()));
                    if field.fixed == 0 {
                        template.text(place, [&octets[..octets.len() / 2], &octets[octets.len() / 2..]]);
                    } else {
                        template.octets(place, &octets);
                    }
                }
            }
        }
        if let Some(header) = event.discovery_mut() {
            header.set("eventSecond", 77u32).unwrap();
            header.set("ipv6Address", [9; 16]).unwrap();
            template.uint(template.header_field("eventSecond").unwrap(), 77u32);
            template.octets(template.header_field("ipv6Address").unwrap(), &[9; 16]);
        }
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        event.encode_item(Some(0), &mut expected);
        template.emit(&mut found);
        // It is empty again.
        let mut again = Vec::new();
        template.emit(&mut again);
        assert_eq!(again, template.empty);
        (expected, found)
    }

    #[test]
    fn a_template_writes_what_an_event_encodes() {
        for record_type in [2, 9, 71, 110, 112, 125, 400, 500, 502, 4, 123] {
            let (expected, found) = both(record_type);
            assert_eq!(expected, found, "record {record_type}");
        }
    }

    #[test]
    fn a_field_that_is_not_there_is_an_error() {
        let template = Template::new(&Event::new(2).unwrap()).unwrap();
        assert_eq!(template.field("nothing").unwrap_err().to_string(), "Packet Data has no field nothing");
    }
}
