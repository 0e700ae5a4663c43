//! Conversion between versions from bytes to bytes, along a plan that is made once.
//!
//! [`Event::in_version`](crate::event::Event::in_version) says what an event is in another version, value by value. Most
//! values are the same bytes in both. So a [`Plan`] for one layout and one version has few steps: ranges of bytes that
//! are copied, bytes that are always the same (fields only the target has), and the fields that need thought, which go
//! the long way one by one. It is derived from the tables and from the same functions, and a test holds the two ways
//! against each other for every record of every version.

use crate::convert;
use crate::decode::Record;
use crate::event::{self, Block, Value};
use crate::layout::{self, DISCOVERY_HEADER, Field, Kind, Layout, RecordLayout};
use crate::message::MessageType;
use crate::versions::{Version, shorten};
use crate::view::View;

/// How records of one type with one layout become records of a version.
#[derive(Debug)]
pub struct Plan {
    version: &'static Version,
    source: &'static Layout,
    /// The first that has room for the addresses of an event is taken, else the last.
    targets: Vec<Target>,
}

/// One record type of the version.
#[derive(Debug)]
struct Target {
    record: &'static RecordLayout,
    layout: &'static Layout,
    /// Positions of addresses in the source that have four octets in the target.
    narrow: Vec<usize>,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// These bytes.
    Literal(Vec<u8>),
    /// The bytes of consecutive fields of the source.
    Copy { from: Start, to: End },
    /// A field of the source as one of the target.
    Field { from: usize, to: usize },
    /// The length of a field of the target that comes from one of the source.
    Length { from: Option<usize>, counted: usize, at: usize },
}

/// Where a field begins: what its slot says, and how many bytes behind that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    slot: u16,
    shift: u16,
}

/// Where a field ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fixed(Start),
    /// That of a String block at a slot.
    String(u16),
}

impl Plan {
    /// A plan for records like this one; `None` when there is no way but [`Event::in_version`](crate::event::Event::in_version).
    pub fn new(record: &Record<'_>, version: &'static Version) -> Option<Plan> {
        let (of, source) = (record.layout?, record.main().layout()?);
        let bare = of.inline_block().is_some() && !source.header;
        // Metadata goes as it is; a record without its block cannot be understood.
        if bare || version.all_metadata && of.metadata {
            return None;
        }
        let own = version.own(of.record_type);
        let same = version.records.iter().filter(|r| own.is_none() && r.event == of.event).copied();
        let targets: Option<Vec<_>> = own.into_iter().chain(same).map(|r| Target::new(source, r, version)).collect();
        let targets = targets.filter(|t| !t.is_empty())?;
        Some(Plan { version, source, targets })
    }

    /// Appends the record as an item of a message bundle, as [`Event::encode_item`](crate::event::Event::encode_item)
    /// would in this version. False, and nothing is appended, when the record is not like the one the plan was made for,
    /// or has less fields than its layout.
    pub fn convert(&self, record: &Record<'_>, timestamp: Option<u32>, out: &mut Vec<u8>) -> bool {
        let main = record.main();
        if main.layout() != Some(self.source) || main.read() < self.source.fields.len() || record.problem().is_some() {
            return false;
        }
        let room = |t: &&Target| t.narrow.iter().all(|at| fits(main, *at));
        let Some(target) = self.targets.iter().find(room).or(self.targets.last()) else { return false };
        let start = out.len();
        let word = u32::from(record.header.netmap) << 16 | u32::from(target.record.record_type);
        let long = timestamp.filter(|_| target.record.timestamped());
        for word in [MessageType::EVENT_DATA.0.into(), 0, word, 0] {
            out.extend_from_slice(&u32::to_be_bytes(word));
        }
        if let Some(second) = long {
            out.extend_from_slice(&(u64::from(second) << 32).to_be_bytes());
        }
        let data = out.len();
        if target.record.discovery_header {
            self.discovery(record.discovery(), out);
        }
        let block = out.len();
        if target.layout.header {
            out.extend_from_slice(&target.layout.number.to_be_bytes());
            out.extend_from_slice(&[0; 4]);
        }
        for step in &target.steps {
            if target.step(step, main, self.version, out).is_none() {
                // The bytes are not what the decoder said: it cannot be.
                out.truncate(start);
                return false;
            }
        }
        if target.layout.header {
            event::patch_length(out, block);
        }
        let (item, rest) = ((out.len() - start - 8) as u32, (out.len() - data) as u32);
        for (at, length) in [(4, item), (12, rest)] {
            if let Some(field) = out.get_mut(start + at..start + at + 4) {
                field.copy_from_slice(&length.to_be_bytes());
            }
        }
        true
    }

    fn discovery(&self, header: Option<View<'_>>, out: &mut Vec<u8>) {
        match header {
            Some(header) if !self.version.short_header => out.extend_from_slice(header.bytes()),
            header => {
                let mut block = header.map_or_else(|| Block::new(DISCOVERY_HEADER), Block::from);
                if self.version.short_header {
                    shorten(&mut block);
                }
                block.encode(out);
            }
        }
    }
}

impl Target {
    fn new(source: &'static Layout, record: &'static RecordLayout, version: &'static Version) -> Option<Target> {
        let layout = match record.inline_block() {
            Some((_, expected)) => version.block(expected),
            None => record.body,
        };
        let conditional = |l: &Layout| l.fields.iter().any(|f| f.present_if.is_some());
        // The same layout keeps what is behind its fields, and how its lists are written.
        if source == layout || source.is_gap() || conditional(layout) {
            return None;
        }
        let named = |field: &Field| source.position(field.name);
        let single = |field: &Field| {
            let mut rules = layout::SINGLES.iter().filter(|s| s.field == field.name || s.list == field.name);
            rules.any(|s| source.position(s.field).is_some() || source.position(s.list).is_some())
        };
        let narrow = layout.fields.iter().filter(|f| matches!(f.kind, Kind::Ipv4)).filter_map(named).collect();
        let mut target = Target { record, layout, narrow, steps: Vec::new() };
        for (to, field) in layout.fields.iter().enumerate() {
            if let Some(counted) = field.counts.map(usize::from) {
                let from = named(layout.fields.get(counted)?);
                target.steps.push(Step::Length { from, counted, at: to });
                continue;
            }
            match named(field) {
                Some(from) => target.add(source, from, field, to),
                None if single(field) => return None,
                None => target.literal(field),
            }
        }
        Some(target)
    }

    /// Adds a field that is in both.
    fn add(&mut self, source: &'static Layout, from: usize, field: &'static Field, to: usize) {
        let Some(other) = source.fields.get(from).filter(|other| same_bytes(other, field)) else {
            return self.steps.push(Step::Field { from, to });
        };
        let start = Start { slot: other.slot, shift: other.shift };
        let end = match other.kind {
            Kind::String => End::String(other.slot),
            _ => End::Fixed(Start { shift: other.shift + u16::from(other.fixed), ..start }),
        };
        let before = from.checked_sub(1).and_then(|at| source.fields.get(at));
        match self.steps.last_mut() {
            // It follows the field before it in both.
            Some(Step::Copy { to, .. }) if before.is_some_and(|before| *to == ends(before)) => *to = end,
            _ => self.steps.push(Step::Copy { from: start, to: end }),
        }
    }

    /// Adds a field that is only in the target.
    fn literal(&mut self, field: &'static Field) {
        let mut bytes = Vec::new();
        event::encode_value(self.layout, field, &Value::Unset, None, None, &mut bytes);
        match self.steps.last_mut() {
            Some(Step::Literal(before)) => before.extend_from_slice(&bytes),
            _ => self.steps.push(Step::Literal(bytes)),
        }
    }

    fn step(&self, step: &Step, main: View<'_>, version: &'static Version, out: &mut Vec<u8>) -> Option<()> {
        match step {
            Step::Literal(bytes) => out.extend_from_slice(bytes),
            Step::Copy { from, to } => {
                let end = match *to {
                    End::Fixed(end) => main.offset(end.slot, end.shift)?,
                    End::String(slot) => main.string_end(slot)?,
                };
                out.extend_from_slice(main.data().get(main.offset(from.slot, from.shift)?..end)?);
            }
            Step::Field { from, to } => {
                let field = self.layout.fields.get(*to)?;
                let value = converted(main, *from, field, version);
                event::encode_value(self.layout, field, &value, None, None, out);
            }
            Step::Length { from, counted, at } => {
                let value = match from {
                    Some(from) => converted(main, *from, self.layout.fields.get(*counted)?, version),
                    None => Value::Unset,
                };
                let field = self.layout.fields.get(*at)?;
                event::encode_value(self.layout, field, &Value::Unset, Some(event::counted(field, &value)), None, out);
            }
        }
        Some(())
    }
}

/// A field of the source as the target has it.
fn converted(main: View<'_>, from: usize, to: &'static Field, version: &'static Version) -> Value {
    let field = main.layout().and_then(|l| l.fields.get(from));
    let value = field.map_or(Value::Unset, |field| event::owned(main, from, field).0);
    convert::value(&value, field, to, &|expected| version.block(expected))
}

/// Whether a field that is there has the same bytes in both layouts.
fn same_bytes(from: &Field, to: &Field) -> bool {
    let always = from.present_if.is_none() && to.present_if.is_none() && !from.little && !to.little;
    let same = match (from.kind, to.kind) {
        (Kind::Uint, Kind::Uint)
        | (Kind::Hex, Kind::Hex)
        | (Kind::Uuid, Kind::Uuid)
        | (Kind::Ipv4, Kind::Ipv4)
        | (Kind::Ipv6, Kind::Ipv6)
        | (Kind::Mac, Kind::Mac) => from.fixed == to.fixed && from.fixed > 0,
        (Kind::String, Kind::String) => true,
        _ => false,
    };
    always && same
}

/// Where a field ends that can be copied.
fn ends(field: &Field) -> End {
    match field.kind {
        Kind::String => End::String(field.slot),
        _ => End::Fixed(Start { slot: field.slot, shift: field.shift + u16::from(field.fixed) }),
    }
}

/// Whether the address at a position fits into four octets.
fn fits(main: View<'_>, at: usize) -> bool {
    let octets = main.value(at).and_then(|v| v.octets());
    octets.is_none_or(|o| o.len() < 16 || convert::mapped(o).is_some() || o.iter().all(|o| *o == 0))
}
