//! Owned records: built, changed, encoded, converted between versions.
//!
//! A [`Block`] holds one value for each field of its layout, [`Event`] is a whole record. What is not set is written as
//! zero or empty, so an event need only say what it knows. Converting to another version of a block takes the fields
//! both have by their canonical names.

use crate::decode::{Record, Value as Borrowed, View};
use crate::layout::{self, DISCOVERY_HEADER, Field, Kind, Layout, RecordLayout};
use crate::message::MessageType;
use crate::record::{LONG_HEADER, SHORT_HEADER};
use std::net::{IpAddr, Ipv6Addr};
use thiserror::Error;

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value {
    /// Not set: zero or empty on the wire, absent where the layout allows that.
    #[default]
    Unset,
    /// Unsigned integer; written in as many bytes as the field has.
    Uint(u64),
    /// Address, identifier, text or blob.
    Octets(Vec<u8>),
    /// A nested block.
    Block(Block),
    /// The blocks of a list.
    List(Vec<Block>),
}

/// A data block or record body with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    layout: &'static Layout,
    values: Vec<Value>,
    /// Octets after the known fields.
    trailing: Vec<u8>,
}

/// A field that a block or record does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{layout} has no field {field}")]
pub struct NoField {
    /// Title of the layout.
    pub layout: String,
    /// The name asked for.
    pub field: String,
}

impl Block {
    /// A block in which nothing is set.
    pub fn new(layout: &'static Layout) -> Self {
        Block { layout, values: vec![Value::Unset; layout.fields.len()], trailing: Vec::new() }
    }

    /// Its layout.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// Sets the field with this canonical name.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Self, NoField> {
        match self.layout.position(name).and_then(|i| self.values.get_mut(i)) {
            Some(slot) => *slot = value.into(),
            None => return Err(NoField { layout: self.layout.title.to_owned(), field: name.to_owned() }),
        }
        Ok(self)
    }

    /// Sets the field at a position of the layout; a position the layout does not have is ignored.
    pub fn set_at(&mut self, position: usize, value: impl Into<Value>) {
        if let Some(slot) = self.values.get_mut(position) {
            *slot = value.into();
        }
    }

    /// The value at a position of the layout.
    pub fn value(&self, position: usize) -> &Value {
        self.values.get(position).unwrap_or(&Value::Unset)
    }

    /// The value with this canonical name; `None` when the layout has no such field.
    pub fn named(&self, name: &str) -> Option<&Value> {
        self.values.get(self.layout.position(name)?)
    }

    /// The same block in another layout: fields both have keep their values, the rest is unset.
    pub fn convert(&self, target: &'static Layout) -> Block {
        let mut block = Block::new(target);
        for (field, slot) in target.fields.iter().zip(&mut block.values) {
            if let Some(value) = self.named(field.name) {
                *slot = match (value, field.kind) {
                    (Value::Block(inner), Kind::Block { expected, .. }) if inner.layout != expected => {
                        Value::Block(inner.convert(expected))
                    }
                    (Value::List(items), Kind::List { of, .. }) if items.iter().any(|i| i.layout != of) => {
                        Value::List(items.iter().map(|i| i.convert(of)).collect())
                    }
                    _ => value.clone(),
                };
            }
        }
        block
    }

    /// Appends the block as it is on the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.layout.header {
            out.extend_from_slice(&self.layout.number.to_be_bytes());
            out.extend_from_slice(&[0; 4]);
        }
        for (i, field) in self.layout.fields.iter().enumerate() {
            if let Some(condition) = field.present_if
                && matches!(self.value(condition.into()), Value::Unset | Value::Uint(0))
            {
                continue;
            }
            self.encode_field(field, self.value(i), out);
        }
        out.extend_from_slice(&self.trailing);
        if self.layout.header {
            patch_length(out, start);
        }
    }

    fn encode_field(&self, field: &Field, value: &Value, out: &mut Vec<u8>) {
        let octets = match value {
            Value::Octets(o) => o.as_slice(),
            _ => &[],
        };
        match field.kind {
            Kind::Uint => {
                let counted = field.counts.map(|i| match self.value(i.into()) {
                    Value::Octets(o) => o.len() as u64,
                    _ => 0,
                });
                let number = match (counted, value) {
                    (Some(length), _) => length,
                    (None, Value::Uint(n)) => *n,
                    _ => 0,
                };
                let bytes = number.to_be_bytes();
                out.extend_from_slice(bytes.get(8 - usize::from(field.fixed).min(8)..).unwrap_or_default());
            }
            Kind::Hex | Kind::Uuid | Kind::Ipv4 | Kind::Ipv6 | Kind::Mac => {
                let size = usize::from(field.fixed);
                let end = out.len() + size;
                out.extend_from_slice(octets.get(..size).unwrap_or(octets));
                out.resize(end, 0);
            }
            Kind::Counted { .. } => out.extend_from_slice(octets),
            Kind::String => push_primitive(out, 0, octets),
            Kind::Blob => push_primitive(out, if self.series_two() { 1 } else { 10 }, octets),
            Kind::Block { expected, .. } => match value {
                Value::Block(block) => block.encode(out),
                _ => Block::new(expected).encode(out),
            },
            Kind::List { generic, .. } => {
                let kind = match (self.series_two(), generic) {
                    (false, false) => 11,
                    (false, true) => 31,
                    (true, false) => 2,
                    (true, true) => 3,
                };
                let start = out.len();
                push_primitive(out, kind, &[]);
                if let Value::List(items) = value {
                    items.iter().for_each(|item| item.encode(out));
                }
                patch_length(out, start);
            }
        }
    }

    fn series_two(&self) -> bool {
        self.layout.series == 2
    }
}

fn push_primitive(out: &mut Vec<u8>, kind: u32, octets: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(8 + octets.len() as u32).to_be_bytes());
    out.extend_from_slice(octets);
}

/// Writes the length of the block that starts at `start` and ends here.
fn patch_length(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    if let Some(field) = out.get_mut(start + 4..start + 8) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

impl From<View<'_>> for Block {
    /// Owns a decoded block. An opaque one becomes empty: it has no fields.
    fn from(view: View<'_>) -> Block {
        let Some(layout) = view.layout() else {
            return Block { layout: &OPAQUE, values: Vec::new(), trailing: view.bytes().to_vec() };
        };
        let mut block = Block::new(layout);
        for (i, slot) in block.values.iter_mut().enumerate() {
            *slot = match view.value(i) {
                None => Value::Unset,
                Some(Borrowed::Uint(n)) => Value::Uint(n),
                Some(Borrowed::Block(inner)) => Value::Block(inner.into()),
                Some(Borrowed::List(list)) => Value::List(list.items().map(Block::from).collect()),
                Some(other) => Value::Octets(other.octets().unwrap_or_default().to_vec()),
            };
        }
        block.trailing = view.trailing().to_vec();
        block
    }
}

/// Layout of blocks whose type nobody knows: bytes, header included.
static OPAQUE: Layout = Layout::opaque();

/// A whole record: discovery event header if it has one, and what follows it.
#[derive(Debug, Clone)]
pub struct Event {
    record: &'static RecordLayout,
    discovery: Option<Block>,
    /// The inline block of the record if it has one (it is then all of the body), else the body.
    main: Block,
}

/// A record type nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("record type {0} is not in the schema")]
pub struct UnknownRecord(pub u16);

impl Event {
    /// A record of this type in its newest layout, nothing set.
    pub fn new(record_type: u16) -> Result<Self, UnknownRecord> {
        let record = layout::record(record_type).ok_or(UnknownRecord(record_type))?;
        let discovery = record.discovery_header.then(|| Block::new(DISCOVERY_HEADER));
        Ok(Event { record, discovery, main: Block::new(record.main_layout()) })
    }

    /// Its record type.
    pub fn record(&self) -> &'static RecordLayout {
        self.record
    }

    /// Everything after the headers.
    pub fn main(&self) -> &Block {
        &self.main
    }

    /// Everything after the headers.
    pub fn main_mut(&mut self) -> &mut Block {
        &mut self.main
    }

    /// The discovery event header, when the record has one.
    pub fn discovery_mut(&mut self) -> Option<&mut Block> {
        self.discovery.as_mut()
    }

    /// Sets the field with this canonical name. A name that the event and the discovery event header share
    /// (`deviceId`) is set in both.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<&mut Self, NoField> {
        let value = value.into();
        let header = self.discovery.as_mut().map(|h| h.set(name, value.clone()).is_ok());
        if self.main.set(name, value).is_ok() || header == Some(true) {
            return Ok(self);
        }
        Err(NoField { layout: self.record.name.to_owned(), field: name.to_owned() })
    }

    /// The value with this canonical name.
    pub fn named(&self, name: &str) -> Option<&Value> {
        self.main.named(name).or_else(|| self.discovery.as_ref()?.named(name))
    }

    /// Turns the event's block into another version of it.
    pub fn convert(&mut self, target: &'static Layout) {
        if self.main.layout != target {
            self.main = self.main.convert(target);
        }
    }

    /// Appends the record: header with the archival timestamp where this record type has one and `timestamp` gives it,
    /// then its data.
    pub fn encode(&self, timestamp: Option<u32>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&u32::from(self.record.record_type).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        let mut header = SHORT_HEADER;
        if let Some(second) = timestamp.filter(|_| self.record.timestamped()) {
            out.extend_from_slice(&second.to_be_bytes());
            out.extend_from_slice(&[0; 4]);
            header = LONG_HEADER;
        }
        if let Some(discovery) = &self.discovery {
            discovery.encode(out);
        }
        self.main.encode(out);
        let length = (out.len() - start - header) as u32;
        if let Some(field) = out.get_mut(start + 4..start + 8) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Appends the record as an item of a message bundle: u32 message type 4, u32 length, record.
    pub fn encode_item(&self, timestamp: Option<u32>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&u32::from(MessageType::EVENT_DATA.0).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        self.encode(timestamp, out);
        let length = (out.len() - start - 8) as u32;
        if let Some(field) = out.get_mut(start + 4..start + 8) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
}

impl TryFrom<&Record<'_>> for Event {
    type Error = UnknownRecord;

    /// Owns a decoded record; one of an unknown type cannot become an event.
    fn try_from(record: &Record<'_>) -> Result<Self, UnknownRecord> {
        let layout = record.layout.ok_or(UnknownRecord(record.record_type()))?;
        Ok(Event { record: layout, discovery: record.discovery().map(Block::from), main: record.main().into() })
    }
}

macro_rules! from_uint {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(n: $t) -> Value {
                Value::Uint(n.into())
            }
        }
    )*};
}

from_uint!(u8, u16, u32, u64);

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Octets(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Octets(text.into_bytes())
    }
}

impl From<&[u8]> for Value {
    fn from(octets: &[u8]) -> Value {
        Value::Octets(octets.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(octets: [u8; N]) -> Value {
        Value::Octets(octets.to_vec())
    }
}

impl From<Block> for Value {
    fn from(block: Block) -> Value {
        Value::Block(block)
    }
}

impl From<Vec<Block>> for Value {
    fn from(items: Vec<Block>) -> Value {
        Value::List(items)
    }
}

impl From<IpAddr> for Value {
    /// An address in a 16-byte field: IPv4 as `::ffff:a.b.c.d`.
    fn from(address: IpAddr) -> Value {
        Value::Octets(sixteen(address).to_vec())
    }
}

/// An address as a 16-byte field holds it: IPv4 as `::ffff:a.b.c.d`.
pub fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address in a 16-byte field: IPv4 when it is mapped.
pub fn address(octets: &[u8; 16]) -> IpAddr {
    Ipv6Addr::from(*octets).to_canonical()
}
